//! From configuration to open listeners, and back.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::roles;
use crate::api::{App as PeopleApp, cluster};
use crate::claim::App;
use crate::claim::cluster::Kubernetes;
use crate::config::Config;
use crate::database;
use crate::health::{self, Health};
use crate::hooks;
use crate::limits;
use crate::metrics::Metrics;
use crate::people::bindings;
use crate::people::first_admin::{self, FirstAdmin};
use crate::people::organisation;
use crate::reports::{Intake, status::Statuses};
use crate::router;
use crate::stored::{self, Stored};
use crate::system::installation;
use crate::tls::listener;

/// The only clock.
pub const CLOCK: fn() -> Timestamp = Timestamp::now;

/// Between two tries to reach the Kubernetes API at the start: doubled up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// For one such try.
const TRY: Duration = Duration::from_secs(20);
/// For a word of the Kubernetes API on an open connection. One that has gone dead says nothing for ever; watches
/// end and begin anew more often than that.
const SILENCE: Duration = Duration::from_secs(75);

async fn kubernetes() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await?;
    config.read_timeout = Some(SILENCE);
    // An idle connection from the pool does not begin with part of that time gone.
    config.reset_reader_on_write = true;
    Ok(Client::try_from(config)?)
}

/// Serve until SIGTERM or SIGINT.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Where a build contains several providers, rustls wants to be told which one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = stop_signal()?;
    tokio::pin!(stop);

    let (health, metrics) = (Health::default(), Arc::new(Metrics::default()));
    let probes = listen_for_probes(config.metrics.addr, &health, &metrics)?;

    let client = kubernetes().await.context("failed to find out where the Kubernetes API is")?;
    let stored = tokio::select! {
        stored = load(&client, &config) => stored?,
        () = &mut stop => return Ok(()),
    };
    health.kubernetes_answered();

    let Loaded { stored: Stored { signing_key, authority }, database, first_admin } = stored;
    let pool = database.map(|url| database::pool(&url)).transpose()?;
    let traces = telemetry::Traces::from_environment(crds::names::API_SERVER)?;
    let mut people = PeopleApp::new(
        cluster::Kubernetes::through(client.clone()),
        signing_key.clone(),
        CLOCK,
        pool.clone(),
        config.people.secure(),
    );
    people.traces = traces.clone();
    people.people.proxies = config.people.proxies;
    people.people.roles = Some(bindings::Kubernetes::through(client.clone()));
    people.people.installation = Some(installation::Kubernetes::through(client.clone(), &config.namespace));
    tokio::spawn(stored::keep_key(client.clone(), config.namespace.clone(), signing_key.clone()));
    tokio::spawn(hooks::keep_secrets(client.clone(), config.namespace.clone(), people.people.hooks.clone()));
    if let Some(folder) = config.people.sign_in.clone() {
        tokio::spawn(organisation::keep(folder, people.people.door.clone(), people.people.trust.clone()));
    }
    tokio::spawn(roles::watch(client.clone(), people.access.clone()));
    tokio::spawn(people.hub.clone().run());
    let hub = people.hub.clone();
    let cluster = Kubernetes::new(client);
    let statuses = match &pool {
        Some(pool) => {
            tokio::spawn(database::keep_current(
                pool.clone(),
                people.passwords.clone(),
                first_admin,
                health.clone(),
                CLOCK,
                config.retention,
            ));
            Statuses::start(Arc::new(cluster.clone()), pool.clone(), CLOCK)
        }
        None => Statuses::nowhere(),
    };
    let intake = Intake::new(pool, signing_key.clone(), CLOCK, statuses, hub.clone());
    let certificate = authority.issue(&config.runs.hosts, CLOCK())?;
    let not_after = certificate.not_after;
    let tls = RustlsConfig::from_config(listener::server_config(certificate)?);
    let app = App::new(cluster, signing_key, CLOCK, metrics, traces.clone());

    let socket = bind(config.runs.addr)?;
    let runs = Handle::new();
    let server = limits::apply(axum_server::from_tcp_rustls(socket, tls.clone())?).handle(runs.clone());
    let serving = tokio::spawn(server.serve(router::runs(app, intake).into_make_service()));
    let socket = bind(config.people.addr)?;
    let page = Handle::new();
    let server = limits::with_upgrades(axum_server::from_tcp(socket)?).handle(page.clone());
    let routes = router::people(people, config.people.web.as_deref());
    let serving_people =
        tokio::spawn(server.serve(routes.into_make_service_with_connect_info::<SocketAddr>()));
    let hosts = config.runs.hosts.join(",");
    tokio::spawn(listener::keep_current(tls, authority, config.runs.hosts, not_after, CLOCK));
    health.listening(true);
    let addr = config.runs.addr;
    tracing::info!(listener.addr = %addr, listener.hosts = hosts, certificate.not_after = %not_after,
        "listening for runs on {addr} as {hosts}, for people on {}", config.people.addr);

    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended?.context("the listener for runs ended")?,
        () = &mut stop => {
            tracing::info!("stopping: answering what is open");
            health.listening(false);
            hub.close();
            page.graceful_shutdown(Some(limits::SHUTDOWN_GRACE));
            runs.graceful_shutdown(Some(limits::SHUTDOWN_GRACE));
            serving.await?.context("the listener for runs did not end well")?;
            serving_people.await?.context("the listener for people did not end well")?;
        }
    }
    traces.flush(limits::LAST_TRACES).await;
    probes.shutdown();
    Ok(())
}

/// What the installation's namespace says.
struct Loaded {
    stored: Stored,
    /// Its URL.
    database: Option<String>,
    first_admin: FirstAdmin,
}

fn listen_for_probes(
    addr: SocketAddr,
    health: &Health,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Handle<SocketAddr>> {
    let handle = Handle::new();
    let server = limits::apply(axum_server::from_tcp(bind(addr)?)?).handle(handle.clone());
    let routes = health::router(health.clone(), Arc::clone(metrics));
    tokio::spawn(server.serve(routes.into_make_service()));
    Ok(handle)
}

fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).with_context(|| format!("failed to listen on {addr}"))
}

/// Keys and certificates. Waits for a Kubernetes API that is away; gives up on objects that are damaged.
async fn load(client: &Client, config: &Config) -> anyhow::Result<Loaded> {
    let read = async || {
        let stored = stored::load(client, &config.namespace, CLOCK()).await?;
        let database = match (&config.database.url, &config.database.host) {
            (None, Some(host)) => Some(database::url(client, &config.namespace, host).await?),
            (url, _) => url.clone(),
        };
        let first_admin = first_admin::load(client, &config.namespace).await?;
        Ok::<_, stored::Error>(Loaded { stored, database, first_admin })
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match tokio::time::timeout(TRY, read()).await {
            Ok(Ok(stored)) => return Ok(stored),
            Ok(Err(error @ stored::Error::Kubernetes { .. })) => format!("{:#}", anyhow::Error::from(error)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(error, "waiting for the Kubernetes API, next try in {} s: {error}", pause.as_secs());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
