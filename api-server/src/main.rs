//! `fastdeploy-api-server`: reads its configuration, then serves until it is told to stop.

use clap::Parser;
use fastdeploy_api_server::{config::Config, logging, serve};

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    logging::start(&config.log);
    // Few threads: the work is waiting for the Kubernetes API.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve::run(config))
}
