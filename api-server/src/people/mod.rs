//! People: who they are, how they sign in; and the programs that act with a token of their own.

pub mod account;
pub mod address;
pub mod bindings;
pub mod cookie;
pub mod deliveries;
pub mod federation;
pub mod first_admin;
pub mod organisation;
pub mod password;
pub mod roles;
pub mod session;
pub mod shared;
pub mod standing;
#[cfg(test)]
pub(crate) mod tests;
pub mod tokens;
pub mod users;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::Subject;
use crate::api::App;
use crate::api::problem::Problem;
use crate::audit;
use crate::claim::request::bearer;
use crate::identity::token::{self, ServiceClaims, UserClaims};

/// Somebody who has signed in, or a program with a token. In a handler's signature: no token, no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name of the account; of a program `token:` and the token's name.
    pub name: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// What the organisation says they belong to.
    pub groups: Vec<String>,
    /// The organisation gave the name, too.
    pub organisation: bool,
    /// The sign-in, or the token, that it comes from.
    pub session: Uuid,
    /// When the token was given, in seconds since 1970.
    pub given: i64,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// Of a program: all that it may do.
    pub scope: Option<Scope>,
}

/// What a program may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Where.
    pub namespace: String,
    /// With which Service.
    pub service: String,
    /// Besides `get`.
    pub verbs: Vec<String>,
}

impl Person {
    /// Of a token; none, if the token does not count.
    pub async fn of_token(app: &App, token: &str) -> Result<Option<Self>, Problem> {
        let now = (app.clock)();
        if let Ok(UserClaims { sub, admin, groups, organisation, sid, iat, exp, .. }) =
            token::verify(&app.key, token, now)
        {
            if !app.people.standing.counts(&sub, iat).await {
                return Ok(None);
            }
            let expires_at = Timestamp::from_second(exp).unwrap_or(now);
            return Ok(Some(Self {
                name: sub,
                admin,
                groups,
                organisation,
                session: sid,
                given: iat,
                expires_at,
                scope: None,
            }));
        }
        let Ok(ServiceClaims { jti, .. }) = token::verify(&app.key, token, now) else { return Ok(None) };
        let pool = app.pool()?;
        let found = store::tokens::find(pool, jti, &Sha256::digest(token)).await?;
        let found = found.filter(|found| found.revoked_at.is_none() && found.expires_at > now);
        let Some(found) = found else { return Ok(None) };
        if found.last_used_at.is_none_or(|at| at + jiff::SignedDuration::from_mins(1) < now) {
            store::tokens::used(pool, jti, now).await?;
        }
        Ok(Some(Self {
            name: format!("token:{}", found.name),
            admin: false,
            groups: Vec::new(),
            organisation: false,
            session: jti,
            given: found.created_at.as_second(),
            expires_at: found.expires_at,
            scope: Some(Scope { namespace: found.namespace, service: found.service, verbs: found.verbs }),
        }))
    }

    /// Whether the token still counts, for those who stay: an account may be closed, a token revoked
    /// meanwhile. While the database is away, it does.
    pub async fn still_counts(&self, app: &App) -> bool {
        if self.scope.is_none() {
            return app.people.standing.counts(&self.name, self.given).await;
        }
        let Ok(pool) = app.pool() else { return true };
        let found = store::tokens::by_id(pool, self.session).await;
        found.is_err() || found.is_ok_and(|found| found.is_some_and(|found| found.revoked_at.is_none()))
    }

    /// As Kubernetes knows them. Names of an organisation have its prefix already; those of programs have a colon.
    pub fn subject(&self) -> Subject {
        let mut groups = vec!["fastdeploy:users".to_owned()];
        if self.admin {
            groups.push("fastdeploy:admins".to_owned());
        }
        groups.extend(self.groups.iter().cloned());
        let user = if self.organisation || self.name.contains(':') {
            self.name.clone()
        } else {
            format!("{}{}", crds::names::USER_PREFIX, self.name)
        };
        Subject { user, groups }
    }

    /// A person, not a program.
    pub fn in_person(&self) -> Result<(), Problem> {
        if self.scope.is_none() {
            Ok(())
        } else {
            Err(Problem::forbidden("This is for people: sign in. A token for programs does not do."))
        }
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).map_err(|_| Problem::signed_out())?;
        let person = Self::of_token(app, token).await?.ok_or_else(Problem::signed_out)?;
        audit::by(&person.name);
        Ok(person)
    }
}
