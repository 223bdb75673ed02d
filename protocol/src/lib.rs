//! What operator, api-server and runner say to each other about one run.
//!
//! Plain data and names, no I/O. The operator freezes a [`bundle`] and lays out
//! a [`pod`]; the runner makes a [`claim`], runs Ansible, numbers what happens as
//! [`event`]s and leaves a [`verdict`] behind.

pub mod bundle;
pub mod claim;
pub mod event;
pub mod expected;
pub mod fold;
pub mod pod;
pub mod report;
pub mod verdict;

/// Version of the claim and report messages. A server answers another one with 400.
pub const PROTOCOL: u32 = 1;
