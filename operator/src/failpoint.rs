//! Fail points for tests of crashes: compiled only with the feature `failpoints`. The environment
//! names a write (`FASTDEPLOY_STOP_BEFORE=CreateJob`); the process stops itself (SIGSTOP) before it,
//! once, exactly where a machine might freeze.

use crate::world::Write;

/// Called before each write.
#[cfg(feature = "failpoints")]
pub fn before(write: &Write) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static DONE: AtomicBool = AtomicBool::new(false);
    let wanted = std::env::var("FASTDEPLOY_STOP_BEFORE").unwrap_or_default();
    if wanted == write.name() && !DONE.swap(true, Ordering::SeqCst) {
        tracing::warn!(write = write.name(), "stopping before a write, as the test asked for");
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
    }
}

/// Called before each write.
#[cfg(not(feature = "failpoints"))]
pub const fn before(_: &Write) {}
