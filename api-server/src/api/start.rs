//! Starting runs: new ones, the same again, back to an earlier one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crds::deployment::{Cancel, DeploymentSpec, NumberRef, SecretInputs};
use crds::service::{InputType, NameRef};
use crds::{inputs, names};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;
use store::read::{DeploymentRow, Snapshot};
use store::{mirror, rows};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cluster::{Created, Kept};
use super::deployments::{DeploymentAnswer, DeploymentMay, answer, find};
use super::problem::{FieldError, Problem};
use super::secret_answers::{Given, SecretAnswers, Values};
use super::services::visible;
use super::view::{self, RunMode};
use super::{App, Body, Path};
use crate::people::Person;
use crate::traces;

/// What is to be run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Start {
    /// Answers to the Service's form.
    #[serde(default)]
    #[schema(required = false)]
    inputs: BTreeMap<String, Value>,
    /// Answers to the form's secret questions.
    #[serde(default)]
    secret_inputs: Option<SecretAnswers>,
    /// Why, for people; at most 500 characters.
    #[serde(default)]
    reason: Option<String>,
    /// Check: a preview, which changes nothing. Default: Apply.
    #[serde(default)]
    #[schema(required = false)]
    mode: RunMode,
    /// A branch, tag or commit of the Service's repository, where it is to be another than the one that is wanted now.
    #[serde(default)]
    revision: Option<String>,
    /// Go back: run again exactly what the Deployment of this number ran.
    #[serde(default)]
    repeat: Option<i64>,
    /// The same as the Deployment of this number, only on the servers that failed there.
    #[serde(default)]
    failed_of: Option<i64>,
    /// Only these servers: an Ansible pattern, for example `web1` or `web*:!web3`.
    #[serde(default)]
    limit: Option<String>,
}

/// Why it is run again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// For people; at most 500 characters. Default: what was written the first time.
    #[serde(default)]
    reason: Option<String>,
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
    Body(start): Body<Start>,
) -> Result<Response, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    let Start { inputs, secret_inputs, reason, mode, revision, repeat, failed_of, limit } = start;
    let number = |number: Option<i64>| number.map(|number| NumberRef { number });
    let (named, said) = match secret_inputs.map(SecretAnswers::given).transpose()? {
        None => (None, None),
        Some(Given::Named(name)) => (Some(answers_in(name)), None),
        Some(Given::Said(values)) => (None, Some(values)),
    };
    let spec = DeploymentSpec {
        reason,
        inputs,
        secret_inputs: named,
        mode: mode.into(),
        revision,
        repeat: number(repeat),
        failed_of: number(failed_of),
        limit,
        ..DeploymentSpec::of(name.clone())
    };
    make(&app, &who, of, &headers, spec, said).await
}

