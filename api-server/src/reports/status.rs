//! How far runs are, into `status.run`: at most once in 5 seconds, and the final report at once.
//! It never holds up a report's answer. What is lost with this process is not missed: the next
//! report begins anew, and where the final one does not arrive, the pod's own message decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::deployment::{Deployment, Progress, Run};
use jiff::Timestamp;
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
    pub fn start<C: Cluster>(cluster: Arc<C>, pool: PgPool, clock: fn() -> Timestamp) -> Self {
        let (tell, news) = mpsc::channel(QUEUE);
        tokio::spawn(Writer { cluster, pool, clock, runs: HashMap::new() }.work(news));
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
    /// How long such runs usually take, in seconds; asked for before the first write.
    usual: Usual,
}

/// Whether it has been asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Usual {
    NotAsked,
    Answered(Option<f64>),
}

struct Writer<C> {
    cluster: Arc<C>,
    pool: PgPool,
    clock: fn() -> Timestamp,
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
            usual: Usual::NotAsked,
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
            tokio::spawn(write_end(Arc::clone(&self.cluster), followed, self.clock));
        }
    }

    async fn write_due(&mut self) {
        let now = Instant::now();
        self.runs.retain(|_, followed| now.duration_since(followed.told) < FORGET);
        for followed in self.runs.values_mut() {
            if followed.dirty && now.duration_since(followed.written) >= EVERY {
                followed.written = now;
                if followed.usual == Usual::NotAsked {
                    let RunClaims { ns, name, .. } = &followed.claims;
                    let usual = store::read::usual_seconds(&self.pool, ns, name).await;
                    followed.usual = Usual::Answered(usual.ok().flatten());
                }
                // Not written: the next one is due in 5 seconds.
                if let Ok(Written::Yes) = write(&*self.cluster, followed, (self.clock)()).await {
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

async fn write_end<C: Cluster>(cluster: Arc<C>, followed: Followed, clock: fn() -> Timestamp) {
    let mut pause = Duration::from_millis(20);
    for _ in 0..TRIES {
        match write(&*cluster, &followed, clock()).await {
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
async fn write<C: Cluster>(cluster: &C, followed: &Followed, now: Timestamp) -> Result<Written, Unavailable> {
    let RunClaims { ns, name, .. } = &followed.claims;
    let Some(deployment) = cluster.deployment(ns, name).await? else { return Ok(Written::Yes) };
    let Some(run) = next(&deployment, followed, now) else { return Ok(Written::Yes) };
    let version = deployment.metadata.resource_version.unwrap_or_default();
    cluster.write_run(ns, name, &version, &run).await
}

/// What `status.run` is to say; nothing if it is another's, or says it already.
fn next(
    deployment: &Deployment,
    Followed { claims, fold, usual, .. }: &Followed,
    now: Timestamp,
) -> Option<Run> {
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
    let left = match usual {
        Usual::Answered(Some(usual)) => Some(usual - now.duration_since(run.claimed_at).as_secs_f64()),
        _ => None,
    };
    // Longer than usual: nobody knows.
    let expected_seconds = left.filter(|left| *left > 0.0 && result.is_none()).map(|left| left.ceil() as u32);
    Some(Run {
        seq,
        progress: Some(Progress { done: progress.done, total: progress.total, expected_seconds }),
        step: fold.current().map(|step| crds::conditions::shorten(&step.name, 200)),
        result,
        ..run.clone()
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use protocol::verdict::StepState;

    use super::*;
    use crate::claim::fake::{NOW, deployment};

    fn followed(usual: Usual) -> Followed {
        let mut fold = Fold::default();
        let kinds = [
            Kind::Plan { steps: Vec::new() },
            Kind::StepStarted { key: "a:1#1".into(), name: "One".into() },
            Kind::StepFinished { key: "a:1#1".into(), state: StepState::Succeeded },
            Kind::StepStarted { key: "a:2#1".into(), name: "Two".into() },
        ];
        for (n, kind) in kinds.into_iter().enumerate() {
            fold.apply(&Event { seq: n as u64 + 1, at: NOW, kind });
        }
        let claims = RunClaims::new("uid-1", 1, "i-1", ("team-web", "blog-1"), NOW, NOW);
        let now = Instant::now();
        Followed { claims, fold, written: now, told: now, dirty: true, usual }
    }

    fn claimed() -> Deployment {
        let mut deployment = deployment();
        let run = serde_json::json!({"attempt": 1, "instance": "i-1", "podUid": "p", "claimedAt": NOW});
        deployment.status.as_mut().expect("a status").run = serde_json::from_value(run).expect("a run");
        deployment
    }

    #[test]
    fn what_is_left_is_what_such_runs_usually_take_and_nothing_is_said_beyond() {
        let left = |usual, after: i64| {
            let run = next(&claimed(), &followed(usual), NOW + SignedDuration::from_secs(after));
            let run = run.expect("something to say");
            let progress = run.progress.expect("progress");
            assert_eq!((run.seq, run.step.as_deref(), progress.done, progress.total), (4, Some("Two"), 1, 2));
            progress.expected_seconds
        };
        assert_eq!(left(Usual::Answered(Some(90.2)), 30), Some(61));
        assert_eq!(left(Usual::Answered(Some(90.0)), 90), None);
        assert_eq!(left(Usual::Answered(Some(90.0)), 300), None);
        assert_eq!(left(Usual::Answered(None), 30), None);
        assert_eq!(left(Usual::NotAsked, 30), None);
    }

    #[test]
    fn another_run_or_attempt_is_left_alone() {
        let followed = followed(Usual::NotAsked);
        assert!(next(&claimed(), &followed, NOW).is_some());
        for change in [
            |deployment: &mut Deployment| deployment.metadata.uid = Some("uid-2".into()),
            |deployment: &mut Deployment| run(deployment).instance = "i-2".into(),
            |deployment: &mut Deployment| run(deployment).attempt = 2,
            |deployment: &mut Deployment| run(deployment).seq = 5,
            |deployment: &mut Deployment| run(deployment).result = Some("{}".into()),
        ] {
            let mut other = claimed();
            change(&mut other);
            assert!(next(&other, &followed, NOW).is_none());
        }
    }

    fn run(deployment: &mut Deployment) -> &mut Run {
        deployment.status.as_mut().and_then(|status| status.run.as_mut()).expect("a run")
    }
}
