//! Log lines on standard output, as JSON or for people. No token is ever passed to them.

use std::io::{IsTerminal, stdout};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The client logs every failure, and so do we, with what it means; once is enough. And PostgreSQL
/// says at each look that the schema is there.
const QUIET: &str = "kube_client=off,sqlx::postgres::notice=off";

/// Start logging. A filter that cannot be read becomes `info`.
pub fn start(config: &Log) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(&config.filter));
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Text => lines.with_ansi(stdout().is_terminal()).init(),
    }
}

fn filter(wanted: &str) -> EnvFilter {
    let parse =
        |text: &str| if text.contains("kube_client") { text.to_owned() } else { format!("{text},{QUIET}") };
    EnvFilter::try_new(parse(wanted)).unwrap_or_else(|_| EnvFilter::new(parse("info")))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn the_client_is_quiet_unless_asked() {
        assert_eq!(filter("info").to_string(), "sqlx::postgres::notice=off,kube_client=off,info");
        assert_eq!(filter("kube_client=debug").to_string(), "kube_client=debug");
        assert_eq!(
            filter("info,=,nonsense=loud").to_string(),
            "sqlx::postgres::notice=off,kube_client=off,info"
        );
    }
}
