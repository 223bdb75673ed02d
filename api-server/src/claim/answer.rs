//! How a claim is answered that is not granted: a status, a word for programs, a sentence for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::claim::ClaimRefused;

use crate::metrics::Outcome;

/// After how many seconds a runner may ask again, where asking again helps.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a claim is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 403 and 409 are final, 503 is not; the others are mistakes of whoever asks.
    pub status: StatusCode,
    /// Short CamelCase word.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What is behind it: for the log, never for the caller.
    pub cause: Option<String>,
}

impl Refusal {
    /// With any status.
    pub fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), cause: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401: who asks is not known.
    pub fn unauthenticated(cause: impl Into<String>) -> Self {
        let message = "This needs the token of the run's pod, made for this run and this attempt.";
        let cause = Some(cause.into());
        Self { cause, ..Self::new(StatusCode::UNAUTHORIZED, "Unauthenticated", message) }
    }

    /// 403: no, for good.
    pub fn forbidden(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason, message)
    }

    /// 409: another process of this attempt has it.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Fenced", message)
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>, cause: impl Into<String>) -> Self {
        let cause = Some(cause.into());
        Self { cause, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", message) }
    }

    /// For the metrics.
    pub fn outcome(&self) -> Outcome {
        match self.status {
            StatusCode::UNAUTHORIZED => Outcome::unauthenticated,
            StatusCode::FORBIDDEN => Outcome::refused,
            StatusCode::CONFLICT => Outcome::fenced,
            status if status.is_server_error() => Outcome::unavailable,
            _ => Outcome::invalid,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ClaimRefused { reason: self.reason.to_owned(), message: self.message };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
