//! The number of each request, and the audit log's line of what was asked: each write, each look at a run's output, by
//! whom, from where, with which result. A write whose caller has gone away is carried out and written down all the same.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::activity;
use uuid::Uuid;

use crate::api::App;
use crate::api::openapi;
use crate::api::problem::Problem;
use crate::people::address::Address;

/// The header with a request's number.
pub const REQUEST_ID: &str = "x-request-id";
/// Longest number that is taken from a caller, in characters.
const MAX_ID: usize = 64;
/// Longest name of a program that is written down, in characters.
const MAX_AGENT: usize = 200;

/// Event of the catalogue for looks at output.
pub const OUTPUT_READ: &str = crds::events::EventType::DeploymentOutputRead.as_str();

tokio::task_local! {
    static NOW: Arc<Asked>;
}

/// The request that is being answered.
#[derive(Debug)]
struct Asked {
    id: String,
    known: Mutex<Known>,
}

/// What is found out about it on the way.
#[derive(Clone, Debug, Default)]
struct Known {
    actor: Option<String>,
    /// Namespace, Service, what it is about: where the address does not say so.
    about: Option<(String, String, String)>,
    reason: Option<&'static str>,
}

impl Asked {
    fn known(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The number of the request that is being answered, for problems and log lines.
pub fn request_id() -> Option<String> {
    NOW.try_with(|asked| asked.id.clone()).ok()
}

/// Who asks is known now.
pub fn by(name: &str) {
    let _ = NOW.try_with(|asked| asked.known(|known| known.actor = Some(name.to_owned())));
}

/// What it is about, where the address does not say so.
pub fn about(namespace: &str, service: &str, subject: &str) {
    let about = Some((namespace.to_owned(), service.to_owned(), subject.to_owned()));
    let _ = NOW.try_with(|asked| asked.known(|known| known.about = about));
}

/// It was refused, for this reason.
pub fn refused(reason: &'static str) {
    let _ = NOW.try_with(|asked| asked.known(|known| known.reason = Some(reason)));
}

/// Numbers the request, and writes down what is to be kept of it.
pub async fn noted(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).and_then(|said| said.to_str().ok());
    let id = id.filter(|id| is_id(id)).map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned);
    let asked = Arc::new(Asked { id: id.clone(), known: Mutex::default() });
    let mut response = match operation(&request) {
        None => NOW.scope(asked, next.run(request)).await,
        Some(what) => {
            let (mut parts, body) = request.into_parts();
            let Ok(from) = Address::from_request_parts(&mut parts, &app).await;
            let mut line = line(what, &id, from, &parts);
            let request = Request::from_parts(parts, body);
            // A task of its own: what has begun is carried out and written down, whoever goes away meanwhile.
            let done = tokio::spawn(NOW.scope(asked.clone(), async move {
                let response = next.run(request).await;
                line.status = i32::from(response.status().as_u16());
                write(&app, &asked, line).await;
                response
            }));
            done.await.unwrap_or_else(|error| {
                Problem::unavailable("This could not be answered, try again.", error).into_response()
            })
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// Under which name it is written down; none: it is not. Signing in and out are events of their own.
fn operation(request: &Request) -> Option<&'static str> {
    let path = request.extensions().get::<MatchedPath>()?.as_str().strip_prefix("/api/v1")?;
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if path.starts_with("/session") {
        return None;
    }
    if reads {
        let shows = ["/deployments/{uid}/output", "/deployments/{uid}/evidence"];
        return shows.iter().any(|shows| path.starts_with(shows)).then_some(OUTPUT_READ);
    }
    openapi::operation(request.method(), path)
}

/// What the address and the headers say.
fn line(what: &str, id: &str, from: Address, parts: &axum::http::request::Parts) -> activity::Request {
    let pattern =
        parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let path = parts.extensions.get::<axum::extract::OriginalUri>();
    let path = path.map_or_else(|| parts.uri.path().to_owned(), |uri| uri.0.path().to_owned());
    let part = |name: &str| {
        let found = pattern.split('/').zip(path.split('/')).find(|(pattern, _)| *pattern == name);
        found.map(|(_, found)| found.chars().filter(|c| !c.is_control()).take(253).collect::<String>())
    };
    let of_service = pattern.starts_with("/api/v1/services/");
    let name = part("{name}").unwrap_or_default();
    let agent =
        parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let dry = parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("dryRun=")));
    activity::Request {
        what: what.to_owned(),
        actor: String::new(),
        address: from.text(),
        agent: agent.chars().take(MAX_AGENT).collect(),
        request_id: id.to_owned(),
        namespace: part("{namespace}").unwrap_or_default(),
        service: if of_service { name.clone() } else { String::new() },
        subject: part("{uid}").unwrap_or(name),
        status: 0,
        data: if dry { json!({"dryRun": true}) } else { json!({}) },
    }
}

/// Of nobody nothing is written down: whoever has not signed in could fill the log.
async fn write(app: &App, asked: &Asked, mut line: activity::Request) {
    let known = asked.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (Some(actor), Ok(pool)) = (known.actor, app.pool()) else { return };
    line.actor = actor;
    if let Some((namespace, service, subject)) = known.about {
        (line.namespace, line.service, line.subject) = (namespace, service, subject);
    }
    if let Some(reason) = known.reason {
        line.data["reason"] = json!(reason);
    }
    if let Err(error) = activity::asked(pool, &line).await {
        let (user, what, id) = (&line.actor, &line.what, &line.request_id);
        let error = error.to_string();
        tracing::error!(
            user.name = user,
            request.id = id,
            error,
            "the audit log is not written: {user} did {what} with status {}: {error}",
            line.status
        );
    }
}

/// Somebody begins to follow a run's output on a socket.
pub async fn output_followed(app: &App, who: &str, uid: Uuid) {
    let line = activity::Request {
        what: OUTPUT_READ.to_owned(),
        actor: who.to_owned(),
        address: String::new(),
        agent: "WebSocket".to_owned(),
        request_id: String::new(),
        namespace: String::new(),
        service: String::new(),
        subject: uid.to_string(),
        status: 200,
        data: json!({}),
    };
    let Ok(pool) = app.pool() else { return };
    if let Err(error) = activity::asked(pool, &line).await {
        let error = error.to_string();
        tracing::error!(
            user.name = who,
            error,
            "the audit log is not written: {who} follows the output of {uid}: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn a_number_is_taken_only_if_it_can_stand_in_a_log() {
        assert!(is_id("4bf92f35-77b3.a_1:2") && is_id(&"a".repeat(64)));
        for wrong in ["", "a b", "a\n", "ü", "a\"b", &"a".repeat(65)] {
            assert!(!is_id(wrong), "{wrong:?}");
        }
    }
}
