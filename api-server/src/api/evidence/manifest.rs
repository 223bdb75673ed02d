//! What the first page of a run's evidence says: who asked, who agreed, what was run, how it ended. Pure.

use std::collections::BTreeMap;

use crds::deployment::{Decision, FailureStatus, HostsStatus, RequestedBy};
use crds::{Deployment, Phase, names, promotion};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::activity::Entry as Told;
use store::read::DeploymentRow;
use store::runs::Gap;

use super::archive::Entry;

/// This shape; another one has another number.
const FORMAT: &str = "fastdeploy.dev/evidence/v1";

/// `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: &'static str,
    made_at: Timestamp,
    made_for: String,
    namespace: String,
    service: String,
    deployment: String,
    uid: String,
    number: Option<i64>,
    mode: &'static str,
    note: Option<String>,
    requested_by: Option<RequestedBy>,
    requested_at: Timestamp,
    approval: Option<Approval>,
    revision: Option<String>,
    commit: Option<String>,
    /// Where the playbook comes from, as far as the frozen input says so: url, commit, folders.
    source: Option<Value>,
    digest: Option<String>,
    bundle: Option<BundleLine>,
    inputs: BTreeMap<String, Value>,
    /// Names, never values.
    secret_inputs: Vec<String>,
    phase: Phase,
    reason: Option<String>,
    failure: Option<FailureStatus>,
    hosts: Option<HostsStatus>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// What happened, from the audit log.
    timeline: Vec<Moment>,
    attempts: Vec<AttemptLine>,
    files: Vec<Entry>,
}

/// Who agreed to which digest.
#[derive(Debug, Serialize)]
struct Approval {
    by: String,
    decision: Decision,
    at: Option<Timestamp>,
    digest: Option<String>,
}

/// The frozen input.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BundleLine {
    /// Of its ConfigMap: `fastdeploy-bundle-` and the first 16 digits of the file's SHA-256.
    name: String,
    /// false: it is no longer there, or not yet archived.
    kept: bool,
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub struct Moment {
    at: Timestamp,
    event: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
}

/// One attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptLine {
    /// From 1.
    pub attempt: i32,
    /// How many events there are.
    pub events: u64,
    /// How many lines there are.
    pub lines: u64,
    /// Events that were lost with an earlier database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
}

/// Events that are lost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lost {
    first: i64,
    last: i64,
}

impl From<&Gap> for Lost {
    fn from(gap: &Gap) -> Self {
        Self { first: gap.first, last: gap.last }
    }
}

/// What is known of a run before its files are read.
pub struct Known {
    /// It.
    pub row: DeploymentRow,
    /// Its frozen input, as archived.
    pub bundle: Option<String>,
    /// What the audit log says of it, oldest first.
    pub told: Vec<Told>,
    /// Who asks for the evidence.
    pub made_for: String,
    /// Now.
    pub now: Timestamp,
}

/// With the files that were written. None: the object is none that this version can read.
pub fn manifest(known: &Known, attempts: Vec<AttemptLine>, files: Vec<Entry>) -> Option<Manifest> {
    let Known { row, bundle, told, made_for, now } = known;
    let Deployment { spec, status, .. } = serde_json::from_value(row.object.clone()).ok()?;
    let status = status.unwrap_or_default();
    let frozen: Option<Value> = bundle.as_ref().and_then(|bundle| serde_json::from_str(bundle).ok());
    let source = frozen.as_ref().and_then(|frozen| frozen.pointer("/source/git")).map(|git| {
        let named = ["url", "commit", "reference", "path", "include"];
        named.into_iter().filter_map(|field| Some((field.to_owned(), git.get(field)?.clone()))).collect()
    });
    let secret_inputs = frozen.as_ref().and_then(|frozen| frozen.pointer("/credentials/secretInputs"));
    let secret_inputs =
        secret_inputs.and_then(|names| serde_json::from_value(names.clone()).ok()).unwrap_or_default();
    let ran = frozen.as_ref().and_then(|frozen| serde_json::from_value(frozen.get("inputs")?.clone()).ok());
    let approval = status.approval.map(|approval| Approval {
        digest: spec.approval.as_ref().map(|approval| approval.digest.clone()),
        at: Some(approval.at),
        by: approval.by,
        decision: approval.decision,
    });
    let of_this = |told: &&Told| told.data.get("uid").is_none_or(|uid| *uid == row.uid.to_string());
    let timeline = told.iter().filter(of_this).map(|told| Moment {
        at: told.at,
        event: told.what.clone(),
        by: told.actor.clone(),
    });
    Some(Manifest {
        format: FORMAT,
        made_at: *now,
        made_for: made_for.clone(),
        namespace: row.namespace.clone(),
        service: row.service.clone(),
        deployment: row.name.clone(),
        uid: row.uid.to_string(),
        number: status.number,
        mode: match spec.mode {
            crds::deployment::Mode::Apply => "Apply",
            crds::deployment::Mode::Check => "Check",
        },
        note: spec.reason,
        requested_by: status.requested_by,
        requested_at: row.created_at,
        approval,
        commit: status.revision.as_deref().and_then(promotion::commit).map(ToOwned::to_owned),
        revision: status.revision,
        source,
        digest: status.digest,
        bundle: status.bundle.map(|name| BundleLine {
            kept: bundle.as_ref().is_some_and(|content| names::bundle(content) == name),
            name,
        }),
        inputs: ran.or(status.inputs).unwrap_or(spec.inputs),
        secret_inputs,
        phase: status.phase.unwrap_or(Phase::Pending),
        reason: status.reason,
        failure: status.failure,
        hosts: status.hosts,
        started_at: status.started_at,
        finished_at: status.finished_at,
        timeline: timeline.collect(),
        attempts,
        files,
    })
}
