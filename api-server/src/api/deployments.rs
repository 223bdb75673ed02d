//! `/api/v1/…/deployments`.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use protocol::event::Event;
use protocol::fold::Fold;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::answers::{self, At, DeploymentWithSteps};
use store::events::StoredEvent;
use store::find::Filter;
use store::read::{DeploymentRow, Namespaces, Snapshot};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::etag::{Had, Tag};
use super::problem::Problem;
use super::services::{self, Page};
use super::view::{self, AskedVia, Deployment, RunMode, RunPhase, Step, UsualStep};
use super::{App, Path, Query, bounded};
use crate::people::Person;

/// Most Deployments on a page.
const MAX_PAGE: i64 = 200;

/// Deployments of a Service, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeploymentPage {
    /// Where in the stream of changes this is true: subscribe from here.
    pub cursor: String,
    /// `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// Of this page.
    pub items: Vec<Deployment>,
}

/// One Deployment.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeploymentAnswer {
    /// Where in the stream of changes this is true: subscribe from here.
    pub cursor: String,
    /// It.
    pub deployment: Deployment,
    /// What was done, and what is to come.
    pub steps: Vec<Step>,
    /// How long the steps of its Service usually take; without any there was no run that succeeded.
    pub usual: Vec<UsualStep>,
    /// Absent before the first report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run: Option<RunPlace>,
    /// Its place in the queue, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub queue: Option<Queue>,
    /// What you may do.
    pub may: DeploymentMay,
}

/// A place in the queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queue {
    /// 1: it is next.
    pub position: u32,
    /// Who is before it, the one that runs first.
    pub before: Vec<Deployment>,
}

/// How much is known of a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunPlace {
    /// From 1.
    pub attempt: i32,
    /// Which of its events stand in `steps`: subscribe from here.
    pub cursor: String,
    /// Events that were lost with an earlier database.
    pub lost: Vec<Lost>,
    /// Key of the step that began last: what was not planned comes behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_begun: Option<String>,
}

/// Events that are lost.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lost {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// What somebody may do with a Deployment.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeploymentMay {
    /// Stop it.
    pub cancel: bool,
    /// Agree to it, or refuse it.
    pub approve: bool,
    /// Run it again.
    pub deploy: bool,
    /// Write the key of a server into its Service.
    pub trust: bool,
}

