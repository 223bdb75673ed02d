//! The mirror: Services and Deployments into PostgreSQL, by watching, without a store in memory. It is
//! a task of its own: runs neither wait for it nor fail with it. While PostgreSQL is away the watches
//! wait, too, and are taken up again with a full list.

mod batch;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crds::{Deployment, Service};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use store::{
    PgPool,
    mirror::{self, Kind, Row},
    rows,
    sqlx::types::Uuid,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use self::batch::{Heard, Lists, Write};
use crate::{health::Ready, metrics::Metrics};

/// Objects in one write, and those that wait for it: this bounds the memory.
const BATCH: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How soon a database that was replaced by an empty one is noticed, if nothing happens meanwhile.
const LOOK: Duration = Duration::from_secs(10);
/// Bundles that are remembered as archived.
const REMEMBERED: usize = 10_000;

/// Mirrors until the process ends. Only the leader does.
pub async fn run(client: Client, pool: Option<PgPool>, ready: Ready, metrics: Metrics) {
    let Some(pool) = pool else { return std::future::pending().await };
    loop {
        let (tell, heard) = mpsc::channel(BATCH);
        let services = listen::<Service>(client.clone(), Kind::Service, rows::service, tell.clone());
        let deployments = listen::<Deployment>(client.clone(), Kind::Deployment, rows::deployment, tell);
        let writer = Writer {
            client: client.clone(),
            pool: pool.clone(),
            ready: ready.clone(),
            metrics: metrics.clone(),
            archived: HashSet::new(),
        };
        // The writer ends where the database is another one than before: everything is listed anew.
        tokio::select! {
            () = async { tokio::join!(services, deployments); } => {}
            () = writer.work(heard) => {}
        }
    }
}

/// Connects when it is first needed, and again whenever it must.
pub fn pool(url: &str) -> Option<PgPool> {
    let options = store::sqlx::postgres::PgPoolOptions::new().max_connections(3);
    options
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy(url)
        .inspect_err(|error| tracing::error!(%error, "FASTDEPLOY_DATABASE_URL cannot be used: {error}"))
        .ok()
}

async fn listen<K>(client: Client, kind: Kind, row: fn(&K) -> Option<Row>, tell: mpsc::Sender<Heard>)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let stream =
        watcher(Api::<DeserializeGuard<K>>::all(client), crate::guarded::renewed()).default_backoff();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let heard = match event {
            Ok(watcher::Event::Init) => Some(Heard::Listing(kind)),
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => match &object.0 {
                Ok(object) => row(object).map(|row| Heard::Seen(kind, row)),
                // The controllers say so. What was known of it stays.
                Err(_) => ended(&object).map(|(uid, _)| Heard::Unreadable(kind, uid)),
            },
            Ok(watcher::Event::InitDone) => Some(Heard::Listed(kind)),
            Ok(watcher::Event::Delete(object)) => ended(&object).map(|(uid, at)| Heard::Gone(kind, uid, at)),
            // It is taken up again by itself.
            Err(error) => {
                tracing::debug!(%error, "a watch of the mirror broke");
                None
            }
        };
        if let Some(heard) = heard
            && tell.send(heard).await.is_err()
        {
            return;
        }
    }
}

fn ended<K: ResourceExt>(object: &K) -> Option<(Uuid, i64)> {
    Some((object.uid()?.parse().ok()?, object.resource_version()?.parse().ok()?))
}

struct Writer {
    client: Client,
    pool: PgPool,
    ready: Ready,
    metrics: Metrics,
    archived: HashSet<String>,
}

impl Writer {
    async fn work(mut self, mut heard: mpsc::Receiver<Heard>) {
        let pool = self.pool.clone();
        let epoch = self.insist(async || mirror::open_epoch(&pool).await).await;
        let mut lists = Lists::default();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // The first is written at once; what comes meanwhile is the next batch.
            tokio::select! {
                heard = heard.recv_many(&mut batch, BATCH) => if heard == 0 { return },
                _ = look.tick() => if mirror::beat(&pool, epoch, i64::try_from(heard.len()).unwrap_or(i64::MAX))
                    .await.is_ok_and(|now| now < epoch) {
                    tracing::info!("PostgreSQL is a new one: Services and Deployments are mirrored anew");
                    return;
                },
            }
            let (began, some) = (Instant::now(), !batch.is_empty());
            for write in lists.writes(batch.drain(..)) {
                self.insist(async || match &write {
                    Write::Upsert(rows) => mirror::upsert(&pool, epoch, rows).await,
                    Write::Gone(kind, gone) => mirror::gone(&pool, epoch, *kind, gone).await,
                    Write::GoneBut(kind, listed) => mirror::gone_but(&pool, epoch, *kind, listed).await,
                })
                .await;
                if let Write::Upsert(rows) = &write {
                    self.archive(rows).await;
                }
            }
            if some {
                self.metrics.mirrored(began.elapsed(), heard.len());
            }
        }
    }

    /// Until it works. Without PostgreSQL, deployments go on.
    async fn insist<T>(&self, write: impl AsyncFn() -> store::sqlx::Result<T>) -> T {
        let mut pause = FIRST_PAUSE;
        loop {
            match write().await {
                Ok(done) => {
                    self.ready.database(true);
                    return done;
                }
                Err(error) => {
                    if self.ready.database(false) {
                        tracing::warn!(%error, "PostgreSQL cannot be written, deployments go on: {error}");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Keeps the frozen input of runs, each once. What does not work now is tried with the next change.
    async fn archive(&mut self, rows: &[Row]) {
        for row in rows.iter().filter(|row| row.run.is_some()) {
            let status = &row.object["status"];
            let (Some(name), Some(digest)) = (status["bundle"].as_str(), status["digest"].as_str()) else {
                continue;
            };
            if self.archived.contains(name) {
                continue;
            }
            let bundles = Api::<ConfigMap>::namespaced(self.client.clone(), &row.namespace);
            let Ok(Some(bundle)) = bundles.get_opt(name).await else { continue };
            let content = bundle.data.as_ref().and_then(|data| data.get(protocol::pod::BUNDLE_KEY));
            if let Some(content) = content
                && store::bundles::put(&self.pool, name, digest, content).await.is_ok()
            {
                if self.archived.len() >= REMEMBERED {
                    self.archived.clear();
                }
                self.archived.insert(name.to_owned());
            }
        }
    }
}
