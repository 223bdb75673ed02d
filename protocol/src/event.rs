//! What happens in a run, numbered by its runner from 1 without gaps. Spooled to
//! disk before anything else; delivered in batches as reports.

use serde::{Deserialize, Serialize};

use crate::verdict::{StepState, Verdict};

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
    },
    /// A step began. A key that was not planned is a new step.
    StepStarted {
        /// `file:line#n`.
        key: String,
        /// What people see, templates resolved.
        name: String,
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
    /// The last event, the final report: nothing follows.
    Finished {
        /// What the termination message says, too.
        verdict: Box<Verdict>,
    },
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
