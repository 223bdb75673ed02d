//! `POST /runs/{uid}/{attempt}/claim`: a runner's permission to start Ansible.
//!
//! Who asks is what Kubernetes says about the token; whether it may is decided on live objects; a
//! grant counts once it stands in `status.run`. So any number of replicas, crashes and repeats
//! end in one grant per attempt.

pub mod answer;
pub mod caller;
pub mod cluster;
pub mod decide;
#[cfg(test)]
pub(crate) mod fake;
pub mod pod;
pub mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crds::Deployment;
use jiff::Timestamp;
use protocol::claim::ClaimGranted;
use telemetry::Traces;
use tokio::sync::Semaphore;

use self::answer::Refusal;
use self::caller::Caller;
use self::cluster::{Cluster, Unavailable, Written};
use self::decide::{Grant, decide};
use self::pod::RunPod;
use self::request::Ask;
use crate::identity::key::SigningKey;
use crate::identity::token::{self, RunClaims};
use crate::limits;
use crate::metrics::{Metrics, Outcome};
use crate::traces;

/// How often a grant is decided anew because somebody else wrote in between.
const TRIES: u32 = 5;
/// Before the second try; longer with each one.
const PAUSE: Duration = Duration::from_millis(10);

/// What the handlers share.
pub struct App<C>(Arc<Shared<C>>);

struct Shared<C> {
    cluster: C,
    key: SigningKey,
    clock: fn() -> Timestamp,
    metrics: Arc<Metrics>,
    traces: Traces,
    places: Semaphore,
}

impl<C> App<C> {
    /// From its parts.
    pub fn new(
        cluster: C,
        key: SigningKey,
        clock: fn() -> Timestamp,
        metrics: Arc<Metrics>,
        traces: Traces,
    ) -> Self {
        let places = Semaphore::new(limits::CLAIMS_AT_ONCE);
        Self(Arc::new(Shared { cluster, key, clock, metrics, traces, places }))
    }
}

impl<C> Clone for App<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What became known on the way: for the log line, also of a refusal.
#[derive(Default)]
struct Seen {
    ask: Option<Ask>,
    caller: Option<Caller>,
    deployment: Option<String>,
}

impl Seen {
    /// For people: `attempt 1 of team-web/blog-1 by 6b1e… in pod blog-1-a1-x`, or what is known of it.
    fn what(&self) -> String {
        match self {
            Self { ask: Some(ask), caller: Some(caller), deployment: Some(deployment) } => format!(
                "attempt {} of {}/{deployment} by {} in pod {}",
                ask.attempt, caller.namespace, ask.instance, caller.pod_name
            ),
            Self { ask: Some(ask), caller: Some(caller), .. } => format!(
                "attempt {} of run {} by pod {}/{}",
                ask.attempt, ask.uid, caller.namespace, caller.pod_name
            ),
            Self { ask: Some(ask), .. } => format!("attempt {} of run {}", ask.attempt, ask.uid),
            _ => "a claim".to_owned(),
        }
    }
}

