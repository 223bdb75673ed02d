//! `/api/v1/session/oidc`: to the organisation and back. A browser walks here by itself, so every answer leads it to a
//! page; what went wrong is a word for that page, and a sentence in the log.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crds::events::EventType;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use store::users::{self, Identified};
use utoipa::{IntoParams, ToSchema};

use super::Organisation;
use super::form::{own_path, with};
use super::named::{self, Unnamed};
use super::state::{self, Asked};
use super::tokens::{self, Failed};
use crate::api::problem::Problem;
use crate::api::{App, Query};
use crate::identity::issuer::{Away, Failure};
use crate::identity::token;
use crate::people::address::Address;
use crate::people::{cookie, session};

/// After so long the organisation is asked again: a working day.
const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// Longest code that is taken, in bytes.
const MAX_CODE: usize = 4096;

/// How one can sign in, besides name and password.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Ways {
    /// With one's organisation, by GET /session/oidc/start. Absent: none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    organisation: Option<Way>,
}

/// An organisation to sign in with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Way {
    /// What people call it.
    name: String,
}

/// Where one wants to go.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Start {
    /// A path of this page. Default: its beginning.
    next: Option<String>,
}

/// What the organisation says.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Back {
    /// To be turned into a token.
    code: Option<String>,
    /// Which sign-in this answers.
    state: Option<String>,
    /// Who answers.
    iss: Option<String>,
    /// Why not.
    error: Option<String>,
    /// The same for people.
    error_description: Option<String>,
}

