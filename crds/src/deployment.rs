//! `Deployment`: one run of a Service.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{schema, service::NameRef};

/// One run of a Service.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fastdeploy.dev",
    version = "v1alpha1",
    kind = "Deployment",
    namespaced,
    status = "DeploymentStatus",
    shortname = "fdep",
    category = "fastdeploy",
    selectable = ".spec.service",
    selectable = ".status.phase",
    doc = "A Deployment is one run of a Service. Make one with `kubectl create` and `metadata.generateName`; Deployments do not belong into Git.",
    derive = "PartialEq",
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.service"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".status.number"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt"),
    printcolumn(name = "By", type_ = "string", json_path = ".status.requestedBy.name", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.failure.step", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    validation = Rule::new("size(self.metadata.name) <= 53 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: write at most 53 lower-case letters, digits and dashes, or use generateName"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['Succeeded', 'NothingDone', 'Failed', 'Cancelled']) || (has(self.status) && has(self.status.phase) && self.status.phase == oldSelf.status.phase)")
        .message("status.phase: a Deployment that has ended stays as it ended"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.number) || (has(self.status) && has(self.status.number) && self.status.number == oldSelf.status.number)")
        .message("status.number: a number that was given stays"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.attempt) || (has(self.status) && has(self.status.attempt) && self.status.attempt >= oldSelf.status.attempt)")
        .message("status.attempt never falls"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.run) || (has(self.status) && has(self.status.run) && (self.status.run.attempt > oldSelf.status.run.attempt || (self.status.run.attempt == oldSelf.status.run.attempt && self.status.run.instance == oldSelf.status.run.instance && self.status.run.seq >= oldSelf.status.run.seq)))")
        .message("status.run: within an attempt the instance stays and seq never falls"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.approval) || (has(self.status) && has(self.status.approval) && self.status.approval == oldSelf.status.approval)")
        .message("status.approval: what was decided stays"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.digest) || (has(self.status) && has(self.status.digest) && self.status.digest == oldSelf.status.digest)")
        .message("status.digest: what a Deployment runs is frozen")
)]
#[serde(rename_all = "camelCase")]
// Inputs have no type, so CEL in a CRD cannot compare them; the chart's admission policy does, and with them
// all other fields.
#[x_kube(validation = Rule::new("self.service == oldSelf.service && has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason)").message("spec is immutable but for cancel and approval; make a new Deployment instead"))]
#[x_kube(validation = Rule::new("!has(oldSelf.approval) || (has(self.approval) && self.approval == oldSelf.approval)").message("approval: what was decided stays; make a new Deployment instead"))]
#[x_kube(validation = Rule::new("!has(self.repeat) || !has(self.failedOf)").message("write repeat or failedOf, not both"))]
#[x_kube(validation = Rule::new("!has(self.revision) || !(has(self.repeat) || has(self.failedOf))").message("what is repeated has its revision: leave out revision"))]
#[x_kube(validation = Rule::new("!has(self.failedOf) || !has(self.limit)").message("failedOf is a limit already; leave out limit"))]
#[x_kube(validation = Rule::new("!has(oldSelf.cancel) || has(self.cancel)").message("cancel: AfterStep may be raised to Now, never taken back"))]
pub struct DeploymentSpec {
    /// Name of the Service of the same namespace.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: String,
    /// Why, for people: "Fix the footer".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
    /// Answers to the Service's inputs. Data, never templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub inputs: BTreeMap<String, Value>,
    /// Whatever a script is to know besides, handed to it as it is: `context` of its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub context: BTreeMap<String, Value>,
    /// Answers to the Service's inputs of type secret: a Secret of this namespace with a key for each. It may be made
    /// up to 30 seconds later, so that this Deployment can be its owner. One called as the Deployment with `-inputs` behind
    /// it is kept as long as a run may need it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_inputs: Option<SecretInputs>,
    /// Apply changes the servers. Check is a preview: Ansible's check mode, with differences. Default: Apply.
    #[serde(default, skip_serializing_if = "is_apply")]
    pub mode: Mode,
    /// Another revision of the Service's repository than the one that is wanted now: a branch, tag or commit that
    /// its ref permits, a commit that was live, or one that is live at a Service of this namespace with the same url,
    /// path, include and branch, tag or semver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250), regex(pattern = "^[^-\\s][^\\s]*$"))]
    pub revision: Option<String>,
    /// Run exactly what that Deployment of this Service ran, with Secrets as they are today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<NumberRef>,
    /// Run what that Deployment of this Service ran, only on the servers that failed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_of: Option<NumberRef>,
    /// Only these servers: an Ansible pattern, for example `web1` or `web*:!web3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), regex(pattern = "^[^-@\\s][^\\s]*$"))]
    pub limit: Option<String>,
    /// Agree to this run, or refuse it. Once; only with the verb `approve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Stop the run: AfterStep lets the step that is on end first. May be raised to Now, never taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf || self == 'Now'").message("cancel: AfterStep may be raised to Now, never taken back"))]
    pub cancel: Option<Cancel>,
}

