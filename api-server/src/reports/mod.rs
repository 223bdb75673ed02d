//! `POST /runs/{uid}/{attempt}/reports`: what happens in a run, into PostgreSQL. What is answered is
//! stored; what is sent again changes nothing; while PostgreSQL is away, runners keep what they have.
//! `GET /runs/{uid}/{attempt}/followed`: that somebody watches, said to a runner that takes its time.

pub mod request;
pub mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use protocol::report::{Acked, FOLLOWED_WITHIN, Followed};
use store::PgPool;
use store::runs::{self, Recorded};
use tokio::sync::Semaphore;

use self::request::Parsed;
use self::status::{News, Statuses};
use crate::claim::answer::Refusal;
use crate::claim::request::bearer;
use crate::identity::key::SigningKey;
use crate::identity::token::{self, RunClaims};
use crate::live::Hub;

/// Largest body, in bytes, as it comes.
pub const MAX_BODY: usize = 16 << 20;
/// Reports that are worked on at once; others are asked to come again. Bounds memory.
const AT_ONCE: usize = 32;
/// A body from which on parsing would hold up other requests.
const LARGE: usize = 32 * 1024;

/// What the handler shares.
#[derive(Clone)]
pub struct Intake(Arc<Shared>);

struct Shared {
    pool: Option<PgPool>,
    key: SigningKey,
    clock: fn() -> Timestamp,
    statuses: Statuses,
    hub: Hub,
    places: Semaphore,
}

impl Intake {
    /// From its parts. Without a pool there is no place for reports: 503.
    pub fn new(
        pool: Option<PgPool>,
        key: SigningKey,
        clock: fn() -> Timestamp,
        statuses: Statuses,
        hub: Hub,
    ) -> Self {
        Self(Arc::new(Shared { pool, key, clock, statuses, hub, places: Semaphore::new(AT_ONCE) }))
    }
}

/// Takes one report.
pub async fn handle(
    State(Intake(intake)): State<Intake>,
    Path((uid, attempt)): Path<(String, String)>,
    request: Request,
) -> Response {
    match take(&intake, &uid, &attempt, request).await {
        Ok(acked) => Json(acked).into_response(),
        Err(refusal) => {
            if let Some(cause) = &refusal.cause {
                tracing::warn!(
                    run.uid = uid,
                    run.attempt = attempt,
                    error = cause,
                    "a report of run {uid} was not stored: {cause}"
                );
            }
            refusal.into_response()
        }
    }
}

/// Waits a while for somebody who watches.
pub async fn followed(
    State(Intake(intake)): State<Intake>,
    Path((uid, attempt)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Followed>, Refusal> {
    let claims = who(&intake, &headers, &uid, &attempt)?;
    let uid = request::uid(&claims)?;
    let pool = pool(&intake)?;
    let watched = tokio::time::timeout(FOLLOWED_WITHIN, intake.hub.followed(pool, uid)).await;
    match watched {
        Ok(Ok(true)) => Ok(Json(Followed { followed: true })),
        Ok(Ok(false)) => Err(Refusal::unavailable("Ask again, another one answers.", "stopping")),
        Ok(Err(error)) => Err(Refusal::unavailable("This cannot be said now, ask again.", error.to_string())),
        Err(_) => Ok(Json(Followed { followed: false })),
    }
}

async fn take(intake: &Shared, uid: &str, attempt: &str, request: Request) -> Result<Acked, Refusal> {
    let claims = who(intake, request.headers(), uid, attempt)?;
    let _place = intake.places.try_acquire().map_err(|_| {
        Refusal::unavailable(
            "Many reports are being stored, send this one again.",
            "too many reports at once",
        )
    })?;
    let pool = pool(intake)?;
    let zstd = match request.headers().get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"zstd") => true,
        Some(_) => {
            let message = "content-encoding: send zstd, or nothing.";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedEncoding", message));
        }
    };
    let body = read(request).await?;
    let Parsed { report, events } = if body.len() < LARGE {
        request::parse(&claims, zstd, &body)?
    } else {
        let claims = claims.clone();
        let parsed = tokio::task::spawn_blocking(move || request::parse(&claims, zstd, &body)).await;
        parsed
            .map_err(|error| Refusal::unavailable("This did not work, send it again.", error.to_string()))??
    };
    match runs::record(pool, &report).await {
        Ok(Recorded::Acked { acked, new, followed, .. }) => {
            if new == report.events.len() {
                intake.hub.took(&report);
            }
            if new > 0 {
                intake.statuses.tell(News { claims, events });
            }
            Ok(Acked { acked: u64::try_from(acked).unwrap_or(0), followed })
        }
        Ok(Recorded::Fenced) => Err(Refusal::fenced("Another process reports for this attempt.")),
        Ok(Recorded::Sealed) => {
            Err(Refusal::new(StatusCode::GONE, "Sealed", "This run has had its final report."))
        }
        Ok(Recorded::LinesGoBack) => {
            Err(Refusal::bad_request("events: the output goes back to lines that were sent before."))
        }
        Err(error) => {
            Err(Refusal::unavailable("This cannot be stored now, send it again.", error.to_string()))
        }
    }
}

fn pool(intake: &Shared) -> Result<&PgPool, Refusal> {
    intake.pool.as_ref().ok_or_else(|| {
        Refusal::unavailable("There is no place for reports yet, send it again.", "no database is configured")
    })
}

/// The token says who reports; the path must say the same.
fn who(intake: &Shared, headers: &HeaderMap, uid: &str, attempt: &str) -> Result<RunClaims, Refusal> {
    let claims = token::verify::<RunClaims>(&intake.key, bearer(headers)?, (intake.clock)())
        .map_err(|_| Refusal::unauthenticated("the deployment token is not valid"))?;
    if claims.sub == uid && claims.attempt.to_string() == attempt {
        Ok(claims)
    } else {
        Err(Refusal::forbidden("NotThisRun", "This token speaks for another run or attempt."))
    }
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("A report has at most {MAX_BODY} bytes.");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", message)
        }
        _ => Refusal::bad_request("The body could not be read."),
    })
}
