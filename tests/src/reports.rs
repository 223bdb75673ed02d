//! What of a run arrived in PostgreSQL, compared with what the run itself said in its pod.

use anyhow::{Context, Result, ensure};
use crds::Deployment;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::ResourceExt;
use protocol::{
    event::{Event, Kind},
    fold::Fold,
    pod,
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::Duration,
};

use store::{PgPool, mirror::Known};

use crate::{Story, kubectl, node::Node, same};

const RUNNER: &str = "fastdeploy-runner";

/// PostgreSQL, as `make env` says.
pub async fn database() -> Result<PgPool> {
    let url = std::env::var("DATABASE_URL").context("no database: eval \"$(make -s env)\"")?;
    Ok(PgPool::connect(&url).await?)
}

/// The whole of a run has arrived, once and in order: its events are numbered without a gap up to the
/// final report, its output is what stands in its pod's log, its steps are those of its verdict.
pub async fn arrived(story: &Story, run: &Deployment, attempt: u32) -> Result<Arrived> {
    let pool = database().await?;
    let uid: uuid::Uuid = run.uid().context("a run without a uid")?.parse()?;
    let number = i32::try_from(attempt)?;
    let attempts = store::runs::attempts(&pool, uid).await?;
    let row = attempts.iter().find(|row| row.attempt == number).context("no report has arrived")?;
    ensure!(row.sealed_at.is_some(), "expected the final report, saw {} events", row.acked);
    same("gaps", store::runs::gaps(&pool, uid, number).await?.len(), 0)?;

    let events = store::events::after(&pool, uid, number, 0, i64::MAX).await?;
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    same("numbers of events", numbers, (1..=row.acked).collect())?;
    let output = store::output::read(&pool, uid, number, 1, i64::MAX).await?;
    same("the first line", output.first, 1)?;
    same("output", output.lines.clone(), said_in_the_pod(story, run, attempt).await?)?;

    // Of output, only the numbers stand among the events.
    let events = events.into_iter().filter_map(|event| {
        let kind = serde_json::from_value::<Kind>(event.body).ok()?;
        Some(Event { seq: event.seq.unsigned_abs(), at: event.at, kind })
    });
    let events: Vec<Event> = events.collect();
    let mut fold = Fold::default();
    for event in &events {
        fold.apply(event);
    }
    let steps =
        fold.steps.iter().map(|step| (step.key.clone(), step.name.clone(), format!("{:?}", step.state)));
    let status = run.status.clone().unwrap_or_default();
    let expected =
        status.steps.iter().map(|step| (step.key.clone(), step.name.clone(), format!("{:?}", step.state)));
    // What runs only sometimes, and did not, is no step of the verdict.
    let shown = |(_, _, state): &(String, String, String)| state != "Pending";
    same("steps", steps.filter(shown).collect::<Vec<_>>(), expected.filter(shown).collect())?;
    let result = status.run.and_then(|run| run.result);
    let verdict = fold.verdict.and_then(|verdict| serde_json::to_string(&verdict).ok());
    ensure!(
        result.is_none() || result == verdict,
        "expected status.run.result to be the final report {verdict:?}, saw {result:?}"
    );
    Ok(Arrived { events, lines: output.lines })
}

/// What a run's callback wrote, as the runner numbered it in its pod: kept open, so that it can be read
/// when the pod is gone.
pub struct Written(File);

impl Written {
    /// Of a run that is at work.
    pub async fn of(story: &Story, node: &Node, run: &str) -> Result<Self> {
        let pod = story.pod_of(run, "at work", |pod| node.is_at_work(pod, RUNNER)).await?;
        Ok(Self(node.open_in_pod(&pod, RUNNER, &format!("{}/{}", pod::SPOOL_DIR, pod::SPOOL_FILE))?))
    }

    /// It is what has arrived: each event and each line, in order.
    pub fn is(self, arrived: &Arrived) -> Result<()> {
        let (mut events, mut lines) = (Vec::new(), Vec::new());
        for line in BufReader::new(self.0).lines() {
            let mut event: Event = serde_json::from_str(&line?)?;
            // PostgreSQL knows microseconds.
            event.at = Timestamp::from_microsecond(event.at.as_microsecond())?;
            match event.kind {
                Kind::Output { text, .. } => lines.extend(text.split('\n').map(str::to_owned)),
                _ => events.push(event),
            }
        }
        same("events that the callback wrote", arrived.events.clone(), events)?;
        same("lines that Ansible wrote", arrived.lines.clone(), lines)
    }
}

/// The whole of a run.
pub struct Arrived {
    /// All but output.
    pub events: Vec<Event>,
    /// Output.
    pub lines: Vec<String>,
}

/// Waits until the mirror says this of a Deployment.
pub async fn mirrored(run: &Deployment, what: &str, enough: impl Fn(&Known) -> bool) -> Result<()> {
    let pool = database().await?;
    let uid: uuid::Uuid = run.uid().context("a run without a uid")?.parse()?;
    let began = std::time::Instant::now();
    loop {
        // The tables may be away, too, for a moment.
        let known = store::mirror::deployments(&pool, &[uid]).await.unwrap_or_default();
        if known.iter().any(&enough) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_mins(1),
            "expected the mirror to know of {}: {what}; saw {known:?}",
            run.name_any()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The container's log, without what the runner itself has to say.
async fn said_in_the_pod(story: &Story, run: &Deployment, attempt: u32) -> Result<Vec<String>> {
    let name = run.name_any();
    let is = |pod: &Pod| pod.labels().get(crds::names::LABEL_ATTEMPT) == Some(&attempt.to_string());
    let pod = story.pod_of(&name, "of that attempt", is).await?;
    let log = kubectl::run(&["--namespace", &story.namespace, "logs", &pod.name_any()]).await?;
    Ok(log.lines().filter(|line| !line.starts_with("fastdeploy: ")).map(str::to_owned).collect())
}
