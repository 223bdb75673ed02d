//! `/api/v1/deployments/{uid}/output`: the technical output, a range of lines.

use axum::Json;
use axum::extract::State;
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
