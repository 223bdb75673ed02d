//! What people decide on a run that is there: it is to stop; they agree to it, or refuse it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use crds::deployment::Approval;
use kube::ResourceExt;
use serde::Deserialize;
use store::read::Snapshot;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cluster::Decided;
use super::deployments::{DeploymentAnswer, find};
use super::problem::Problem;
use super::start::made_answer;
use super::view::{StopHow, YesOrNo};
use super::{App, Body, Path};
use crate::people::Person;

/// How to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// AfterStep may be followed by Now, not the other way round.
    how: StopHow,
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
    let gone = || Problem::conflict("Ended", "This run has ended, there is nothing to stop.");
    let there = on(&app, &who, uid, "cancel").await?.ok_or_else(gone)?;
    if there.status.as_ref().and_then(|status| status.phase).is_some_and(crds::Phase::is_terminal) {
        return Err(gone());
    }
    let how = crds::deployment::Cancel::from(how);
    let written = if there.spec.cancel.is_some_and(|there| there >= how) {
        there
    } else {
        app.cluster.cancel(&there, how).await?.ok_or_else(gone)?
    };
    let (user, name, how) = (&who.name, written.name_any(), how.as_str());
    tracing::info!(user.name = user, deployment.name = name, "{user} stops {name}: {how}");
    made_answer(&app, &who, StatusCode::ACCEPTED, &written).await
}

/// The run as the cluster has it now, for somebody who may do that with it; nothing, if it is gone or another one has
/// its name.
async fn on(
    app: &App,
    who: &Person,
    uid: Uuid,
    verb: &'static str,
) -> Result<Option<crds::Deployment>, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = find(app, who, &mut snapshot, uid).await?;
    drop(snapshot);
    app.access.must(who, verb, "deployments", (&row.namespace, &row.name)).await?;
    let there = app.cluster.deployment(&row.namespace, &row.name).await?;
    Ok(there.filter(|there| there.uid() == Some(uid.to_string())))
}

/// Yes or no, to what was looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Approved: it may run. Rejected: it ends here.
    decision: YesOrNo,
    /// `digest` of the Deployment that you looked at: if it runs something else by now, nothing is decided.
    digest: String,
}

/// Agree to a run, or refuse it. Once.
#[utoipa::path(post, path = "/deployments/{uid}/approval", tag = "deployments", operation_id = "decideDeployment",
    params(("uid" = Uuid, Path)), request_body = Decide,
    responses((status = 202, body = DeploymentAnswer), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn decide(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Body(Decide { decision, digest }): Body<Decide>,
) -> Result<Response, Problem> {
    let gone = || Problem::conflict("Ended", "This run has ended, there is nothing to decide.");
    let there = on(&app, &who, uid, "approve").await?.ok_or_else(gone)?;
    let status = there.status.clone().unwrap_or_default();
    if status.phase != Some(crds::Phase::AwaitingApproval) {
        let detail = "This run does not wait for anybody to agree to it (any more).";
        return Err(Problem::conflict("NotAwaited", detail));
    }
    if status.digest.as_deref() != Some(digest.as_str()) {
        let detail = "What this run would do is not what you looked at. Look again, then decide.";
        return Err(Problem::conflict("OtherDigest", detail));
    }
    let approval = Approval { decision: decision.into(), digest, by: who.subject().user };
    let written = match app.cluster.decide(&there, &approval).await? {
        Decided::Written(written) => written,
        Decided::Gone => return Err(gone()),
        Decided::Refused(refusal) => return Err(Problem::refused(refusal)),
    };
    let (user, name) = (&who.name, written.name_any());
    tracing::info!(user.name = user, deployment.name = name, "{user} decides on {name}: {decision:?}");
    made_answer(&app, &who, StatusCode::ACCEPTED, &written).await
}
