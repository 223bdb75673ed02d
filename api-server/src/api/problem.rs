//! How the API says no: RFC 9457, one shape for all.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which, for example `inputs.version`; empty: the whole.
    pub field: String,
    /// A sentence that says what to write instead.
    pub message: String,
}

/// Why a request was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem, as an address that stays: `/docs/api#` and the reason.
    #[serde(rename = "type", serialize_with = "address")]
    #[schema(value_type = String)]
    pub type_: &'static str,
    /// The status in words.
    #[serde(serialize_with = "words")]
    #[schema(value_type = String)]
    pub title: StatusCode,
    /// HTTP status.
    #[serde(serialize_with = "number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// A sentence for people.
    pub detail: String,
    /// For programs: one CamelCase word.
    pub reason: &'static str,
    /// Which part of the request is wrong, for example `inputs.version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// All that is wrong, field by field, for a form to show.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false, value_type = Vec<FieldError>)]
    pub errors: Box<[FieldError]>,
    /// Seconds after which to try again.
    #[serde(skip)]
    retry_after: Option<u16>,
    /// What is behind it: for the log, never for the caller.
    #[serde(skip)]
    cause: Option<Box<str>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn words<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.canonical_reason().unwrap_or("Error"))
}

fn address<S: serde::Serializer>(reason: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("/docs/api#{reason}"))
}

impl Problem {
    /// With any status.
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            type_: reason,
            title: status,
            status,
            detail: detail.into(),
            reason,
            field: None,
            errors: Box::default(),
            retry_after: None,
            cause: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", detail)
    }

    /// 401: who asks is not known (any more).
    pub fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "SignedOut", "Sign in first.")
    }

    /// 403: this person may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    /// 404: there is no such thing, or this person may not know of it.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("There is no such {what}, or you may not see it."),
        )
    }

    /// 409: not as things are.
    pub fn conflict(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, detail)
    }

    /// 422: understood, but it cannot be carried out.
    pub fn invalid(field: Option<&str>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = field
            .map(|field| FieldError { field: field.to_owned(), message: detail.clone() })
            .into_iter()
            .collect();
        Self::wrong(errors, detail)
    }

    /// 422, with all that is wrong.
    pub fn wrong(errors: Vec<FieldError>, detail: impl Into<String>) -> Self {
        let field = errors.first().map(|error| error.field.clone()).filter(|field| !field.is_empty());
        let plain = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidInput", detail);
        Self { field, errors: errors.into(), ..plain }
    }

    /// 422: Kubernetes says no, perhaps field by field.
    pub fn refused(refusal: super::cluster::Refusal) -> Self {
        let super::cluster::Refusal { message, errors } = refusal;
        let field = errors.first().map(|error| error.field.clone()).filter(|field| !field.is_empty());
        let detail = format!("Kubernetes refused it: {message}");
        let plain = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Refused", detail);
        Self { field, errors: errors.into(), ..plain }
    }

    /// 429: too often.
    pub fn too_many(detail: impl Into<String>, retry_after: u16) -> Self {
        let retry_after = Some(retry_after);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyTries", detail) }
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>, cause: impl fmt::Display) -> Self {
        let cause = Some(cause.to_string().into_boxed_str());
        let plain = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail);
        Self { cause, retry_after: Some(1), ..plain }
    }
}

impl From<store::sqlx::Error> for Problem {
    fn from(error: store::sqlx::Error) -> Self {
        Self::unavailable(
            "The database does not answer, try again in a moment. Deployments that run go on.",
            error,
        )
    }
}

impl From<crate::claim::cluster::Unavailable> for Problem {
    fn from(error: crate::claim::cluster::Unavailable) -> Self {
        let cause = format!("{:#}", anyhow::Error::from(error));
        Self::unavailable("Kubernetes does not answer, try again in a moment.", cause)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            let (status, reason) = (self.status.as_u16(), self.reason);
            tracing::warn!(http.status = status, error = cause, "answered {status} {reason}: {cause}");
        }
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
