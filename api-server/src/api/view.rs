//! What people see of Services, Deployments and runs: the shapes of the API, made from rows. Pure.

use std::collections::BTreeMap;

use crds::conditions::{self, IN_SYNC, READY};
use crds::deployment::{Cancel, Decision, HostKey, Mode, Phase, Via};
use crds::policy::DeployPolicy;
use crds::service::InputType;
use jiff::Timestamp;
use protocol::event::HostState;
use protocol::fold::{Fold, FoldedStep};
use protocol::verdict::StepState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::read::{DeploymentRow, ServiceRow, TickRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rules::{self, Drift, Next, Rules};

/// Runs that are drawn on a Service's line.
pub const TICKS: usize = 10;

/// A Service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Of the object.
    pub uid: Uuid,
    /// An integer for those who need one.
    pub id: i64,
    /// Where it is: the team.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// What people see.
    pub title: String,
    /// A sentence on what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<String>,
    /// Where the application answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
    /// Which environment it is, for example `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub environment: Option<String>,
    /// How it stands, in one word.
    pub state: ServiceState,
    /// Why: of its condition Ready.
    pub reason: String,
    /// The same as a sentence.
    pub message: String,
    /// No new run starts.
    pub suspended: bool,
    /// What makes a Deployment.
    pub deploy: Deploy,
    /// Path of the instructions in their source.
    pub playbook: String,
    /// The form that people fill in.
    pub inputs: Vec<Input>,
    /// What is on the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub live: Option<Live>,
    /// The run that is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub active: Option<Deployment>,
    /// The run that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last: Option<Deployment>,
    /// The last runs, newest last, at most 10.
    pub recent: Vec<Tick>,
    /// How long a run usually takes: the median of those of `recent` that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usual_seconds: Option<u32>,
    /// By which rules it is deployed.
    pub rules: Rules,
    /// The next run that nobody has to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<Next>,
    /// Whether the servers still are what was left there; absent: nobody looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub drift: Option<Drift>,
    /// Services of the same namespace that have to be there first, by name.
    pub depends_on: Vec<String>,
    /// No longer in Kubernetes.
    pub gone: bool,
}

/// How a Service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum ServiceState {
    /// What is wanted is on the servers.
    Live,
    /// A run is on.
    Updating,
    /// The last run did not work, or the Service cannot be carried out.
    Failed,
    /// It is out of date, and only people deploy it.
    NeedsYou,
    /// It is suspended.
    Paused,
    /// It was never deployed.
    Never,
    /// It has not been looked at yet.
    Unknown,
}

/// What makes a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Deploy {
    /// Only people.
    Manual,
    /// Every change of what is wanted.
    OnChange,
}

/// What is on the servers.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// Of the Deployment that brought it.
    pub uid: String,
    /// Its number.
    pub number: i64,
    /// The source that it ran.
    pub revision: String,
    /// Since when.
    pub since: Timestamp,
    /// What people had filled in.
    pub inputs: BTreeMap<String, Value>,
}

/// A run that ended, as a tick on a line.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tick {
    /// Of the Deployment.
    pub uid: Uuid,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<i64>,
    /// How it ended.
    pub phase: RunPhase,
    /// From the start of Ansible to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seconds: Option<u32>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finished_at: Option<Timestamp>,
}

/// A field of the form.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Input {
    /// Name of the variable.
    pub name: String,
    /// The question.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub label: Option<String>,
    /// What kind of answer.
    #[serde(rename = "type")]
    pub type_: AnswerType,
    /// An answer must be given.
    pub required: bool,
    /// A sentence that helps to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub help: Option<String>,
    /// Taken where no answer is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub default: Option<Value>,
    /// The answers to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub choices: Option<Vec<String>>,
    /// A regular expression that the whole answer must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pattern: Option<String>,
    /// Smallest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub minimum: Option<i64>,
    /// Largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub maximum: Option<i64>,
}

/// What kind of answer a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words of the custom resource")]
pub enum AnswerType {
    Text,
    Textarea,
    Number,
    Boolean,
    Choice,
    Multichoice,
    Date,
    Secret,
    #[serde(rename = "gitBranch")]
    GitBranch,
    #[serde(rename = "gitTag")]
    GitTag,
    #[serde(rename = "gitCommit")]
    GitCommit,
}

