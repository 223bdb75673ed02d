//! What the dashboard reads, all of one answer in one snapshot, with the place in the stream of
//! changes at which it is true.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::events::StoredEvent;
use crate::runs::Gap;
use crate::transaction;

/// A place in the stream of changes. Opaque to clients: `epoch.seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Another database is another epoch.
    pub epoch: Uuid,
    /// The last change before this place.
    pub seq: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.simple(), self.seq)
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = text.split_once('.').ok_or(NotAPosition)?;
        let epoch = epoch.parse().map_err(|_| NotAPosition)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or(NotAPosition)?;
        Ok(Self { epoch, seq })
    }
}

/// Not something that we gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct NotAPosition;

/// A Service as it was last seen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ServiceRow {
    /// Of the object.
    pub uid: Uuid,
    /// For old clients.
    pub id: i64,
    /// Where it is.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// The object.
    pub object: Value,
    /// No longer in Kubernetes.
    pub gone: bool,
}

/// A Deployment as it was last seen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DeploymentRow {
    /// Of the object.
    pub uid: Uuid,
    /// For old clients.
    pub id: i64,
    /// Where it is.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// Of which Service.
    pub service: String,
    /// What people call that Service.
    pub service_title: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The object.
    pub object: Value,
    /// No longer in Kubernetes.
    pub gone: bool,
}

/// A run that ended, in short.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TickRow {
    /// Of the Deployment.
    pub uid: Uuid,
    /// `#129`.
    pub number: Option<i64>,
    /// How it ended.
    pub phase: String,
    /// When Ansible was allowed to start.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
    /// When it had ended.
    pub finished_at: Option<Timestamp>,
}

/// What an object says need not be a time.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// The last attempt of a run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub attempt: i32,
    /// The last event that is stored.
    pub acked: i64,
    /// The last line of output that is stored.
    pub lines: i64,
    /// What was lost with an earlier database.
    pub gaps: Vec<Gap>,
}

/// Which namespaces somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Every one.
    All,
    /// These.
    Only(Vec<String>),
}

impl Namespaces {
    /// Of these, only that one.
    #[must_use]
    pub fn within(self, namespace: String) -> Self {
        match self {
            Self::Only(names) if !names.contains(&namespace) => Self::Only(Vec::new()),
            Self::All | Self::Only(_) => Self::Only(vec![namespace]),
        }
    }

    /// As two parameters of a query: all of them, or which.
    pub(crate) fn columns(&self) -> (bool, &[String]) {
        match self {
            Self::All => (true, &[]),
            Self::Only(names) => (false, names),
        }
    }
}

/// Reads that see the same.
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
    /// Where in the stream of changes.
    pub position: Position,
    /// Changes up to this one are forgotten.
    pub pruned: i64,
}

impl Snapshot {
    /// From here on nothing changes. Who only reads needs no commit.
    pub async fn begin(pool: &PgPool) -> sqlx::Result<Self> {
        let mut tx = transaction::begin_reading(pool).await?;
        let stream = sqlx::query!("select epoch, last, pruned from stream").fetch_one(&mut *tx).await?;
        let position = Position { epoch: stream.epoch, seq: stream.last };
        Ok(Self { tx, position, pruned: stream.pruned })
    }

    pub(crate) fn connection(&mut self) -> &mut sqlx::PgConnection {
        &mut self.tx
    }

    /// Where Services are.
    pub async fn namespaces(&mut self) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar!(r#"select places() as "places!""#).fetch_one(&mut *self.tx).await
    }

    /// The Service of that name.
    pub async fn service(&mut self, namespace: &str, name: &str) -> sqlx::Result<Option<ServiceRow>> {
        sqlx::query_as!(
            ServiceRow,
            r#"select uid, id, namespace, name, object, false as "gone!" from services
               where gone_at is null and namespace = $1 and name = $2
               order by id desc limit 1"#,
            namespace,
            name
        )
        .fetch_optional(&mut *self.tx)
        .await
    }

    /// Those of these Services that are there, by namespace and name.
    pub async fn services_named(&mut self, names: &[(String, String)]) -> sqlx::Result<Vec<ServiceRow>> {
        let (namespaces, names): (Vec<String>, Vec<String>) = names.iter().cloned().unzip();
        sqlx::query_as!(
            ServiceRow,
            r#"select distinct on (namespace, name) uid, id, namespace, name, object, false as "gone!" from services
               where gone_at is null
                   and (namespace, name) in (select * from unnest($1::text[], $2::text[]))
               order by namespace, name, id desc"#,
            &namespaces,
            &names
        )
        .fetch_all(&mut *self.tx)
        .await
    }

    /// The last runs of each of these Services that ended, newest first, without checks for drift.
    pub async fn ticks(
        &mut self,
        of: &[ServiceRow],
        each: i64,
    ) -> sqlx::Result<Vec<(String, String, TickRow)>> {
        let namespaces: Vec<String> = of.iter().map(|service| service.namespace.clone()).collect();
        let names: Vec<String> = of.iter().map(|service| service.name.clone()).collect();
        let rows = sqlx::query!(
            r#"select s.namespace as "namespace!", s.name as "service!", d.uid, d.number, d.phase as "phase!",
                   d.started_at, d.finished_at as "finished_at: jiff_sqlx::Timestamp"
               from unnest($1::text[], $2::text[]) as s (namespace, name)
               cross join lateral (
                   select uid, number, phase, created_at, finished_at, object #>> '{status,startedAt}' as started_at
                   from deployments d
                   where d.namespace = s.namespace and d.service = s.name and d.finished_at is not null
                       and not d.is_drift_check
                   order by d.created_at desc, d.uid desc limit $3
               ) d
               order by d.created_at desc, d.uid desc"#,
            &namespaces,
            &names,
            each
        );
        let rows = rows.fetch_all(&mut *self.tx).await?.into_iter().map(|row| {
            let tick = TickRow {
                uid: row.uid,
                number: row.number,
                phase: row.phase,
                started_at: row.started_at.and_then(|at| at.parse().ok()),
                finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
            };
            (row.namespace, row.service, tick)
        });
        Ok(rows.collect())
    }

