//! What happens in a run, numbered by its runner from 1 without gaps. Spooled to
//! disk before anything else; delivered in batches as reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::{StepState, Verdict};

/// Bytes of a body (a diff) that are kept; what is longer is cut, with [`CUT`] at its end.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Stands where a body was cut.
pub const CUT: &str = " … [cut by fastDeploy]";
/// Warnings, and deprecations, of one result that are kept.
pub const MAX_NOTES: usize = 10;

/// A numbered event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps within one attempt.
    pub seq: u64,
    /// When the runner saw it.
    pub at: jiff::Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Kind {
    /// The steps that are known before the first task.
    Plan {
        /// In the order in which they are expected.
        steps: Vec<PlannedStep>,
        /// What playbook and roles say of their variables, for whoever writes the Service's form; older runners say nothing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        declared: Vec<Declared>,
    },
    /// A step began. A key that was not planned is a new step.
    StepStarted {
        /// `file:line#n`.
        key: String,
        /// What people see, templates resolved.
        name: String,
        /// Play or role that it belongs to; empty: as planned.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        section: String,
        /// Runs only if notified, or only to rescue.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        conditional: bool,
    },
    /// A step was not yet fine on a server, and is tried there again (`until`).
    HostRetried {
        /// `file:line#n`.
        key: String,
        /// The server.
        host: String,
        /// How often it was tried so far.
        attempt: u32,
        /// How often it is tried at most.
        of: u32,
    },
    /// What a step changed, or would change, in a file: as Ansible shows it with `--diff`. Before the
    /// result of that server.
    Diff {
        /// `file:line#n`.
        key: String,
        /// The server.
        host: String,
        /// Masked, at most [`MAX_BODY_BYTES`].
        text: String,
    },
    /// A step has a result on one server.
    HostResult {
        /// `file:line#n`.
        key: String,
        /// The server.
        host: String,
        /// How it went there.
        state: HostState,
        /// Whether it changed something.
        changed: bool,
        /// Milliseconds.
        duration_ms: u64,
        /// Short, masked.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// How often it was tried, where that was more than once.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempts: u32,
        /// Of a loop: how its items went. What a loop did is one result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        items: Option<Items>,
        /// What went wrong, with the place in the source where Ansible knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Box<ErrorSummary>>,
        /// What Ansible or the module warns of, masked; the first [`MAX_NOTES`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// What will not work any more with a later Ansible, masked; the first [`MAX_NOTES`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        deprecations: Vec<String>,
    },
    /// A step ended.
    StepFinished {
        /// `file:line#n`.
        key: String,
        /// How it ended.
        state: StepState,
    },
    /// Lines as a person at a terminal would see them, masked.
    Output {
        /// Number of the first line, from 1.
        first_line: u64,
        /// The lines, joined by `\n`.
        text: String,
    },
    /// Ansible's own statistics, at its end.
    Statistics {
        /// By server.
        hosts: BTreeMap<String, HostCounts>,
    },
    /// The last event, the final report: nothing follows.
    Finished {
        /// What the termination message says, too.
        verdict: Box<Verdict>,
    },
    /// Something that a newer runner says: it counts as an event, and tells nothing.
    #[serde(other)]
    Unknown,
}

/// How the items of a loop went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// All of them.
    pub total: u32,
    /// That changed something.
    #[serde(default)]
    pub changed: u32,
    /// That failed.
    #[serde(default)]
    pub failed: u32,
    /// That were left out.
    #[serde(default)]
    pub skipped: u32,
}

/// An error as Ansible explains it; all masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorSummary {
    /// What happened, and what led to it.
    pub message: String,
    /// The place in the source and the lines around it, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
    /// What Ansible advises.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// Ansible's statistics of one server: results, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostCounts {
    /// Fine, changed ones included.
    pub ok: u64,
    /// That changed something.
    pub changed: u64,
    /// Failed for good.
    pub failures: u64,
    /// Times that it could not be reached.
    pub unreachable: u64,
    /// Left out.
    pub skipped: u64,
    /// Failed, and the playbook handled it.
    pub rescued: u64,
    /// Failed, and the playbook says that this does not matter.
    pub ignored: u64,
}

/// A step that is known in advance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// `file:line#1`.
    pub key: String,
    /// Name as written in the playbook.
    pub name: String,
    /// Play or role that it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// Runs only if notified, or only to rescue: not counted as expected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

/// Bytes of [`Declared`], as JSON, that are kept in all.
pub const MAX_DECLARED_BYTES: usize = 32 * 1024;

/// The `options` of an argument spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// Where it stands: a role, or a file beside the playbook.
    pub by: String,
    /// In its order.
    pub options: Vec<DeclaredOption>,
}

/// What is said of a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeclaredOption {
    /// Its name.
    pub name: String,
    /// `type`, `required`, `choices`, `description`, `default`, `no_log`, as Ansible read them.
    #[serde(flatten)]
    pub said: serde_json::Map<String, serde_json::Value>,
}

/// How a step went on one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostState {
    /// Fine.
    Ok,
    /// Left out.
    Skipped,
    /// Failed.
    Failed,
    /// Failed, and the playbook says that this does not matter.
    Ignored,
    /// Failed, and the playbook handles it.
    Rescued,
    /// Could not be reached.
    Unreachable,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
