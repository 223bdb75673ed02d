//! `fastdeploy-api-server`: reads its configuration, then serves until it is told to stop.

use std::process::ExitCode;

use clap::Parser;
use fastdeploy_api_server::{config::Config, logging, serve};

fn main() -> ExitCode {
    let config = Config::parse();
    logging::start(&config.log);
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "ended: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config) -> anyhow::Result<()> {
    // Few threads: the work is waiting for the Kubernetes API.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve::run(config))
}