    /// Those of these Deployments that are known.
    pub async fn deployments_by_uid(&mut self, uids: &[Uuid]) -> sqlx::Result<Vec<DeploymentRow>> {
        let rows = sqlx::query_as!(
            DeploymentTuple,
            r#"select d.uid, d.id, d.namespace, d.name, d.service, d.created_at as "created_at: jiff_sqlx::Timestamp",
                   d.object, d.gone_at is not null as "gone!",
                   (select s.object #>> '{spec,title}' from services s
                    where s.namespace = d.namespace and s.name = d.service order by s.id desc limit 1) as service_title
               from deployments d where d.uid = any($1)"#,
            uids
        );
        rows.map(DeploymentRow::from).fetch_all(&mut *self.tx).await
    }

    /// The last attempt of a run that has reported.
    pub async fn attempt(&mut self, uid: Uuid) -> sqlx::Result<Option<Attempt>> {
        let row = sqlx::query!(
            "select attempt, acked, lines from runs where uid = $1 order by attempt desc limit 1",
            uid
        );
        let Some(row) = row.fetch_optional(&mut *self.tx).await? else { return Ok(None) };
        let gaps = sqlx::query_as!(
            Gap,
            "select first_seq as first, last_seq as last from run_gaps
             where uid = $1 and attempt = $2 order by first_seq",
            uid,
            row.attempt
        );
        let gaps = gaps.fetch_all(&mut *self.tx).await?;
        Ok(Some(Attempt { attempt: row.attempt, acked: row.acked, lines: row.lines, gaps }))
    }

    /// All that happened in an attempt but its output, in order.
    pub async fn results(&mut self, uid: Uuid, attempt: i32) -> sqlx::Result<Vec<StoredEvent>> {
        let rows = sqlx::query!(
            r#"select seq, at as "at: jiff_sqlx::Timestamp", body from run_events
               where day = (select day from runs where uid = $1 and attempt = $2)
                   and uid = $1 and attempt = $2 and body ->> 'kind' <> 'output'
               order by seq"#,
            uid,
            attempt
        );
        let rows = rows.fetch_all(&mut *self.tx).await?.into_iter();
        Ok(rows.map(|row| StoredEvent { seq: row.seq, at: row.at.to_jiff(), body: row.body }).collect())
    }

    /// What changed after `seq`, each object once, in the order of its last change; at most `limit`.
    pub async fn changed_after(&mut self, seq: i64, limit: i64) -> sqlx::Result<Vec<Change>> {
        sqlx::query_as!(
            Change,
            r#"select seq as "seq!", kind as "kind!", uid as "uid!", namespace as "namespace!", service as "service!"
               from (select distinct on (uid) * from changes where seq > $1 order by uid, seq desc) as last
               order by seq limit $2"#,
            seq,
            limit
        )
        .fetch_all(&mut *self.tx)
        .await
    }
}

/// How long runs take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsualRun {
    /// Half of them took no longer.
    pub median: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
}

/// How long the runs of this Deployment's Service usually take: the last twenty that succeeded. None: there
/// was none, as far as the mirror knows.
pub async fn usual_run(pool: &PgPool, namespace: &str, deployment: &str) -> sqlx::Result<Option<UsualRun>> {
    let row = sqlx::query!(
        "select percentile_disc(0.5) within group (order by seconds) as median,
             percentile_cont(0.9) within group (order by seconds) as p90
         from (
             select extract(epoch from finished_at - (object #>> '{status,startedAt}')::timestamptz)::float8 as seconds
             from deployments
             where namespace = $1 and phase = 'Succeeded' and mode = 'Apply'
                 and service = (select service from deployments where namespace = $1 and name = $2 limit 1)
             order by created_at desc, uid desc limit 20
         ) as last",
        namespace,
        deployment
    );
    let row = row.fetch_one(pool).await?;
    Ok(row.median.zip(row.p90).map(|(median, p90)| UsualRun { median, p90 }))
}

/// An object is other than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// `Service` or `Deployment`.
    pub kind: String,
    /// Of the object.
    pub uid: Uuid,
    /// Where it is.
    pub namespace: String,
    /// Its own name, or that of a Deployment's Service.
    pub service: String,
}

/// The columns of a [`DeploymentRow`] as PostgreSQL has them.
pub(crate) struct DeploymentTuple {
    pub(crate) uid: Uuid,
    pub(crate) id: i64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) service_title: Option<String>,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) object: Value,
    pub(crate) gone: bool,
}

impl From<DeploymentTuple> for DeploymentRow {
    fn from(row: DeploymentTuple) -> Self {
        let DeploymentTuple { uid, id, namespace, name, service, service_title, created_at, object, gone } =
            row;
        let created_at = created_at.to_jiff();
        Self { uid, id, namespace, name, service, service_title, created_at, object, gone }
    }
}
