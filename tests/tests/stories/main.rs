//! What fastDeploy promises, told on a real cluster: one story per file. `cargo test --workspace --test stories`
//! tells all of them, the same with `success` behind it one; `KEEP=1` leaves its namespace behind.
//!
//! Stories run in the order of their paths. The first ones break what all others need and are
//! alone; the last one looks back at what all of them did.

#![allow(missing_docs)]

mod alone;
mod beside;
mod finally;