/// One run of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Of the object.
    pub uid: Uuid,
    /// An integer for those who need one.
    pub id: i64,
    /// Where it is: the team.
    pub namespace: String,
    /// How it is called in Kubernetes.
    pub name: String,
    /// Name of its Service.
    pub service: String,
    /// What people call that Service.
    pub service_title: String,
    /// What people call it: #128. Absent until it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<i64>,
    /// Where it stands.
    pub phase: RunPhase,
    /// Why it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The same as a sentence.
    pub message: String,
    /// Why it was asked for, as the person wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
    /// Who asked for it.
    pub requested_by: Requester,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When Ansible was allowed to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub started_at: Option<Timestamp>,
    /// When it had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finished_at: Option<Timestamp>,
    /// The attempt that is on or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempt: Option<u32>,
    /// The source that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<String>,
    /// What was filled in.
    pub inputs: BTreeMap<String, Value>,
    /// Whether it changes the servers.
    pub mode: RunMode,
    /// Only these servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<String>,
    /// It runs again what the Deployment of this number ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub repeat: Option<i64>,
    /// The same, only on the servers that failed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failed_of: Option<i64>,
    /// What exactly it runs: one agrees to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub digest: Option<String>,
    /// Who agreed or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approval: Option<Approved>,
    /// What the playbook reported.
    pub outputs: BTreeMap<String, Value>,
    /// How far it is; at most 5 seconds old.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub progress: Option<Progress>,
    /// The step that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub step: Option<String>,
    /// The Deployment that is before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub behind: Option<Behind>,
    /// The servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hosts: Option<Hosts>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<Failure>,
    /// Whether the site answered after it; absent: nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub site_up: Option<bool>,
    /// It is to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cancel: Option<StopHow>,
    /// No longer in Kubernetes: history.
    pub gone: bool,
}

impl Deployment {
    /// It looks whether the servers still are what they should be; nobody asked for it.
    pub fn is_drift_check(&self) -> bool {
        self.mode == RunMode::Check && self.requested_by.via == AskedVia::Drift
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the custom resource")]
pub enum RunPhase {
    Pending,
    AwaitingApproval,
    Queued,
    Preparing,
    Running,
    Succeeded,
    NothingDone,
    Failed,
    Cancelled,
}

impl From<Phase> for RunPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::AwaitingApproval => Self::AwaitingApproval,
            Phase::Queued => Self::Queued,
            Phase::Preparing => Self::Preparing,
            Phase::Running => Self::Running,
            Phase::Succeeded => Self::Succeeded,
            Phase::NothingDone => Self::NothingDone,
            Phase::Failed => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

/// How a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum StopHow {
    /// The step that is on ends first.
    AfterStep,
    /// At once.
    Now,
}

impl From<Cancel> for StopHow {
    fn from(cancel: Cancel) -> Self {
        match cancel {
            Cancel::AfterStep => Self::AfterStep,
            Cancel::Now => Self::Now,
        }
    }
}

impl From<StopHow> for Cancel {
    fn from(how: StopHow) -> Self {
        match how {
            StopHow::AfterStep => Self::AfterStep,
            StopHow::Now => Self::Now,
        }
    }
}

/// Whether a run changes the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum RunMode {
    /// It does.
    #[default]
    Apply,
    /// A preview: it only looks what it would change.
    Check,
}

impl RunMode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Check => "Check",
        }
    }
}

impl From<Mode> for RunMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Apply => Self::Apply,
            Mode::Check => Self::Check,
        }
    }
}

impl From<RunMode> for Mode {
    fn from(mode: RunMode) -> Self {
        match mode {
            RunMode::Apply => Self::Apply,
            RunMode::Check => Self::Check,
        }
    }
}

/// Who agreed to a run, or refused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Approved {
    /// Who.
    pub by: String,
    /// Yes or no.
    pub decision: YesOrNo,
    /// When it was seen.
    pub at: Timestamp,
}

/// What somebody decided on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum YesOrNo {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

impl From<Decision> for YesOrNo {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approved => Self::Approved,
            Decision::Rejected => Self::Rejected,
        }
    }
}

impl From<YesOrNo> for Decision {
    fn from(decision: YesOrNo) -> Self {
        match decision {
            YesOrNo::Approved => Self::Approved,
            YesOrNo::Rejected => Self::Rejected,
        }
    }
}

/// Who asked for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Requester {
    /// A person, or what stands for one.
    pub name: String,
    /// By which way.
    pub via: AskedVia,
    /// What triggered it, where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trigger: Option<String>,
}

/// By which way a run was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the custom resource")]
pub enum AskedVia {
    Kubectl,
    Change,
    Dashboard,
    Schedule,
    Rollback,
    Drift,
}

