//! The operator: drives the world toward what Services say.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio::signal::unix::{SignalKind, signal};

mod act;
mod calendar;
mod clock;
mod config;
mod deployment;
mod driver;
mod eyes;
mod failpoint;
mod guarded;
mod health;
mod installation;
mod leader;
mod lock;
mod metrics;
mod mirror;
mod named;
mod notify;
mod plan;
mod service;
#[cfg(test)]
mod simulation;
mod slots;
mod sources;
mod traces;
mod world;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let config = config::Config::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,kube_runtime=warn,kube_client=warn".into());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    if config.log_format == "json" {
        logs.json().init();
    } else {
        logs.init();
    }
    // Two TLS back-ends may be compiled in by dependencies; say which one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let client = kubernetes(config.kubernetes_patience).await?;
    let traces = telemetry::Traces::from_environment(crds::names::OPERATOR)?;
    let metrics = metrics::Metrics::with(traces.clone());
    let (clock, ready) = (clock::Clock::system(), health::Ready::default());
    let health = tokio::spawn(health::serve(config.metrics_address, ready.clone(), metrics.clone()));
    let digest_key = installation::digest_key(&client, &config.namespace).await?;
    ready.set();

    let mut election =
        leader::Election::new(client.clone(), &config.namespace, config.identity.clone(), clock.clone());
    let reporter =
        Reporter { controller: "fastdeploy-operator".into(), instance: Some(config.identity.clone()) };
    let hands = act::Hands {
        client: client.clone(),
        clock: clock.clone(),
        leadership: election.leadership(),
        metrics,
        tracer: traces::Tracer::new(traces.clone()),
        recorder: Recorder::new(client.clone(), reporter),
    };
    let (mirrored, telling) = (client.clone(), client.clone());
    let (allowed, telling_clock) = (config.outbound(), clock.clone());
    let pool = config.database_url.as_deref().and_then(mirror::pool);
    let context = Arc::new(driver::Context::new(client, clock, hands, digest_key, config, pool));

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let work = async {
        tracing::info!(identity = %context.config.identity, "waiting to become the leader");
        election.win().await;
        tracing::info!(identity = %context.config.identity, "leading");
        tokio::select! {
            () = election.keep() => anyhow::bail!("the lease is lost; another one leads"),
            () = driver::drive(context.clone()) => anyhow::bail!("the controllers have ended"),
            () = notify::run(telling, context.eyes.pool.clone(), allowed, telling_clock) => anyhow::bail!("notifications have ended"),
            () = mirror::run(mirrored, context.eyes.pool.clone(), ready, context.hands.metrics.clone()) => anyhow::bail!("the mirror has ended"),
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        served = health => served?.map_err(Into::into),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if outcome.is_ok() {
        election.release().await;
        tracing::info!("stopped; the lease is given back");
        traces.flush(Duration::from_secs(2)).await;
    }
    outcome
}

/// Kubernetes, by a client that does not wait for ever. By itself it would: for the answer to a request on a connection
/// that is dead without a word, and five minutes for the next event of such a watch.
async fn kubernetes(patience: Duration) -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await?;
    config.read_timeout = Some(patience);
    // An idle connection from the pool does not begin with part of that time gone.
    config.reset_reader_on_write = true;
    Ok(Client::try_from(config)?)
}
