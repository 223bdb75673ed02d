//! `/api/v1/…/deployments`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crds::deployment::DeploymentSpec;
use crds::{inputs, names};
use jiff::Timestamp;
use kube::ResourceExt;
use protocol::event::Event;
use protocol::fold::Fold;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::events::StoredEvent;
use store::read::{DeploymentRow, Snapshot};
use store::{mirror, rows};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cluster::Created;
use super::problem::Problem;
use super::services::{Page, visible};
use super::view::{self, Deployment, Step, StopHow};
use super::{App, Body, Path, Query, bounded};
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
    /// Absent before the first report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run: Option<RunPlace>,
    /// What you may do.
    pub may: DeploymentMay,
}

/// How much is known of a run.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunPlace {
    /// From 1.
    pub attempt: i32,
    /// Which of its events stand in `steps`: subscribe from here.
    pub cursor: String,
    /// Events that were lost with an earlier database.
    pub lost: Vec<Lost>,
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
}

/// What is to be run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Answers to the Service's form.
    #[serde(default)]
    #[schema(required = false)]
    inputs: BTreeMap<String, Value>,
    /// Why, for people; at most 500 characters.
    #[serde(default)]
    reason: Option<String>,
}

/// How to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// AfterStep may be followed by Now, not the other way round.
    how: StopHow,
}

/// The Deployments of a Service, newest first.
#[utoipa::path(get, path = "/services/{namespace}/{name}/deployments", tag = "deployments", operation_id = "listDeployments",
    params(("namespace" = String, Path), ("name" = String, Path), Page),
    responses((status = 200, body = DeploymentPage), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Page { limit, after }): Query<Page>,
) -> Result<Json<DeploymentPage>, Problem> {
    let limit = bounded("limit", limit, 100, MAX_PAGE)?;
    let after = after.as_deref().map(place).transpose()?;
    visible(&app, &who, (&namespace, &name)).await?;
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let mut rows = snapshot.deployments_of(&namespace, &name, after, limit + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| format!("{}_{}", last.created_at, last.uid));
    let items = rows.iter().filter_map(view::deployment).collect();
    Ok(Json(DeploymentPage { cursor: snapshot.position.to_string(), next, items }))
}

fn place(after: &str) -> Result<(Timestamp, Uuid), Problem> {
    let place = after.split_once('_').and_then(|(at, uid)| Some((at.parse().ok()?, uid.parse().ok()?)));
    place.ok_or_else(|| Problem::bad_request("after: write what `next` of the page before says."))
}

/// One Deployment, with its steps.
#[utoipa::path(get, path = "/deployments/{uid}", tag = "deployments", operation_id = "getDeployment",
    params(("uid" = Uuid, Path)),
    responses((status = 200, body = DeploymentAnswer), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
) -> Result<Json<DeploymentAnswer>, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = find(&app, &who, &mut snapshot, uid).await?;
    Ok(Json(answer(&app, &who, snapshot, &row).await?))
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
    if app.access.may(who, "get", "deployments", (&row.namespace, &row.name)).await? {
        Ok(row)
    } else {
        Err(Problem::not_found("deployment"))
    }
}

async fn answer(
    app: &App,
    who: &Person,
    mut snapshot: Snapshot,
    row: &DeploymentRow,
) -> Result<DeploymentAnswer, Problem> {
    let deployment = view::deployment(row).ok_or_else(|| Problem::not_found("deployment"))?;
    let (run, steps) = match snapshot.attempt(row.uid).await? {
        Some(attempt) => {
            let events = snapshot.results(row.uid, attempt.attempt).await?;
            let lost = attempt.gaps.iter().map(|gap| Lost { first: gap.first, last: gap.last }).collect();
            let epoch = snapshot.position.epoch.simple();
            let cursor = format!("{epoch}.{}.{}", attempt.attempt, attempt.acked);
            (Some(RunPlace { attempt: attempt.attempt, cursor, lost }), view::steps(fold(events)))
        }
        None => (None, view::kept_steps(row)),
    };
    let may = app.access.may(who, "cancel", "deployments", (&row.namespace, &row.name)).await?;
    let cursor = snapshot.position.to_string();
    Ok(DeploymentAnswer { cursor, deployment, steps, run, may: DeploymentMay { cancel: may } })
}