impl DeploymentSpec {
    /// A plain run of a Service.
    pub fn of(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            reason: None,
            inputs: BTreeMap::new(),
            context: BTreeMap::new(),
            secret_inputs: None,
            mode: Mode::Apply,
            revision: None,
            repeat: None,
            failed_of: None,
            limit: None,
            approval: None,
            cancel: None,
        }
    }

    /// All servers of the Service are brought to one state: what it leaves is live. The rest of a failed
    /// run counts as the whole of it.
    pub fn is_whole(&self) -> bool {
        self.mode == Mode::Apply && self.limit.is_none()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_apply(mode: &Mode) -> bool {
    *mode == Mode::Apply
}

/// Where secret answers are.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretInputs {
    /// A Secret of the same namespace: its keys are names of inputs.
    pub secret_ref: NameRef,
}

/// Whether a run changes anything.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It does.
    #[default]
    Apply,
    /// It only looks what it would change.
    Check,
}

/// A Deployment of the same Service, by its number.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NumberRef {
    /// 128 for #128.
    #[schemars(range(min = 1))]
    pub number: i64,
}

/// What somebody decided on a run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Yes or no.
    pub decision: Decision,
    /// What was looked at: `status.digest`. For another one it is void.
    #[schemars(length(min = 1, max = 100))]
    pub digest: String,
    /// Who decided: the name that Kubernetes knows them by.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
}

/// Yes or no.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// How to stop.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Cancel {
    /// After the step that is on.
    AfterStep,
    /// At once.
    Now,
}

impl Cancel {
    /// As it is written in spec and annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterStep => "AfterStep",
            Self::Now => "Now",
        }
    }
}

/// What was reached. One writer, the operator, but for `run`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation of the spec that this status speaks of; -1: not looked at yet.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// Succeeded and Ready; Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What people call it: #128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number: Option<i64>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Why it stands there: one of the reasons in the docs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<RequestedBy>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Who agreed or refused, and when that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// The newer Deployment for which this one gives way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<crate::service::ObjectRef>,
    /// When the next attempt begins, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub retry_at: Option<Timestamp>,
    /// The attempt that is on or was last, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// For people: the source that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub revision: Option<String>,
    /// The digest of what it runs, without the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub digest: Option<String>,
    /// The answers of the form that it runs with, where another Deployment gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_any_map")]
    pub inputs: Option<BTreeMap<String, Value>>,
    /// The Secret with the secret answers that it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_inputs: Option<NameRef>,
    /// Name of the ConfigMap that holds the frozen input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub bundle: Option<String>,
    /// The claim and what the runner reports. One writer: the api-server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// What was done, written with the verdict; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub steps: Vec<StepStatus>,
    /// The servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostsStatus>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
    /// Whether the site answered after it; absent: nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_up: Option<bool>,
    /// What the playbook reported with set_stats.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub outputs: BTreeMap<String, Value>,
    /// When Ansible was allowed to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub started_at: Option<Timestamp>,
    /// When it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub finished_at: Option<Timestamp>,
}

const fn never_observed() -> i64 {
    -1
}

impl Default for DeploymentStatus {
    fn default() -> Self {
        Self {
            observed_generation: never_observed(),
            conditions: Vec::new(),
            number: None,
            phase: None,
            reason: None,
            requested_by: None,
            waiting_for: None,
            approval: None,
            replaced_by: None,
            retry_at: None,
            attempt: None,
            revision: None,
            digest: None,
            inputs: None,
            secret_inputs: None,
            bundle: None,
            run: None,
            steps: Vec::new(),
            hosts: None,
            failure: None,
            site_up: None,
            outputs: BTreeMap::new(),
            started_at: None,
            finished_at: None,
        }
    }
}

impl DeploymentStatus {
    /// The claim of the attempt that is on or was last: an earlier attempt's counts no more.
    pub fn run_of_attempt(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| self.attempt.is_none_or(|attempt| attempt == run.attempt))
    }
}

/// Who agreed or refused.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// Who.
    #[schemars(length(max = 253))]
    pub by: String,
    /// Yes or no.
    pub decision: Decision,
    /// When it was seen.
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
}

