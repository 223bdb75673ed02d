//! The mirror: Services and Deployments as Kubernetes has them. Each leader's first full list opens
//! an epoch; within one, the higher resourceVersion is newer, and a newer epoch replaces an older one's
//! word. What is as it was is not written. An epoch that was never opened here is another database's:
//! whoever still writes for it has not noticed yet that this one is new, and writes nothing.

use std::collections::BTreeMap;

use crds::events::EventType;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::changes::{self, Changed};
use crate::outbox::{self, Event, Seen};
use crate::transaction;

/// A Service or a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `Service`.
    Service,
    /// `Deployment`.
    Deployment,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Deployment => "Deployment",
        }
    }
}

/// An object as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of the object.
    pub uid: Uuid,
    /// Where it is.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// Its own name, or that of a Deployment's Service.
    pub service: String,
    /// Kubernetes' count.
    pub resource_version: i64,
    /// What is kept of it.
    pub object: Value,
    /// Of Deployments only.
    pub run: Option<Run>,
}

/// What Deployments are looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `#129`.
    pub number: Option<i64>,
    /// Where it stands.
    pub phase: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Opens the epoch of a new leader.
pub async fn open_epoch(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!("update mirror set epoch = epoch + 1 returning epoch").fetch_one(pool).await
}

/// The epoch that is open.
pub async fn epoch(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select epoch from mirror").fetch_one(pool).await
}

/// Says that whoever writes for this epoch is at work, and how many changes wait. Answers the epoch that is open.
pub async fn beat(pool: &PgPool, epoch: i64, waiting: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "update mirror set beat_at = case when epoch = $1 then now() else beat_at end,
             waiting = case when epoch = $1 then $2 else waiting end
         returning epoch",
        epoch,
        waiting
    )
    .fetch_one(pool)
    .await
}

/// Writes what is newer than what is there; each object once. Answers how many were.
pub async fn upsert(pool: &PgPool, epoch: i64, rows: &[Row]) -> sqlx::Result<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut tx = transaction::begin(pool).await?;
    let (runs, services): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.run.is_some());
    let services = (Kind::Service, upsert_services(&mut tx, epoch, &services).await?);
    let runs = (Kind::Deployment, upsert_deployments(&mut tx, epoch, &runs).await?);
    let written = [services, runs];
    let events = happened(&mut tx, rows, &written).await?;
    outbox::append(&mut tx, &events).await?;
    let changed: Vec<Changed> = written
        .into_iter()
        .flat_map(|(kind, written)| written.into_iter().map(move |written| written.marked.changed(kind)))
        .collect();
    changes::append(&mut tx, &changed).await?;
    tx.commit().await?;
    Ok(changed.len())
}

