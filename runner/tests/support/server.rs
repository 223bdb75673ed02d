//! A claim server: real TLS, one canned answer at a time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

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

pub struct Server {
    pub url: String,
    pub authority: String,
    state: Arc<Mutex<(Answers, usize)>>,
}

impl Server {
    pub fn start(answers: Answers) -> Self {
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
        let state = Arc::new(Mutex::new((answers, 0)));
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
        self.state.lock().expect("no panic").0 = answers;
    }

    pub fn claims(&self) -> usize {
        self.state.lock().expect("no panic").1
    }
}

fn serve(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    state: &Mutex<(Answers, usize)>,
) -> std::io::Result<()> {
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
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let wellformed = head.starts_with("POST /runs/6b1e/1/claim ")
        && head.to_ascii_lowercase().contains("authorization: bearer claim-token")
        && serde_json::from_slice::<protocol::claim::ClaimRequest>(&body)
            .is_ok_and(|request| request.protocol == 1);
    let answer = {
        let mut state = state.lock().expect("no panic");
        state.1 += 1;
        if wellformed { state.0.clone() } else { Answers::refuse(400, "this is no claim") }
    };
    let Answers { status, body } = answer;
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    stream.flush()
}
