//! `/api/v1/session`: sign in, stay signed in, sign out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crds::events::EventType;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::outbox::{self, Event};
use store::{sessions, users};
use utoipa::ToSchema;
use uuid::Uuid;

use super::address::Address;
use super::organisation::door;
use super::{cookie, password};
use crate::api::problem::Problem;
use crate::api::{App, Body};
use crate::identity::token::{self, USER_TOKEN, UserClaims};

/// Longest name of an account.
const MAX_NAME: usize = 64;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Name of the account.
    name: String,
    /// Its password.
    password: String,
}

/// Somebody is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Bearer of every other request; ten minutes.
    token: String,
    /// When the token ends: refresh before.
    expires_at: Timestamp,
    /// Who.
    user: Account,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its name.
    name: String,
    /// May do everything with our objects.
    admin: bool,
    /// The password was chosen by somebody else: it should be changed. Absent: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    must_change: bool,
}

/// Sign in with name and password. Sets the cookie that [`refresh`] wants.
#[utoipa::path(post, path = "/session", tag = "session", operation_id = "signIn", security(()),
    request_body = SignIn,
    responses(
        (status = 200, body = Session),
        (status = 401, description = "WrongPassword", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "TooManyTries", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn sign_in(
    State(app): State<App>,
    from: Address,
    headers: HeaderMap,
    Body(SignIn { name, password }): Body<SignIn>,
) -> Result<Response, Problem> {
    cookie::same_site(&headers)?;
    let wrong =
        || Problem::new(StatusCode::UNAUTHORIZED, "WrongPassword", "The name or the password is wrong.");
    if name.len() > MAX_NAME || password.len() > password::MAX {
        return Err(wrong());
    }
    let pool = app.pool()?;
    let user = users::by_name(pool, &name).await?.filter(|user| !user.disabled);
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = app.passwords.check(&name, &from, password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        let address = from.text();
        tracing::info!(user.name = name, client.address = address, "a sign-in as {name} was refused");
        tell(pool, EventType::UserRefused, &name, from).await?;
        return Err(wrong());
    };
    let (family, shown) = begin(&app, &user, cookie::LASTS, from).await?;
    let users::User { admin, groups, must_change, organisation, .. } = user;
    answer(&app, Who { name, admin, groups, must_change, organisation }, family, &shown)
}

/// Somebody whose account it is signs in, for so long: the sign-in, and what its cookie says.
pub async fn begin(
    app: &App,
    user: &users::User,
    lasts: SignedDuration,
    from: Address,
) -> Result<(Uuid, String), Problem> {
    let (pool, family) = (app.pool()?, Uuid::new_v4());
    let (shown, hash) = new_token();
    let token = sessions::Token { hash: &hash, expires_at: (app.clock)() + lasts };
    sessions::start(pool, user.id, family, token).await?;
    tell(pool, EventType::UserSignedIn, &user.name, from).await?;
    let (name, address) = (&user.name, from.text());
    tracing::info!(user.name = name, client.address = address, "{name} signed in from {address}");
    Ok((family, shown))
}

/// What became of a sign-in, for the audit log and whoever listens.
pub async fn tell(pool: &store::PgPool, event: EventType, name: &str, from: Address) -> Result<(), Problem> {
    let data = json!({"name": name, "address": from.text()});
    Ok(outbox::tell(pool, &[Event::of_person(event, name, name, data)]).await?)
}

/// Whose session it is.
struct Who {
    name: String,
    admin: bool,
    groups: Vec<String>,
    must_change: bool,
    organisation: bool,
}

/// A new token for the one that ends, by the cookie; the cookie is replaced, too.
#[utoipa::path(post, path = "/session/refresh", tag = "session", operation_id = "refresh", security(()),
    responses(
        (status = 200, body = Session),
        (status = 401, description = "SignedOut", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn refresh(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    cookie::same_site(&headers)?;
    let old = cookie::read(&headers).ok_or_else(Problem::signed_out)?;
    let (shown, hash) = new_token();
    let now = (app.clock)();
    let token = sessions::Token { hash: &hash, expires_at: now + cookie::LASTS };
    let owner = sessions::replace(app.pool()?, &digest(old), token, now).await?;
    let owner = owner.ok_or_else(Problem::signed_out)?;
    let sessions::Owner { name, admin, groups, must_change, organisation, family } = owner;
    answer(&app, Who { name, admin, groups, must_change, organisation }, family, &shown)
}

/// Somebody is signed out here.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedOut {
    /// Where the browser signs out of the organisation, too.
    next: String,
}

/// Sign out: no token of this sign-in can be refreshed any more.
#[utoipa::path(delete, path = "/session", tag = "session", operation_id = "signOut", security(()),
    responses(
        (status = 200, description = "signed out here; the organisation has a page for it, too", body = SignedOut),
        (status = 204, description = "signed out"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn sign_out(
    State(app): State<App>,
    from: Address,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    cookie::same_site(&headers)?;
    let ended = match cookie::read(&headers) {
        Some(token) => sessions::end(app.pool()?, &digest(token)).await?,
        None => None,
    };
    // A cookie that has ended signs nobody out: there is nobody to tell of.
    if let Some(sessions::Ended { name, .. }) = &ended {
        tell(app.pool()?, EventType::UserSignedOut, name, from).await?;
    }
    let next = match ended.and_then(|ended| ended.issuer) {
        Some(issuer) => door::sign_out_at(&app, &issuer).await,
        None => None,
    };
    let cookie = cookie::clear(app.secure).map(|cookie| (header::SET_COOKIE, cookie));
    let cookie = cookie.into_iter().collect::<HeaderMap>();
    Ok(match next {
        Some(next) => (cookie, Json(SignedOut { next })).into_response(),
        None => (StatusCode::NO_CONTENT, cookie).into_response(),
    })
}

fn answer(app: &App, who: Who, family: Uuid, shown: &str) -> Result<Response, Problem> {
    let Who { name, admin, groups, must_change, organisation } = who;
    let now = (app.clock)();
    let claims = UserClaims { groups, organisation, ..UserClaims::new(&name, admin, family, now) };
    let token = token::issue(&app.key, &claims)
        .map_err(|error| Problem::unavailable("The token could not be signed, try again.", error))?;
    let session = Session { token, expires_at: now + USER_TOKEN, user: Account { name, admin, must_change } };
    let cookie = cookie::set(shown, app.secure).map(|cookie| (header::SET_COOKIE, cookie));
    Ok((cookie.into_iter().collect::<HeaderMap>(), Json(session)).into_response())
}

/// 244 random bits, and what is kept of them.
fn new_token() -> (String, Vec<u8>) {
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let hash = digest(&token);
    (token, hash)
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}