impl AskedVia {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubectl => "Kubectl",
            Self::Change => "Change",
            Self::Dashboard => "Dashboard",
            Self::Schedule => "Schedule",
            Self::Rollback => "Rollback",
            Self::Drift => "Drift",
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Steps that have ended.
    pub done: u32,
    /// Steps that are known.
    pub total: u32,
    /// Seconds that it usually takes from here to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_seconds: Option<u32>,
    /// When it is expected to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_end: Option<Timestamp>,
    /// From then on it takes longer than nine of ten earlier runs did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub long_after: Option<Timestamp>,
}

/// How long a step usually takes, from the last 20 runs that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsualStep {
    /// `file:line#n`.
    pub key: String,
    /// Seconds: half of the runs took no longer.
    pub seconds: f64,
    /// Seconds: nine of ten runs took no longer.
    pub long_after_seconds: f64,
    /// In how many runs it ran.
    pub runs: u32,
}

/// Another Deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Behind {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// Servers, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hosts {
    /// All.
    pub total: u32,
    /// Without a failure.
    pub ok: u32,
    /// With a failed step.
    pub failed: u32,
    /// That could not be reached.
    pub unreachable: u32,
    /// The first that failed or could not be reached, at most 20.
    pub failed_names: Vec<String>,
}

/// Why a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One of the reasons of the docs.
    pub reason: String,
    /// In which step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub step: Option<String>,
    /// On which server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host: Option<String>,
    /// What happened.
    pub message: String,
    /// What one can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
    /// Of a server that was not recognised (HostKeyChanged): the key that it shows now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host_key: Option<ServerKey>,
}

/// A server's key that nobody has confirmed yet: compare the fingerprint with the server's own before you trust it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerKey {
    /// As `ssh-keygen -l` shows it on the server.
    pub fingerprint: String,
    /// The line of `known_hosts` that trusts it: `POST /deployments/{uid}/trust` writes it into the Service.
    pub known_hosts: String,
    /// The fingerprint by which it was known until now; absent: it was not known at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub known: Option<String>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `file:line#n`.
    pub key: String,
    /// What people see.
    pub name: String,
    /// Play or role that it belongs to.
    pub section: String,
    /// How it stands.
    pub state: StepOutcome,
    /// Runs only if notified, or only to rescue.
    pub conditional: bool,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finished_at: Option<Timestamp>,
    /// Servers where it was fine.
    pub ok: u32,
    /// Servers where it changed something.
    pub changed: u32,
    /// Servers where it failed for good, or that could not be reached.
    pub failed: u32,
    /// Servers where it was left out.
    pub skipped: u32,
    /// What went wrong first.
    pub message: String,
    /// Where it is tried again just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retrying: Option<Retrying>,
    /// How it went on the first 200 servers.
    pub hosts: Vec<StepHost>,
}

/// A server on which a step is tried again just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Retrying {
    /// The server.
    pub host: String,
    /// How often it was tried so far.
    pub attempt: u32,
    /// How often it is tried at most.
    pub of: u32,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the protocol")]
pub enum StepOutcome {
    Pending,
    Running,
    Succeeded,
    Failed,
    Skipped,
    Rescued,
    Unreachable,
    Cancelled,
}

/// How a step went on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepHost {
    /// The server.
    pub host: String,
    /// How it went.
    pub state: HostOutcome,
    /// Whether it changed something.
    pub changed: bool,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Short, masked.
    pub message: String,
    /// How often it was tried, where that was more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempts: Option<u32>,
    /// Of a loop: how its items went.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub items: Option<StepItems>,
    /// What went wrong, with its place in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<StepError>,
    /// What Ansible or the module warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub warnings: Vec<String>,
    /// What will not work any more with a later Ansible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub deprecations: Vec<String>,
}

/// How the items of a loop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepItems {
    /// All of them.
    pub total: u32,
    /// That changed something.
    pub changed: u32,
    /// That failed.
    pub failed: u32,
    /// That were left out.
    pub skipped: u32,
}

/// An error as Ansible explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepError {
    /// What happened, and what led to it.
    pub message: String,
    /// The place in the source and the lines around it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub excerpt: String,
    /// What Ansible advises.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub help: String,
}

/// How a step went on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the words of the protocol")]
pub enum HostOutcome {
    Ok,
    Skipped,
    Failed,
    Ignored,
    Rescued,
    Unreachable,
}

