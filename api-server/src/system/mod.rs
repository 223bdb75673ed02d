//! `/api/v1/system`: which versions are at work and how each part fares, for those with the verb get on
//! `system.fastdeploy.dev` in the whole cluster (ClusterRole fastdeploy-admin). There is no such object.

pub mod installation;
pub mod report;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use store::system;

use self::report::{Seen, System};
use crate::api::App;
use crate::api::problem::Problem;
use crate::people::Person;

/// What Kubernetes is asked about.
pub const RESOURCE: &str = "system";

/// How the installation fares. A part that does not answer is said to be away; the others are shown all the same.
#[utoipa::path(get, path = "/system", tag = "system", operation_id = "getSystem",
    responses((status = 200, body = System), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn read(State(app): State<App>, who: Person) -> Result<Json<System>, Problem> {
    app.access.must_everywhere(&who, "get", RESOURCE).await?;
    let database = async {
        match app.pool() {
            Ok(pool) => Some(system::state(pool).await.inspect_err(|error| said("PostgreSQL", error)).ok()),
            Err(_) => None,
        }
    };
    let (database, parts) = tokio::join!(database, installation::look(app.people.installation.as_deref()));
    Ok(Json(report::of(&Seen { database, parts }, (app.clock)())))
}

/// The page shows that a part is away; why stands in the log.
fn said(part: &str, error: &dyn std::fmt::Display) {
    tracing::info!(error = %error, "{part} could not be looked at: {error}");
}