/// Run the same again: the same answers, revision, mode and servers.
#[utoipa::path(post, path = "/deployments/{uid}/retry", tag = "deployments", operation_id = "retryDeployment",
    params(("uid" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 characters, new for each deed")),
    request_body = Again,
    responses(
        (status = 201, body = DeploymentAnswer),
        (status = 200, description = "it was started by this key before", body = DeploymentAnswer),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn retry(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    headers: HeaderMap,
    Body(Again { reason }): Body<Again>,
) -> Result<Response, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = find(&app, &who, &mut snapshot, uid).await?;
    drop(snapshot);
    let before: crds::Deployment =
        serde_json::from_value(row.object).map_err(|_| Problem::not_found("deployment"))?;
    let spec =
        DeploymentSpec { reason: reason.or(before.spec.reason), cancel: None, approval: None, ..before.spec };
    make(&app, &who, (&row.namespace, &row.service), &headers, spec, None).await
}

/// A Secret with secret answers.
pub(crate) const fn answers_in(name: String) -> SecretInputs {
    SecretInputs { secret_ref: NameRef { name } }
}

/// Makes a run. `said`: secret answers as they are; they become a Secret of the run's own.
pub(crate) async fn make(
    app: &App,
    who: &Person,
    (namespace, name): (&str, &str),
    headers: &HeaderMap,
    mut spec: DeploymentSpec,
    said: Option<Values>,
) -> Result<Response, Problem> {
    let request = traces::Request::of(headers, &app.traces, &Uuid::new_v4().to_string(), (app.clock)());
    app.access.must(who, "deploy", "services", (namespace, name)).await?;
    let key = idempotency_key(headers)?;
    spec.reason = spec.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    let service = app.cluster.service(namespace, name).await?.ok_or_else(|| Problem::not_found("service"))?;
    if service.spec.suspend {
        let detail = "This service is paused, so nothing is deployed. Whoever looks after it can resume it.";
        return Err(Problem::conflict("Suspended", detail));
    }
    let mut wrong = wrong(&service.spec.inputs, &spec);
    if let Some(said) = &said {
        wrong.extend(said.wrong(&service.spec.inputs, !is_again(&spec)));
    }
    if let Some(first) = wrong.first() {
        let detail = first.message.clone();
        return Err(Problem::wrong(wrong, detail));
    }
    let trigger = trigger(who, &key);
    let mut wanted = wanted(&service, namespace, who, &trigger, spec);
    if let Some(said) = &said {
        let run = wanted.name_any();
        wanted.spec.secret_inputs = Some(answers_in(names::secret_inputs(&run)));
        wanted
            .annotations_mut()
            .insert(names::ANNOTATION_SECRET_INPUTS_MAC.to_owned(), said.mac(&app.key, &run));
    }
    if let Some(request) = &request {
        wanted.annotations_mut().insert(names::ANNOTATION_TRACEPARENT.to_owned(), request.traceparent());
    }
    match app.cluster.create(namespace, &wanted).await? {
        Created::New(made) => {
            let (user, made_name) = (&who.name, made.name_any());
            tracing::info!(
                user.name = user,
                service.namespace = namespace,
                service.name = name,
                deployment.name = made_name,
                "{user} started {made_name} of {namespace}/{name}"
            );
            if let Some(request) = request {
                request.made(&app.traces, &made, (app.clock)());
            }
            if let Some(said) = &said {
                keep(app, &made, said).await?;
            }
            made_answer(app, who, StatusCode::CREATED, &made).await
        }
        Created::Exists => {
            let there = app.cluster.deployment(namespace, &wanted.name_any()).await?;
            let there = there.filter(|there| {
                let asked = DeploymentSpec { cancel: None, approval: None, ..there.spec.clone() };
                asked == wanted.spec && is_asked(app, who, there, said.as_ref())
            });
            let there = there.ok_or_else(key_used)?;
            // The first time may have ended between the two.
            if let Some(said) = &said
                && let Kept::Refused(refusal) = app.cluster.keep(&there, said).await?
            {
                return Err(Problem::refused(refusal));
            }
            made_answer(app, who, StatusCode::OK, &there).await
        }
        Created::Refused(refusal) => Err(Problem::refused(refusal)),
    }
}

/// Whether that run was asked for by this person, with these secret answers.
pub(crate) fn is_asked(app: &App, who: &Person, run: &crds::Deployment, said: Option<&Values>) -> bool {
    let known = run.annotations().get(names::ANNOTATION_SECRET_INPUTS_MAC);
    names::requester(run.annotations()) == Some(who.name.as_str())
        && known == said.map(|said| said.mac(&app.key, &run.name_any())).as_ref()
}

/// The Secret comes after the run, which owns it. A run that will never get it does not wait for it.
async fn keep(app: &App, made: &crds::Deployment, said: &Values) -> Result<(), Problem> {
    let problem = match app.cluster.keep(made, said).await {
        Ok(Kept::Done) => return Ok(()),
        Ok(Kept::Refused(refusal)) => Problem::refused(refusal),
        Ok(Kept::Exists) => Problem::conflict(
            "Exists",
            "A Secret of the name that this run's answers would have is there already. Try again.",
        ),
        Err(away) => away.into(),
    };
    if let Err(error) = app.cluster.cancel(made, Cancel::Now).await {
        tracing::warn!(%error, "{} waits for its secret answers in vain", made.name_any());
    }
    Err(problem)
}

/// An earlier run is repeated, which had its answers.
const fn is_again(spec: &DeploymentSpec) -> bool {
    spec.repeat.is_some() || spec.failed_of.is_some()
}

/// All that can be known to be wrong before Kubernetes is asked. Pure.
fn wrong(form: &[crds::service::Input], spec: &DeploymentSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut say = |field: &str, message: &str| {
        errors.push(FieldError { field: field.to_owned(), message: format!("{field}: {message}") });
    };
    if spec.reason.as_ref().is_some_and(|reason| reason.chars().count() > 500) {
        say("reason", "write at most 500 characters.");
    }
    if spec.repeat.is_some() && spec.failed_of.is_some() {
        say("failedOf", "write repeat or failedOf, not both.");
    }
    let again = is_again(spec);
    if again && spec.revision.is_some() {
        say("revision", "what is repeated has its revision: leave it out.");
    }
    if spec.failed_of.is_some() && spec.limit.is_some() {
        say("limit", "failedOf is a limit already: leave it out.");
    }
    if spec.secret_inputs.is_some() && !inputs::asks_for(form, InputType::Secret) {
        say("secretInputs", "this service asks for no secrets; leave it out.");
    }
    for (field, of) in [("repeat", spec.repeat), ("failedOf", spec.failed_of)] {
        if of.is_some_and(|of| of.number < 1) {
            say(field, "write the number of a Deployment, for example 128.");
        }
    }
    // What is repeated has its answers; otherwise the defaults are filled in when it is the run's
    // turn, from the form as it is then.
    if !again || !spec.inputs.is_empty() {
        let inputs = inputs::wrong(form, &spec.inputs);
        errors.extend(inputs.into_iter().map(|(field, message)| FieldError { field, message }));
    }
    errors
}

/// The same person with the same key makes one run.
pub(crate) fn trigger(who: &Person, key: &str) -> String {
    format!("api:{}\n{key}", who.name)
}

pub(crate) fn key_used() -> Problem {
    let detail = "This Idempotency-Key was used for another request. Use a new one for each deed.";
    Problem::conflict("KeyUsed", detail)
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
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
pub(crate) async fn made_answer(
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
        answer(app, who, row.uid).await
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
    let may = DeploymentMay { cancel: true, approve: false, deploy: true, trust: false };
    Ok(DeploymentAnswer {
        cursor: String::new(),
        deployment,
        steps: Vec::new(),
        usual: Vec::new(),
        run: None,
        queue: None,
        may,
    })
}
