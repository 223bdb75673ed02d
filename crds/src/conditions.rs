//! Conditions: a set of them is decided as plain data and merged into what was there.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::Reason;

/// Summary: usable as wanted.
pub const READY: &str = "Ready";
/// On the way; present only while True.
pub const RECONCILING: &str = "Reconciling";
/// Given up until something changes; present only while True.
pub const STALLED: &str = "Stalled";
/// Service: what is on the servers is what is wanted.
pub const IN_SYNC: &str = "InSync";
/// Deployment: it succeeded.
pub const SUCCEEDED: &str = "Succeeded";

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    True,
    /// No.
    False,
    /// Not known (yet).
    Unknown,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition as it is decided: without times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its type.
    pub type_: &'static str,
    /// Its state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
}

/// Makes the list of conditions: exactly those wanted, each keeping the time of its last
/// transition unless its state changes now.
pub fn merge(old: &[Condition], wanted: &[Wanted], generation: i64, now: Timestamp) -> Vec<Condition> {
    wanted
        .iter()
        .map(|wanted| {
            let since = old
                .iter()
                .find(|c| c.type_ == wanted.type_ && c.status == wanted.state.as_str())
                .map_or_else(|| Time(now), |c| c.last_transition_time.clone());
            Condition {
                type_: wanted.type_.into(),
                status: wanted.state.as_str().into(),
                reason: wanted.reason.as_str().into(),
                message: shorten(&wanted.message, 1_000),
                observed_generation: Some(generation),
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of that type is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}

/// At most `max` characters; what is cut is marked.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}
