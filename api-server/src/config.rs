//! What the api-server is told from outside, all of it, read before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

/// The api-server of fastDeploy: grants runs their permission to start, takes their reports, serves the dashboard and its API.
#[derive(Clone, Debug, Parser)]
#[command(name = "fastdeploy-api-server", version)]
pub struct Config {
    /// Where runs ask.
    #[command(flatten)]
    pub runs: Runs,
    /// Where people ask.
    #[command(flatten)]
    pub people: People,
    /// Where probes and Prometheus ask.
    #[command(flatten)]
    pub metrics: Metrics,
    /// Where history, output and accounts are.
    #[command(flatten)]
    pub database: Database,
    /// How long things are kept.
    #[command(flatten)]
    pub retention: Retention,
    /// How it logs.
    #[command(flatten)]
    pub log: Log,
    /// Namespace of the installation: keys and certificates are kept in it.
    #[arg(long, env = "FASTDEPLOY_NAMESPACE", default_value = "fastdeploy-system")]
    pub namespace: String,
}

/// The listener for runs (TLS).
#[derive(Args, Clone, Debug)]
pub struct Runs {
    /// Address of the listener for runs (TLS).
    #[arg(id = "runs-addr", long, env = "FASTDEPLOY_RUNS_ADDR", default_value = "0.0.0.0:8443")]
    pub addr: SocketAddr,
    /// Names and IP addresses by which runs reach that listener, separated by commas: they stand in its certificate.
    #[arg(
        id = "runs-host",
        long,
        env = "FASTDEPLOY_RUNS_HOST",
        value_delimiter = ',',
        value_parser = host,
        default_value = "fastdeploy-runs.fastdeploy-system.svc,fastdeploy-runs.fastdeploy-system.svc.cluster.local"
    )]
    pub hosts: Vec<String>,
}

/// The listener for people: the dashboard, the REST API, the WebSocket (plain HTTP, behind whatever ends TLS).
#[derive(Args, Clone, Debug)]
pub struct People {
    /// Address of the dashboard and its API (plain HTTP, behind whatever ends TLS).
    #[arg(id = "http-addr", long, env = "FASTDEPLOY_HTTP_ADDR", default_value = "0.0.0.0:8080")]
    pub addr: SocketAddr,
    /// Address by which people reach the dashboard. If it begins with http://, their sign-in is kept without HTTPS, too.
    #[arg(id = "url", long, env = "FASTDEPLOY_URL")]
    pub url: Option<String>,
    /// Folder with the built dashboard. Without it only the API is served.
    #[arg(id = "web", long, env = "FASTDEPLOY_WEB")]
    pub web: Option<PathBuf>,
    /// Folder that says with which organisation people sign in, besides with a password (oidc.json, client-secret), and whose tokens are exchanged for ours (federation.json).
    #[arg(id = "sign-in", long, env = "FASTDEPLOY_SIGN_IN")]
    pub sign_in: Option<PathBuf>,
    /// How many proxies before it write X-Forwarded-For: an ingress is one. 0: that header is not believed.
    #[arg(id = "trusted-proxies", long, env = "FASTDEPLOY_TRUSTED_PROXIES", default_value_t = 0)]
    pub proxies: usize,
}

impl People {
    /// Whether cookies are for HTTPS only (and this very machine).
    pub fn secure(&self) -> bool {
        !self.url.as_deref().is_some_and(|url| url.starts_with("http://"))
    }
}

/// The listener for probes and Prometheus (plain HTTP).
#[derive(Args, Clone, Debug)]
pub struct Metrics {
    /// Address of /healthz, /readyz and /metrics (plain HTTP).
    #[arg(id = "metrics-addr", long, env = "FASTDEPLOY_METRICS_ADDR", default_value = "0.0.0.0:8081")]
    pub addr: SocketAddr,
}

/// PostgreSQL 15 or newer. Without one, runs are permitted all the same.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// postgres://user:password@host:5432/name
    #[arg(id = "database-url", long, env = "FASTDEPLOY_DATABASE_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Host of the chart's own database, if there is no URL: its password is made and kept in the Secret fastdeploy-database.
    #[arg(id = "database-host", long, env = "FASTDEPLOY_DATABASE_HOST")]
    pub host: Option<String>,
}

/// How long what only PostgreSQL has is kept, in days. What is older goes as a whole partition.
#[derive(Args, Clone, Copy, Debug)]
pub struct Retention {
    /// What runs printed.
    #[arg(id = "keep-output", long, env = "FASTDEPLOY_KEEP_OUTPUT_DAYS", default_value_t = 90, value_parser = clap::value_parser!(i64).range(7..=36_500))]
    pub output: i64,
    /// Results of runs, step by step and server by server.
    #[arg(id = "keep-results", long, env = "FASTDEPLOY_KEEP_RESULTS_DAYS", default_value_t = 365, value_parser = clap::value_parser!(i64).range(7..=36_500))]
    pub results: i64,
    /// The audit log; whole months.
    #[arg(id = "keep-activity", long, env = "FASTDEPLOY_KEEP_ACTIVITY_DAYS", default_value_t = 730, value_parser = clap::value_parser!(i64).range(31..=36_500))]
    pub activity: i64,
}

/// Log lines, on standard output.
#[derive(Args, Clone, Debug)]
pub struct Log {
    /// json for machines, text for people.
    #[arg(id = "log-format", long, env = "FASTDEPLOY_LOG_FORMAT", default_value = "json")]
    pub format: LogFormat,
    /// error, warn, info, debug or trace; also per part: info,fastdeploy_api_server=debug.
    #[arg(id = "log", long, env = "RUST_LOG", default_value = "info")]
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// A name or address that may stand in a certificate; blanks around it are forgiven.
fn host(text: &str) -> Result<String, String> {
    let host = text.trim();
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    if is_name || host.parse::<std::net::IpAddr>().is_ok() {
        Ok(host.to_owned())
    } else {
        Err("write names or IP addresses, separated by commas".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Config::command().debug_assert();
    }

    #[test]
    fn every_variable_is_in_the_help() {
        let help = Config::command().render_long_help().to_string();
        for name in [
            "FASTDEPLOY_RUNS_ADDR",
            "FASTDEPLOY_RUNS_HOST",
            "FASTDEPLOY_HTTP_ADDR",
            "FASTDEPLOY_URL",
            "FASTDEPLOY_WEB",
            "FASTDEPLOY_SIGN_IN",
            "FASTDEPLOY_TRUSTED_PROXIES",
            "FASTDEPLOY_METRICS_ADDR",
            "FASTDEPLOY_NAMESPACE",
            "FASTDEPLOY_DATABASE_URL",
            "FASTDEPLOY_DATABASE_HOST",
            "FASTDEPLOY_KEEP_OUTPUT_DAYS",
            "FASTDEPLOY_KEEP_RESULTS_DAYS",
            "FASTDEPLOY_KEEP_ACTIVITY_DAYS",
            "FASTDEPLOY_LOG_FORMAT",
            "RUST_LOG",
        ] {
            assert!(help.contains(name), "{name} is missing");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        let config = Config::try_parse_from(["x", "--runs-host", "runs.fd.svc, 10.0.0.1,::1"]).unwrap();
        assert_eq!(config.runs.hosts, ["runs.fd.svc", "10.0.0.1", "::1"]);
        for wrong in ["", "a,,b", "https://x", "a b"] {
            assert!(Config::try_parse_from(["x", "--runs-host", wrong]).is_err(), "{wrong:?}");
        }
    }
}
