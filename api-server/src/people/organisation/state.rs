//! A sign-in that is on its way: what was asked for, in a cookie of the browser that asked, signed by us. So any
//! replica finishes it, and no other browser can.

use axum::http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::identity::token::{Claims, ISSUER};

/// Name of the cookie.
pub const COOKIE: &str = "fastdeploy-oidc";
/// For signing in there.
pub const LASTS: SignedDuration = SignedDuration::from_mins(10);

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    iss: String,
    aud: String,
    typ: Type,
    /// Comes back with the answer.
    #[serde(rename = "sub")]
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// Only who asked can show it (PKCE).
    pub verifier: String,
    /// Where one wanted to go.
    pub next: String,
    iat: i64,
    exp: i64,
}

/// Which kind of token this is. Another kind is never mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Type {
    SignIn,
}

impl Claims for Asked {
    const AUDIENCE: &str = "fastdeploy.dev/sign-in";

    fn expires(&self) -> i64 {
        self.exp
    }
}

impl Asked {
    /// A new one.
    pub fn new(next: &str, now: Timestamp) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: Self::AUDIENCE.to_owned(),
            typ: Type::SignIn,
            state: random(),
            nonce: random(),
            verifier: random(),
            next: next.to_owned(),
            iat: now.as_second(),
            exp: now.as_second() + LASTS.as_secs(),
        }
    }

    /// What shows later that the verifier is the one that was meant (S256).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// The header that sets the cookie. Lax: the browser comes back from another site, and has to bring it.
pub fn set(token: &str, secure: bool) -> Option<HeaderValue> {
    header(token, LASTS.as_secs(), secure)
}

/// The header that removes it.
pub fn clear(secure: bool) -> Option<HeaderValue> {
    header("", 0, secure)
}

fn header(token: &str, seconds: i64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE}={token}; Path=/api/v1/session/oidc; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    );
    HeaderValue::from_str(&text).ok()
}
