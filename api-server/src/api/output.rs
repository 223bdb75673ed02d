//! `/api/v1/deployments/{uid}/output`: the technical output: a range of lines, what is found in it, all of it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use store::read::Snapshot;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use super::{App, Path, Query, bounded, deployments};
use crate::people::Person;

/// Most lines of one answer.
const MAX_LINES: i64 = 10_000;

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Of which attempt. Default: the last.
    attempt: Option<i32>,
    /// Number of the first line, from 1. Default: 1.
    from: Option<i64>,
    /// At most so many, 1 to 10000. Default: 1000.
    limit: Option<i64>,
}

/// Lines, masked, as a person at a terminal would see them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Output {
    /// Of which attempt.
    pub attempt: i32,
    /// Number of the first line; higher than asked for where lines were lost.
    pub first: i64,
    /// They may contain ANSI colours.
    pub lines: Vec<String>,
    /// How many there are so far.
    pub total: i64,
    /// The end of what was answered: subscribe from here.
    pub cursor: String,
}

/// A range of the output.
#[utoipa::path(get, path = "/deployments/{uid}/output", tag = "deployments", operation_id = "getOutput",
    params(("uid" = Uuid, Path), Range),
    responses((status = 200, body = Output), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn read(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Query(Range { attempt, from, limit }): Query<Range>,
) -> Result<Json<Output>, Problem> {
    let limit = bounded("limit", limit, 1_000, MAX_LINES)?;
    let from = bounded("from", from, 1, i64::MAX)?;
    let pool = app.pool()?;
    let mut snapshot = Snapshot::begin(pool).await?;
    deployments::find(&app, &who, &mut snapshot, uid).await?;
    let last = snapshot.attempt(uid).await?;
    let epoch = snapshot.position.epoch.simple();
    drop(snapshot);
    let wanted = attempt.or(last.as_ref().map(|last| last.attempt)).unwrap_or(1);
    let read = store::output::read(pool, uid, wanted, from, limit).await?;
    let end = read.first - 1 + read.lines.len() as i64;
    let total = last.filter(|last| last.attempt == wanted).map_or(end, |last| last.lines.max(end));
    let cursor = format!("{epoch}.{wanted}.{end}");
    Ok(Json(Output { attempt: wanted, first: read.first, lines: read.lines, total, cursor }))
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// 1 to 200 characters; their case does not matter.
    q: String,
    /// Of which attempt. Default: the last.
    attempt: Option<i32>,
    /// From this line on. Default: 1.
    from: Option<i64>,
    /// At most so many lines, 1 to 500. Default: 100.
    limit: Option<i64>,
}

/// Where it was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Found {
    /// Of which attempt.
    pub attempt: i32,
    /// Lines, in their order.
    pub hits: Vec<FoundLine>,
    /// `from` of what comes behind them; absent: that is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<i64>,
}

/// A line in which it was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundLine {
    /// Its number.
    pub line: i64,
    /// Its first 2000 characters.
    pub text: String,
}

/// Look for something in the output.
#[utoipa::path(get, path = "/deployments/{uid}/output/search", tag = "deployments", operation_id = "searchOutput",
    params(("uid" = Uuid, Path), Search),
    responses((status = 200, body = Found), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn search(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Query(Search { q, attempt, from, limit }): Query<Search>,
) -> Result<Json<Found>, Problem> {
    let limit = bounded("limit", limit, 100, 500)?;
    let from = bounded("from", from, 1, i64::MAX)?;
    if !(1..=200).contains(&q.chars().count()) {
        return Err(Problem::bad_request("q: write 1 to 200 characters."));
    }
    let attempt = attempt_of(&app, &who, uid, attempt).await?;
    let hits = store::output::search(app.pool()?, uid, attempt, &q, from, limit as usize).await?;
    let next = hits.last().filter(|_| hits.len() as i64 == limit).map(|last| last.line + 1);
    let hits = hits.into_iter().map(|hit| FoundLine { line: hit.line, text: hit.text }).collect();
    Ok(Json(Found { attempt, hits, next }))
}

/// Which attempt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// Of which attempt. Default: the last.
    attempt: Option<i32>,
}

/// All of the output, as a file. However long it is, it is sent piece by piece.
#[utoipa::path(get, path = "/deployments/{uid}/output/download", tag = "deployments", operation_id = "downloadOutput",
    params(("uid" = Uuid, Path), Whole),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn download(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Query(Whole { attempt }): Query<Whole>,
) -> Result<Response, Problem> {
    let attempt = attempt_of(&app, &who, uid, attempt).await?;
    let pool = app.pool()?.clone();
    let pieces = stream::try_unfold(1_i64, move |from| {
        let pool = pool.clone();
        async move {
            let read = store::output::read(&pool, uid, attempt, from, MAX_LINES).await?;
            if read.lines.is_empty() {
                return Ok::<_, store::sqlx::Error>(None);
            }
            Ok(Some((read.to_text(from), read.next())))
        }
    });
    let name = format!("attachment; filename=\"output-{uid}-{attempt}.txt\"");
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Of a run that one may see.
async fn attempt_of(app: &App, who: &Person, uid: Uuid, attempt: Option<i32>) -> Result<i32, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    deployments::find(app, who, &mut snapshot, uid).await?;
    let last = snapshot.attempt(uid).await?;
    Ok(attempt.or(last.map(|last| last.attempt)).unwrap_or(1))
}