/// The Deployments of a Service, newest first.
#[utoipa::path(get, path = "/services/{namespace}/{name}/deployments", tag = "deployments", operation_id = "listDeployments",
    params(("namespace" = String, Path), ("name" = String, Path), Page,
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that you have: 304 if nothing is new")),
    responses((status = 200, body = DeploymentPage, headers(("ETag" = String))),
        (status = 304, description = "you have it already: If-None-Match named its ETag"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    had: Had,
    Path((namespace, name)): Path<(String, String)>,
    Query(Page { limit, after }): Query<Page>,
) -> Result<Response, Problem> {
    let limit = bounded("limit", limit, 100, MAX_PAGE)?;
    let after = after.as_deref().map(place).transpose()?;
    services::visible(&app, &who, (&namespace, &name)).await?;
    let pool = app.pool()?;
    let tag = |position| had.tag(&who, position, &Value::Null);
    if had.some() {
        let here = answers::here(pool, &Namespaces::All).await?;
        if let Some(unchanged) = tag(here.position).had() {
            return Ok(unchanged);
        }
    }
    let found = answers::deployments_of(pool, &namespace, &name, after, limit + 1).await?;
    Ok(tag(found.position).on(page(found, limit)))
}

/// Which Deployments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Only of this namespace.
    namespace: Option<String>,
    /// Only of Services of this name.
    service: Option<String>,
    /// Only in this phase; several, separated by commas.
    phase: Option<String>,
    /// Only what this person asked for.
    by: Option<String>,
    /// Only what was asked for in this way. Checks for drift are listed with Drift only.
    via: Option<AskedVia>,
    /// Only runs, or only previews.
    mode: Option<RunMode>,
    /// Asked for then or later.
    from: Option<Timestamp>,
    /// Asked for earlier.
    to: Option<Timestamp>,
    /// At most so many, 1 to 200. Default: 100.
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The Deployments that you may see, of all Services, newest first.
#[utoipa::path(get, path = "/deployments", tag = "deployments", operation_id = "findDeployments",
    params(Find,
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that you have: 304 if nothing is new")),
    responses((status = 200, body = DeploymentPage, headers(("ETag" = String))),
        (status = 304, description = "you have it already: If-None-Match named its ETag"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn find_all(
    State(app): State<App>,
    who: Person,
    had: Had,
    Query(find): Query<Find>,
) -> Result<Response, Problem> {
    let limit = bounded("limit", find.limit, 100, MAX_PAGE)?;
    let after = find.after.as_deref().map(place).transpose()?;
    let filter = Filter {
        namespace: find.namespace,
        service: find.service,
        phases: find.phase.as_deref().map(phases).transpose()?.unwrap_or_default(),
        by: find.by,
        via: find.via.map(|via| via.as_str().to_owned()),
        mode: find.mode.map(|mode| mode.as_str().to_owned()),
        from: find.from,
        to: find.to,
    };
    let pool = app.pool()?;
    let tag = |of: &Namespaces, position| had.tag(&who, position, &json!(format!("{of:?}")));
    if had.some() {
        let (of, here) =
            app.access.seen(&who, |of| async move { Ok(answers::here(pool, &of).await?) }).await?;
        if let Some(unchanged) = tag(&of, here.position).had() {
            return Ok(unchanged);
        }
    }
    let filter = &filter;
    let read = |of: Namespaces| async move {
        Ok(answers::find_deployments(pool, &of, filter, after, limit + 1).await?)
    };
    let (of, found) = app.access.seen(&who, read).await?;
    Ok(tag(&of, found.position).on(page(found, limit)))
}

fn phases(text: &str) -> Result<Vec<String>, Problem> {
    let phase = |word: &str| {
        let known: Result<RunPhase, _> = serde_json::from_value(Value::from(word));
        known.map(|_| word.to_owned()).map_err(|_| {
            Problem::bad_request(
                "phase: write Pending, AwaitingApproval, Queued, Preparing, Running, Succeeded, NothingDone, Failed or \
                 Cancelled; several with commas.",
            )
        })
    };
    text.split(',').map(phase).collect()
}

fn page(found: At<Vec<DeploymentRow>>, limit: i64) -> DeploymentPage {
    let At { position, read: mut rows, .. } = found;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| format!("{}_{}", last.created_at, last.uid));
    let items = rows.iter().filter_map(view::deployment).collect();
    DeploymentPage { cursor: position.to_string(), next, items }
}

/// What `next` of a page before says.
pub(crate) fn place(after: &str) -> Result<(Timestamp, Uuid), Problem> {
    let place = after.split_once('_').and_then(|(at, uid)| Some((at.parse().ok()?, uid.parse().ok()?)));
    place.ok_or_else(|| Problem::bad_request("after: write what `next` of the page before says."))
}

/// One Deployment, with its steps.
#[utoipa::path(get, path = "/deployments/{uid}", tag = "deployments", operation_id = "getDeployment",
    params(("uid" = Uuid, Path),
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that you have: 304 if nothing is new")),
    responses((status = 200, body = DeploymentAnswer, headers(("ETag" = String))),
        (status = 304, description = "you have it already: If-None-Match named its ETag"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<App>,
    who: Person,
    had: Had,
    Path(uid): Path<Uuid>,
) -> Result<Response, Problem> {
    if had.some() {
        let (found, may) = seen(&app, &who, uid, false).await?;
        if let Some(unchanged) = tag(&had, &who, &found, &may).had() {
            return Ok(unchanged);
        }
    }
    let (found, may) = seen(&app, &who, uid, true).await?;
    Ok(tag(&had, &who, &found, &may).on(put_together(found, may)?))
}

/// A run's events are numbered apart from the changes of objects.
fn tag(had: &Had, who: &Person, found: &At<DeploymentWithSteps>, may: &DeploymentMay) -> Tag {
    let At { position, read: DeploymentWithSteps { attempt, usual, .. }, .. } = found;
    let so_far = attempt.as_ref().map(|run| (run.attempt, run.acked, run.lines, run.gaps.len()));
    had.tag(who, *position, &json!([so_far, view::usual_steps(usual), may]))
}

/// What one may not see is not there.
pub(crate) async fn find(
    app: &App,
    who: &Person,
    snapshot: &mut Snapshot,
    uid: Uuid,
) -> Result<DeploymentRow, Problem> {
    let row = snapshot.deployments_by_uid(&[uid]).await?.pop();
    let row = row.ok_or_else(|| Problem::not_found("deployment"))?;
    visible(app, who, (&row.namespace, &row.name)).await?;
    Ok(row)
}

/// What one may not see is not there.
pub(crate) async fn visible(app: &App, who: &Person, of: (&str, &str)) -> Result<(), Problem> {
    if app.access.may(who, "get", "deployments", of).await? {
        Ok(())
    } else {
        Err(Problem::not_found("deployment"))
    }
}

/// As people see it.
pub(crate) async fn answer(app: &App, who: &Person, uid: Uuid) -> Result<DeploymentAnswer, Problem> {
    let (found, may) = look(app, who, uid, true).await?;
    put_together(found, may)
}

/// What one may not see is not there.
async fn seen(
    app: &App,
    who: &Person,
    uid: Uuid,
    whole: bool,
) -> Result<(At<DeploymentWithSteps>, DeploymentMay), Problem> {
    let (found, may) = look(app, who, uid, whole).await?;
    let row = &found.read.deployment;
    visible(app, who, (&row.namespace, &row.name)).await?;
    Ok((found, may))
}

/// One Deployment, and what one may do with it. `whole`: with its steps and its place in the queue.
async fn look(
    app: &App,
    who: &Person,
    uid: Uuid,
    whole: bool,
) -> Result<(At<DeploymentWithSteps>, DeploymentMay), Problem> {
    let At { position, places, read } = answers::deployment(app.pool()?, uid, whole).await?;
    let read = read.ok_or_else(|| Problem::not_found("deployment"))?;
    let row = &read.deployment;
    let this = (row.namespace.as_str(), row.name.as_str());
    let may = DeploymentMay {
        cancel: app.access.may(who, "cancel", "deployments", this).await?,
        approve: app.access.may(who, "approve", "deployments", this).await?,
        deploy: app.access.may(who, "deploy", "services", (&row.namespace, &row.service)).await?,
        trust: app.access.may(who, "update", "services", (&row.namespace, &row.service)).await?,
    };
    Ok((At { position, places, read }, may))
}

fn put_together(found: At<DeploymentWithSteps>, may: DeploymentMay) -> Result<DeploymentAnswer, Problem> {
    let At {
        position,
        read: DeploymentWithSteps { deployment: row, attempt, usual, results, unfinished },
        ..
    } = found;
    let deployment = view::deployment(&row).ok_or_else(|| Problem::not_found("deployment"))?;
    let usual = view::usual_steps(&usual);
    let (run, steps) = match attempt {
        Some(attempt) => {
            let lost = attempt.gaps.iter().map(|gap| Lost { first: gap.first, last: gap.last }).collect();
            let cursor = format!("{}.{}.{}", position.epoch.simple(), attempt.attempt, attempt.acked);
            let fold = fold(results);
            let last_begun = fold.last_begun().map(str::to_owned);
            (Some(RunPlace { attempt: attempt.attempt, cursor, lost, last_begun }), view::steps(fold))
        }
        None => (None, view::kept_steps(&row)),
    };
    let queue = match row.object.pointer("/status/finishedAt") {
        None => queue(&unfinished, row.uid),
        Some(_) => None,
    };
    Ok(DeploymentAnswer { cursor: position.to_string(), deployment, steps, usual, run, queue, may })
}

/// None: it runs, or is over.
fn queue(unfinished: &[DeploymentRow], uid: Uuid) -> Option<Queue> {
    let on = |row: &&DeploymentRow| {
        let phase = row.object.pointer("/status/phase").and_then(Value::as_str);
        matches!(phase, Some("Preparing" | "Running"))
    };
    let this = unfinished.iter().position(|row| row.uid == uid)?;
    if on(&&unfinished[this]) {
        return None;
    }
    let running = unfinished.iter().filter(on);
    let waiting = unfinished[..this].iter().filter(|row| !on(row));
    let before: Vec<Deployment> = running.chain(waiting).filter_map(view::deployment).collect();
    Some(Queue { position: before.len() as u32, before })
        .map(|queue| Queue { position: queue.position.max(1), ..queue })
}

pub(crate) fn fold(events: Vec<StoredEvent>) -> Fold {
    let mut fold = Fold::default();
    for StoredEvent { seq, at, body } in events {
        if let (Ok(kind), Ok(seq)) = (serde_json::from_value(body), u64::try_from(seq)) {
            fold.apply(&Event { seq, at, kind });
        }
    }
    fold
}
