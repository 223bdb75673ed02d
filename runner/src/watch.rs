//! Watches what can end a run from outside: the cancel annotation, the deadline, signals.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc::SyncSender},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{clock, control::Ask, run::Input};

/// How often the cancel file is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// When the run must have ended, once that is known; on [`clock::boottime`].
pub type Deadline = Arc<Mutex<Option<Duration>>>;

/// Tells of each SIGTERM, as what it means here. By a handler and not by a blocked signal: Ansible would inherit
/// the block, and could not be interrupted.
pub fn signals(tell: SyncSender<Input>, means: Ask) {
    match Signals::new([SIGTERM, SIGINT]) {
        Ok(mut signals) => {
            thread::spawn(move || signals.forever().all(|_| tell.send(Input::Ask(means)).is_ok()));
        }
        Err(error) => eprintln!("fastdeploy: failed to listen to signals: {error}"),
    }
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
            let passed =
                deadline.lock().is_ok_and(|deadline| deadline.is_some_and(|at| at <= clock::boottime()));
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
