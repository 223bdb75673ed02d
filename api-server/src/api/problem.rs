//! How the API says no: RFC 9457, one shape for all.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit;

/// Every reason with its status and its meaning; `/docs/api` and docs/api.md have the same.
pub const KINDS: &[(&str, u16, &str)] = &[
    ("BadRequest", 400, "the request is not as openapi.json says"),
    ("SignedOut", 401, "no token, or one that has ended"),
    ("WrongPassword", 401, "name or password are wrong; 403: it is not your own password until now"),
    ("BadSignature", 401, "a webhook is not signed with a secret of this installation, or too old"),
    ("Forbidden", 403, "it takes a verb that you do not have"),
    ("NotTrusted", 403, "no rule of the installation exchanges this token for one of that Service"),
    ("NotFound", 404, "there is none, or you may not see it"),
    ("MethodNotAllowed", 405, "this address takes other methods; the header `allow` names them"),
    ("Suspended", 409, "the Service is paused"),
    ("Exists", 409, "there is a Service of that name"),
    ("LastAdmin", 409, "nobody could administer any more"),
    ("NameTaken", 409, "names of accounts are never given twice"),
    ("NoPassword", 409, "the account's password is kept by its organisation"),
    ("NotOurs", 409, "the role was given with kubectl or from a repository"),
    ("TooManyTokens", 409, "revoke those that nobody uses"),
    ("Ended", 409, "the run has ended"),
    ("NotAwaited", 409, "the run does not wait for anybody to agree"),
    ("OtherDigest", 409, "the run would do something else than you looked at"),
    ("NothingLive", 409, "nothing is live at the Service that is promoted from"),
    ("OtherSource", 409, "the two Services do not follow the same source; `field` says what to make equal"),
    ("OtherLive", 409, "something else is live by now than you looked at"),
    ("NoKey", 409, "the run has met no server whose key could be trusted"),
    ("OtherKey", 409, "the server showed another key than you have compared"),
    ("KeyUsed", 409, "this Idempotency-Key was used for another request"),
    ("Changed", 412, "somebody has changed it since you have read it: read it again"),
    ("TooLarge", 413, "the body is larger than 256 kB, a manifest than 1 MB"),
    ("UnsupportedMediaType", 415, "send `content-type: application/json`"),
    ("InvalidInput", 422, "understood, but it cannot be carried out; see `errors`"),
    ("Refused", 422, "Kubernetes says no: a rule of the custom resource, an admission policy, a quota"),
    ("IfMatchMissing", 428, "send the ETag of what you have read in `If-Match`"),
    ("TooManyTries", 429, "wait for `Retry-After` seconds"),
    ("Unavailable", 503, "the database or Kubernetes does not answer; runs go on"),
];

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which, for example `inputs.version`; empty: the whole.
    pub field: String,
    /// A sentence that says what to write instead.
    pub message: String,
}

/// The number of the request that is being answered. It is found out when the answer is written, so that an error
/// on its way through the functions is no larger for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfThisRequest;

impl OfThisRequest {
    #[allow(clippy::trivially_copy_pass_by_ref, clippy::unused_self, reason = "serde hands out references")]
    fn is_none(&self) -> bool {
        audit::request_id().is_none()
    }
}

impl Serialize for OfThisRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        audit::request_id().serialize(serializer)
    }
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
    /// The number of the request, to ask about it: it stands in the log and in the audit log, too.
    #[serde(rename = "requestId", skip_serializing_if = "OfThisRequest::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub request_id: OfThisRequest,
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
            request_id: OfThisRequest,
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

    /// 503: nobody said where PostgreSQL is.
    pub fn no_database() -> Self {
        Self::unavailable("No database is configured, so there is nothing to show.", "no database")
    }
}

/// What PostgreSQL calls a text with NUL, JSON with NUL, and a time that it does not know: whoever has sent that is told so.
const NOT_TO_BE_STORED: [&str; 3] = ["22021", "22P05", "22008"];

impl From<store::sqlx::Error> for Problem {
    fn from(error: store::sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(store::sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| NOT_TO_BE_STORED.contains(&&*code)) {
            return Self::bad_request("Write texts without the character NUL, and times after 4713 BC.");
        }
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
        audit::refused(self.reason);
        if let Some(cause) = &self.cause {
            let (status, reason) = (self.status.as_u16(), self.reason);
            let id = audit::request_id().unwrap_or_default();
            tracing::warn!(
                http.status = status,
                request.id = id,
                error = cause,
                "answered {status} {reason}: {cause}"
            );
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

#[cfg(test)]
mod tests {
    use super::KINDS;

    /// All of our source.
    fn source(folder: &std::path::Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                source(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                *found += &std::fs::read_to_string(path).unwrap();
            }
        }
    }

    #[test]
    fn every_reason_that_is_given_is_in_the_docs_and_the_other_way_round() {
        let docs = include_str!("../../../docs/api.md");
        for (reason, status, meaning) in KINDS {
            let row = format!("| `{reason}` | {status} | {meaning} |");
            assert!(docs.contains(&row), "docs/api.md has not: {row}");
        }
        let mut code = String::new();
        source(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut code);
        for way in ["Problem::new(", "Problem::conflict("] {
            for call in code.split(way).skip(1) {
                let call: String = call.chars().take(160).collect();
                let words = call.split('"').skip(1).step_by(2);
                let is_reason = |word: &&str| {
                    word.len() > 3
                        && word.starts_with(|c: char| c.is_ascii_uppercase())
                        && word.bytes().all(|b| b.is_ascii_alphabetic())
                };
                let Some(reason) = words.take(1).find(is_reason) else { continue };
                assert!(KINDS.iter().any(|(known, ..)| *known == reason), "KINDS has no {reason}");
            }
        }
    }
}