/// Of a row; nothing if it is no Service that this version can read.
pub fn service(row: &ServiceRow, ticks: Vec<TickRow>, runs: &BTreeMap<Uuid, Deployment>) -> Option<Service> {
    let object = crds::Service::deserialize(&row.object).ok()?;
    let state = state(&object);
    let crds::Service { spec, status, .. } = object;
    let status = status.unwrap_or_default();
    let ready = conditions::find(&status.conditions, READY);
    let recent: Vec<Tick> = ticks.into_iter().rev().filter_map(tick).collect();
    let run = |uid: &str| uid.parse().ok().and_then(|uid: Uuid| runs.get(&uid)).cloned();
    Some(Service {
        uid: row.uid,
        id: row.id,
        namespace: row.namespace.clone(),
        name: row.name.clone(),
        title: spec.title.unwrap_or_else(|| row.name.clone()),
        description: spec.description,
        url: spec.url,
        environment: spec.environment,
        state,
        reason: ready.map_or_else(String::new, |ready| ready.reason.clone()),
        message: ready.map_or_else(String::new, |ready| ready.message.clone()),
        suspended: spec.suspend,
        deploy: match spec.policy.deploy {
            DeployPolicy::Manual => Deploy::Manual,
            DeployPolicy::OnChange => Deploy::OnChange,
        },
        playbook: spec.playbook.or(spec.script).unwrap_or_default(),
        inputs: spec.inputs.into_iter().map(input).collect(),
        live: status.live.map(|live| Live {
            uid: live.deployment.uid,
            number: live.number,
            revision: live.revision,
            since: live.since,
            inputs: live.inputs,
        }),
        active: status.active.and_then(|active| run(&active.uid)),
        last: status.last.and_then(|last| run(&last.deployment.uid)),
        usual_seconds: usual(&recent),
        recent,
        rules: rules::rules(spec.policy),
        next: status.next.as_ref().map(rules::next),
        drift: status.drift.map(rules::drift),
        depends_on: spec.depends_on.into_iter().map(|one| one.name).collect(),
        gone: row.gone,
    })
}

/// The runs that a Service names: they are read with it.
pub fn named_runs(row: &ServiceRow) -> impl Iterator<Item = Uuid> + '_ {
    ["/status/active/uid", "/status/last/deployment/uid"]
        .into_iter()
        .filter_map(|pointer| row.object.pointer(pointer)?.as_str()?.parse().ok())
}

fn state(service: &crds::Service) -> ServiceState {
    let Some(status) = &service.status else { return ServiceState::Unknown };
    let is = |type_: &str, state: &str| {
        conditions::find(&status.conditions, type_).is_some_and(|condition| condition.status == state)
    };
    // A preview and a check for drift change nothing, so nothing else is said while they run.
    if status.active.as_ref().is_some_and(|active| !active.check) {
        ServiceState::Updating
    } else if service.spec.suspend {
        ServiceState::Paused
    } else if is(READY, "False") {
        ServiceState::Failed
    } else if !is(READY, "True") {
        ServiceState::Unknown
    } else if status.live.is_none() {
        ServiceState::Never
    } else if is(IN_SYNC, "False") {
        ServiceState::NeedsYou
    } else {
        ServiceState::Live
    }
}

/// A run that ended, as a tick.
pub fn tick(row: TickRow) -> Option<Tick> {
    let phase: Phase = serde_json::from_value(Value::String(row.phase)).ok()?;
    let seconds = row.started_at.zip(row.finished_at).map(|(start, end)| seconds(start, end));
    Some(Tick {
        uid: row.uid,
        number: row.number,
        phase: phase.into(),
        seconds,
        finished_at: row.finished_at,
    })
}

fn seconds(start: Timestamp, end: Timestamp) -> u32 {
    u32::try_from(end.duration_since(start).as_secs()).unwrap_or(0)
}

