//! People: who they are, how they sign in.

pub mod cookie;
pub mod first_admin;
pub mod password;
pub mod session;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;

use crate::access::Subject;
use crate::api::App;
use crate::api::problem::Problem;
use crate::claim::request::bearer;
use crate::identity::key::SigningKey;
use crate::identity::token::{self, UserClaims};

/// Somebody who has signed in. In a handler's signature: no token, no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name of the account.
    pub name: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// The sign-in that it comes from.
    pub session: Uuid,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl Person {
    /// Of a token; none, if the token does not count.
    pub fn of_token(key: &SigningKey, token: &str, now: Timestamp) -> Option<Self> {
        let UserClaims { sub, admin, sid, exp, .. } = token::verify(key, token, now).ok()?;
        Some(Self { name: sub, admin, session: sid, expires_at: Timestamp::from_second(exp).ok()? })
    }

    /// As Kubernetes knows them.
    pub fn subject(&self) -> Subject {
        let groups =
            if self.admin { vec!["fastdeploy:users", "fastdeploy:admins"] } else { vec!["fastdeploy:users"] };
        Subject { user: format!("fastdeploy:{}", self.name), groups }
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).map_err(|_| Problem::signed_out())?;
        Self::of_token(&app.key, token, (app.clock)()).ok_or_else(Problem::signed_out)
    }
}
