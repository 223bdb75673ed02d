//! Asks for permission to start Ansible, for as long as it takes. No answer is no
//! permission.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use protocol::claim::{self, ClaimGranted, ClaimRefused, ClaimRequest};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
    unversioned::transport::DefaultConnector,
};

use crate::{
    clock,
    config::Config,
    failure::{CLAIM_REFUSED, Stop},
    names::Remembered,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often the log says that we still wait.
const SAY_EVERY: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Permission, and how long it lasts.
#[derive(Debug)]
pub struct Granted {
    /// Bearer for the reports.
    pub token: String,
    /// Time left by the server's clock, as ours may differ.
    pub remaining: Duration,
}

/// One attempt's claim.
pub struct Claim {
    agent: Agent,
    url: String,
    body: Vec<u8>,
    token_file: PathBuf,
}

/// What one request came to.
#[derive(Debug)]
enum Answer {
    Granted(Granted),
    Refused(String),
    TryAgain(String),
}

impl Claim {
    /// Trusts only the authority that the pod was given.
    pub fn new(config: &Config, instance: &str, token_file: PathBuf) -> Result<Self, Stop> {
        let agent = agent(config)?;
        let request = ClaimRequest { protocol: protocol::PROTOCOL, instance: instance.to_owned() };
        Ok(Self {
            agent,
            url: format!("{}{}", config.api_url, claim::path(&config.run_uid, config.attempt)),
            body: serde_json::to_vec(&request).expect("a request is plain data"),
            token_file,
        })
    }

    /// Asks until there is an answer.
    pub fn wait(&self) -> Result<Granted, Stop> {
        let began = clock::boottime();
        let mut said: Option<Duration> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.ask() {
                Answer::Granted(granted) => return Ok(granted),
                Answer::Refused(message) => return Err(Stop::because(CLAIM_REFUSED, message)),
                Answer::TryAgain(why) => why,
            };
            let now = clock::boottime();
            if said.is_none_or(|said| now.saturating_sub(said) >= SAY_EVERY) {
                eprintln!(
                    "fastdeploy: waiting for permission to start since {} s: {why}",
                    now.saturating_sub(began).as_secs()
                );
                said = Some(now);
            }
            std::thread::sleep(jittered(pause));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn ask(&self) -> Answer {
        // It rotates: read at each try.
        let token = match std::fs::read_to_string(&self.token_file) {
            Ok(token) => token,
            Err(error) => return Answer::TryAgain(format!("failed to read the claim's token: {error}")),
        };
        let sent = self
            .agent
            .post(&self.url)
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .send(&self.body);
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Answer::TryAgain(format!("failed to reach {}: {error}", self.url)),
        };
        let status = response.status().as_u16();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        match response.body_mut().read_to_vec() {
            Ok(body) => read(status, date.as_deref(), &body, Timestamp::now()),
            Err(error) => Answer::TryAgain(format!("failed to read the answer: {error}")),
        }
    }
}

/// Asks the api-server, and trusts only the authority that the pod was given.
pub fn agent(config: &Config) -> Result<Agent, Stop> {
    let authorities = certificates(&config.api_ca)?;
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&authorities))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        // A proxy in the environment is meant for the playbook.
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .build();
    Ok(Agent::with_parts(agent, DefaultConnector::default(), Remembered::default()))
}

/// What an answer means.
fn read(status: u16, date: Option<&str>, body: &[u8], now: Timestamp) -> Answer {
    match status {
        200 => match serde_json::from_slice::<ClaimGranted>(body) {
            Ok(granted) => {
                let now = date.and_then(server_time).unwrap_or(now);
                let remaining = Duration::try_from(granted.deadline.duration_since(now)).unwrap_or_default();
                Answer::Granted(Granted { token: granted.token, remaining })
            }
            Err(error) => Answer::TryAgain(format!("failed to understand the answer: {error}")),
        },
        400 | 403 | 404 | 409 | 410 | 422 => Answer::Refused(
            serde_json::from_slice::<ClaimRefused>(body)
                .map_or_else(|_| format!("the claim was answered with {status}"), |refused| refused.message),
        ),
        _ => Answer::TryAgain(format!("the answer was {status}")),
    }
}

fn server_time(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, Stop> {
    let found: Vec<_> = parse_pem(pem.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(Stop::invalid(format!("{} holds no certificate", protocol::pod::ENV_API_CA)));
    }
    Ok(found)
}

/// Between half of it and all of it, so that a thousand runners do not ask at once.
pub fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        read(status, Some("Sun, 06 Nov 2033 08:49:00 GMT"), body.as_bytes(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_time_left_is_told_by_the_servers_clock() {
        let body = r#"{"token":"t","deadline":"2033-11-06T08:50:30Z","acked":0}"#;
        let Answer::Granted(granted) = answer(200, body) else { panic!("granted") };
        assert_eq!(granted.remaining, Duration::from_secs(90));
        let late = r#"{"token":"t","deadline":"2033-11-06T08:40:00Z","acked":0}"#;
        let Answer::Granted(granted) = answer(200, late) else { panic!("granted") };
        assert_eq!(granted.remaining, Duration::ZERO);
    }

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        let body = r#"{"reason":"Fenced","message":"another pod has it"}"#;
        for status in [403, 409] {
            assert!(matches!(answer(status, body), Answer::Refused(m) if m == "another pod has it"));
        }
        for status in [401, 408, 429, 500, 502, 503] {
            assert!(matches!(answer(status, "oops"), Answer::TryAgain(_)), "{status}");
        }
        assert!(matches!(answer(200, "<html>"), Answer::TryAgain(_)));
    }

    #[test]
    fn pauses_are_spread() {
        for _ in 0..100 {
            let pause = jittered(LONGEST_PAUSE);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE);
        }
    }
}
