//! `Service`: what is deployed, from where, onto what, by which rules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::credentials::{
    BecomePassword, Credentials, Galaxy, KnownHosts, Ssh, SshConfig, Trust, VaultPassword,
};
pub use crate::runner::{Cache, EnvVar, ImagePullPolicy, Runner, RunnerVolume};
use crate::{
    deployment::Phase,
    drift::DriftStatus,
    notify::Notify,
    policy::{Cause, Policy},
    schema,
    source::Source,
};

/// A web application that is kept on its servers by an Ansible playbook.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fastdeploy.dev",
    version = "v1alpha1",
    kind = "Service",
    namespaced,
    status = "ServiceStatus",
    shortname = "fsvc",
    category = "fastdeploy",
    doc = "A Service says what is deployed: which playbook, onto which servers, by which rules. Each run of it is a Deployment (fdep).",
    derive = "PartialEq",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Live", type_ = "integer", json_path = ".status.live.number", description = "Number of the Deployment whose result is on the servers"),
    printcolumn(name = "Last", type_ = "string", json_path = ".status.last.phase", description = "How the last Deployment ended"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.url", priority = 1),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy.deploy", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: write at most 40 lower-case letters, digits and dashes, beginning with a letter"),
    validation = Rule::new("!has(self.spec.dependsOn) || self.spec.dependsOn.all(d, d.name != self.metadata.name)")
        .message("dependsOn: a Service cannot wait for itself"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.lastNumber) || (has(self.status) && has(self.status.lastNumber) && self.status.lastNumber >= oldSelf.status.lastNumber)")
        .message("status.lastNumber never falls")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.playbook) != has(self.script)").message("write exactly one of playbook and script"))]