/// How one can sign in. For everybody.
#[utoipa::path(get, path = "/session/ways", tag = "session", operation_id = "signInWays", security(()),
    responses((status = 200, body = Ways), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn ways(State(app): State<App>) -> Json<Ways> {
    let organisation = app.people.door.now().map(|now| Way { name: now.settings.name().to_owned() });
    Json(Ways { organisation })
}

/// To the organisation. For browsers: they are led on, and back to `callback`.
#[utoipa::path(get, path = "/session/oidc/start", tag = "session", operation_id = "startSignIn", params(Start), security(()),
    responses((status = 303, description = "to the organisation, or to the page, which says why not"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn start(State(app): State<App>, Query(Start { next }): Query<Start>) -> Response {
    let next = next.as_deref().and_then(own_path).unwrap_or("/");
    match begin(&app, next).await {
        Ok((address, cookie)) => lead(&address, [cookie]),
        Err(trouble) => back_to_page(&app, &trouble, next),
    }
}

/// From the organisation.
#[utoipa::path(get, path = "/session/oidc/callback", tag = "session", operation_id = "finishSignIn", params(Back), security(()),
    responses((status = 303, description = "to where one wanted to go, signed in; or to the page, which says why not"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn callback(
    State(app): State<App>,
    from: Address,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Response {
    let asked = cookie::named(&headers, state::COOKIE);
    let asked = asked.and_then(|asked| token::verify::<Asked>(&app.key, asked, (app.clock)()).ok());
    let next = asked.as_ref().and_then(|asked| own_path(&asked.next)).unwrap_or("/").to_owned();
    match finish(&app, from, asked, back).await {
        Ok(shown) => {
            let cookies = [cookie::set(&shown, app.secure), state::clear(app.secure)];
            lead(&next, cookies)
        }
        Err(trouble) => back_to_page(&app, &trouble, &next),
    }
}

/// Why one is not signed in. The page has a sentence for each word.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no organisation is configured")]
    None,
    #[error("{0}")]
    Away(String),
    #[error("it was begun in another browser, more than ten minutes ago, or finished before")]
    Lost,
    #[error("the organisation says: {0}")]
    Denied(String),
    #[error("{0}")]
    Refused(String),
    #[error("the organisation names too many groups: {0}")]
    Groups(Unnamed),
    #[error("the name {0} is another account's here")]
    Taken(String),
    #[error("the account {0} is closed")]
    Closed(String),
}

impl Trouble {
    const fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Away(_) => "away",
            Self::Lost => "lost",
            Self::Denied(_) => "denied",
            Self::Refused(_) => "refused",
            Self::Groups(_) => "groups",
            Self::Taken(_) => "taken",
            Self::Closed(_) => "closed",
        }
    }
}

impl From<Away> for Trouble {
    fn from(away: Away) -> Self {
        Self::Away(away.to_string())
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Away(problem.detail)
    }
}

impl From<store::sqlx::Error> for Trouble {
    fn from(error: store::sqlx::Error) -> Self {
        Self::from(Problem::from(error))
    }
}

async fn begin(app: &App, next: &str) -> Result<(String, Option<HeaderValue>), Trouble> {
    let organisation = app.people.door.now().ok_or(Trouble::None)?;
    // Without accounts nobody could be signed in.
    app.pool()?;
    let now = (app.clock)();
    let metadata = organisation.issuer.metadata(now).await?;
    let endpoint = metadata.authorization_endpoint.as_deref();
    let endpoint = endpoint.ok_or_else(|| Trouble::Away("it names no authorization_endpoint".to_owned()))?;
    let asked = Asked::new(next, now);
    let sealed = token::issue(&app.key, &asked).map_err(|error| Trouble::Away(error.to_string()))?;
    let settings = &organisation.settings;
    let scopes = settings.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
    let scope = std::iter::once("openid").chain(scopes).collect::<Vec<_>>().join(" ");
    let address = with(
        endpoint,
        &[
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &settings.redirect()),
            ("scope", &scope),
            ("state", &asked.state),
            ("nonce", &asked.nonce),
            ("code_challenge", &asked.challenge()),
            ("code_challenge_method", "S256"),
        ],
    );
    Ok((address, state::set(&sealed, app.secure)))
}

async fn finish(app: &App, from: Address, asked: Option<Asked>, back: Back) -> Result<String, Trouble> {
    let door = &app.people.door;
    let organisation = door.now().ok_or(Trouble::None)?;
    let asked =
        asked.filter(|asked| back.state.as_deref() == Some(asked.state.as_str())).ok_or(Trouble::Lost)?;
    // Once only: whoever finds the address in a history has nothing.
    let first = door.0.finished.entry(asked.state.clone()).or_insert(()).is_fresh();
    if !first {
        return Err(Trouble::Lost);
    }
    if let Some(error) = back.error {
        return Err(Trouble::Denied(plain(&format!(
            "{error} {}",
            back.error_description.unwrap_or_default()
        ))));
    }
    let code = back.code.filter(|code| !code.is_empty() && code.len() <= MAX_CODE).ok_or(Trouble::Lost)?;
    let _room = door.0.room.acquire().await;
    let now = (app.clock)();
    let metadata = organisation.issuer.metadata(now).await?;
    let says = back.iss.as_deref();
    let issuer = organisation.issuer.url();
    if says.map_or(metadata.authorization_response_iss_parameter_supported, |says| says != issuer) {
        return Err(Trouble::Refused("the answer is of another issuer (iss)".to_owned()));
    }
    let signed = tokens::redeem(&organisation, &metadata, (&code, &asked.verifier)).await;
    let signed = signed.map_err(|failed| match failed {
        Failed::Away(words) => Trouble::Away(words),
        Failed::Refused(words) => Trouble::Refused(words),
    })?;
    let claims = organisation.issuer.verify(&signed, &organisation.settings.client_id, now).await;
    let claims = claims.map_err(|failure| match failure {
        Failure::Away(away) => away.into(),
        refused @ Failure::Refused(_) => Trouble::Refused(refused.to_string()),
    })?;
    let identity =
        named::identity(&organisation.settings, &claims, &asked.nonce).map_err(|error| match error {
            Unnamed::Groups(_) => Trouble::Groups(error),
            other => Trouble::Refused(other.to_string()),
        })?;
    let pool = app.pool()?;
    let user = match users::identified(pool, &identity, now).await? {
        Identified::Is(user) if !user.disabled => user,
        Identified::NameTaken => {
            return refused(app, Trouble::Taken(identity.name.clone()), &identity.name, from).await;
        }
        Identified::Is(_) | Identified::Removed => {
            return refused(app, Trouble::Closed(identity.name.clone()), &identity.name, from).await;
        }
    };
    app.people.standing.forget(&user.name).await;
    let (_, shown) = session::begin(app, &user, LASTS, from).await?;
    Ok(shown)
}

async fn refused<T>(app: &App, trouble: Trouble, name: &str, from: Address) -> Result<T, Trouble> {
    session::tell(app.pool()?, EventType::UserRefused, name, from).await?;
    Err(trouble)
}

/// What somebody else wrote, fit for a log.
fn plain(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}

fn back_to_page(app: &App, trouble: &Trouble, next: &str) -> Response {
    let (word, error) = (trouble.word(), trouble.to_string());
    tracing::warn!(reason = word, error, "a sign-in with the organisation failed: {error}");
    let mut pairs = vec![("problem", word)];
    if next != "/" {
        pairs.push(("next", next));
    }
    lead(&with("/sign-in", &pairs), [state::clear(app.secure)])
}

/// 303, with these cookies.
fn lead(address: &str, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    let Ok(address) = HeaderValue::from_str(address) else {
        return Problem::unavailable("This could not be answered, try again.", "not an address")
            .into_response();
    };
    let cookies = cookies.into_iter().flatten().map(|cookie| (header::SET_COOKIE, cookie));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, address);
    for (name, cookie) in cookies {
        response.headers_mut().append(name, cookie);
    }
    response
}

/// Where one signs out of the organisation, too (OpenID Connect RP-Initiated Logout 1.0), if it has such a place.
pub async fn sign_out_at(app: &App, issuer: &str) -> Option<String> {
    let organisation: std::sync::Arc<Organisation> = app.people.door.now()?;
    if organisation.issuer.url() != issuer {
        return None;
    }
    let metadata = organisation.issuer.metadata((app.clock)()).await.ok()?;
    let settings = &organisation.settings;
    let back = settings.signed_out();
    let pairs = [("client_id", settings.client_id.as_str()), ("post_logout_redirect_uri", &back)];
    Some(with(metadata.end_session_endpoint.as_deref()?, &pairs))
}