fn fold(events: Vec<StoredEvent>) -> Fold {
    let mut fold = Fold::default();
    for StoredEvent { seq, at, body } in events {
        if let (Ok(kind), Ok(seq)) = (serde_json::from_value(body), u64::try_from(seq)) {
            fold.apply(&Event { seq, at, kind });
        }
    }
    fold
}

/// Start a run. With an Idempotency-Key, the same request again answers with the same run.
#[utoipa::path(post, path = "/services/{namespace}/{name}/deployments", tag = "deployments", operation_id = "startDeployment",
    params(("namespace" = String, Path), ("name" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 characters, new for each deed")),
    request_body = Start,
    responses(
        (status = 201, body = DeploymentAnswer),
        (status = 200, description = "it was started by this key before", body = DeploymentAnswer),
        (status = 422, description = "InvalidInput", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn start(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(Start { inputs, reason }): Body<Start>,
) -> Result<Response, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    app.access.must(&who, "deploy", "services", of).await?;
    let key = idempotency_key(&headers)?;
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > 500) {
        return Err(Problem::invalid(Some("reason"), "reason: write at most 500 characters."));
    }
    let service =
        app.cluster.service(&namespace, &name).await?.ok_or_else(|| Problem::not_found("service"))?;
    if service.spec.suspend {
        let detail = "This service is paused, so nothing is deployed. Whoever looks after it can resume it.";
        return Err(Problem::conflict("Suspended", detail));
    }
    // The defaults are filled in when it is the run's turn, from the form as it is then.
    inputs::fill_in(&service.spec.inputs, &inputs).map_err(|sentence| {
        let field = sentence.split_once(": ").map(|(field, _)| field.to_owned());
        Problem::invalid(field.as_deref(), sentence)
    })?;
    let trigger = format!("api:{}\n{key}", who.name);
    let wanted = wanted(
        &service,
        &namespace,
        &who,
        &trigger,
        DeploymentSpec { service: name.clone(), reason, inputs, cancel: None },
    );
    match app.cluster.create(&namespace, &wanted).await? {
        Created::New(made) => {
            let (user, made_name) = (&who.name, made.name_any());
            tracing::info!(
                user.name = user,
                service.namespace = namespace,
                service.name = name,
                deployment.name = made_name,
                "{user} started {made_name} of {namespace}/{name}"
            );
            made_answer(&app, &who, StatusCode::CREATED, &made).await
        }
        Created::Exists => {
            let there = app.cluster.deployment(&namespace, &wanted.name_any()).await?;
            let there = there.filter(|there| {
                there.spec.service == wanted.spec.service
                    && there.spec.inputs == wanted.spec.inputs
                    && there.spec.reason == wanted.spec.reason
                    && names::requester(there.annotations()) == Some(who.name.as_str())
            });
            let there = there.ok_or_else(|| {
                let detail =
                    "This Idempotency-Key was used for another request. Use a new one for each deed.";
                Problem::conflict("KeyUsed", detail)
            })?;
            made_answer(&app, &who, StatusCode::OK, &there).await
        }
        Created::Refused(sentence) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Refused",
            format!("Kubernetes refused it: {sentence}"),
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(Uuid::new_v4().to_string()) };
    let key = key.to_str().ok().map(str::trim).filter(|key| (1..=128).contains(&key.len()));
    let wrong = || Problem::bad_request("Idempotency-Key: write 1 to 128 visible characters.");
    key.map(ToOwned::to_owned).ok_or_else(wrong)
}

fn wanted(
    service: &crds::Service,
    namespace: &str,
    who: &Person,
    trigger: &str,
    spec: DeploymentSpec,
) -> crds::Deployment {
    let uid = service.uid().unwrap_or_default();
    let mut deployment = crds::Deployment::new(&names::deployment(&spec.service, &uid, trigger), spec);
    deployment.metadata.namespace = Some(namespace.to_owned());
    let by = (names::ANNOTATION_REQUESTED_BY.to_owned(), who.name.clone());
    deployment.metadata.annotations = Some(BTreeMap::from([by]));
    deployment
}

/// Written into the mirror at once, so that the next read finds it. Without a database the run
/// starts all the same.
async fn made_answer(
    app: &App,
    who: &Person,
    status: StatusCode,
    made: &crds::Deployment,
) -> Result<Response, Problem> {
    let row = rows::deployment(made)
        .ok_or_else(|| Problem::unavailable("Kubernetes gave half an answer, look again.", "no uid"))?;
    let location = [(header::LOCATION, format!("/api/v1/deployments/{}", row.uid))];
    let read = async {
        let pool = app.pool()?;
        let epoch = mirror::epoch(pool).await?;
        mirror::upsert(pool, epoch, std::slice::from_ref(&row)).await?;
        let mut snapshot = Snapshot::begin(pool).await?;
        let row = snapshot.deployments_by_uid(&[row.uid]).await?.pop();
        let row = row.ok_or_else(|| Problem::not_found("deployment"))?;
        answer(app, who, snapshot, &row).await
    };
    let answer = match read.await {
        Ok(answer) => answer,
        Err(problem) => {
            tracing::warn!(error = problem.detail, "{} is not in the database yet", row.name);
            unmirrored(made, &row)?
        }
    };
    Ok((status, location, Json(answer)).into_response())
}

/// All that is known without a database.
fn unmirrored(made: &crds::Deployment, row: &mirror::Row) -> Result<DeploymentAnswer, Problem> {
    let row = DeploymentRow {
        uid: row.uid,
        id: 0,
        namespace: row.namespace.clone(),
        name: row.name.clone(),
        service: made.spec.service.clone(),
        service_title: None,
        created_at: row.run.as_ref().map_or(Timestamp::UNIX_EPOCH, |run| run.created_at),
        object: row.object.clone(),
        gone: false,
    };
    let deployment = view::deployment(&row).ok_or_else(|| Problem::not_found("deployment"))?;
    let may = DeploymentMay { cancel: true };
    Ok(DeploymentAnswer { cursor: String::new(), deployment, steps: Vec::new(), run: None, may })
}

/// Stop a run.
#[utoipa::path(post, path = "/deployments/{uid}/cancel", tag = "deployments", operation_id = "cancelDeployment",
    params(("uid" = Uuid, Path)), request_body = Stop,
    responses((status = 202, body = DeploymentAnswer), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn cancel(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Body(Stop { how }): Body<Stop>,
) -> Result<Response, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = find(&app, &who, &mut snapshot, uid).await?;
    drop(snapshot);
    app.access.must(&who, "cancel", "deployments", (&row.namespace, &row.name)).await?;
    let gone = || Problem::conflict("Ended", "This run has ended, there is nothing to stop.");
    let there = app.cluster.deployment(&row.namespace, &row.name).await?;
    let there = there.filter(|there| there.uid() == Some(uid.to_string())).ok_or_else(gone)?;
    if there.status.as_ref().and_then(|status| status.phase).is_some_and(crds::Phase::is_terminal) {
        return Err(gone());
    }
    let how = crds::deployment::Cancel::from(how);
    let written = if there.spec.cancel.is_some_and(|there| there >= how) {
        there
    } else {
        app.cluster.cancel(&there, how).await?.ok_or_else(gone)?
    };
    let (user, name, how) = (&who.name, &row.name, how.as_str());
    tracing::info!(user.name = user, deployment.name = name, "{user} stops {name}: {how}");
    made_answer(&app, &who, StatusCode::ACCEPTED, &written).await
}
