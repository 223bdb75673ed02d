//! What one wants to know before a run: the form with what one may choose from, the steps that are to
//! be expected, how long it takes.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use crds::argument_specs::{self, Proposed};
use crds::inputs::asks_for;
use crds::service::{Input, InputType};
use git::{Refs, Selector};
use jiff::Timestamp;
use protocol::event::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::read::{ServiceRow, Snapshot};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use super::services::visible;
use super::view::{self, Step, Tick};
use super::{App, Path, Query, bounded, deployments};
use crate::people::Person;

/// What people fill in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Form {
    /// The fields.
    pub inputs: Vec<view::Input>,
    /// What was filled in for what is on the servers: where most people begin.
    pub live: BTreeMap<String, Value>,
    /// Branches of the Service's repository, as they were last seen; empty without one.
    pub branches: Vec<GitRef>,
    /// Its tags.
    pub tags: Vec<GitRef>,
    /// The tags that a run may have as its `revision`: those in the range of versions that the Service follows, the highest
    /// first. Empty where it follows anything else: then nothing but that, and what was live, may be deployed.
    pub revisions: Vec<GitRef>,
    /// Where the form asks for a commit: the last ones of what the Service follows, newest first, at most 50. They are the
    /// states that a branch itself had, so what lies within a branch that was merged is not among them. Empty as long as they
    /// could not be read.
    pub commits: Vec<GitCommit>,
}

/// A commit.
#[derive(Debug, Serialize, ToSchema)]
pub struct GitCommit {
    /// Its whole id.
    pub commit: String,
    /// The first line of its message, at most 200 characters; may be empty.
    pub subject: String,
    /// Who wrote it, as they call themselves; may be empty.
    pub author: String,
    /// When it was committed, by the clock of whoever did.
    pub at: Timestamp,
}

/// A branch or a tag.
#[derive(Debug, Serialize, ToSchema)]
pub struct GitRef {
    /// How it is called.
    pub name: String,
    /// To what it points.
    pub commit: String,
}

impl From<&git::Ref> for GitRef {
    fn from(found: &git::Ref) -> Self {
        Self { name: found.name.clone(), commit: found.commit.clone() }
    }
}

/// As PostgreSQL has it.
fn known(found: store::refs::Ref) -> git::Ref {
    let kind = if found.kind == git::Kind::Tag.as_str() { git::Kind::Tag } else { git::Kind::Branch };
    git::Ref { kind, name: found.name, commit: found.commit }
}

/// What is to be expected of a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps of the run that `of` names, none of them begun; empty: there was no run yet.
    pub steps: Vec<Step>,
    /// The run that they are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<Uuid>,
    /// How long a run usually takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usual_seconds: Option<u32>,
    /// Variables that its playbook and roles declare (`argument_specs`, `PLAYBOOK.meta.yml`) and the form has not.
    pub declared: Vec<DeclaredInput>,
    /// What they declare and a form cannot have, and why.
    pub notes: Vec<String>,
}

/// A variable that could be an input.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeclaredInput {
    /// Its name.
    pub name: String,
    /// What is said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub help: Option<String>,
    /// As an item of `spec.inputs`, in YAML.
    pub yaml: String,
}

/// How long runs took.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// Runs that ended, newest last; without previews.
    pub runs: Vec<Tick>,
    /// The median of those that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usual_seconds: Option<u32>,
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// The last so many, 1 to 500. Default: 50.
    limit: Option<i64>,
}

/// The form of a Service, with what one may choose from.
#[utoipa::path(get, path = "/services/{namespace}/{name}/form", tag = "services", operation_id = "getForm",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Form), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn form(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Form>, Problem> {
    visible(&app, &who, (&namespace, &name)).await?;
    let (row, _) = service(&app, &namespace, &name).await?;
    let object: crds::Service =
        serde_json::from_value(row.object).map_err(|_| Problem::not_found("service"))?;
    let (mut refs, mut revisions, mut commits) = (Refs::default(), Vec::new(), Vec::new());
    if let Some(git) = &object.spec.source.git {
        let repository = git.repository(&namespace);
        refs.list = store::refs::of(app.pool()?, &repository).await?.into_iter().map(known).collect();
        if let Some(range) = &git.semver {
            // A range that is none is the operator's to tell.
            let permitted = refs.permitted(&Selector::Semver(range.clone())).unwrap_or_default();
            revisions.extend(permitted.into_iter().rev().map(GitRef::from));
        }
        let source = object.status.as_ref().and_then(|status| status.source.as_ref());
        let revision = source.map(|source| source.revision.as_str()).unwrap_or_default();
        let asked = asks_for(&object.spec.inputs, InputType::GitCommit);
        if let Some(followed) = git.followed(revision).filter(|_| asked) {
            let known = store::commits::of(app.pool()?, &repository, &followed).await?;
            commits.extend(known.into_iter().map(GitCommit::from));
        }
    }
    let live = object.status.and_then(|status| status.live).map(|live| live.inputs).unwrap_or_default();
    let inputs = object.spec.inputs.into_iter().map(view::input).collect();
    let (tags, branches): (Vec<_>, Vec<_>) = refs.list.iter().partition(|found| found.kind == git::Kind::Tag);
    let [branches, tags] = [branches, tags].map(|list| list.into_iter().map(GitRef::from).collect());
    Ok(Json(Form { inputs, live, branches, tags, revisions, commits }))
}

