//! TLS of the listener for runs: an authority that is kept, certificates that are not.

pub mod authority;
pub mod listener;
