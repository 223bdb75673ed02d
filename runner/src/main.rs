//! PID 1 of a run's pod: asks for permission, lays out the bundle, runs Ansible once,
//! and leaves a verdict in the termination message.

use std::process::ExitCode;

use protocol::verdict::RunResult;

const HELP: &str = "\
fastdeploy-runner: runs Ansible once, in a pod that the fastDeploy operator made

Without arguments it reads the bundle below /run/fastdeploy and the environment
(FASTDEPLOY_RUN_UID, FASTDEPLOY_ATTEMPT, FASTDEPLOY_API_URL, FASTDEPLOY_API_CA), asks the
API for permission, runs ansible-playbook, and writes its verdict to the pod's termination
message. Exit code: 0 if the run succeeded, else 1.

      --install DIRECTORY  puts this program and a passwd file there, for a container of another
                           image that is to run it
  -h, --help               this text
  -V, --version            the version";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => match runner::run(&runner::Paths::from_env()) {
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
        Some(protocol::pod::INSTALL) => match std::env::args().nth(2).map(runner::install) {
            Some(Ok(())) => ExitCode::SUCCESS,
            Some(Err(error)) => {
                eprintln!("fastdeploy-runner: {error}");
                ExitCode::FAILURE
            }
            None => {
                eprintln!("fastdeploy-runner: --install wants a directory");
                ExitCode::from(2)
            }
        },
        Some(other) => {
            eprintln!("fastdeploy-runner takes no argument {other:?}; see --help");
            ExitCode::from(2)
        }
    }
}