/// What a run would do, as far as the last one tells.
#[utoipa::path(get, path = "/services/{namespace}/{name}/plan", tag = "services", operation_id = "getPlan",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Plan), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn plan(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Plan>, Problem> {
    visible(&app, &who, (&namespace, &name)).await?;
    let (row, mut snapshot) = service(&app, &namespace, &name).await?;
    let ticks = snapshot.durations(&namespace, &name, view::TICKS as i64).await?;
    let ticks: Vec<Tick> = ticks.into_iter().filter_map(view::tick).collect();
    let last = snapshot.last_reported(&namespace, &name).await?.map(|row| row.uid);
    let (mut steps, mut proposed) = (Vec::new(), Proposed::default());
    if let Some(uid) = last
        && let Some(attempt) = snapshot.attempt(uid).await?
    {
        let results = snapshot.results(uid, attempt.attempt).await?;
        // Only what it was to do, not how it went.
        let planned: Vec<_> = results.into_iter().filter(|event| event.body["kind"] == "plan").collect();
        proposed = planned.first().map(|plan| propose(&plan.body)).unwrap_or_default();
        steps = view::steps(deployments::fold(planned));
    }
    let form: crds::Service =
        serde_json::from_value(row.object).map_err(|_| Problem::not_found("service"))?;
    let Proposed { inputs, notes } = proposed;
    let declared = lacking(inputs, &form.spec.inputs);
    Ok(Json(Plan { steps, of: last, usual_seconds: view::usual(&ticks), declared, notes }))
}

/// What the plan of a run says of the playbook's variables; that of an older runner says nothing. Pure.
fn propose(plan: &Value) -> Proposed {
    let Ok(Kind::Plan { declared, .. }) = serde_json::from_value(plan.clone()) else {
        return Proposed::default();
    };
    let said = declared.iter().flat_map(|one| one.options.iter().map(|option| (one.by.as_str(), option)));
    argument_specs::of_declared(
        said.map(|(by, option)| (by, option.name.as_str(), Value::Object(option.said.clone()))),
    )
}

/// Those that a form has not. Pure.
fn lacking(inputs: Vec<Input>, form: &[Input]) -> Vec<DeclaredInput> {
    let new = inputs.into_iter().filter(|input| form.iter().all(|there| there.name != input.name));
    new.filter_map(|input| {
        let yaml = serde_yaml::to_string(&[&input]).ok()?;
        Some(DeclaredInput { name: input.name, help: input.help, yaml })
    })
    .collect()
}

/// How long the runs of a Service took, over time.
#[utoipa::path(get, path = "/services/{namespace}/{name}/durations", tag = "services", operation_id = "getDurations",
    params(("namespace" = String, Path), ("name" = String, Path), Last),
    responses((status = 200, body = Durations), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn durations(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Last { limit }): Query<Last>,
) -> Result<Json<Durations>, Problem> {
    let limit = bounded("limit", limit, 50, 500)?;
    visible(&app, &who, (&namespace, &name)).await?;
    let (_, mut snapshot) = service(&app, &namespace, &name).await?;
    let runs = snapshot.durations(&namespace, &name, limit).await?;
    let runs: Vec<Tick> = runs.into_iter().rev().filter_map(view::tick).collect();
    Ok(Json(Durations { usual_seconds: view::usual(&runs), runs }))
}

impl From<store::commits::Commit> for GitCommit {
    fn from(commit: store::commits::Commit) -> Self {
        let store::commits::Commit { commit, subject, author, at } = commit;
        Self { commit, subject, author, at }
    }
}

async fn service(app: &App, namespace: &str, name: &str) -> Result<(ServiceRow, Snapshot), Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let row = snapshot.service(namespace, name).await?.ok_or_else(|| Problem::not_found("service"))?;
    Ok((row, snapshot))
}
