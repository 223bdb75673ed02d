//! A server for claims and reports: real TLS; claims get one canned answer at a time, reports are
//! kept under the protocol's rules, with a fault now and then if a test wants one.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use protocol::report::{MAX_REPORT_BYTES, Report};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::Value;

/// What the server says.
#[derive(Clone)]
pub struct Answers {
    status: u16,
    body: String,
}

impl Answers {
    pub fn grant(allowed: Duration) -> Self {
        let deadline = jiff::Timestamp::now() + allowed;
        Self { status: 200, body: format!(r#"{{"token":"t","deadline":"{deadline}","acked":0}}"#) }
    }

    pub fn refuse(status: u16, message: &str) -> Self {
        Self { status, body: format!(r#"{{"reason":"NotYourTurn","message":"{message}"}}"#) }
    }

    pub fn fail() -> Self {
        Self { status: 503, body: String::new() }
    }
}

/// What goes wrong with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything that was stored is lost, as with a new database.
    Forget,
    /// 503, nothing is stored.
    Away,
    /// The connection is cut before anything is read.
    Cut,
    /// It is stored, and the answer is lost.
    Mute,
    /// Another process has the attempt.
    Fence,
    /// It is acknowledged, and not kept: there is too much of it.
    Drop,
    /// No fault at all: nobody watches.
    Alone,
    /// Nor is this: nobody does, and then somebody comes.
    Comes,
}

/// What the server knows.
struct State {
    answers: Answers,
    claims: usize,
    /// Events as they arrived, in order.
    events: Vec<Value>,
    reports: usize,
    /// Somebody came.
    comes: bool,
    /// What happens to the next reports.
    faults: VecDeque<Option<Fault>>,
}

pub struct Server {
    pub url: String,
    pub authority: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(answers: Answers, faults: Vec<Option<Fault>>) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("a configuration");
        let config = Arc::new(config);

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let state =
            State { answers, claims: 0, events: Vec::new(), reports: 0, comes: false, faults: faults.into() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves early is no reason to stop.
                let _ = serve(stream, &config, &shared);
            }
        });
        Self { url, authority: issuer.pem(), state }
    }

    pub fn answer(&self, answers: Answers) {
        self.state.lock().expect("no panic").answers = answers;
    }

    pub fn claims(&self) -> usize {
        self.state.lock().expect("no panic").claims
    }

    /// What arrived, and in how many reports.
    pub fn arrived(&self) -> (Vec<Value>, usize) {
        let state = self.state.lock().expect("no panic");
        (state.events.clone(), state.reports)
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, state: &Mutex<State>) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.push_str(&line);
    }
    let report = head.starts_with("POST /runs/6b1e/1/reports ");
    let fault = if report { state.lock().expect("no panic").faults.pop_front().flatten() } else { None };
    if fault == Some(Fault::Cut) {
        return Ok(());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let (status, body) = {
        let mut state = state.lock().expect("no panic");
        if report {
            state.report(&head, &body, fault)
        } else if head.starts_with("GET /runs/6b1e/1/followed ") {
            if state.comes { (200, r#"{"followed":true}"#.to_owned()) } else { (503, String::new()) }
        } else {
            state.claim(&head, &body)
        }
    };
    if fault == Some(Fault::Mute) {
        return Ok(());
    }
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    stream.flush()
}

impl State {
    fn claim(&mut self, head: &str, body: &[u8]) -> (u16, String) {
        self.claims += 1;
        let wellformed = head.starts_with("POST /runs/6b1e/1/claim ")
            && head.to_ascii_lowercase().contains("authorization: bearer claim-token")
            && serde_json::from_slice::<protocol::claim::ClaimRequest>(body)
                .is_ok_and(|request| request.protocol == 1);
        let Answers { status, body } =
            if wellformed { self.answers.clone() } else { Answers::refuse(400, "this is no claim") };
        (status, body)
    }

    fn report(&mut self, head: &str, body: &[u8], fault: Option<Fault>) -> (u16, String) {
        self.reports += 1;
        let head = head.to_ascii_lowercase();
        let wellformed =
            head.contains("authorization: bearer t\r\n") && head.contains("content-encoding: zstd");
        let text = zstd::decode_all(body).unwrap_or_default();
        let report = serde_json::from_slice::<Report>(&text).ok().filter(|_| wellformed);
        let Some(report) = report else { return (400, String::new()) };
        assert!(text.len() <= MAX_REPORT_BYTES + 1_000 || report.events.len() == 1, "too large");
        match fault {
            Some(Fault::Away) => return (503, String::new()),
            Some(Fault::Fence) => return (409, String::new()),
            Some(Fault::Drop) => {
                let last = report.first_seq + report.events.len() as u64;
                return (200, format!(r#"{{"acked":{}}}"#, last.saturating_sub(1)));
            }
            Some(Fault::Forget) => self.events.clear(),
            _ => {}
        }
        let raw: Value = serde_json::from_slice(&text).expect("it was read before");
        for event in raw["events"].as_array().expect("it was read before") {
            if event["seq"].as_u64() == Some(self.events.len() as u64 + 1) {
                self.events.push(event.clone());
            }
        }
        self.comes = fault == Some(Fault::Comes);
        let followed = !matches!(fault, Some(Fault::Alone | Fault::Comes));
        (200, format!(r#"{{"acked":{},"followed":{followed}}}"#, self.events.len()))
    }
}
