//! `/api/v1/services`.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::answers::{self, At, ServiceWithRuns};
use store::read::{Namespaces, ServiceRow, Snapshot, TickRow};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::etag::Had;
use super::problem::Problem;
use super::view::{self, Deployment, Service};
use super::{App, Path, Query, bounded};
use crate::people::Person;

/// Most Services on a page.
const MAX_PAGE: i64 = 200;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// At most so many, 1 to 200. Default: 100.
    pub limit: Option<i64>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// Which Services.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Only of this namespace.
    namespace: Option<String>,
    /// At most so many, 1 to 200. Default: 100.
    limit: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Services by team and name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServicePage {
    /// Where in the stream of changes this is true: subscribe from here.
    pub cursor: String,
    /// `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// Of this page.
    pub items: Vec<Service>,
}

/// One Service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceAnswer {
    /// Where in the stream of changes this is true: subscribe from here.
    pub cursor: String,
    /// It.
    pub service: Service,
    /// What you may do.
    pub may: ServiceMay,
}

/// What somebody may do with a Service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceMay {
    /// Start a run.
    pub deploy: bool,
    /// Change its manifest.
    pub change: bool,
    /// Delete it.
    pub delete: bool,
}

/// The Services that you may see.
#[utoipa::path(get, path = "/services", tag = "services", operation_id = "listServices",
    params(Find,
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that you have: 304 if nothing is new")),
    responses((status = 200, body = ServicePage, headers(("ETag" = String))),
        (status = 304, description = "you have it already: If-None-Match named its ETag"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    had: Had,
    Query(Find { namespace, limit, after }): Query<Find>,
) -> Result<Response, Problem> {
    let limit = bounded("limit", limit, 100, MAX_PAGE)?;
    let after = after.as_deref().map(|after| {
        after
            .split_once('/')
            .ok_or_else(|| Problem::bad_request("after: write what `next` of the page before says."))
    });
    let after = after.transpose()?;
    let pool = app.pool()?;
    let within = |of: &Namespaces| match &namespace {
        Some(only) => of.clone().within(only.clone()),
        None => of.clone(),
    };
    let tag = |of: &Namespaces, position| had.tag(&who, position, &json!(format!("{:?}", within(of))));
    if had.some() {
        let (of, here) =
            app.access.seen(&who, |of| async move { Ok(answers::here(pool, &of).await?) }).await?;
        if let Some(unchanged) = tag(&of, here.position).had() {
            return Ok(unchanged);
        }
    }
    let read = |of: Namespaces| async move {
        Ok(answers::services(pool, &within(&of), after, limit + 1, view::TICKS as i64).await?)
    };
    let (of, At { position, read: mut rows, .. }) = app.access.seen(&who, read).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more).map(|row| &row.service);
    let next = last.map(|last| format!("{}/{}", last.namespace, last.name));
    let items = rows.into_iter().filter_map(shown).collect();
    Ok(tag(&of, position).on(ServicePage { cursor: position.to_string(), next, items }))
}

/// One Service.
#[utoipa::path(get, path = "/services/{namespace}/{name}", tag = "services", operation_id = "getService",
    params(("namespace" = String, Path), ("name" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that you have: 304 if nothing is new")),
    responses((status = 200, body = ServiceAnswer, headers(("ETag" = String))),
        (status = 304, description = "you have it already: If-None-Match named its ETag"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn one(
    State(app): State<App>,
    who: Person,
    had: Had,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    let may = async |verb| app.access.may(&who, verb, "services", of).await;
    let may = ServiceMay {
        deploy: may("deploy").await?,
        change: may("update").await?,
        delete: may("delete").await?,
    };
    let pool = app.pool()?;
    if had.some() {
        let here = answers::here(pool, &Namespaces::All).await?;
        if let Some(unchanged) = had.tag(&who, here.position, &json!(may)).had() {
            return Ok(unchanged);
        }
    }
    let At { position, read, .. } = answers::service(pool, &namespace, &name, view::TICKS as i64).await?;
    let service = read.and_then(shown).ok_or_else(|| Problem::not_found("service"))?;
    let tag = had.tag(&who, position, &json!(may));
    Ok(tag.on(ServiceAnswer { cursor: position.to_string(), service, may }))
}

fn shown(ServiceWithRuns { service, runs, ticks }: ServiceWithRuns) -> Option<Service> {
    let runs = runs.iter().filter_map(|row| Some((row.uid, view::deployment(row)?))).collect();
    view::service(&service, ticks, &runs)
}

/// What one may not see is not there.
pub(crate) async fn visible(app: &App, who: &Person, of: (&str, &str)) -> Result<(), Problem> {
    if app.access.may(who, "get", "services", of).await? {
        Ok(())
    } else {
        Err(Problem::not_found("service"))
    }
}

/// With their runs.
pub(crate) async fn load(snapshot: &mut Snapshot, rows: &[ServiceRow]) -> Result<Vec<Service>, Problem> {
    let uids: Vec<Uuid> = rows.iter().flat_map(view::named_runs).collect();
    let runs = snapshot.deployments_by_uid(&uids).await?;
    let runs: BTreeMap<Uuid, Deployment> =
        runs.iter().filter_map(|row| Some((row.uid, view::deployment(row)?))).collect();
    let mut ticks: HashMap<(String, String), Vec<TickRow>> = HashMap::new();
    for (namespace, name, tick) in snapshot.ticks(rows, view::TICKS as i64).await? {
        ticks.entry((namespace, name)).or_default().push(tick);
    }
    let services = rows.iter().filter_map(|row| {
        let ticks = ticks.remove(&(row.namespace.clone(), row.name.clone())).unwrap_or_default();
        view::service(row, ticks, &runs)
    });
    Ok(services.collect())
}
