//! Hands an e-mail to its server, and says what came of it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lettre::{
    Message,
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters},
        extension::ClientId,
    },
};
use outbound::Allowed;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Fault,
    mail::{Security, Server},
};

/// From looking up the name to the server's word that it has the e-mail.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends it once. `authority`: the certificates (PEM) that are believed besides the public ones.
pub async fn send(
    allowed: &Allowed,
    server: &Server,
    authority: Option<&str>,
    mail: &Message,
) -> Result<(), Fault> {
    let sent = tokio::time::timeout(PATIENCE, try_to(allowed, server, authority, mail)).await;
    sent.map_err(|_| Fault::from(format!("the mail server did not answer within {} s", PATIENCE.as_secs())))?
}

async fn try_to(
    allowed: &Allowed,
    server: &Server,
    authority: Option<&str>,
    mail: &Message,
) -> Result<(), Fault> {
    // Looked up once: what was looked at is what is connected to.
    let address =
        outbound::resolve(&server.host, server.port, allowed).await.map_err(|error| error.to_string())?;
    let plain = TcpStream::connect(address).await.map_err(|error| format!("no connection: {error}"))?;
    let hello = ClientId::default();
    let mut connection = match server.security {
        Security::Tls => {
            let stream = Encrypted(encrypted(&server.host, authority, plain).await?);
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello)
                .await
                .map_err(|error| refused(&error))?
        }
        Security::StartTls => {
            let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(plain), &hello)
                .await
                .map_err(|error| refused(&error))?;
            connection
                .starttls(parameters(&server.host, authority)?, &hello)
                .await
                .map_err(|error| refused(&error))?;
            connection
        }
    };
    if let Some((name, password)) = &server.credentials {
        let credentials = Credentials::new(name.clone(), password.clone());
        connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| refused(&error))?;
    }
    connection.send(mail.envelope(), &mail.formatted()).await.map_err(|error| refused(&error))?;
    // It has it; whether it says goodbye is no matter.
    let _ = connection.quit().await;
    Ok(())
}

/// What the server said, without what we said: that may hold a password.
fn refused(error: &lettre::transport::smtp::Error) -> Fault {
    Fault::from(format!("the mail server did not take it: {error}"))
}

fn certificates(authority: Option<&str>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(pem) = authority else { return Ok(Vec::new()) };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| "the Secret's ca.crt holds no certificate".to_owned())
}

fn parameters(host: &str, authority: Option<&str>) -> Result<TlsParameters, String> {
    let mut parameters =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    for certificate in certificates(authority)? {
        let certificate = Certificate::from_der(certificate.to_vec())
            .map_err(|_| "the Secret's ca.crt holds no certificate".to_owned())?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build_rustls().map_err(|_| "the Secret's ca.crt cannot be used".to_owned())
}

async fn encrypted(
    host: &str,
    authority: Option<&str>,
    plain: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(certificates(authority)?);
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| "the mail server's name is none that a certificate can have".to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, plain).await;
    stream.map_err(|error| format!("the mail server's certificate or TLS: {error}"))
}

/// TLS from the first byte on, in the shape that the library takes.
#[derive(Debug)]
struct Encrypted(TlsStream<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
