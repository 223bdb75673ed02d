//! One request, one connection, one answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Allowed;

/// From looking up the name to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// What came back. A redirect is one of these, too.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whatever it is.
    pub status: StatusCode,
    /// At most 1 MiB.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not http or https, or no host.
    #[error("not an address that begins with http:// or https://")]
    Address,
    /// It leads to where nobody is to be led.
    #[error("{0} is an address inside, which is not allowed (chart value outbound.allow)")]
    Refused(IpAddr),
    /// There is no such name.
    #[error("there is no address for the name {0}")]
    Unknown(String),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// Not HTTP.
    #[error("not a sound answer: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is too large, or broke off.
    #[error("the answer is larger than 1 MiB, or broke off")]
    Large,
}

/// Asks.
#[derive(Clone)]
pub struct Client {
    allowed: Allowed,
    tls: TlsConnector,
}

/// The address behind a name, looked up once; refused if it may not be reached. With several, the first that may.
pub async fn resolve(host: &str, port: u16, allowed: &Allowed) -> Result<SocketAddr, Error> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut refused = None;
    for found in tokio::net::lookup_host((host, port)).await.map_err(|_| Error::Unknown(host.to_owned()))? {
        if allowed.permits(found.ip()) {
            return Ok(found);
        }
        refused = Some(Error::Refused(found.ip()));
    }
    Err(refused.unwrap_or_else(|| Error::Unknown(host.to_owned())))
}

impl Client {
    /// To these addresses; believes the public authorities, and these besides.
    pub fn new(allowed: Allowed, besides: &[CertificateDer<'static>]) -> Self {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(besides.iter().cloned());
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { allowed, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// Which addresses it reaches.
    pub const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// Sends it, to where its address leads now.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, Error> {
        tokio::time::timeout(PATIENCE, self.ask(request)).await.map_err(|_| Error::Slow)?
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> Result<Answer, Error> {
        let (mut parts, body) = request.into_parts();
        let host = parts.uri.host().ok_or(Error::Address)?.to_owned();
        let secure = match parts.uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::Address),
        };
        let port = parts.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = resolve(&host, port, &self.allowed).await?;
        // Without what may stand before the host: name and password are no part of it.
        let named = if parts.uri.port().is_some() { format!("{host}:{port}") } else { host.clone() };
        parts.headers.insert(header::HOST, HeaderValue::from_str(&named).map_err(|_| Error::Address)?);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = path.parse::<Uri>().map_err(|_| Error::Address)?;
        let request = Request::from_parts(parts, Full::new(Bytes::from(body)));

        let stream = TcpStream::connect(address).await?;
        let answer = if secure {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(host).map_err(|_| Error::Address)?;
            exchange(self.tls.connect(name, stream).await?, request).await?
        } else {
            exchange(stream, request).await?
        };
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| Error::Large)?.to_bytes();
        Ok(Answer { status: parts.status, body })
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or when both halves are dropped.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says this to everybody; what it was asked comes back through the handle.
    async fn says(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (port, served)
    }

    fn client(allowed: Allowed) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(allowed, &[])
    }

    fn get(url: &str) -> Request<Vec<u8>> {
        Request::get(url).body(Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn inside_is_not_reached_by_any_spelling() {
        let (port, served) = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let client = client(Allowed::default());
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "0.0.0.0",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "user:x@127.0.0.1",
            "1.1.1.1@127.0.0.1",
        ] {
            let error = client.send(get(&format!("http://{host}:{port}/"))).await.unwrap_err();
            assert!(matches!(error, Error::Refused(_) | Error::Unknown(_)), "{host}: {error}");
        }
        assert!(matches!(client.send(get("ftp://1.1.1.1/")).await, Err(Error::Address)));
        assert!(matches!(client.send(get("/path")).await, Err(Error::Address)));
        assert!(!served.is_finished());
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (port, served) =
            says("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nhi").await;
        let answer =
            client(Allowed::anywhere()).send(get(&format!("http://localhost:{port}/a?b=c"))).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"hi"[..]));
        let asked = served.await.unwrap();
        assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: localhost:{port}\r\n")), "{asked}");
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 8_192]).await.is_ok() {}
        });
        let answer = client(Allowed::anywhere()).send(get(&format!("http://127.0.0.1:{port}/"))).await;
        assert!(matches!(answer, Err(Error::Large)), "{answer:?}");
    }
}
