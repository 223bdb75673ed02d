//! How long steps took, and so how long they usually take.

use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::read::Snapshot;

/// Runs of a Service of which durations are kept.
const RUNS: i64 = 20;
/// Steps of a run of which durations are kept.
const STEPS: usize = 2_000;

/// A step of a run that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTime {
    /// `file:line#n`.
    pub key: String,
    /// In the order of the run, from 0.
    pub place: i32,
    /// From its first server's beginning to its last one's end.
    pub seconds: f32,
}

/// How long a step usually takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UsualStep {
    /// `file:line#n`.
    pub key: String,
    /// In the order of the runs.
    pub place: i32,
    /// In how many of the runs that are known it ran.
    pub runs: i64,
    /// How many runs are known.
    pub of: i64,
    /// Seconds: half of the runs took no longer.
    pub median: f64,
    /// Seconds: nine of ten runs took no longer.
    pub p90: f64,
}

/// Keeps how long the steps of this run took, once, and forgets what is older than the last 20 runs of
/// its Service. A Deployment that the mirror does not know (yet) is left out.
pub async fn record(pool: &PgPool, uid: Uuid, steps: &[StepTime]) -> sqlx::Result<()> {
    let steps = &steps[..steps.len().min(STEPS)];
    let keys: Vec<String> = steps.iter().map(|step| step.key.clone()).collect();
    let places: Vec<i32> = steps.iter().map(|step| step.place).collect();
    let seconds: Vec<f32> = steps.iter().map(|step| step.seconds).collect();
    sqlx::query!(
        "insert into step_durations (namespace, service, uid, key, place, seconds)
         select d.namespace, d.service, d.uid, step.key, step.place, step.seconds
         from deployments d, unnest($2::text[], $3::integer[], $4::real[]) as step (key, place, seconds)
         where d.uid = $1
         on conflict do nothing",
        uid,
        &keys,
        &places,
        &seconds
    )
    .execute(pool)
    .await?;
    // What is kept is found once: as a subquery of the delete itself, PostgreSQL would look for it anew for each step.
    sqlx::query!(
        "with of as (
             select namespace, service from deployments where uid = $1
         ), kept as (
             select s.uid from step_durations s join of using (namespace, service)
             group by s.uid order by min(s.at) desc, s.uid limit $2
         )
         delete from step_durations s using of
         where s.namespace = of.namespace and s.service = of.service and s.uid not in (select uid from kept)",
        uid,
        RUNS
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How long the steps of this Deployment's Service usually take, in the order of its runs. None: no run
/// of it has succeeded that is known here.
pub async fn usual_of(pool: &PgPool, namespace: &str, deployment: &str) -> sqlx::Result<Vec<UsualStep>> {
    let service = sqlx::query_scalar!(
        "select service from deployments where namespace = $1 and name = $2 order by id desc limit 1",
        namespace,
        deployment
    );
    match service.fetch_optional(pool).await? {
        Some(service) => Snapshot::begin(pool).await?.usual_steps(namespace, &service).await,
        None => Ok(Vec::new()),
    }
}

impl Snapshot {
    /// How long the steps of a Service usually take, in the order of its runs.
    pub async fn usual_steps(&mut self, namespace: &str, service: &str) -> sqlx::Result<Vec<UsualStep>> {
        sqlx::query_as!(
            UsualStep,
            r#"select key, percentile_disc(0.5) within group (order by place) as "place!",
                   count(*) as "runs!",
                   (select count(distinct uid) from step_durations where namespace = $1 and service = $2) as "of!",
                   percentile_cont(0.5) within group (order by seconds) as "median!",
                   percentile_cont(0.9) within group (order by seconds) as "p90!"
               from step_durations where namespace = $1 and service = $2
               group by key order by 2, key"#,
            namespace,
            service
        )
        .fetch_all(self.connection())
        .await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff_sqlx::ToSqlx;

    use super::*;

    async fn deployment(pool: &PgPool, uid: Uuid, name: &str) {
        sqlx::query!(
            "insert into deployments (uid, namespace, name, service, created_at, epoch, resource_version, object)
             values ($1, 'team-web', $2, 'blog', $3, 1, 1, '{}')",
            uid,
            name,
            Timestamp::UNIX_EPOCH.to_sqlx() as _
        )
        .execute(pool)
        .await
        .unwrap();
    }

    fn steps(seconds: &[f32]) -> Vec<StepTime> {
        let steps = seconds.iter().enumerate();
        steps
            .map(|(n, seconds)| StepTime { key: format!("a:{n}#1"), place: n as i32, seconds: *seconds })
            .collect()
    }

    #[sqlx::test]
    async fn what_is_usual_is_learned_from_the_last_runs(pool: PgPool) {
        for n in 0..25_u128 {
            let uid = Uuid::from_u128(n + 1);
            deployment(&pool, uid, &format!("blog-{n}")).await;
            let second = if n % 2 == 0 { vec![n as f32, 2.0] } else { vec![n as f32] };
            record(&pool, uid, &steps(&second)).await.unwrap();
            // Once: what comes again changes nothing.
            record(&pool, uid, &steps(&[1_000.0])).await.unwrap();
        }
        let usual = usual_of(&pool, "team-web", "blog-3").await.unwrap();
        assert_eq!(usual.len(), 2);
        let [first, second] = &usual[..] else { panic!("two steps") };
        assert_eq!((first.key.as_str(), first.place, first.runs, first.of), ("a:0#1", 0, 20, 20));
        assert_eq!((first.median, second.median, second.runs), (14.5, 2.0, 10));
        assert!((first.p90 - 22.1).abs() < 0.01, "{}", first.p90);
        assert!(usual_of(&pool, "team-web", "unknown").await.unwrap().is_empty());
        // Of what the mirror does not know, nothing is kept.
        record(&pool, Uuid::from_u128(99), &steps(&[1.0])).await.unwrap();
    }
}
