//! How far runs are, into `status.run`: at most once in 5 seconds, and the final report at once.
//! It never holds up a report's answer. What is lost with this process is not missed: the next
//! report begins anew, and where the final one does not arrive, the pod's own message decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::deployment::{Deployment, Progress, Run};
use jiff::{SignedDuration, Timestamp};
use protocol::event::{Event, Kind};
use protocol::expected::{UsualStep, seconds_left};
use protocol::fold::Fold;
use protocol::verdict::{RunResult, StepState};
use store::PgPool;
use store::durations::StepTime;
use store::read::UsualRun;
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
    /// How long such runs usually take; asked for before the first write.
    usual: Option<Usual>,
}

/// How long earlier runs of the Service took.
#[derive(Clone, Debug, Default, PartialEq)]
struct Usual {
    run: Option<UsualRun>,
    steps: Vec<UsualStep>,
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
            usual: None,
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
            let pool = self.pool.clone();
            let (cluster, clock) = (Arc::clone(&self.cluster), self.clock);
            tokio::spawn(async move {
                write_end(cluster, &followed, clock).await;
                remember(&pool, &followed).await;
            });
        }
    }

    async fn write_due(&mut self) {
        let now = Instant::now();
        self.runs.retain(|_, followed| now.duration_since(followed.told) < FORGET);
        for followed in self.runs.values_mut() {
            if followed.dirty && now.duration_since(followed.written) >= EVERY {
                followed.written = now;
                if followed.usual.is_none() {
                    followed.usual = Some(usual(&self.pool, &followed.claims).await.unwrap_or_default());
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

async fn usual(pool: &PgPool, RunClaims { ns, name, .. }: &RunClaims) -> store::sqlx::Result<Usual> {
    let run = store::read::usual_run(pool, ns, name).await?;
    let steps = store::durations::usual_of(pool, ns, name).await?.into_iter().map(|step| UsualStep {
        key: step.key,
        place: step.place,
        often: step.runs as f64 / step.of.max(1) as f64,
        median: step.median,
    });
    Ok(Usual { run, steps: steps.collect() })
}

/// How long the steps of a run that succeeded took. Where this is lost, the next run teaches it.
async fn remember(pool: &PgPool, Followed { claims, fold, .. }: &Followed) {
    let succeeded = fold.verdict.as_ref().is_some_and(|verdict| verdict.result == RunResult::Succeeded);
    let (Ok(uid), true) = (claims.sub.parse::<Uuid>(), succeeded) else { return };
    if let Err(error) = store::durations::record(pool, uid, &times(fold)).await {
        tracing::debug!(error = %error, "how long the steps of run {uid} took is not kept");
    }
}

fn times(fold: &Fold) -> Vec<StepTime> {
    let ran = fold.steps.iter().enumerate().filter(|(_, step)| step.state != StepState::Skipped);
    let times = ran.filter_map(|(n, step)| {
        let seconds = step.finished_at?.duration_since(step.started_at?).as_secs_f32();
        Some(StepTime { key: step.key.clone(), place: i32::try_from(n).ok()?, seconds: seconds.max(0.0) })
    });
    times.collect()
}

async fn write_end<C: Cluster>(cluster: Arc<C>, followed: &Followed, clock: fn() -> Timestamp) {
    let mut pause = Duration::from_millis(20);
    for _ in 0..TRIES {
        match write(&*cluster, followed, clock()).await {
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
    let (expected_end, long_after) = match usual {
        Some(usual) if result.is_none() => expected(fold, usual, run.claimed_at, now),
        _ => (None, None),
    };
    // Longer than usual: nobody knows.
    let expected_seconds = expected_end.map(|end| end.duration_since(now).as_secs_f64().ceil() as u32);
    Some(Run {
        seq,
        progress: Some(Progress {
            done: progress.done,
            total: progress.total,
            expected_seconds,
            expected_end,
            long_after,
        }),
        step: fold.current().map(|step| crds::conditions::shorten(&step.name, 200)),
        result,
        ..run.clone()
    })
}

/// When it is expected to end, unless it should have ended already; and from when on it takes longer than
/// nine of ten earlier runs. What the steps say comes before what whole runs say.
fn expected(
    fold: &Fold,
    usual: &Usual,
    since: Timestamp,
    now: Timestamp,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let after = |at: Timestamp, seconds: f64| {
        SignedDuration::try_from_secs_f64(seconds).ok().and_then(|span| at.checked_add(span).ok())
    };
    let end = match seconds_left(&fold.steps, &usual.steps, now) {
        Some(left) => after(now, left),
        None => usual.run.and_then(|run| after(since, run.median)),
    };
    let long_after = usual.run.and_then(|run| after(since, run.p90));
    (end.filter(|end| *end > now), long_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::fake::{NOW, deployment};

    fn followed(usual: Option<Usual>) -> Followed {
        let mut fold = Fold::default();
        let kinds = [
            Kind::Plan { steps: Vec::new(), declared: Vec::new() },
            Kind::StepStarted {
                key: "a:1#1".into(),
                name: "One".into(),
                section: String::new(),
                conditional: false,
            },
            Kind::StepFinished { key: "a:1#1".into(), state: StepState::Succeeded },
            Kind::StepStarted {
                key: "a:2#1".into(),
                name: "Two".into(),
                section: String::new(),
                conditional: false,
            },
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
        let said = |usual, after: i64| {
            let run = next(&claimed(), &followed(usual), NOW + SignedDuration::from_secs(after));
            let run = run.expect("something to say");
            let progress = run.progress.expect("progress");
            assert_eq!((run.seq, run.step.as_deref(), progress.done, progress.total), (4, Some("Two"), 1, 2));
            let long = progress.long_after.map(|at| at.duration_since(NOW).as_secs());
            (progress.expected_seconds, long)
        };
        let usual = |median: f64, steps: &[f64]| {
            let steps = steps.iter().enumerate().map(|(n, median)| UsualStep {
                key: format!("a:{}#1", n + 1),
                place: n as i32,
                often: 1.0,
                median: *median,
            });
            let run = Some(UsualRun { median, p90: median + 20.0 });
            Some(Usual { run, steps: steps.collect() })
        };
        assert_eq!(said(usual(90.2, &[]), 30), (Some(61), Some(110)));
        assert_eq!(said(usual(90.0, &[]), 90), (None, Some(110)));
        assert_eq!(said(usual(90.0, &[]), 300), (None, Some(110)));
        // What the steps say is nearer to it: the second one began at once, and a third one follows.
        assert_eq!(said(usual(90.0, &[50.0, 40.0, 5.0]), 30), (Some(15), Some(110)));
        assert_eq!(said(Some(Usual::default()), 30), (None, None));
        assert_eq!(said(None, 30), (None, None));
    }

    #[test]
    fn another_run_or_attempt_is_left_alone() {
        let followed = followed(None);
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