/// Where a Deployment stands.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Seen, not numbered yet.
    Pending,
    /// Waits until somebody agrees.
    AwaitingApproval,
    /// Waits for its turn.
    Queued,
    /// Its pod is being made, or waits for the permission to start.
    Preparing,
    /// Ansible runs.
    Running,
    /// Ansible's own statistics say that all went well.
    Succeeded,
    /// Ansible ended well, but no server matched or no task ran.
    NothingDone,
    /// It failed; `failure` says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl Phase {
    /// It has ended and never changes again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::NothingDone | Self::Failed | Self::Cancelled)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Queued => "Queued",
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::NothingDone => "NothingDone",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Who asked for a run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestedBy {
    /// A person, or what stands for one.
    #[schemars(length(max = 253))]
    pub name: String,
    /// By which way.
    pub via: Via,
    /// What triggered it, where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub trigger: Option<String>,
}

/// By which way a run was asked for.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// Straight at Kubernetes.
    Kubectl,
    /// A change of what is wanted.
    Change,
    /// On the page.
    Dashboard,
    /// The clock.
    Schedule,
    /// A run that failed.
    Rollback,
    /// The servers are looked at, or corrected.
    Drift,
}

/// What a Deployment waits for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingFor {
    /// One of the reasons in the docs.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The Deployment that is before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<crate::service::ObjectRef>,
}

/// The claim and what the runner reports.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Which attempt.
    pub attempt: u32,
    /// Which process of the runner.
    #[schemars(length(max = 64))]
    pub instance: String,
    /// In which pod.
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// When it was allowed to start Ansible.
    #[schemars(schema_with = "schema::time")]
    pub claimed_at: Timestamp,
    /// When Ansible must have ended: the runner sees to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub deadline: Option<Timestamp>,
    /// The highest report that arrived without a gap.
    #[serde(default)]
    pub seq: i64,
    /// How far it is; at most once in 5 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The step that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub step: Option<String>,
    /// The runner's final report, as JSON: what its termination message says. Only once every event
    /// of this attempt has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub result: Option<String>,
}

/// How far a run is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Steps that have ended.
    pub done: u32,
    /// Steps that are known, the ended ones among them.
    pub total: u32,
    /// Seconds that it usually takes from here to the end, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_seconds: Option<u32>,
    /// When it is expected to end, from how long its steps took in earlier runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub expected_end: Option<Timestamp>,
    /// From then on it takes longer than nine of ten earlier runs did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub long_after: Option<Timestamp>,
}

/// A step that was done.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// `file:line#n`.
    #[schemars(length(max = 300))]
    pub key: String,
    /// What people see.
    #[schemars(length(max = 200))]
    pub name: String,
    /// How it ended.
    pub state: StepState,
    /// When the first server began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub started_at: Option<Timestamp>,
    /// When the last server ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub finished_at: Option<Timestamp>,
    /// How many servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<StepHosts>,
    /// What went wrong, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub message: Option<String>,
}

/// How a step ended.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    /// Planned, never begun.
    Pending,
    /// Begun.
    Running,
    /// Fine.
    Succeeded,
    /// Failed.
    Failed,
    /// Left out.
    Skipped,
    /// Failed, and the playbook handled it.
    Rescued,
    /// A server could not be reached.
    Unreachable,
    /// The run was stopped in it.
    Cancelled,
}

/// How many servers a step was done on.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepHosts {
    /// Where it was fine.
    pub ok: u32,
    /// Where it changed something.
    pub changed: u32,
}

/// The servers of a run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostsStatus {
    /// All that the plays matched.
    pub total: u32,
    /// Without a failure.
    pub ok: u32,
    /// With a failed step.
    pub failed: u32,
    /// That could not be reached.
    pub unreachable: u32,
    /// The first ones that failed or could not be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub failed_names: Vec<String>,
}

/// Why a run did not succeed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// One of the reasons in the docs.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// In which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub step: Option<String>,
    /// On which server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// What happened.
    #[schemars(length(max = 1000))]
    pub message: String,
    /// What one can do about it.
    #[schemars(length(max = 500))]
    pub hint: String,
    /// Of a server that was not recognised (HostKeyChanged): the key that it shows now. Nobody has confirmed it:
    /// compare the fingerprint with the server's own before you trust it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

/// A server's own key.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostKey {
    /// As `ssh-keygen -l` shows it on the server.
    #[schemars(length(max = 100))]
    pub fingerprint: String,
    /// The line for `known_hosts` of credentials.knownHosts that trusts it.
    #[schemars(length(max = 1000))]
    pub known_hosts: String,
    /// The fingerprint by which it was known until now; absent: it was not known at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub known: Option<String>,
}
