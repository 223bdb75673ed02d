//! Whether the site answers, asked from the run's pod: once before Ansible and, after it, until it does or
//! its time is over.

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use protocol::bundle::HealthCheck;
use ureq::{
    Agent,
    tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

/// Authorities that this image trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const BETWEEN: Duration = Duration::from_secs(1);
/// One answer takes no longer.
const ONE: Duration = Duration::from_secs(10);

/// Asks once. The error says what came instead.
pub fn ask(check: &HealthCheck, within: Duration) -> Result<(), String> {
    let pem = fs::read(AUTHORITIES).unwrap_or_default();
    let authorities: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&authorities))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(within.min(ONE)))
        .build()
        .new_agent();
    match agent.get(&check.url).header("user-agent", "fastdeploy").call() {
        Ok(answer) if answer.status().as_u16() == check.status => Ok(()),
        Ok(answer) => {
            Err(format!("{} answers {}, wanted {}", check.url, answer.status().as_u16(), check.status))
        }
        Err(error) => Err(format!("{} does not answer: {error}", check.url)),
    }
}

/// Asks until it answers as wanted, or its time is over.
pub fn wait(check: &HealthCheck) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(check.timeout_seconds.max(1));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let answer = ask(check, left.max(Duration::from_millis(100)));
        if answer.is_ok() || left <= BETWEEN {
            return answer;
        }
        thread::sleep(BETWEEN);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// A real server that answers these, one after the other.
    fn serve(answers: &'static [u16]) -> HealthCheck {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/health", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            for (connection, status) in listener.incoming().zip(answers) {
                let mut connection = connection.expect("a connection");
                let _ = connection.read(&mut [0; 1_024]);
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
            }
        });
        HealthCheck { url, status: 200, timeout_seconds: 5 }
    }

    #[test]
    fn a_site_may_take_a_moment_to_come_up() {
        let check = serve(&[503, 502, 200]);
        assert!(ask(&check, ONE).expect_err("not yet").contains("answers 503, wanted 200"));
        assert_eq!(wait(&check), Ok(()));
    }

    #[test]
    fn a_site_that_stays_away_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let check = HealthCheck { url: format!("http://{port}/"), status: 200, timeout_seconds: 1 };
        assert!(wait(&check).expect_err("nobody is there").contains("does not answer"));
    }
}