#[x_kube(validation = Rule::new("!has(self.options) || !has(self.options.factCache) || (has(self.runner) && has(self.runner.cache))").message("options.factCache: facts are kept in a volume, so name its claim in runner.cache"))]
#[x_kube(validation = Rule::new("!has(self.notify) || has(self.source.git) || self.notify.all(n, !has(n.commitStatus))").message("notify: commitStatus marks commits, so it needs a source of git"))]
#[x_kube(validation = Rule::new("!has(self.source.image) || (has(self.runner) && has(self.runner.image))").message("source.image: the playbook is in an image of yours, so name that image in runner.image"))]
pub struct ServiceSpec {
    /// What people see. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub title: Option<String>,
    /// A sentence on what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// Where the application answers ("Open site"): begins with http:// or https://.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('http://') || self.startsWith('https://'))").message("url: write the whole address, for example https://blog.example.com"))]
    pub url: Option<String>,
    /// Which environment this is, for example `staging` or `production`. Services of a namespace whose names are the
    /// same but for it (`blog-staging`, `blog-production`; or `blog`) stand side by side on the page, and what is live in
    /// one can be promoted to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub environment: Option<String>,
    /// Where the playbook comes from: exactly one of `git`, `inline`, `configMap`, `image`.
    pub source: Source,
    /// The playbook, as a path in the source, for example `deploy.yml`. Exactly one of `playbook` and `script`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.startsWith('-') && !self.split('/').exists(p, p == '..' || p == '')").message("playbook: write a path inside the source, for example deploy.yml or site/deploy.yml"))]
    pub playbook: Option<String>,
    /// Instead of a playbook: an executable, as a path in the source, for example `deploy.sh`. It is started with
    /// `--config FILE`; lines of JSON on its output are steps, its exit code says whether it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.startsWith('-') && !self.split('/').exists(p, p == '..' || p == '')").message("script: write a path inside the source, for example deploy.sh or site/deploy.py"))]
    pub script: Option<String>,
    /// Collections and roles that the playbook needs, as a path in the source, for example `requirements.yml`: they
    /// are installed with ansible-galaxy before it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.startsWith('-') && !self.split('/').exists(p, p == '..' || p == '')").message("requirements: write a path inside the source, for example requirements.yml"))]
    pub requirements: Option<String>,
    /// The servers: exactly one of `path`, `inline`, `configMapRef`, `secretRef`, `local`.
    pub inventory: Inventory,
    /// Variables for the playbook. They may contain templates, so they are the author's; what people type belongs into `inputs`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub variables: BTreeMap<String, Value>,
    /// Secrets and ConfigMaps whose keys become variables. Later ones win; their values stay strings and are never templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub variables_from: Vec<VariablesFrom>,
    /// The form that people fill in when they deploy. Values reach the playbook as variables of that name, as data, never as templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub inputs: Vec<Input>,
    /// How to log in to the servers, and what else a run must prove.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: Credentials,
    /// The steps that people see before the run has told its own: names and what they do. A script's steps are not
    /// known otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<NamedStep>,
    /// What ansible-playbook is told besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: Options,
    /// When to deploy, by which rules, and for how long it may take.
    #[serde(default)]
    pub policy: Policy,
    /// Services of this namespace that must be Ready, with no run on, before a run starts that nobody asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub depends_on: Vec<NameRef>,
    /// How one sees that the site is up: asked from the run's pod, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How many ended Deployments stay in the cluster. The live one, the one before and the last one always stay.
    #[serde(default)]
    pub history: History,
    /// Who is told what happens. Needs the installation's PostgreSQL; what cannot be told at once is tried again for hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub notify: Vec<Notify>,
    /// The pod in which Ansible runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub runner: Runner,
    /// true: no new run starts, whoever asks. What runs goes on; cancel and delete still work.
    #[serde(default)]
    pub suspend: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Something in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of something in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it. Default: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// The servers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.path), has(self.inline), has(self.configMapRef), has(self.secretRef), has(self.local)].filter(x, x).size() == 1").message("inventory: write exactly one of path, inline, configMapRef, secretRef or local"))]
#[x_kube(validation = Rule::new("!has(self.local) || self.local").message("inventory.local: write true, or name the servers with inline, path, configMapRef or secretRef"))]
pub struct Inventory {
    /// A file or folder in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 250))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.startsWith('-') && !self.split('/').exists(p, p == '..' || p == '')").message("inventory.path: write a path inside the source, for example inventory/hosts.yml"))]
    pub path: Option<String>,
    /// An Ansible inventory in YAML form, for example `all: {hosts: {web1: {ansible_host: 10.0.0.5}}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub inline: Option<Value>,
    /// A key of a ConfigMap with an inventory file (INI or YAML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyRef>,
    /// A key of a Secret with an inventory file (INI or YAML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyRef>,
    /// true: the run's pod itself is the only host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<bool>,
}

/// A Secret or ConfigMap whose keys become variables.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) != has(self.configMapRef)").message("variablesFrom: write exactly one of secretRef or configMapRef per entry"))]
pub struct VariablesFrom {
    /// A Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<NameRef>,
}

/// A field of the form.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.type in ['choice', 'multichoice']) == has(self.choices)").message("inputs: choices belong to the types choice and multichoice, and only there"))]
#[x_kube(validation = Rule::new("!has(self.pattern) || self.type in ['text', 'textarea', 'gitBranch', 'gitTag']").message("inputs: pattern belongs to the types text, textarea, gitBranch and gitTag"))]
#[x_kube(validation = Rule::new("(!has(self.minimum) && !has(self.maximum)) || self.type == 'number'").message("inputs: minimum and maximum belong to the type number"))]
#[x_kube(validation = Rule::new("!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum").message("inputs: minimum must not be above maximum"))]
pub struct Input {
    /// Name of the variable.
    #[schemars(length(max = 63), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The question, as people see it. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub label: Option<String>,
    /// What kind of answer.
    #[serde(rename = "type")]
    pub type_: InputType,
    /// An answer must be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// A sentence that helps to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub help: Option<String>,
    /// Taken where no answer is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub default: Option<Value>,
    /// The answers to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 200)), extend("x-kubernetes-list-type" = "set"))]
    pub choices: Option<Vec<String>>,
    /// A regular expression that the whole answer must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub pattern: Option<String>,
    /// Smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// Largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
}

/// What kind of answer an input takes.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// One line.
    Text,
    /// Several lines.
    Textarea,
    /// A number.
    Number,
    /// true or false.
    Boolean,
    /// One of `choices`.
    Choice,
    /// Any of `choices`.
    Multichoice,
    /// A day, as 2026-11-23.
    Date,
    /// A secret: it never stands in a spec, but in the Secret that the Deployment names in `secretInputs`.
    Secret,
    /// A branch of the Service's repository.
    #[serde(rename = "gitBranch")]
    GitBranch,
    /// A tag of the Service's repository.
    #[serde(rename = "gitTag")]
    GitTag,
    /// The id of a commit, whole or at least seven characters of it.
    #[serde(rename = "gitCommit")]
    GitCommit,
}

/// What ansible-playbook is told besides.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Only tasks with one of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100), regex(pattern = "^[^-,\\s][^,\\s]*$")), extend("x-kubernetes-list-type" = "set"))]
    pub tags: Vec<String>,
    /// Not the tasks with one of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100), regex(pattern = "^[^-,\\s][^,\\s]*$")), extend("x-kubernetes-list-type" = "set"))]
    pub skip_tags: Vec<String>,
    /// How many servers at a time. Default: Ansible's (5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub forks: Option<u32>,
    /// How much Ansible tells, 0 to 4. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub verbosity: Option<u8>,
    /// Show what changes in files. They may hold secrets that fastDeploy does not know. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<bool>,
    /// Fewer SSH round trips; switch off where sudo demands a terminal (requiretty). Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelining: Option<bool>,
    /// How long facts of a server count for later runs, 1 minute to 7 days; needs `runner.cache`. Default: each run
    /// gathers them anew, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('1m') && duration(self) <= duration('168h')").message("options.factCache: write a duration from 1m to 168h, for example 24h"))]
    pub fact_cache: Option<String>,
}

