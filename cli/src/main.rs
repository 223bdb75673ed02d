//! `fastdeploy`, for people at a terminal: what a Service does can be tried, checked and begun without a cluster.

mod inputs;
mod manifests;
mod pod;
mod run;
mod validate;

use std::process::ExitCode;

use clap::Parser;

/// Services of fastDeploy on your own machine.
#[derive(Parser)]
#[command(name = "fastdeploy", version, arg_required_else_help = true)]
enum Command {
    /// Run a Service here, with the runner that its pods have: same steps, same masking, same verdict.
    Run(run::Args),
    /// Check files with Services and Deployments: fields that do not exist, values that cannot be meant.
    Validate(validate::Args),
    /// Print spec.inputs for a project, from its roles' meta/argument_specs.yml and PLAYBOOK.meta.yml.
    Inputs(inputs::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Run(args) => run::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Inputs(args) => inputs::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("fastdeploy: {error:#}");
        ExitCode::from(2)
    })
}
