//! `/api/v1`: what people and their programs ask for. Reads come from PostgreSQL, writes become
//! custom resources.

pub mod activity;
pub mod cluster;
pub mod compare;
pub mod decisions;
pub mod deployments;
pub mod docs;
pub mod etag;
pub mod evidence;
#[cfg(test)]
pub(crate) mod fake;
pub mod form;
pub mod manifest;
pub mod openapi;
pub mod output;
pub mod problem;
pub mod promotion;
pub mod rules;
pub mod secret_answers;
pub mod services;
pub mod start;
#[cfg(test)]
pub(crate) mod tests;
pub mod trust;
pub mod view;
pub mod wait;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use store::PgPool;

use self::cluster::Cluster;
use self::problem::Problem;
use crate::access::Access;
use crate::identity::key::SigningKey;
use crate::live::Hub;
use crate::people::password::Passwords;
use crate::people::shared::Shared;

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// Kubernetes.
    pub cluster: Arc<dyn Cluster>,
    /// Who may do what.
    pub access: Access,
    /// Signs tokens.
    pub key: SigningKey,
    /// The only clock.
    pub clock: fn() -> Timestamp,
    /// Looks at passwords.
    pub passwords: Passwords,
    /// The session's cookie is for HTTPS only.
    pub secure: bool,
    /// Live updates.
    pub hub: Hub,
    /// Where traces go.
    pub traces: telemetry::Traces,
    /// What only people's handlers need.
    pub people: Shared,
    pool: Option<PgPool>,
}

impl App {
    /// From its parts.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        key: SigningKey,
        clock: fn() -> Timestamp,
        pool: Option<PgPool>,
        secure: bool,
    ) -> Self {
        let access = Access::new(Arc::clone(&cluster), pool.clone());
        let hub = Hub::new(pool.clone());
        let (passwords, traces) = (Passwords::default(), telemetry::Traces::default());
        let people = Shared::new(pool.clone());
        Self { cluster, access, key, clock, passwords, secure, hub, traces, people, pool }
    }

    /// The database, if one is configured.
    pub fn pool(&self) -> Result<&PgPool, Problem> {
        self.pool.as_ref().ok_or_else(Problem::no_database)
    }
}

/// A JSON body; what is wrong with it is said as a [`Problem`].
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, app).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "Send JSON, with content-type: application/json.",
            )),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TooLarge",
                format!("The body has at most {MAX_BODY} bytes."),
            )),
            Err(error) => Err(Problem::bad_request(format!("{}.", error.body_text()))),
        }
    }
}

/// Typed parts of the path; another shape is a place where nothing is.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|_: PathRejection| Problem::not_found("thing"))
    }
}

/// Typed parameters behind the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, app).await;
        query
            .map(|query| Self(query.0))
            .map_err(|error: QueryRejection| Problem::bad_request(format!("{}.", error.body_text())))
    }
}

/// A number from the query, within bounds.
pub(crate) fn bounded(name: &str, value: Option<i64>, default: i64, max: i64) -> Result<i64, Problem> {
    match value {
        None => Ok(default),
        Some(value) if (1..=max).contains(&value) => Ok(value),
        Some(_) => Err(Problem::bad_request(format!("{name}: write a number from 1 to {max}."))),
    }
}