/// What has happened to the objects that were written.
async fn happened(
    tx: &mut PgConnection,
    rows: &[Row],
    written: &[(Kind, Vec<Written>)],
) -> sqlx::Result<Vec<Event>> {
    if written.iter().all(|(_, written)| written.is_empty()) {
        return Ok(Vec::new());
    }
    let since = sqlx::query_scalar!(r#"select since as "since: jiff_sqlx::Timestamp" from stream"#);
    let since = since.fetch_one(tx).await?.to_jiff();
    let rows: BTreeMap<Uuid, &Row> = rows.iter().map(|row| (row.uid, row)).collect();
    let mut events = Vec::new();
    for (kind, written) in written {
        for Written { marked, old } in written {
            let Some(row) = rows.get(&marked.uid) else { continue };
            events.extend(outbox::happened(
                &Seen {
                    kind: *kind,
                    uid: row.uid,
                    namespace: &row.namespace,
                    name: &row.name,
                    service: &row.service,
                    old: old.as_ref(),
                    new: &row.object,
                },
                since,
            ));
        }
    }
    Ok(events)
}

/// Marks what was deleted, with the resourceVersion of its end. Its history stays.
pub async fn gone(pool: &PgPool, epoch: i64, kind: Kind, ended: &BTreeMap<Uuid, i64>) -> sqlx::Result<usize> {
    let (uids, versions): (Vec<Uuid>, Vec<i64>) = ended.iter().map(|(uid, version)| (*uid, *version)).unzip();
    let mut tx = transaction::begin(pool).await?;
    let changed = match kind {
        Kind::Service => {
            sqlx::query_as!(
                Marked,
                "update services as s set gone_at = now(), epoch = $1, resource_version = e.version
                 from unnest($2::uuid[], $3::bigint[]) as e (uid, version)
                 where s.uid = e.uid and s.gone_at is null and s.epoch <= $1
                     and $1 <= (select epoch from mirror)
                 returning s.uid, s.namespace, s.name as service",
                epoch,
                &uids,
                &versions
            )
            .fetch_all(&mut *tx)
            .await?
        }
        Kind::Deployment => {
            sqlx::query_as!(
                Marked,
                "update deployments as d set gone_at = now(), epoch = $1, resource_version = e.version
                 from unnest($2::uuid[], $3::bigint[]) as e (uid, version)
                 where d.uid = e.uid and d.gone_at is null and d.epoch <= $1
                     and $1 <= (select epoch from mirror)
                 returning d.uid, d.namespace, d.service",
                epoch,
                &uids,
                &versions
            )
            .fetch_all(&mut *tx)
            .await?
        }
    };
    finish(tx, kind, changed).await
}

/// Marks what a full list did not contain.
pub async fn gone_but(pool: &PgPool, epoch: i64, kind: Kind, listed: &[Uuid]) -> sqlx::Result<usize> {
    let mut tx = transaction::begin(pool).await?;
    let changed = match kind {
        Kind::Service => {
            sqlx::query_as!(
                Marked,
                "update services set gone_at = now(), epoch = $1
                 where gone_at is null and epoch <= $1 and uid <> all($2::uuid[])
                     and $1 <= (select epoch from mirror)
                 returning uid, namespace, name as service",
                epoch,
                listed
            )
            .fetch_all(&mut *tx)
            .await?
        }
        Kind::Deployment => {
            sqlx::query_as!(
                Marked,
                "update deployments set gone_at = now(), epoch = $1
                 where gone_at is null and epoch <= $1 and uid <> all($2::uuid[])
                     and $1 <= (select epoch from mirror)
                 returning uid, namespace, service",
                epoch,
                listed
            )
            .fetch_all(&mut *tx)
            .await?
        }
    };
    finish(tx, kind, changed).await
}

/// What is known of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of the Deployment.
    pub uid: Uuid,
    /// Kubernetes' count, when it was seen last.
    pub resource_version: i64,
    /// `#129`.
    pub number: Option<i64>,
    /// Where it stood.
    pub phase: Option<String>,
    /// Kubernetes has it no longer.
    pub gone: bool,
    /// Its frozen input is archived, if it had one.
    pub bundle: bool,
}

