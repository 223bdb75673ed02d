//! A code becomes a token: the one request that we make to the organisation about somebody.

use axum::http::{Request, StatusCode, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::Organisation;
use super::form::{encode, escape};
use crate::identity::issuer::Metadata;

/// What the organisation answers. Its other tokens are of no use to us, and are forgotten.
#[derive(Deserialize)]
struct Answer {
    id_token: String,
}

/// What it answers when it does not want to.
#[derive(Default, Deserialize)]
struct No {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// The ID token for a code. The error is for the log.
pub async fn redeem(
    organisation: &Organisation,
    metadata: &Metadata,
    (code, verifier): (&str, &str),
) -> Result<String, Failed> {
    let endpoint =
        metadata.token_endpoint.as_deref().ok_or_else(|| Failed::away("it names no token_endpoint"))?;
    let request = request(organisation, metadata, endpoint, (code, verifier))
        .map_err(|_| Failed::away("its token_endpoint is not an address"))?;
    let answer =
        organisation.issuer.client().send(request).await.map_err(|error| Failed::away(&error.to_string()))?;
    if answer.status == StatusCode::OK {
        let answer: Answer = serde_json::from_slice(&answer.body)
            .map_err(|_| Failed::Refused("its answer has no id_token".to_owned()))?;
        return Ok(answer.id_token);
    }
    let no: No = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words: String = format!("status {}, {} {}", answer.status, no.error, no.error_description);
    let words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(if answer.status.is_server_error() { Failed::Away(words) } else { Failed::Refused(words) })
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Later perhaps.
    #[error("the organisation does not answer: {0}")]
    Away(String),
    /// Somebody has to mend something, or the code is not ours.
    #[error("the organisation refused: {0}")]
    Refused(String),
}

impl Failed {
    fn away(words: &str) -> Self {
        Self::Away(words.to_owned())
    }
}

fn request(
    organisation: &Organisation,
    metadata: &Metadata,
    endpoint: &str,
    (code, verifier): (&str, &str),
) -> Result<Request<Vec<u8>>, axum::http::Error> {
    let (settings, redirect) = (&organisation.settings, organisation.settings.redirect());
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect),
        ("code_verifier", verifier),
    ];
    let mut request = Request::post(endpoint)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    // Who says nothing of it takes the secret in the header.
    let ways = metadata.token_endpoint_auth_methods_supported.as_deref();
    let by_header = ways.is_none_or(|ways| ways.iter().any(|way| way == "client_secret_basic"));
    match &organisation.secret {
        Some(secret) if by_header => {
            let pair = format!("{}:{}", escape(&settings.client_id), escape(secret));
            request = request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
        }
        Some(secret) => form.extend([("client_id", settings.client_id.as_str()), ("client_secret", secret)]),
        None => form.push(("client_id", &settings.client_id)),
    }
    request.body(encode(&form).into_bytes())
}
