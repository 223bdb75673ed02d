//! `POST /api/v1/hooks`: a Git server says that something was pushed. Whoever knows the secret may say so; what
//! follows is one look at the repository by the operator, however often and by however many it is said.

pub mod pushed;
pub mod signature;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use crds::events::EventType;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use moka::sync::Cache;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::outbox::{self, Event};
use store::sources::{self, GitSource};
use utoipa::ToSchema;

use self::pushed::Push;
use crate::api::App;
use crate::api::problem::Problem;
use crate::names;
use crate::stored;

/// Largest delivery, in bytes. One that is larger is not needed: the operator looks by itself, too.
pub const MAX_DELIVERY: usize = 2 * 1024 * 1024;
/// Deliveries that are looked at at once; others wait.
const AT_ONCE: usize = 8;
/// What is said of a repository within this time is one wish.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long a delivery is remembered: the same again is a repetition.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Deliveries that are remembered: bounds the memory (about 100 bytes each).
const DELIVERIES: u64 = 50_000;
/// Shortest secret that counts, in bytes.
const MIN_SECRET: usize = 16;
/// How soon a secret that was changed is known.
const LOOK: Duration = Duration::from_secs(30);

/// What deliveries need.
#[derive(Clone)]
pub struct Hooks(Arc<Inner>);

struct Inner {
    secrets: Mutex<Vec<Vec<u8>>>,
    seen: Cache<[u8; 32], ()>,
    /// Repositories of which a wish is on its way.
    pending: Mutex<HashSet<String>>,
    room: tokio::sync::Semaphore,
}

impl Default for Hooks {
    fn default() -> Self {
        let seen = Cache::builder().max_capacity(DELIVERIES).time_to_live(REMEMBERED).build();
        let room = tokio::sync::Semaphore::new(AT_ONCE);
        Self(Arc::new(Inner { secrets: Mutex::default(), seen, pending: Mutex::default(), room }))
    }
}

impl Hooks {
    /// From now on these secrets count.
    pub fn trust(&self, secrets: Vec<Vec<u8>>) {
        *self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the Secret again and again, and makes it where there is none: it can be replaced without a restart. Each
/// of its keys is a secret that counts, so there may be one for each sender, and two while one is replaced.
pub async fn keep_secrets(client: Client, namespace: String, hooks: Hooks) {
    let secrets = Api::<Secret>::namespaced(client, &namespace);
    loop {
        let made = || {
            Ok([("secret", format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))])
        };
        match stored::get_or_create(&secrets, names::WEBHOOKS, made).await {
            Ok(secret) => hooks.trust(usable(&secret)),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "the secrets of webhooks stay as they are: {error}");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn usable(secret: &Secret) -> Vec<Vec<u8>> {
    let values = secret.data.iter().flatten().map(|(_, value)| value.0.trim_ascii().to_vec());
    values.filter(|value| value.len() >= MIN_SECRET).collect()
}

/// What follows from a delivery.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// Services that are built from what was pushed.
    pub services: usize,
    /// The same was delivered before: nothing follows.
    pub again: bool,
}

/// A Git server says that something was pushed: GitHub, GitLab, Gitea and Forgejo as they do, others with Standard
/// Webhooks (https://www.standardwebhooks.com) and `{"repository": "https://…"}`. It is signed with the secret of the installation.
#[utoipa::path(post, path = "/hooks", tag = "hooks", operation_id = "hook", security(()),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 202, body = Heard), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn hear(State(app): State<App>, request: Request) -> Result<(StatusCode, Json<Heard>), Problem> {
    let hooks = &app.people.hooks;
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, &app).await.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("A delivery has at most {MAX_DELIVERY} bytes; send pushes only.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", detail)
        } else {
            Problem::bad_request(format!("{}.", error.body_text()))
        }
    })?;
    let now = (app.clock)();
    let sender = signature::verify(&headers, &body, &hooks.secrets(), now).map_err(|refusal| {
        let detail = refusal.words();
        tracing::info!(reason = detail, "a webhook was refused: {detail}");
        Problem::new(StatusCode::UNAUTHORIZED, "BadSignature", detail)
    })?;
    // Only who knows a secret comes so far: nobody else takes room that others wait for.
    let _room = hooks.0.room.acquire().await;
    let push = pushed::read(&body).map_err(Problem::bad_request)?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let Some(Push { repositories, revision }) = push else {
        // A ping, or something else than a push.
        return Ok((StatusCode::ACCEPTED, Json(Heard { services: 0, again: false })));
    };
    if hooks.0.seen.contains_key(&digest) {
        return Ok((StatusCode::ACCEPTED, Json(Heard { services: 0, again: true })));
    }
    let pool = app.pool()?;
    let all = sources::git(pool).await?;
    let built = all.into_iter().filter(|source| repositories.contains(&pushed::normal(&source.url)));
    let mut checks: BTreeMap<String, Vec<GitSource>> = BTreeMap::new();
    for source in built {
        checks.entry(source.repository.clone()).or_default().push(source);
    }
    let services = checks.values().map(Vec::len).sum();
    let token = hex::encode(&digest[..16]);
    for (repository, sources) in &checks {
        ask(&app, repository, sources, &format!("{sender}:{token}")).await?;
    }
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in checks.values().flatten() {
        told.entry(&source.namespace).or_default().push(&source.name);
    }
    let events = told.into_iter().map(|(namespace, services)| Event {
        id: format!("{}/{token}/{namespace}", EventType::SourceAnnounced.as_str()),
        namespace: namespace.to_owned(),
        ..Event::of_person(
            EventType::SourceAnnounced,
            &format!("webhook:{sender}"),
            repositories.first().map_or("", String::as_str),
            json!({"repository": repositories.first(), "revision": revision, "services": services}),
        )
    });
    outbox::tell(pool, &events.collect::<Vec<_>>()).await?;
    hooks.0.seen.insert(digest, ());
    tracing::info!(
        hook.sender = sender,
        hook.services = services,
        "{sender} said that something was pushed: {services} services"
    );
    Ok((StatusCode::ACCEPTED, Json(Heard { services, again: false })))
}

/// One look at a repository, for all that are built from it: one of them asks, and what is new wakes the others.
async fn ask(app: &App, repository: &str, sources: &[GitSource], token: &str) -> Result<(), Problem> {
    let pending = &app.people.hooks.0.pending;
    let lock = || pending.lock().unwrap_or_else(PoisonError::into_inner);
    if !lock().insert(repository.to_owned()) {
        // That look has not begun yet, and sees this push as well.
        return Ok(());
    }
    tokio::time::sleep(TOGETHER).await;
    lock().remove(repository);
    for source in sources {
        // Where one was deleted meanwhile, the next asks.
        if app.cluster.announce(&source.namespace, &source.name, token).await? {
            break;
        }
    }
    Ok(())
}