/// The median of those that succeeded.
pub fn usual(ticks: &[Tick]) -> Option<u32> {
    let succeeded = ticks.iter().filter(|tick| tick.phase == RunPhase::Succeeded);
    let mut all: Vec<u32> = succeeded.filter_map(|tick| tick.seconds).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// A field of the form.
pub fn input(input: crds::service::Input) -> Input {
    let crds::service::Input {
        name,
        label,
        type_,
        required,
        help,
        default,
        choices,
        pattern,
        minimum,
        maximum,
    } = input;
    let type_ = match type_ {
        InputType::Text => AnswerType::Text,
        InputType::Textarea => AnswerType::Textarea,
        InputType::Number => AnswerType::Number,
        InputType::Boolean => AnswerType::Boolean,
        InputType::Choice => AnswerType::Choice,
        InputType::Multichoice => AnswerType::Multichoice,
        InputType::Date => AnswerType::Date,
        InputType::Secret => AnswerType::Secret,
        InputType::GitBranch => AnswerType::GitBranch,
        InputType::GitTag => AnswerType::GitTag,
        InputType::GitCommit => AnswerType::GitCommit,
    };
    Input { name, label, type_, required, help, default, choices, pattern, minimum, maximum }
}

/// Of a row; nothing if it is no Deployment that this version can read.
pub fn deployment(row: &DeploymentRow) -> Option<Deployment> {
    let object = crds::Deployment::deserialize(&row.object).ok()?;
    let annotations = object.metadata.annotations.clone().unwrap_or_default();
    let requester = crds::names::requester(&annotations)
        .filter(|_| !crds::names::came_by_kubectl(&annotations))
        .map(ToOwned::to_owned);
    let trigger = annotations.get(crds::names::ANNOTATION_TRIGGER);
    let crds::Deployment { spec, status, .. } = object;
    let status = status.unwrap_or_default();
    let ready = conditions::find(&status.conditions, READY);
    let phase = status.phase.unwrap_or(Phase::Pending);
    // Nobody goes on with what is not there any more, and nobody can let it.
    let removed = row.gone && !phase.is_terminal();
    let phase = if removed { Phase::Cancelled } else { phase };
    let run = status.run.filter(|_| !phase.is_terminal());
    // Before the operator has looked at it only we know who asked.
    let requested_by = match (status.requested_by, requester) {
        (Some(by), _) => Requester { name: by.name, via: via(by.via), trigger: by.trigger },
        (None, Some(name)) => Requester { name, via: AskedVia::Dashboard, trigger: None },
        (None, None) => {
            let drift = trigger.is_some_and(|trigger| trigger.starts_with("drift:"));
            let via = if drift { AskedVia::Drift } else { AskedVia::Kubectl };
            Requester { name: String::new(), via, trigger: None }
        }
    };
    Some(Deployment {
        uid: row.uid,
        id: row.id,
        namespace: row.namespace.clone(),
        name: row.name.clone(),
        service: row.service.clone(),
        service_title: row.service_title.clone().unwrap_or_else(|| row.service.clone()),
        number: status.number,
        phase: phase.into(),
        reason: status.reason,
        message: match ready {
            _ if removed => "It was removed before it ended.".to_owned(),
            Some(ready) => ready.message.clone(),
            None => String::new(),
        },
        note: spec.reason,
        requested_by,
        created_at: row.created_at,
        started_at: status.started_at.or(run.as_ref().map(|run| run.claimed_at)),
        finished_at: status.finished_at,
        attempt: status.attempt,
        revision: status.revision,
        inputs: if spec.inputs.is_empty() { status.inputs.unwrap_or_default() } else { spec.inputs },
        mode: spec.mode.into(),
        limit: spec.limit,
        repeat: spec.repeat.map(|of| of.number),
        failed_of: spec.failed_of.map(|of| of.number),
        digest: status.digest,
        approval: status.approval.map(|approval| Approved {
            by: approval.by,
            decision: approval.decision.into(),
            at: approval.at,
        }),
        outputs: status.outputs,
        progress: run.as_ref().and_then(|run| run.progress.as_ref()).map(|progress| Progress {
            done: progress.done,
            total: progress.total,
            expected_seconds: progress.expected_seconds,
            expected_end: progress.expected_end,
            long_after: progress.long_after,
        }),
        step: run.and_then(|run| run.step),
        behind: status
            .waiting_for
            .and_then(|waiting| waiting.behind)
            .map(|behind| Behind { uid: behind.uid, name: behind.name }),
        hosts: status.hosts.map(|hosts| Hosts {
            total: hosts.total,
            ok: hosts.ok,
            failed: hosts.failed,
            unreachable: hosts.unreachable,
            failed_names: hosts.failed_names,
        }),
        failure: status.failure.map(|failure| Failure {
            reason: failure.reason,
            step: failure.step,
            host: failure.host,
            message: failure.message,
            hint: Some(failure.hint).filter(|hint| !hint.is_empty()),
            host_key: failure.host_key.map(|HostKey { fingerprint, known_hosts, known }| ServerKey {
                fingerprint,
                known_hosts,
                known,
            }),
        }),
        site_up: status.site_up,
        cancel: spec.cancel.map(StopHow::from),
        gone: row.gone,
    })
}

const fn via(via: Via) -> AskedVia {
    match via {
        Via::Kubectl => AskedVia::Kubectl,
        Via::Change => AskedVia::Change,
        Via::Dashboard => AskedVia::Dashboard,
        Via::Schedule => AskedVia::Schedule,
        Via::Rollback => AskedVia::Rollback,
        Via::Drift => AskedVia::Drift,
    }
}

/// What is usual.
pub fn usual_steps(steps: &[store::durations::UsualStep]) -> Vec<UsualStep> {
    let steps = steps.iter().map(|step| UsualStep {
        key: step.key.clone(),
        seconds: step.median,
        long_after_seconds: step.p90,
        runs: u32::try_from(step.runs).unwrap_or(u32::MAX),
    });
    steps.collect()
}

/// The steps of a run, from its events.
pub fn steps(fold: Fold) -> Vec<Step> {
    fold.steps.into_iter().map(step).collect()
}

/// The steps that the Deployment keeps itself: all there is of a run whose events are lost.
pub fn kept_steps(row: &DeploymentRow) -> Vec<Step> {
    let status = row.object.pointer("/status/steps").cloned().unwrap_or_default();
    let steps: Vec<crds::deployment::StepStatus> = serde_json::from_value(status).unwrap_or_default();
    let steps = steps.into_iter().map(|step| Step {
        key: step.key,
        name: step.name,
        section: String::new(),
        state: match step.state {
            crds::deployment::StepState::Pending => StepOutcome::Pending,
            crds::deployment::StepState::Running => StepOutcome::Running,
            crds::deployment::StepState::Succeeded => StepOutcome::Succeeded,
            crds::deployment::StepState::Failed => StepOutcome::Failed,
            crds::deployment::StepState::Skipped => StepOutcome::Skipped,
            crds::deployment::StepState::Rescued => StepOutcome::Rescued,
            crds::deployment::StepState::Unreachable => StepOutcome::Unreachable,
            crds::deployment::StepState::Cancelled => StepOutcome::Cancelled,
        },
        conditional: false,
        started_at: step.started_at,
        finished_at: step.finished_at,
        ok: step.hosts.as_ref().map_or(0, |hosts| hosts.ok),
        changed: step.hosts.as_ref().map_or(0, |hosts| hosts.changed),
        failed: 0,
        skipped: 0,
        message: step.message.unwrap_or_default(),
        retrying: None,
        hosts: Vec::new(),
    });
    steps.collect()
}

fn step(step: FoldedStep) -> Step {
    let FoldedStep {
        key,
        name,
        section,
        state,
        conditional,
        started_at,
        finished_at,
        ok,
        changed,
        failed,
        skipped,
        message,
        retrying,
        hosts,
    } = step;
    let state = match state {
        StepState::Pending => StepOutcome::Pending,
        StepState::Running => StepOutcome::Running,
        StepState::Succeeded => StepOutcome::Succeeded,
        StepState::Failed => StepOutcome::Failed,
        StepState::Skipped => StepOutcome::Skipped,
        StepState::Rescued => StepOutcome::Rescued,
        StepState::Unreachable => StepOutcome::Unreachable,
        StepState::Cancelled => StepOutcome::Cancelled,
    };
    let hosts = hosts.into_iter().map(|host| StepHost {
        host: host.host,
        state: match host.state {
            HostState::Ok => HostOutcome::Ok,
            HostState::Skipped => HostOutcome::Skipped,
            HostState::Failed => HostOutcome::Failed,
            HostState::Ignored => HostOutcome::Ignored,
            HostState::Rescued => HostOutcome::Rescued,
            HostState::Unreachable => HostOutcome::Unreachable,
        },
        changed: host.changed,
        duration_ms: host.duration_ms,
        message: host.message,
        attempts: host.attempts,
        items: host.items.map(|items| StepItems {
            total: items.total,
            changed: items.changed,
            failed: items.failed,
            skipped: items.skipped,
        }),
        error: host.error.map(|error| StepError {
            message: error.message,
            excerpt: error.excerpt,
            help: error.help,
        }),
        warnings: host.warnings,
        deprecations: host.deprecations,
    });
    let hosts = hosts.collect();
    let retrying = retrying.map(|now| Retrying { host: now.host, attempt: now.attempt, of: now.of });
    Step {
        key,
        name,
        section,
        state,
        conditional,
        started_at,
        finished_at,
        ok,
        changed,
        failed,
        skipped,
        message,
        retrying,
        hosts,
    }
}
