//! The claim: a runner's permission to start Ansible, granted once per attempt.

use serde::{Deserialize, Serialize};

/// Path of the claim, relative to the listener's base URL.
pub fn path(run_uid: &str, attempt: u32) -> String {
    format!("/runs/{run_uid}/{attempt}/claim")
}

/// `POST /runs/{uid}/{attempt}/claim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Random, made anew by each process: a restarted container is another instance.
    pub instance: String,
}

/// 200: go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimGranted {
    /// Deployment token: bearer for reports of this instance, valid a little longer than the run may last.
    pub token: String,
    /// When Ansible must have ended.
    pub deadline: jiff::Timestamp,
    /// Highest report number that the server already has; 0 for none.
    pub acked: u64,
}

/// Why a claim was not granted, as the body of 403 and 409.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRefused {
    /// Short CamelCase word: `Terminal`, `WrongAttempt`, `NotYourTurn`, `Fenced`, `NotThisPod`, …
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}