/// A step, as people see it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedStep {
    /// Its name: that of a task, or what the script reports.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// What it does, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub description: Option<String>,
}

/// How one sees that the site is up.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// With a request over HTTP.
    pub http: HttpCheck,
}

/// A request over HTTP.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// What is asked for, with GET.
    #[schemars(length(max = 2000))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('http://') || self.startsWith('https://'))").message("healthCheck.http.url: write the whole address, for example https://blog.example.com/health"))]
    pub url: String,
    /// The status that says that all is well. Default: 200.
    #[serde(default = "ok_status")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// How long after a run it may take until it answers so; 1 second to 10 minutes. Default: 10s.
    #[serde(default = "default_check_timeout")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('1s') && duration(self) <= duration('10m')").message("healthCheck.http.timeout: write a duration from 1s to 10m, for example 10s"))]
    pub timeout: String,
}

const fn ok_status() -> u16 {
    200
}

fn default_check_timeout() -> String {
    "10s".into()
}

/// How many ended Deployments stay in the cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Succeeded ones. Default: 3.
    #[serde(default = "default_succeeded")]
    #[schemars(range(min = 0, max = 100))]
    pub succeeded: u32,
    /// All others. Default: 2.
    #[serde(default = "default_failed")]
    #[schemars(range(min = 0, max = 100))]
    pub failed: u32,
}

const fn default_succeeded() -> u32 {
    3
}

const fn default_failed() -> u32 {
    2
}

impl Default for History {
    fn default() -> Self {
        Self { succeeded: default_succeeded(), failed: default_failed() }
    }
}

/// What was reached. One writer: the Service controller.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// The generation of the spec that this status speaks of; -1: not looked at yet.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// Ready, InSync; Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The source as it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// The highest number that was given to a Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_number: Option<i64>,
    /// The last wanted state that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Handled>,
    /// The Deployment whose turn it is: the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// What is on the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// The Deployment before the live one that succeeded: what one would go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ObjectRef>,
    /// The Deployment that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
    /// When the next run starts by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Whether the servers still are what was left there, with `policy.drift`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// The value of the annotation fastdeploy.dev/requestedAt that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
}

const fn never_observed() -> i64 {
    -1
}

impl Default for ServiceStatus {
    fn default() -> Self {
        Self {
            observed_generation: never_observed(),
            conditions: Vec::new(),
            source: None,
            last_number: None,
            handled: None,
            active: None,
            live: None,
            previous: None,
            last: None,
            next: None,
            drift: None,
            last_handled_reconcile_at: None,
        }
    }
}

/// The source as it was last read.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// For people: `main@sha1:4f2a…`, `inline@sha256:…`, `blog-playbook@sha256:…`.
    #[schemars(length(max = 300))]
    pub revision: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
    /// First line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub message: Option<String>,
    /// The commit's trees that are used, path to id: only a change of these is a change of the source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::trees")]
    pub trees: BTreeMap<String, String>,
    /// When this revision was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub checked_at: Option<Timestamp>,
}

/// A Deployment of the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// The last wanted state that was acted on.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// `v1:sha256:…`.
    #[schemars(length(max = 100))]
    pub digest: String,
    /// The Deployment that acted on it.
    pub deployment: ObjectRef,
    /// How it ended; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Phase>,
    /// How often it was tried.
    #[serde(default)]
    pub tries: i32,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub next_at: Option<Timestamp>,
}

/// The Deployment whose turn it is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Timestamp,
    /// It changes nothing: a preview, or a check for drift.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
    /// Until when its run may still be at work although its pod is lost: the lock is kept until then,
    /// even if the Deployment is deleted meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub until: Option<Timestamp>,
}

/// What is on the servers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// The Deployment that brought it.
    pub deployment: ObjectRef,
    /// Its number.
    pub number: i64,
    /// The digest of what it ran.
    #[schemars(length(max = 100))]
    pub digest: String,
    /// For people: the source that it ran.
    #[schemars(length(max = 300))]
    pub revision: String,
    /// What people had filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub inputs: BTreeMap<String, Value>,
    /// The Secret with the secrets that people had filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_inputs: Option<NameRef>,
    /// What the playbook reported with set_stats.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub outputs: BTreeMap<String, Value>,
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Timestamp,
    /// Whether the site answered after it; absent: nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// When the next run starts by itself.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// Then.
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    /// For this reason.
    pub because: Cause,
}

/// The Deployment that ended last.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// It.
    pub deployment: ObjectRef,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// How it ended.
    pub phase: Phase,
}
