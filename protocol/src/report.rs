//! Reports: batches of events from a runner, on their way to the api-server.
//!
//! `POST /runs/{uid}/{attempt}/reports`, bearer: the deployment token of the claim, body: a
//! [`Report`] as zstd-compressed JSON (`content-encoding: zstd`). Answers: 200 [`Acked`]; 409 another
//! process has this attempt; 410 the run is sealed; 413 too large; 429 and 503 with `Retry-After`:
//! later. Events are numbered from 1 without gaps; what was acknowledged may be sent again.
//!
//! `GET /runs/{uid}/{attempt}/followed`, with the same token: waits for somebody who watches the run. Answers: 200
//! [`Followed`], after [`FOLLOWED_WITHIN`] at the latest; 404 from older servers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Bytes of one report's JSON before compression; a single larger event goes alone.
pub const MAX_REPORT_BYTES: usize = 256 * 1024;
/// Bytes that the server is willing to read and to inflate to.
pub const MAX_INFLATED_BYTES: usize = 48 << 20;

/// Path of the reports, relative to the listener's base URL.
pub fn path(run_uid: &str, attempt: u32) -> String {
    format!("/runs/{run_uid}/{attempt}/reports")
}

/// Path where it is said that somebody watches, relative to the listener's base URL.
pub fn followed_path(run_uid: &str, attempt: u32) -> String {
    format!("/runs/{run_uid}/{attempt}/followed")
}

/// After so long it is answered that nobody watches yet.
pub const FOLLOWED_WITHIN: Duration = Duration::from_secs(20);

/// 200, to whoever waits for somebody who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Somebody does: send what there is. Else ask again.
    pub followed: bool,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Which process sends.
    pub instance: String,
    /// The lowest event that the runner still has: a server that lost its database takes up here.
    pub first_available: u64,
    /// Number of the first event of this batch.
    pub first_seq: u64,
    /// In order, without gaps; may be empty: then it only asks what is acknowledged.
    pub events: Vec<Event>,
}

/// 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The highest event that is stored, with all before it. Send what follows.
    pub acked: u64,
    /// Somebody may be watching the run: send the next events as they come. Else more of them may go together.
    #[serde(default = "yes")]
    pub followed: bool,
}

/// What a server that does not say it means.
const fn yes() -> bool {
    true
}
