//! `/api/v1/services/{namespace}/{name}/tokens`: tokens for programs. Each is for one Service and some
//! verbs, which whoever makes it must have; it is shown once, ends by itself, and can be revoked at once.
//! A CI job with a token of its own (OpenID Connect) exchanges that for one of some minutes (`federation`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::tokens::{self, Token};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Person;
use crate::api::problem::Problem;
use crate::api::services::visible;
use crate::api::{App, Body, Path};
use crate::identity::token::{self, ServiceClaims};

/// What Kubernetes is asked about.
const RESOURCE: &str = "tokens";
/// Longest life of a token.
const MAX_DAYS: i64 = 366;
const DEFAULT_DAYS: i64 = 90;
/// Tokens of one Service that count.
const MOST: usize = 100;

/// What a program may do with a Service, besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenVerb {
    /// Start runs.
    Deploy,
    /// Stop runs.
    Cancel,
}

impl TokenVerb {
    /// As Kubernetes knows it, and on what.
    const fn rule(self) -> (&'static str, &'static str) {
        match self {
            Self::Deploy => ("deploy", "services"),
            Self::Cancel => ("cancel", "deployments"),
        }
    }
}

/// A token for programs; the token itself is not here.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceToken {
    /// Its id.
    id: Uuid,
    /// What it is for.
    name: String,
    /// `service`, or `federated`: exchanged for a token of a trusted issuer.
    kind: String,
    /// What it may do besides reading.
    verbs: Vec<String>,
    /// Who made it.
    created_by: String,
    /// When.
    created_at: Timestamp,
    /// When it ends by itself.
    expires_at: Timestamp,
    /// When it was last shown, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_at: Option<Timestamp>,
    /// When somebody ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked_at: Option<Timestamp>,
}

/// Tokens of a Service, newest first; those that have ended for a month.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenList {
    /// All.
    items: Vec<ServiceToken>,
}

/// A token that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, 1 to 63 letters, digits, blanks, dots, dashes and underscores.
    name: String,
    /// What it may do besides reading: what you may do yourself.
    verbs: Vec<TokenVerb>,
    /// When it ends by itself, in days; 1 to 366. Default: 90.
    #[serde(default)]
    days: Option<i64>,
}

/// A token that was made. This is the only time that it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeToken {
    /// Bearer of requests.
    pub token: String,
    /// Which one it is.
    pub id: Uuid,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// The tokens of a Service.
#[utoipa::path(get, path = "/services/{namespace}/{name}/tokens", tag = "tokens", operation_id = "listTokens",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = TokenList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<TokenList>, Problem> {
    may(&app, &who, "list", (&namespace, &name)).await?;
    let rows = tokens::list(app.pool()?, &namespace, &name).await?;
    Ok(Json(TokenList { items: rows.into_iter().map(shown).collect() }))
}

fn shown(row: Token) -> ServiceToken {
    let Token { id, name, kind, verbs, created_by, created_at, expires_at, last_used_at, revoked_at, .. } =
        row;
    ServiceToken { id, name, kind, verbs, created_by, created_at, expires_at, last_used_at, revoked_at }
}

