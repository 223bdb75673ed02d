//! PID 1 of a run's pod: asks for permission, lays out the bundle, runs Ansible once,
//! and leaves a verdict in the termination message.

mod callback;
mod claim;
mod classify;
mod clock;
mod command;
mod config;
mod control;
mod deliver;
mod failure;
mod files;
mod layout;
mod lines;
mod mask;
mod memory;
mod outcome;
mod output;
mod paths;
mod process;
mod run;
mod spool;
mod ssh;
mod text;
mod tracker;
mod variables;
mod watch;

use std::process::ExitCode;

use protocol::verdict::RunResult;

const HELP: &str = "\
fastdeploy-runner: runs Ansible once, in a pod that the fastDeploy operator made

It takes no arguments. It reads the bundle below /run/fastdeploy and the environment
(FASTDEPLOY_RUN_UID, FASTDEPLOY_ATTEMPT, FASTDEPLOY_API_URL, FASTDEPLOY_API_CA), asks the
API for permission, runs ansible-playbook, and writes its verdict to the pod's termination
message. Exit code: 0 if the run succeeded, else 1.

  -h, --help     this text
  -V, --version  the version";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => match run::run(&paths::Paths::from_env()) {
            RunResult::Succeeded => ExitCode::SUCCESS,
            RunResult::NothingDone | RunResult::Failed | RunResult::Cancelled => ExitCode::FAILURE,
        },
        Some("-h" | "--help") => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some("-V" | "--version") => {
            println!("fastdeploy-runner {} (protocol {})", env!("CARGO_PKG_VERSION"), protocol::PROTOCOL);
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("fastdeploy-runner takes no argument {other:?}; see --help");
            ExitCode::from(2)
        }
    }
}
