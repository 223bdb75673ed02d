//! Log lines on standard output, as JSON or for people. No token is ever passed to them.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Start logging. A filter that cannot be read becomes `info`.
pub fn start(config: &Log) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Text => lines.init(),
    }
}