/// Make a token. It may do what you choose of what you may do yourself, with this Service only.
#[utoipa::path(post, path = "/services/{namespace}/{name}/tokens", tag = "tokens", operation_id = "createToken",
    params(("namespace" = String, Path), ("name" = String, Path)), request_body = NewToken,
    responses((status = 201, body = MadeToken), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn create(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Body(NewToken { name: purpose, verbs, days }): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let of = (namespace.as_str(), name.as_str());
    may(&app, &who, "create", of).await?;
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
    let purpose = purpose.trim().to_owned();
    if !(1..=63).contains(&purpose.len()) || !purpose.chars().all(plain) {
        let detail = "name: write 1 to 63 letters, digits, blanks, dots, dashes and underscores.";
        return Err(Problem::invalid(Some("name"), detail));
    }
    let days = days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(Problem::invalid(Some("days"), format!("days: write a number from 1 to {MAX_DAYS}.")));
    }
    for verb in &verbs {
        let (verb, resource) = verb.rule();
        app.access.must(&who, verb, resource, of).await?;
    }
    app.cluster.service(&namespace, &name).await?.ok_or_else(|| Problem::not_found("service"))?;
    let now = (app.clock)();
    let there = tokens::list(app.pool()?, &namespace, &name).await?;
    let count =
        |token: &&Token| token.kind == "service" && token.revoked_at.is_none() && token.expires_at > now;
    if there.iter().filter(count).count() >= MOST {
        let detail =
            format!("A service has at most {MOST} tokens that count. Revoke those that nobody uses.");
        return Err(Problem::conflict("TooManyTokens", detail));
    }
    let until = now + SignedDuration::from_hours(24 * days);
    let made = issue(&app, Uuid::new_v4(), ("service", &purpose, &who.name), of, &verbs, until).await?;
    let made = made
        .ok_or_else(|| Problem::unavailable("The token could not be made, try again.", "its id was taken"))?;
    let (user, id) = (&who.name, made.id);
    tracing::info!(user.name = user, token.id = %id, "{user} made a token \"{purpose}\" for {namespace}/{name}");
    Ok((StatusCode::CREATED, Json(made)))
}

/// Signs a token and writes down what it may do. None: there was one with that id.
pub async fn issue(
    app: &App,
    id: Uuid,
    (kind, purpose, by): (&str, &str, &str),
    (namespace, service): (&str, &str),
    verbs: &[TokenVerb],
    until: Timestamp,
) -> Result<Option<MadeToken>, Problem> {
    let now = (app.clock)();
    let claims = ServiceClaims::new(id, (namespace, service), now, until);
    let signed = token::issue(&app.key, &claims)
        .map_err(|error| Problem::unavailable("The token could not be signed, try again.", error))?;
    let mut verbs: Vec<String> = verbs.iter().map(|verb| verb.rule().0.to_owned()).collect();
    verbs.sort();
    verbs.dedup();
    let row = Token {
        id,
        kind: kind.to_owned(),
        name: purpose.to_owned(),
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        verbs,
        created_by: by.to_owned(),
        created_at: now,
        expires_at: until,
        last_used_at: None,
        revoked_at: None,
    };
    let made = tokens::create(app.pool()?, &row, &Sha256::digest(&signed)).await?;
    Ok(made.then_some(MadeToken { token: signed, id, expires_at: until }))
}

/// Revoke a token. From now on it is worth nothing.
#[utoipa::path(delete, path = "/services/{namespace}/{name}/tokens/{id}", tag = "tokens", operation_id = "revokeToken",
    params(("namespace" = String, Path), ("name" = String, Path), ("id" = Uuid, Path)),
    responses((status = 204, description = "it is worth nothing"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn revoke(
    State(app): State<App>,
    who: Person,
    Path((namespace, name, id)): Path<(String, String, Uuid)>,
) -> Result<StatusCode, Problem> {
    may(&app, &who, "delete", (&namespace, &name)).await?;
    let pool = app.pool()?;
    let there = tokens::by_id(pool, id).await?;
    let there = there.filter(|there| there.namespace == namespace && there.service == name);
    let there = there.ok_or_else(|| Problem::not_found("token"))?;
    tokens::revoke(pool, &there, (app.clock)(), &who.name).await?;
    tracing::info!(user.name = who.name, token.id = %id, "{} revoked the token \"{}\"", who.name, there.name);
    Ok(StatusCode::NO_CONTENT)
}

/// A program makes no programs.
async fn may(app: &App, who: &Person, verb: &'static str, of: (&str, &str)) -> Result<(), Problem> {
    visible(app, who, of).await?;
    who.in_person()?;
    if app.access.may(who, verb, RESOURCE, of).await? {
        return Ok(());
    }
    let (namespace, name) = of;
    Err(Problem::forbidden(format!(
        "You may not do this with the tokens of {name}. It takes the verb \"{verb}\" on tokens.{} in the namespace {namespace} \
         (ClusterRole fastdeploy-admin has it).",
        crds::names::GROUP
    )))
}