/// What is known of these Deployments.
pub async fn deployments(pool: &PgPool, uids: &[Uuid]) -> sqlx::Result<Vec<Known>> {
    sqlx::query_as!(
        Known,
        r#"select uid, resource_version, number, phase, gone_at is not null as "gone!",
               (object #>> '{status,bundle}' is null
                   or exists (select from bundles where name = object #>> '{status,bundle}')) as "bundle!"
           from deployments where uid = any($1)"#,
        uids
    )
    .fetch_all(pool)
    .await
}

/// An object that was written, and how it was before.
struct Written {
    marked: Marked,
    old: Option<Value>,
}

struct Marked {
    uid: Uuid,
    namespace: String,
    service: String,
}

impl Marked {
    fn changed(self, kind: Kind) -> Changed {
        let Self { uid, namespace, service } = self;
        Changed { kind: kind.as_str(), uid, namespace, service }
    }
}

async fn finish(
    mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
    kind: Kind,
    marked: Vec<Marked>,
) -> sqlx::Result<usize> {
    if kind == Kind::Service {
        let deleted = |row: &Marked| Event {
            id: format!("{}/{}/", row.uid, EventType::ServiceDeleted.as_str()),
            namespace: row.namespace.clone(),
            service: row.service.clone(),
            ..Event::of_person(
                EventType::ServiceDeleted,
                "",
                &row.service,
                json!({"name": row.service, "namespace": row.namespace, "uid": row.uid}),
            )
        };
        outbox::append(&mut tx, &marked.iter().map(deleted).collect::<Vec<_>>()).await?;
    }
    let changed: Vec<Changed> = marked.into_iter().map(|row| row.changed(kind)).collect();
    changes::append(&mut tx, &changed).await?;
    tx.commit().await?;
    Ok(changed.len())
}

/// The columns that both kinds have.
struct Columns {
    uids: Vec<Uuid>,
    namespaces: Vec<String>,
    names: Vec<String>,
    versions: Vec<i64>,
    objects: Vec<Value>,
}

impl Columns {
    fn of(rows: &[&Row]) -> Self {
        Self {
            uids: rows.iter().map(|row| row.uid).collect(),
            namespaces: rows.iter().map(|row| row.namespace.clone()).collect(),
            names: rows.iter().map(|row| row.name.clone()).collect(),
            versions: rows.iter().map(|row| row.resource_version).collect(),
            objects: rows.iter().map(|row| row.object.clone()).collect(),
        }
    }
}

async fn upsert_services(tx: &mut PgConnection, epoch: i64, rows: &[&Row]) -> sqlx::Result<Vec<Written>> {
    let Columns { uids, namespaces, names, versions, objects } = Columns::of(rows);
    let written = sqlx::query!(
        r#"with before as (select uid, object from services where uid = any($2))
         insert into services as s (uid, namespace, name, epoch, resource_version, object)
         select uid, namespace, name, $1, version, object
         from unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::jsonb[])
             as row (uid, namespace, name, version, object)
         where $1 <= (select epoch from mirror)
         on conflict (uid) do update set
             epoch = excluded.epoch, resource_version = excluded.resource_version, object = excluded.object,
             gone_at = null
         where (s.resource_version <> excluded.resource_version or s.gone_at is not null)
             and (s.epoch < excluded.epoch
                 or s.epoch = excluded.epoch and s.resource_version <= excluded.resource_version)
         returning uid, namespace, name as service,
             (select before.object #- '{status,steps}' from before where before.uid = s.uid) as old"#,
        epoch,
        &uids,
        &namespaces,
        &names,
        &versions,
        &objects
    )
    .fetch_all(tx)
    .await?;
    let written = written.into_iter().map(|row| Written {
        marked: Marked { uid: row.uid, namespace: row.namespace, service: row.service },
        old: row.old,
    });
    Ok(written.collect())
}

async fn upsert_deployments(tx: &mut PgConnection, epoch: i64, rows: &[&Row]) -> sqlx::Result<Vec<Written>> {
    let Columns { uids, namespaces, names, versions, objects } = Columns::of(rows);
    let services: Vec<String> = rows.iter().map(|row| row.service.clone()).collect();
    let runs: Vec<&Run> = rows.iter().filter_map(|row| row.run.as_ref()).collect();
    let numbers: Vec<Option<i64>> = runs.iter().map(|run| run.number).collect();
    let phases: Vec<Option<String>> = runs.iter().map(|run| run.phase.clone()).collect();
    let created: Vec<jiff_sqlx::Timestamp> = runs.iter().map(|run| run.created_at.to_sqlx()).collect();
    let finished: Vec<Option<jiff_sqlx::Timestamp>> =
        runs.iter().map(|run| run.finished_at.map(ToSqlx::to_sqlx)).collect();
    let written = sqlx::query!(
        r#"with before as (select uid, object from deployments where uid = any($2))
         insert into deployments as d
             (uid, namespace, name, service, number, phase, created_at, finished_at, epoch, resource_version, object)
         select uid, namespace, name, service, number, phase, created_at, finished_at, $1, version, object
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
             $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::jsonb[])
             as row (uid, namespace, name, service, number, phase, created_at, finished_at, version, object)
         where $1 <= (select epoch from mirror)
         on conflict (uid) do update set
             number = excluded.number, phase = excluded.phase, finished_at = excluded.finished_at,
             epoch = excluded.epoch, resource_version = excluded.resource_version, object = excluded.object,
             gone_at = null
         where (d.resource_version <> excluded.resource_version or d.gone_at is not null)
             and (d.epoch < excluded.epoch
                 or d.epoch = excluded.epoch and d.resource_version <= excluded.resource_version)
         returning uid, namespace, service,
             (select before.object #- '{status,steps}' from before where before.uid = d.uid) as old"#,
        epoch,
        &uids,
        &namespaces,
        &names,
        &services,
        &numbers as _,
        &phases as _,
        &created as _,
        &finished as _,
        &versions,
        &objects
    )
    .fetch_all(tx)
    .await?;
    let written = written.into_iter().map(|row| Written {
        marked: Marked { uid: row.uid, namespace: row.namespace, service: row.service },
        old: row.old,
    });
    Ok(written.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(n: u128, resource_version: i64) -> Row {
        let (uid, name) = (Uuid::from_u128(n), format!("s{n}"));
        Row {
            uid,
            namespace: "team".into(),
            service: name.clone(),
            name,
            resource_version,
            object: json!({"version": resource_version}),
            run: None,
        }
    }

    fn deployment(n: u128, resource_version: i64) -> Row {
        let run = Run { number: Some(1), phase: None, created_at: Timestamp::UNIX_EPOCH, finished_at: None };
        Row { service: "blog".into(), run: Some(run), ..service(n, resource_version) }
    }

    /// Versions that are there, and the numbers of the stream.
    async fn there(pool: &PgPool) -> (Vec<(i64, bool)>, Vec<i64>) {
        let rows =
            sqlx::query!(r#"select resource_version, gone_at is null as "here!" from services order by uid"#);
        let rows = rows.fetch_all(pool).await.unwrap();
        let seqs = sqlx::query_scalar!("select seq from changes order by seq").fetch_all(pool).await.unwrap();
        (rows.into_iter().map(|row| (row.resource_version, row.here)).collect(), seqs)
    }

    #[sqlx::test]
    async fn only_what_is_newer_is_written_and_numbered(pool: PgPool) {
        let epoch = open_epoch(&pool).await.unwrap();
        assert_eq!(upsert(&pool, epoch, &[service(1, 10), service(2, 11)]).await.unwrap(), 2);
        // As it was, older, newer.
        assert_eq!(upsert(&pool, epoch, &[service(1, 10), service(2, 9)]).await.unwrap(), 0);
        assert_eq!(upsert(&pool, epoch, &[service(1, 12)]).await.unwrap(), 1);
        assert_eq!(there(&pool).await, (vec![(12, true), (11, true)], vec![1, 2, 3]));
    }

    #[sqlx::test]
    async fn a_newer_leader_has_the_last_word(pool: PgPool) {
        let old = open_epoch(&pool).await.unwrap();
        upsert(&pool, old, &[service(1, 10)]).await.unwrap();
        let new = open_epoch(&pool).await.unwrap();
        // A cluster that was restored counts lower; and the old leader wakes up once more.
        assert_eq!(upsert(&pool, new, &[service(1, 5)]).await.unwrap(), 1);
        assert_eq!(upsert(&pool, old, &[service(1, 99)]).await.unwrap(), 0);
        assert_eq!(gone_but(&pool, old, Kind::Service, &[]).await.unwrap(), 0);
        assert_eq!(there(&pool).await.0, [(5, true)]);
    }

    #[sqlx::test]
    async fn one_who_has_not_noticed_that_the_database_is_new_writes_nothing(pool: PgPool) {
        let epoch = open_epoch(&pool).await.unwrap();
        upsert(&pool, epoch, &[service(1, 10)]).await.unwrap();
        let of_the_old_one = epoch + 5;
        assert_eq!(upsert(&pool, of_the_old_one, &[service(1, 99), deployment(2, 99)]).await.unwrap(), 0);
        assert_eq!(gone_but(&pool, of_the_old_one, Kind::Service, &[]).await.unwrap(), 0);
        let ended = BTreeMap::from([(Uuid::from_u128(1), 99)]);
        assert_eq!(gone(&pool, of_the_old_one, Kind::Service, &ended).await.unwrap(), 0);
        // And so nothing of his stands in the way.
        assert_eq!(upsert(&pool, epoch, &[service(1, 11)]).await.unwrap(), 1);
        assert_eq!(there(&pool).await.0, [(11, true)]);
    }

    #[sqlx::test]
    async fn what_is_gone_is_marked_and_comes_back_only_with_news(pool: PgPool) {
        let epoch = open_epoch(&pool).await.unwrap();
        upsert(&pool, epoch, &[service(1, 10), service(2, 11), deployment(3, 12)]).await.unwrap();
        assert_eq!(gone_but(&pool, epoch, Kind::Service, &[Uuid::from_u128(2)]).await.unwrap(), 1);
        let ended = BTreeMap::from([(Uuid::from_u128(2), 20)]);
        assert_eq!(gone(&pool, epoch, Kind::Service, &ended).await.unwrap(), 1);
        assert_eq!(gone(&pool, epoch, Kind::Service, &ended).await.unwrap(), 0);
        assert_eq!(upsert(&pool, epoch, &[service(2, 11)]).await.unwrap(), 0);
        assert_eq!(there(&pool).await.0, [(10, false), (20, false)]);
        // It was made by us a moment before the list was read: it is there after all.
        assert_eq!(upsert(&pool, epoch, &[service(1, 10)]).await.unwrap(), 1);
        assert_eq!(gone_but(&pool, epoch, Kind::Deployment, &[]).await.unwrap(), 1);
    }

    #[sqlx::test]
    async fn many_at_once_are_numbered_without_gap(pool: PgPool) {
        let epoch = open_epoch(&pool).await.unwrap();
        let all = (0..8_u128).map(|n| {
            let pool = pool.clone();
            async move {
                for m in 0..10 {
                    upsert(&pool, epoch, &[service(n * 100 + m, 1), deployment(5_000 + n * 100 + m, 1)])
                        .await
                        .unwrap();
                }
            }
        });
        futures::future::join_all(all).await;
        assert_eq!(there(&pool).await.1, (1..=160).collect::<Vec<_>>());
    }
}