/// Answer one claim, count it and log it once.
pub async fn handle<C: Cluster>(
    State(App(app)): State<App<C>>,
    Path((uid, attempt)): Path<(String, String)>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let mut seen = Seen::default();
    let work = claim(&app, &mut seen, &uid, &attempt, request);
    let result = tokio::time::timeout(limits::REQUEST_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(Refusal::unavailable("This took too long, ask again.", "request timeout")));
    let outcome = match &result {
        Ok((grant, _)) if grant.new => Outcome::granted,
        Ok(_) => Outcome::repeated,
        Err(refusal) => refusal.outcome(),
    };
    app.metrics.claim(outcome, begun.elapsed());
    log(&seen, outcome, result.as_ref().map(|(grant, _)| grant), begun.elapsed());
    match result {
        Ok((_, granted)) => Json(granted).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn claim<C: Cluster>(
    app: &Shared<C>,
    seen: &mut Seen,
    uid: &str,
    attempt: &str,
    request: Request,
) -> Result<(Grant, ClaimGranted), Refusal> {
    let begun = (app.clock)();
    let token = request::bearer(request.headers())?.to_owned();
    let body = read(request).await?;
    let ask = seen.ask.insert(Ask::parse(uid, attempt, &body)?);
    let _place = app.places.acquire().await.map_err(|error| stopped(&error))?;

    let audience = protocol::pod::audience(&ask.uid, ask.attempt);
    let review = app.cluster.review(&token, &audience).await.map_err(away)?;
    let caller = caller::identify(&review, &audience)
        .map_err(|cause| Refusal::unauthenticated(review.error.as_deref().unwrap_or(cause)))?;
    let caller = seen.caller.insert(caller);
    let pod = app.cluster.pod(&caller.namespace, &caller.pod_name).await.map_err(away)?;
    let pod = pod::examine(caller, ask.attempt, pod.as_ref())?;
    seen.deployment = Some(pod.deployment.clone());

    let (grant, deployment) = grant(app, ask, &caller.namespace, &pod).await?;
    if grant.new {
        traces::claimed(&app.traces, &deployment, ask.attempt, begun, (app.clock)());
    }
    let granted = answer(app, ask, (&caller.namespace, &pod.deployment), &grant)?;
    Ok((grant, granted))
}

/// Read, decide, write; again, if somebody else wrote in between.
async fn grant<C: Cluster>(
    app: &Shared<C>,
    ask: &Ask,
    namespace: &str,
    pod: &RunPod,
) -> Result<(Grant, Deployment), Refusal> {
    for attempt in 0..TRIES {
        tokio::time::sleep(PAUSE * attempt).await;
        // In this order, see `decide`.
        let deployment = app.cluster.deployment(namespace, &pod.deployment).await.map_err(away)?;
        let service = match &deployment {
            Some(deployment) => {
                app.cluster.service(namespace, &deployment.spec.service).await.map_err(away)?
            }
            None => None,
        };
        let grant = decide(ask, pod, deployment.as_ref(), service.as_ref(), (app.clock)())?;
        let half = || {
            Refusal::unavailable("The Kubernetes API gave half an answer, ask again.", "no resourceVersion")
        };
        let deployment = deployment.ok_or_else(half)?;
        if !grant.new {
            return Ok((grant, deployment));
        }
        let version = deployment.metadata.resource_version.clone().ok_or_else(half)?;
        let written = app.cluster.write_run(namespace, &pod.deployment, &version, &grant.run).await;
        if written.map_err(away)? == Written::Yes {
            return Ok((grant, deployment));
        }
    }
    let cause = format!("the Deployment changed {TRIES} times while the claim was decided");
    Err(Refusal::unavailable("This run changes too fast, ask again.", cause))
}

fn answer<C>(
    app: &Shared<C>,
    ask: &Ask,
    deployment: (&str, &str),
    grant: &Grant,
) -> Result<ClaimGranted, Refusal> {
    let now = (app.clock)();
    let claims = RunClaims::new(&ask.uid, ask.attempt, &ask.instance, deployment, now, grant.deadline);
    let token = token::issue(&app.key, &claims).map_err(|error| {
        Refusal::unavailable("The token could not be signed, ask again.", error.to_string())
    })?;
    let acked = u64::try_from(grant.run.seq).unwrap_or(0);
    Ok(ClaimGranted { token, deadline: grant.deadline, acked })
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("A claim has at most {} bytes.", limits::MAX_BODY);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", message)
        }
        _ => Refusal::bad_request("The body could not be read."),
    })
}

fn away(error: Unavailable) -> Refusal {
    let cause = format!("{:#}", anyhow::Error::from(error));
    Refusal::unavailable("The Kubernetes API cannot be asked now, ask again.", cause)
}

fn stopped(error: &tokio::sync::AcquireError) -> Refusal {
    Refusal::unavailable("This server is stopping, ask again.", error.to_string())
}

fn log(seen: &Seen, outcome: Outcome, result: Result<&Grant, &Refusal>, took: Duration) {
    let Seen { ask, caller, deployment } = seen;
    let uid = ask.as_ref().map(|ask| &ask.uid);
    let attempt = ask.as_ref().map(|ask| ask.attempt);
    let instance = ask.as_ref().map(|ask| &ask.instance);
    let namespace = caller.as_ref().map(|caller| &caller.namespace);
    let pod = caller.as_ref().map(|caller| &caller.pod_name);
    let duration_ms = took.as_micros() as f64 / 1_000.0;
    macro_rules! line {
        ($level:ident, { $($field:tt)* }, $($text:tt)*) => {
            tracing::$level!(
                claim.outcome = ?outcome, claim.duration_ms = duration_ms, run.uid = uid, run.attempt = attempt,
                run.instance = instance, deployment.namespace = namespace, deployment.name = deployment,
                pod.name = pod, $($field)* $($text)*
            )
        };
    }
    let what = seen.what();
    match result {
        Ok(grant) => line!(info, { claim.deadline = %grant.deadline, }, "{outcome:?}: {what}"),
        Err(Refusal { status, reason, message, cause }) => {
            let (status, error) = (status.as_u16(), cause.as_ref());
            let why = cause.as_deref().unwrap_or(message);
            if status >= 500 {
                line!(warn, { claim.status = status, claim.reason = reason, error, }, "{outcome:?}: {what}: {reason}: {why}");
            } else {
                line!(info, { claim.status = status, claim.reason = reason, error, }, "{outcome:?}: {what}: {reason}: {why}");
            }
        }
    }
}
