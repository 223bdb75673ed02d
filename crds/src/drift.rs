//! Drift: the servers no longer are what the live Deployment left. How often that is looked at, and what
//! was found.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{deployment::Phase, schema, service::ObjectRef};

/// Whether the servers still are what the live Deployment left: asked of Ansible's check mode.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftPolicy {
    /// From the end of one check to the next; 10 seconds to 30 days. The first one follows each run at once: what
    /// would change even then is not drift. Default: 1h.
    #[serde(default = "default_every")]
    #[schemars(length(max = 20), regex(pattern = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && size(self) > 0 && duration(self) >= duration('10s') && duration(self) <= duration('720h')").message("policy.drift.every: write a duration from 10s to 720h, for example 1h"))]
    pub every: String,
    /// true: drift is corrected by a run that repeats what is live, once; where that does not help, people are told.
    /// Default: false.
    #[serde(default)]
    pub correct: bool,
}

fn default_every() -> String {
    "1h".into()
}

/// What checks for drift have found.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// The last run that touched the servers: what it left is what they are compared with.
    pub after: ObjectRef,
    /// Its number.
    pub number: i64,
    /// How it had ended. Servers that are half changed are not compared with anything.
    pub ended: Phase,
    /// The last check that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// What would have changed right after that run: no drift. Absent: not looked at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub baseline: Option<Vec<DriftStep>>,
    /// What it comes to; absent: nothing is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<DriftResult>,
    /// What the live Deployment would change, were it run again; the first 20 steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub steps: Vec<DriftStep>,
    /// How many steps that are in all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_total: u32,
    /// What `after` was to correct, if it was to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub to_correct: Vec<DriftStep>,
    /// The run that corrects what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<ObjectRef>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A check that has ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The Deployment that looked.
    pub deployment: ObjectRef,
    /// When it had ended.
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    /// How it ended: only with Succeeded it tells anything about the servers.
    pub phase: Phase,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub message: Option<String>,
}

/// What checks come to.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftResult {
    /// The servers are as they were left.
    InSync,
    /// They are not.
    Drifted,
    /// They are not, and a run that was to correct it did not.
    NotIdempotent,
}

/// A step that would change something.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStep {
    /// `file:line#n`.
    #[schemars(length(max = 300))]
    pub key: String,
    /// What people see.
    #[schemars(length(max = 200))]
    pub name: String,
    /// On how many servers.
    pub hosts: u32,
}
