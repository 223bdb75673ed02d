//! Watches what can end a run from outside: the cancel annotation, the deadline, signals.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc::SyncSender},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

use crate::{clock, control::Ask, run::Input};

/// How often the cancel file is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// When the run must have ended, once that is known; on [`clock::boottime`].
pub type Deadline = Arc<Mutex<Option<Duration>>>;

/// Blocks the signals that [`signals`] waits for. To be called before the first thread starts.
pub fn block_signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().expect("blocking SIGTERM cannot fail");
    signals
}

/// Tells of each signal.
pub fn signals(signals: SigSet, tell: SyncSender<Input>) {
    thread::spawn(move || while signals.wait().is_ok() && tell.send(Input::Ask(Ask::Terminated)).is_ok() {});
}

/// Tells of each change of the cancel file, and once of the deadline.
pub fn time_and_cancel(cancel_file: PathBuf, deadline: Deadline, tell: SyncSender<Input>) {
    thread::spawn(move || {
        let mut asked = None;
        let mut late = false;
        loop {
            let now = cancel(&cancel_file);
            if now != asked
                && let Some(ask) = now
                && tell.send(Input::Ask(ask)).is_err()
            {
                return;
            }
            asked = now.or(asked);
            let passed = deadline.lock().is_ok_and(|deadline| deadline.is_some_and(|at| at <= clock::boottime()));
            if passed && !late {
                late = true;
                if tell.send(Input::Ask(Ask::Deadline)).is_err() {
                    return;
                }
            }
            thread::sleep(EVERY);
        }
    });
}

/// What the cancel annotation says now.
pub fn cancel(file: &Path) -> Option<Ask> {
    match std::fs::read_to_string(file).ok()?.trim() {
        "AfterStep" => Some(Ask::AfterStep),
        "Now" => Some(Ask::Now),
        _ => None,
    }
}
