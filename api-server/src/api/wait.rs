//! `/api/v1/deployments/{uid}/wait`: for pipelines: how a run ended, as soon as it has.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::read::Snapshot;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use super::view::{self, Deployment, RunPhase};
use super::{App, Path, Query, bounded, deployments};
use crate::people::Person;

/// Below what an answer may take.
const LONGEST: i64 = 25;
/// Between two looks at the database.
const LOOK: Duration = Duration::from_millis(500);

/// For how long.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// 1 to 25. Default: 20.
    seconds: Option<i64>,
}

/// How a run ended, or that it has not.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunVerdict {
    /// false: ask again.
    pub finished: bool,
    /// Only once it is over: whether it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub succeeded: Option<bool>,
    /// It.
    pub deployment: Deployment,
}

/// Wait until a run is over, for at most so many seconds.
#[utoipa::path(get, path = "/deployments/{uid}/wait", tag = "deployments", operation_id = "waitForDeployment",
    params(("uid" = Uuid, Path), Patience),
    responses((status = 200, body = RunVerdict), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn wait(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Query(Patience { seconds }): Query<Patience>,
) -> Result<Json<RunVerdict>, Problem> {
    let seconds = bounded("seconds", seconds, 20, LONGEST)?;
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds.unsigned_abs());
    loop {
        let mut snapshot = Snapshot::begin(app.pool()?).await?;
        let row = deployments::find(&app, &who, &mut snapshot, uid).await?;
        drop(snapshot);
        let deployment = view::deployment(&row).ok_or_else(|| Problem::not_found("deployment"))?;
        let finished = matches!(
            deployment.phase,
            RunPhase::Succeeded | RunPhase::NothingDone | RunPhase::Failed | RunPhase::Cancelled
        );
        // What is no longer in Kubernetes and has no end will have none.
        if finished || deployment.gone || tokio::time::Instant::now() + LOOK > until {
            let succeeded = finished.then_some(deployment.phase == RunPhase::Succeeded);
            return Ok(Json(RunVerdict { finished: finished || deployment.gone, succeeded, deployment }));
        }
        tokio::time::sleep(LOOK).await;
    }
}
