//! Services as manifests: read, make, change, delete, as `kubectl` would, by whoever has Kubernetes' verb for it.
//! What the cluster refuses comes back field by field.

mod body;
pub mod shape;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crds::names;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{mirror, rows};
use utoipa::{IntoParams, ToSchema};

pub use self::body::{MAX_MANIFEST, Manifest};
use super::cluster::{Write, Wrote};
use super::problem::{FieldError, Problem};
use super::services::visible;
use super::{App, Path, Query};
use crate::audit;
use crate::people::Person;

/// Writes that are tried again because the operator has written its status in between.
pub(super) const TRIES: usize = 5;

/// Whether it is meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Meant {
    /// All: everything is checked, nothing is written. The answer is what would be.
    #[serde(rename = "dryRun")]
    #[param(inline)]
    dry_run: Option<DryRun>,
}

/// How much is only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub enum DryRun {
    /// The whole.
    All,
}

/// A Service's manifest, as it is in Kubernetes now: YAML, or JSON if `Accept` says so. Its ETag is what a change takes.
#[utoipa::path(get, path = "/services/{namespace}/{name}/manifest", tag = "services", operation_id = "getManifest",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "without status and what Kubernetes keeps for itself", content(
            (String = "application/yaml"), (Object = "application/json")), headers(("ETag" = String))),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn read(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    visible(&app, &who, (&namespace, &name)).await?;
    let there = find(&app, &namespace, &name).await?;
    Ok(answer(StatusCode::OK, &headers, there))
}

/// Make a Service from a manifest in YAML or JSON. It takes `create services.fastdeploy.dev` in its namespace.
#[utoipa::path(post, path = "/services", tag = "services", operation_id = "createService", params(Meant),
    request_body(content((String = "application/yaml"), (Object = "application/json"))),
    responses(
        (status = 201, description = "it is there; the manifest as Kubernetes has it", content(
            (String = "application/yaml"), (Object = "application/json")), headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "it would be there (dryRun)", content(
            (String = "application/yaml"), (Object = "application/json")), headers(("ETag" = String))),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn create(
    State(app): State<App>,
    who: Person,
    Query(Meant { dry_run }): Query<Meant>,
    headers: HeaderMap,
    Manifest(sent): Manifest,
) -> Result<Response, Problem> {
    let (namespace, name) = shape::place(&sent).map_err(wrong)?;
    audit::about(&namespace, &name, &name);
    app.access.must(&who, "create", "services", (&namespace, &name)).await?;
    let wanted = shape::wanted(&sent, (&namespace, &name)).map_err(wrong)?;
    let dry = dry_run.is_some();
    // What is new has the generation 1.
    let wanted = shape::signed(wanted, &who.name, 1);
    let made = match app.cluster.write(&namespace, &name, Write::Create(&wanted), dry).await? {
        Wrote::Done(made) => made,
        Wrote::Exists => {
            let detail = format!(
                "There is a service {name} in {namespace} already. Change that one, or choose another name."
            );
            return Err(Problem::conflict("Exists", detail));
        }
        Wrote::Moved | Wrote::Gone => return Err(Problem::not_found("namespace")),
        Wrote::Refused(refusal) => return Err(Problem::refused(refusal)),
    };
    if dry {
        return Ok(answer(StatusCode::OK, &headers, made));
    }
    let user = &who.name;
    tracing::info!(
        user.name = user,
        service.namespace = namespace,
        service.name = name,
        "{user} made {namespace}/{name}"
    );
    mirrored(&app, &made).await;
    let mut response = answer(StatusCode::CREATED, &headers, made);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/services/{namespace}/{name}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Change a Service: the whole manifest, and in If-Match the ETag of the one that was changed. It takes
/// `update services.fastdeploy.dev`.
#[utoipa::path(put, path = "/services/{namespace}/{name}/manifest", tag = "services", operation_id = "changeService",
    params(("namespace" = String, Path), ("name" = String, Path), Meant,
        ("If-Match" = Option<String>, Header, description = "the ETag of what was read; * for whatever is there. Without it the answer is 428")),
    request_body(content((String = "application/yaml"), (Object = "application/json"))),
    responses(
        (status = 200, description = "the manifest as Kubernetes has it", content(
            (String = "application/yaml"), (Object = "application/json")), headers(("ETag" = String))),
        (status = 412, description = "Changed", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "IfMatchMissing", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn change(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Meant { dry_run }): Query<Meant>,
    headers: HeaderMap,
    Manifest(sent): Manifest,
) -> Result<Response, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    app.access.must(&who, "update", "services", of).await?;
    let expected = if_match(&headers)?;
    let wanted = shape::wanted(&sent, of).map_err(wrong)?;
    let dry = dry_run.is_some();
    for _ in 0..TRIES {
        let there = find(&app, &namespace, &name).await?;
        holds(&expected, &there)?;
        let wanted = shape::over(&there, wanted.clone());
        match replace(&app, &who, of, &there, wanted, dry).await? {
            Wrote::Done(made) => {
                if !dry {
                    let user = &who.name;
                    tracing::info!(
                        user.name = user,
                        service.namespace = namespace,
                        service.name = name,
                        "{user} changed {namespace}/{name}"
                    );
                    mirrored(&app, &made).await;
                }
                return Ok(answer(StatusCode::OK, &headers, made));
            }
            // Most likely a status was written; what people edit is looked at again.
            Wrote::Moved | Wrote::Exists => {}
            Wrote::Gone => return Err(Problem::not_found("service")),
            Wrote::Refused(refusal) => return Err(Problem::refused(refusal)),
        }
    }
    Err(Problem::unavailable("This service is being written all the time, try again.", "conflicts"))
}

/// Delete a Service. Its servers stay as they are; its history is kept. It takes `delete services.fastdeploy.dev`.
#[utoipa::path(delete, path = "/services/{namespace}/{name}/manifest", tag = "services", operation_id = "deleteService",
    params(("namespace" = String, Path), ("name" = String, Path), Meant,
        ("If-Match" = Option<String>, Header, description = "the ETag of what was read; * for whatever is there. Without it the answer is 428")),
    responses(
        (status = 204, description = "it is gone, or goes as soon as its run has stopped"),
        (status = 412, description = "Changed", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "IfMatchMissing", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Meant { dry_run }): Query<Meant>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    app.access.must(&who, "delete", "services", of).await?;
    let expected = if_match(&headers)?;
    let dry = dry_run.is_some();
    for _ in 0..TRIES {
        let there = find(&app, &namespace, &name).await?;
        holds(&expected, &there)?;
        let text = |pointer: &str| there.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (uid, version) = (text("/metadata/uid"), text("/metadata/resourceVersion"));
        match app.cluster.write(&namespace, &name, Write::Delete { uid, version }, dry).await? {
            Wrote::Done(_) => {
                if !dry {
                    let user = &who.name;
                    tracing::info!(
                        user.name = user,
                        service.namespace = namespace,
                        service.name = name,
                        "{user} deleted {namespace}/{name}"
                    );
                }
                return Ok(StatusCode::NO_CONTENT);
            }
            Wrote::Moved | Wrote::Exists => {}
            Wrote::Gone => return Err(Problem::not_found("service")),
            Wrote::Refused(refusal) => return Err(Problem::refused(refusal)),
        }
    }
    Err(Problem::unavailable("This service is being written all the time, try again.", "conflicts"))
}

/// Writes it over what is there, with who it was. Whether it is a change at all, and which generation that makes,
/// Kubernetes says beforehand: it knows the defaults.
pub(super) async fn replace(
    app: &App,
    who: &Person,
    (namespace, name): (&str, &str),
    there: &Value,
    wanted: Value,
    dry: bool,
) -> Result<Wrote, Problem> {
    let tried = app.cluster.write(namespace, name, Write::Replace(&wanted), true).await?;
    let Wrote::Done(would) = &tried else { return Ok(tried) };
    if dry {
        return Ok(tried);
    }
    let generation = |object: &Value| object["metadata"]["generation"].as_i64();
    let wanted = match generation(would) {
        Some(new) if Some(new) != generation(there) => shape::signed(wanted, &who.name, new),
        _ => wanted,
    };
    Ok(app.cluster.write(namespace, name, Write::Replace(&wanted), false).await?)
}

/// The object as it is now.
pub(super) async fn find(app: &App, namespace: &str, name: &str) -> Result<Value, Problem> {
    // Both become a part of an address.
    if !names::is_object_name(namespace) || !names::is_object_name(name) {
        return Err(Problem::not_found("service"));
    }
    app.cluster.manifest(namespace, name).await?.ok_or_else(|| Problem::not_found("service"))
}

fn wrong(errors: Vec<FieldError>) -> Problem {
    let detail = errors.first().map(|first| first.message.clone()).unwrap_or_default();
    Problem::wrong(errors, detail)
}

/// What the caller believes to be there: none of these means anything.
fn if_match(headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let said = headers.get_all(header::IF_MATCH);
    let tags: Vec<String> = said
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().to_owned())
        .filter(|tag| !tag.is_empty())
        .collect();
    if tags.is_empty() {
        let detail = "Send the ETag of the manifest that you have read in the header If-Match, so that nobody's change is lost.";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "IfMatchMissing", detail));
    }
    Ok(tags)
}

