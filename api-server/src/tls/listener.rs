//! The listener's certificate: made anew at each start and again long before it ends. It is
//! never stored, so there is nothing to steal and nothing to renew by hand.

use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;

use super::authority::{Authority, Certificate, Error as AuthorityError};

/// After a renewal that failed.
const RETRY: SignedDuration = SignedDuration::from_hours(1);

/// What the listener says in TLS: only HTTP/1.1, no client certificates.
pub fn server_config(certificate: Certificate) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.certificate], certificate.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Put new certificates into `tls`, for ever. `not_after` is the end of the one that is in it.
pub async fn keep_current(
    tls: RustlsConfig,
    authority: Authority,
    hosts: Vec<String>,
    mut not_after: Timestamp,
    clock: fn() -> Timestamp,
) {
    loop {
        let now = clock();
        tokio::time::sleep(Duration::try_from(renew_in(now, not_after)).unwrap_or(Duration::ZERO)).await;
        match renew(&tls, &authority, &hosts, clock()) {
            Ok(until) => {
                not_after = until;
                tracing::info!(certificate.not_after = %until, "renewed the listener's certificate, valid until {until}");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "failed to renew the listener's certificate: {error}");
            }
        }
    }
}

fn renew(
    tls: &RustlsConfig,
    authority: &Authority,
    hosts: &[String],
    now: Timestamp,
) -> anyhow::Result<Timestamp> {
    if authority.not_after <= now {
        return Err(AuthorityError::Expired(authority.not_after).into());
    }
    let certificate = authority.issue(hosts, now)?;
    let not_after = certificate.not_after;
    tls.reload_from_config(server_config(certificate)?);
    Ok(not_after)
}

/// How long to wait before the next renewal: until two thirds of what is left have passed, at
/// least [`RETRY`].
fn renew_in(now: Timestamp, not_after: Timestamp) -> SignedDuration {
    (not_after.duration_since(now) / 3 * 2).max(RETRY)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::super::authority;
    use super::*;

    const YEAR: SignedDuration = authority::CERTIFICATE_LIFETIME;

    #[test]
    fn renewal_comes_long_before_the_end() {
        let now = Timestamp::constant(1_800_000_000, 0);
        assert_eq!(renew_in(now, now + YEAR), SignedDuration::from_hours(365 * 16));
        assert_eq!(renew_in(now, now + SignedDuration::from_mins(1)), RETRY);
        assert_eq!(renew_in(now, now - YEAR), RETRY);
    }

    fn listen(tls: &RustlsConfig) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = axum_server::from_tcp_rustls(listener, tls.clone()).unwrap();
        tokio::spawn(server.serve(Router::new().fallback(|| async { "hello" }).into_make_service()));
        addr
    }

    async fn ask(addr: SocketAddr, name: &str, root: &str) -> std::io::Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await?;
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }

    #[tokio::test]
    async fn only_who_trusts_our_authority_and_asks_for_our_names_is_content() {
        let now = Timestamp::now();
        let (root, key) = authority::generate(now).unwrap();
        let authority = Authority::from_pem(&root, &key, now).unwrap();
        let hosts = vec!["runs.fd.svc".to_owned(), "127.0.0.1".to_owned()];
        let tls = RustlsConfig::from_config(server_config(authority.issue(&hosts, now).unwrap()).unwrap());
        let addr = listen(&tls);

        let first = ask(addr, "runs.fd.svc", &root).await.unwrap();
        assert_eq!(ask(addr, "127.0.0.1", &root).await.unwrap(), first);
        ask(addr, "other.fd.svc", &root).await.unwrap_err();
        ask(addr, "127.0.0.2", &root).await.unwrap_err();
        let (stranger, _) = authority::generate(now).unwrap();
        ask(addr, "runs.fd.svc", &stranger).await.unwrap_err();

        renew(&tls, &authority, &hosts, now).unwrap();
        assert_ne!(ask(addr, "runs.fd.svc", &root).await.unwrap(), first);
    }
}
