//! By which rules a Service is deployed.

use jiff::civil::Weekday;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::drift::DriftPolicy;

/// When to deploy, by which rules, and for how long it may take.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// OnChange: a change of source, variables or inventory makes a Deployment. Manual: people do. Default: Manual.
    #[serde(default)]
    pub deploy: DeployPolicy,
    /// Queue: a Deployment waits until the one before has ended. Replace: the one that is on is stopped after
    /// its step. Default: Queue.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Whether somebody has changed the servers since: looked at by the clock. Default: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftPolicy>,
    /// From the start of Ansible to its end; 10 seconds to 24 hours. Default: 30m.
    #[serde(default = "default_timeout")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("policy.timeout: write a duration from 10s to 24h, for example 30m"))]
    pub timeout: String,
    /// From the Job to the start of Ansible (image, scheduling, API); 10 seconds to 24 hours. Default: 10m.
    #[serde(default = "default_prepare_timeout")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("policy.prepareTimeout: write a duration from 10s to 24h, for example 10m"))]
    pub prepare_timeout: String,
    /// Whether a failed run is tried again at once, as another attempt of the same Deployment. Default: it is not.
    #[serde(default)]
    pub retries: Retries,
    /// A run that fails is followed by one that repeats what was live before. Default: false.
    #[serde(default)]
    pub rollback_on_failure: bool,
    /// Whether somebody has to agree before a run starts. Default: nobody has to.
    #[serde(default)]
    pub approval: Approval,
    /// Times of the week in which runs may start, or must not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub windows: Vec<Window>,
    /// Runs by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

fn default_timeout() -> String {
    "30m".into()
}

fn default_prepare_timeout() -> String {
    "10m".into()
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            deploy: DeployPolicy::default(),
            concurrency: Concurrency::default(),
            drift: None,
            timeout: default_timeout(),
            prepare_timeout: default_prepare_timeout(),
            retries: Retries::default(),
            rollback_on_failure: false,
            approval: Approval::default(),
            windows: Vec::new(),
            schedule: None,
        }
    }
}

/// What makes a Deployment.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeployPolicy {
    /// Only people.
    #[default]
    Manual,
    /// Every change of what is wanted.
    OnChange,
}

/// What a Deployment does to the one that is on.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concurrency {
    /// It waits.
    #[default]
    Queue,
    /// It stops it after its step.
    Replace,
}

/// Whether a failed run is tried again at once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// How often, at most. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub limit: u32,
    /// How long it waits before the first; twice as long before each further one. Default: 30s.
    #[serde(default = "default_backoff")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("policy.retries.backoff: write a duration from 1s to 1h, for example 30s"))]
    pub backoff: String,
}

fn default_backoff() -> String {
    "30s".into()
}

impl Default for Retries {
    fn default() -> Self {
        Self { limit: 0, backoff: default_backoff() }
    }
}

/// Whether somebody has to agree before a run starts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// true: a run waits until somebody with the verb `approve` agrees. Default: false.
    #[serde(default)]
    pub required: bool,
    /// Whether the person who asked for the run may be the one who agrees. Default: false.
    #[serde(default)]
    pub own: bool,
    /// How long a run waits for its approval, and how long an approval counts. Default: 24h.
    #[serde(default = "default_expires_after")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('10s') && duration(self) <= duration('720h')").message("policy.approval.expiresAfter: write a duration from 10s to 720h, for example 24h"))]
    pub expires_after: String,
}

fn default_expires_after() -> String {
    "24h".into()
}

impl Default for Approval {
    fn default() -> Self {
        Self { required: false, own: false, expires_after: default_expires_after() }
    }
}

/// A time of the week. With windows of effect Allow, runs start only in one of them; in one of effect Deny,
/// none starts, whatever else allows it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from != self.to").message("policy.windows: from and to are the same; write 00:00 and 24:00 for the whole day"))]
pub struct Window {
    /// On which days it begins. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it begins: `08:00`.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// When it ends: `18:00`, or `24:00`. Before `from`: on the next day.
    #[schemars(length(max = 5), regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub to: String,
    /// On whose clock, as Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Default: Allow.
    #[serde(default)]
    pub effect: Effect,
    /// Default: Automatic.
    #[serde(default)]
    pub applies_to: AppliesTo,
}

fn utc() -> String {
    "UTC".into()
}

/// A day of the week.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// The day that a calendar says.
    pub const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// What a window does.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Runs may start in it.
    #[default]
    Allow,
    /// No run starts in it.
    Deny,
}

/// Whom a window concerns.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppliesTo {
    /// Runs that nobody asked for.
    #[default]
    Automatic,
    /// Runs that people ask for as well.
    Everyone,
}

/// Runs by the clock.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Minute, hour, day, month, day of the week: `0 4 * * *`.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// On whose clock, as Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// Why a run starts that nobody asked for.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// What is wanted has changed.
    Change,
    /// The clock says so.
    Schedule,
    /// It failed and is tried again.
    Retry,
    /// A window opens.
    Window,
    /// What failed is undone.
    Rollback,
    /// What has drifted is corrected.
    Drift,
}
