//! How far runs are, into `status.run`: at most once in 5 seconds, and the final report at once.
//! It never holds up a report's answer. What is lost with this process is not missed: the next
//! report begins anew, and where the final one does not arrive, the pod's own message decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::deployment::{Deployment, Progress, Run};
use protocol::event::{Event, Kind};
use protocol::fold::Fold;
use store::PgPool;
use store::sqlx::types::Uuid;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::claim::cluster::{Cluster, Unavailable, Written};
use crate::identity::token::RunClaims;

/// Between two writes of one run.
const EVERY: Duration = Duration::from_secs(5);
/// A run that is silent for so long is forgotten; its next report is read together with those before.
const FORGET: Duration = Duration::from_mins(10);
/// Reports that wait; more are dropped, and made up for from PostgreSQL.
const QUEUE: usize = 1_024;
/// Tries to write a final report.
const TRIES: u32 = 8;

/// New events of a run, stored.
pub struct News {
    /// Whose.
    pub claims: RunClaims,
    /// In order.
    pub events: Vec<Event>,
}

/// Where news go.
#[derive(Clone)]
pub struct Statuses(mpsc::Sender<News>);

impl Statuses {
    /// Starts to write.
    pub fn start<C: Cluster>(cluster: Arc<C>, pool: PgPool) -> Self {
        let (tell, news) = mpsc::channel(QUEUE);
        tokio::spawn(Writer { cluster, pool, runs: HashMap::new() }.work(news));
        Self(tell)
    }

    /// For where there is nothing to write to.
    pub fn nowhere() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Never waits.
    pub fn tell(&self, news: News) {
        // A gap is noticed and made up for with the next news of that run.
        let _ = self.0.try_send(news);
    }
}

struct Followed {
    claims: RunClaims,
    fold: Fold,
    /// When it was written last.
    written: Instant,
    told: Instant,
    dirty: bool,
}

struct Writer<C> {
    cluster: Arc<C>,
    pool: PgPool,
    runs: HashMap<(String, u32), Followed>,
}

impl<C: Cluster> Writer<C> {
    async fn work(mut self, mut news: mpsc::Receiver<News>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = news.recv() => match heard {
                    Some(heard) => self.hear(heard).await,
                    None => return,
                },
                _ = tick.tick(), if !self.runs.is_empty() => self.write_due().await,
            }
        }
    }

    async fn hear(&mut self, News { claims, events }: News) {
        let key = (claims.sub.clone(), claims.attempt);
        let now = Instant::now();
        let followed = self.runs.entry(key.clone()).or_insert_with(|| Followed {
            claims,
            fold: Fold::default(),
            written: now,
            told: now,
            dirty: false,
        });
        followed.told = now;
        followed.dirty = true;
        if events.first().is_some_and(|event| event.seq > followed.fold.seq + 1) {
            catch_up(&self.pool, &mut followed.fold, &key).await;
        }
        for event in &events {
            followed.fold.apply(event);
        }
        if followed.fold.verdict.is_some()
            && let Some(followed) = self.runs.remove(&key)
        {
            // The end of one run does not wait for another's.
            tokio::spawn(write_end(Arc::clone(&self.cluster), followed));
        }
    }

    async fn write_due(&mut self) {
        let now = Instant::now();
        self.runs.retain(|_, followed| now.duration_since(followed.told) < FORGET);
        for followed in self.runs.values_mut() {
            if followed.dirty && now.duration_since(followed.written) >= EVERY {
                followed.written = now;
                // Not written: the next one is due in 5 seconds.
                if let Ok(Written::Yes) = write(&*self.cluster, followed).await {
                    followed.dirty = false;
                }
            }
        }
    }
}

/// What this process has not heard itself.
async fn catch_up(pool: &PgPool, fold: &mut Fold, key: &(String, u32)) {
    let (Ok(uid), Ok(attempt)) = (key.0.parse::<Uuid>(), i32::try_from(key.1)) else { return };
    loop {
        let seq = i64::try_from(fold.seq).unwrap_or(i64::MAX);
        let Ok(stored) = store::events::after(pool, uid, attempt, seq, 1_000).await else { return };
        if stored.is_empty() {
            return;
        }
        for event in stored {
            let seq = u64::try_from(event.seq).unwrap_or(0);
            match serde_json::from_value::<Kind>(event.body) {
                Ok(kind) => fold.apply(&Event { seq, at: event.at, kind }),
                // Output stands elsewhere; it says nothing of steps.
                Err(_) => fold.seq = seq,
            }
        }
    }
}

async fn write_end<C: Cluster>(cluster: Arc<C>, followed: Followed) {
    let mut pause = Duration::from_millis(20);
    for _ in 0..TRIES {
        match write(&*cluster, &followed).await {
            Ok(Written::Yes) => return,
            Ok(Written::Moved) => {}
            Err(error) => {
                tracing::warn!(error = %error, "the end of run {} is not written yet", followed.claims.sub);
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 3;
    }
}

/// Yes, too, where there is nothing (left) to say.
async fn write<C: Cluster>(cluster: &C, followed: &Followed) -> Result<Written, Unavailable> {
    let RunClaims { ns, name, .. } = &followed.claims;
    let Some(deployment) = cluster.deployment(ns, name).await? else { return Ok(Written::Yes) };
    let Some(run) = next(&deployment, followed) else { return Ok(Written::Yes) };
    let version = deployment.metadata.resource_version.unwrap_or_default();
    cluster.write_run(ns, name, &version, &run).await
}

/// What `status.run` is to say; nothing if it is another's, or says it already.
fn next(deployment: &Deployment, Followed { claims, fold, .. }: &Followed) -> Option<Run> {
    let run = deployment.status.as_ref()?.run.as_ref()?;
    let ours = deployment.metadata.uid.as_ref() == Some(&claims.sub)
        && run.attempt == claims.attempt
        && run.instance == claims.instance;
    let seq = i64::try_from(fold.seq).ok()?;
    if !ours || run.result.is_some() || seq < run.seq {
        return None;
    }
    let progress = fold.progress();
    let result = fold.verdict.as_ref().and_then(|verdict| serde_json::to_string(verdict).ok());
    Some(Run {
        seq,
        progress: Some(Progress { done: progress.done, total: progress.total, expected_seconds: None }),
        step: fold.current().map(|step| crds::conditions::shorten(&step.name, 200)),
        result,
        ..run.clone()
    })
}