fn holds(expected: &[String], there: &Value) -> Result<(), Problem> {
    let tag = shape::etag(there);
    if expected.iter().any(|expected| *expected == tag || expected == "*") {
        return Ok(());
    }
    let detail =
        "Somebody has changed this service since you have read it. Read it again and make your change there.";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "Changed", detail))
}

/// Into the mirror at once, so that the next read finds it. Without a database it is there all the same.
pub(super) async fn mirrored(app: &App, made: &Value) {
    let Ok(service) = serde_json::from_value::<crds::Service>(made.clone()) else { return };
    let Some(row) = rows::service(&service) else { return };
    let written = async {
        let pool = app.pool()?;
        let epoch = mirror::epoch(pool).await?;
        mirror::upsert(pool, epoch, std::slice::from_ref(&row)).await?;
        Ok::<_, Problem>(())
    };
    if let Err(problem) = written.await {
        tracing::warn!(error = problem.detail, "{} is not in the database yet", service.name_any());
    }
}

/// In the caller's language; YAML unless JSON is asked for.
fn answer(status: StatusCode, headers: &HeaderMap, object: Value) -> Response {
    let tag = shape::etag(&object);
    let shown = shape::shown(object);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = accept.contains("json") && !accept.contains("yaml");
    let (kind, text) = if json {
        ("application/json", shown.to_string())
    } else {
        ("application/yaml", serde_yaml::to_string(&shown).unwrap_or_else(|_| json!(shown).to_string()))
    };
    (status, [(header::CONTENT_TYPE, kind), (header::ETAG, &tag), (header::VARY, "accept")], text)
        .into_response()
}
