//! What an issuer says of itself: where one signs in, and with which keys it signs. Asked when it is needed, kept
//! for an hour; one that does not answer is not asked again at once, nor for keys that it does not have.

use std::sync::Arc;

use axum::http::{Request, StatusCode, Uri, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::foreign::{self, Claims, Keys, Refusal};

/// How long an answer counts.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// So often keys are asked for because of a name that is not known: a forged token makes no flood.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// So long after a failure nobody asks.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// Whoever signs tokens that count here.
pub struct Issuer {
    url: String,
    /// Its addresses may begin with http://, as its own does.
    plain: bool,
    client: outbound::Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<Keys>)>,
    failed: Option<(Timestamp, Away)>,
}

/// What it says of itself (OpenID Connect Discovery 1.0).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Itself.
    issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: Option<String>,
    /// Where a code becomes a token.
    pub token_endpoint: Option<String>,
    /// Where its keys are.
    jwks_uri: String,
    /// Where people sign out.
    pub end_session_endpoint: Option<String>,
    /// How we say at the token endpoint who we are.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Its answers say from whom they are (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// It does not answer, or not as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} does not answer as an issuer of OpenID Connect: {why}")]
pub struct Away {
    url: String,
    why: String,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody can say whether it counts.
    #[error(transparent)]
    Away(#[from] Away),
    /// It does not.
    #[error("the token is refused: {0}")]
    Refused(#[from] Refusal),
}

impl Issuer {
    /// The one with this address, reached by this client.
    pub fn new(url: &str, client: outbound::Client) -> Self {
        let plain = url.starts_with("http://");
        Self { url: url.to_owned(), plain, client, known: Mutex::default() }
    }

    /// Its name, as its tokens have it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is asked.
    pub const fn client(&self) -> &outbound::Client {
        &self.client
    }

    /// What it says of itself.
    pub async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Away> {
        self.metadata_of(&mut *self.known.lock().await, now).await
    }

    /// What the token says, if it is of this issuer, for this audience, and counts now.
    pub async fn verify(&self, token: &str, audience: &str, now: Timestamp) -> Result<Claims, Failure> {
        let (at, keys) = self.keys(now, now - KEPT).await?;
        let first = foreign::verify(token, &keys, (&self.url, audience), now);
        if first != Err(Refusal::UnknownKey) || at + AGAIN > now {
            return Ok(first?);
        }
        // It may have new ones; perhaps another request has asked meanwhile.
        let (_, keys) = self.keys(now, at).await?;
        Ok(foreign::verify(token, &keys, (&self.url, audience), now)?)
    }

    /// Its keys, as they were asked for after that time; and when that was.
    async fn keys(&self, now: Timestamp, after: Timestamp) -> Result<(Timestamp, Arc<Keys>), Away> {
        let mut known = self.known.lock().await;
        if let Some(kept) = known.keys.as_ref().filter(|(at, _)| *at > after) {
            return Ok(kept.clone());
        }
        let keys = (now, self.fetch_keys(&mut known, now).await?);
        known.keys = Some(keys.clone());
        Ok(keys)
    }

    async fn metadata_of(&self, known: &mut Known, now: Timestamp) -> Result<Arc<Metadata>, Away> {
        if let Some((_, metadata)) = known.metadata.as_ref().filter(|(at, _)| *at + KEPT > now) {
            return Ok(Arc::clone(metadata));
        }
        let address = format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'));
        let body = self.fetch(known, &address, now).await?;
        let metadata =
            read(&self.url, self.plain, &body).map_err(|why| self.fails(known, now, &address, why))?;
        let metadata = Arc::new(metadata);
        known.metadata = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    async fn fetch_keys(&self, known: &mut Known, now: Timestamp) -> Result<Arc<Keys>, Away> {
        let address = self.metadata_of(known, now).await?.jwks_uri.clone();
        let body = self.fetch(known, &address, now).await?;
        let keys = Keys::read(&body).map_err(|why| self.fails(known, now, &address, why))?;
        Ok(Arc::new(keys))
    }

    async fn fetch(&self, known: &mut Known, address: &str, now: Timestamp) -> Result<Vec<u8>, Away> {
        if let Some((_, away)) = known.failed.as_ref().filter(|(at, _)| *at + PAUSE > now) {
            return Err(away.clone());
        }
        let request = Request::get(address).header(header::ACCEPT, "application/json").body(Vec::new());
        let answer = match request {
            Ok(request) => self.client.send(request).await.map_err(|error| error.to_string()),
            Err(_) => Err("that is not an address".to_owned()),
        };
        let body = answer.and_then(|answer| match answer.status {
            StatusCode::OK => Ok(answer.body.to_vec()),
            other => Err(format!("status {other}")),
        });
        body.map_err(|why| self.fails(known, now, address, &why))
    }

    fn fails(&self, known: &mut Known, now: Timestamp, address: &str, why: &str) -> Away {
        let away = Away { url: address.to_owned(), why: why.to_owned() };
        let (issuer, error) = (&self.url, away.to_string());
        tracing::warn!(issuer, error, "{issuer} cannot be asked: {error}");
        known.failed = Some((now, away.clone()));
        away
    }
}

/// Pure.
fn read(url: &str, plain: bool, body: &[u8]) -> Result<Metadata, &'static str> {
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|_| "its discovery document lacks issuer or jwks_uri")?;
    if metadata.issuer != url {
        return Err("its discovery document names another issuer; write the issuer exactly as it does");
    }
    let there = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.end_session_endpoint];
    let all = there.into_iter().flatten().chain([&metadata.jwks_uri]);
    if all.into_iter().all(|address| is_address(address, plain)) {
        Ok(metadata)
    } else {
        Err("its discovery document names addresses that do not begin with https://")
    }
}

/// An address of an issuer.
pub fn is_address(text: &str, plain: bool) -> bool {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    text.len() <= 2000
        && printable
        && text.parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some()
                && (uri.scheme_str() == Some("https") || plain && uri.scheme_str() == Some("http"))
        })
}
