//! What one answer of the API shows, read by one statement: one round trip, one snapshot, and the place in the stream of
//! changes at which it is true, without a transaction to begin and to end. What is read in several steps uses a
//! [`Snapshot`](crate::read::Snapshot).

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::durations::UsualStep;
use crate::events::StoredEvent;
use crate::find::Filter;
use crate::read::{Attempt, DeploymentRow, Namespaces, Position, ServiceRow, TickRow};

/// Something, and where in the stream of changes it is so.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// Where.
    pub position: Position,
    /// Where Services and Deployments are; empty, if every namespace was asked for.
    pub places: Vec<String>,
    /// What.
    pub read: T,
}

/// A Service and the runs that are shown with it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ServiceWithRuns {
    /// It.
    pub service: ServiceRow,
    /// Those that its status names: the one that is on, the last one.
    pub runs: Vec<DeploymentRow>,
    /// The last ones that ended, newest first, without checks for drift.
    pub ticks: Vec<TickRow>,
}

/// A Deployment and what is shown with it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentWithSteps {
    /// It.
    pub deployment: DeploymentRow,
    /// The last attempt that has reported.
    pub attempt: Option<Attempt>,
    /// How long the steps of its Service usually take.
    pub usual: Vec<UsualStep>,
    /// All that happened in that attempt but its output, in order; empty, if it was not asked for.
    pub results: Vec<StoredEvent>,
    /// If it has no end yet, those of its Service that have none, in the order in which they were asked for; empty, if
    /// it was not asked for.
    pub unfinished: Vec<DeploymentRow>,
}

#[derive(Debug, Deserialize)]
struct Head {
    epoch: Uuid,
    last: i64,
    deployment: Option<DeploymentRow>,
    attempt: Option<Attempt>,
    usual: Option<Vec<UsualStep>>,
    unfinished: Option<Vec<DeploymentRow>>,
}

/// Where the stream of changes is; and where Services and Deployments are, unless that is every namespace.
pub async fn here(pool: &PgPool, of: &Namespaces) -> sqlx::Result<At<()>> {
    let (all, _) = of.columns();
    let row = sqlx::query!(
        r#"select epoch, last, case when $1 then '{}' else places() end as "places!" from stream"#,
        all
    );
    let row = row.fetch_one(pool).await?;
    Ok(At { position: Position { epoch: row.epoch, seq: row.last }, places: row.places, read: () })
}

/// A page of Services with their runs, as one row. The page has the columns of a [`ServiceRow`]; its statement takes the
/// parameters from `$4` on.
macro_rules! with_runs {
    ($page:literal, $all:expr, $ticks:expr, $($parameter:expr),+) => {
        sqlx::query!(
            "with page as (" + $page + r#")
             select stream.epoch, stream.last, case when $1 then '{}' else places() end as "places!",
                 (select json_agg(s order by s.namespace, s.name) from (
                     select page.namespace, page.name, row_to_json(page) as service,
                         (select coalesce(json_agg(r), '[]') from (
                             select d.uid, d.id, d.namespace, d.name, d.service, d.created_at, d.object,
                                 d.gone_at is not null as gone, (
                                     select t.object #>> '{spec,title}' from services t
                                     where t.namespace = d.namespace and t.name = d.service order by t.id desc limit 1
                                 ) as service_title
                             from deployments d where d.uid in (
                                 substring(page.object #>> '{status,active,uid}' from $3)::uuid,
                                 substring(page.object #>> '{status,last,deployment,uid}' from $3)::uuid
                             )
                         ) r) as runs,
                         (select coalesce(json_agg(t), '[]') from (
                             select uid, number, phase, object #>> '{status,startedAt}' as started_at, finished_at
                             from deployments d
                             where d.namespace = page.namespace and d.service = page.name
                                 and d.finished_at is not null and not d.is_drift_check
                             order by d.created_at desc, d.uid desc limit $2
                         ) t) as ticks
                     from page
                 ) s) as "services: Json<Vec<ServiceWithRuns>>"
             from stream"#,
            $all,
            $ticks,
            UID,
            $($parameter),+
        )
    };
}

/// How Kubernetes writes a uid. A status may say anything: what is no uid names no run.
const UID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

/// Services by namespace and name, behind this one, at most `limit`, each with its runs; of those that ended at most
/// `ticks`.
pub async fn services(
    pool: &PgPool,
    of: &Namespaces,
    after: Option<(&str, &str)>,
    limit: i64,
    ticks: i64,
) -> sqlx::Result<At<Vec<ServiceWithRuns>>> {
    let (all, only) = of.columns();
    let (namespace, name) = after.unwrap_or_default();
    let row = with_runs!(
        "select uid, id, namespace, name, object, false as gone from services
         where gone_at is null and ($1 or namespace = any($4)) and (namespace, name) > ($5, $6)
         order by namespace, name limit $7",
        all,
        ticks,
        only,
        namespace,
        name,
        limit
    );
    let row = row.fetch_one(pool).await?;
    let position = Position { epoch: row.epoch, seq: row.last };
    Ok(At { position, places: row.places, read: row.services.map(|Json(read)| read).unwrap_or_default() })
}

/// The Service of that name with its runs; of those that ended at most `ticks`.
pub async fn service(
    pool: &PgPool,
    namespace: &str,
    name: &str,
    ticks: i64,
) -> sqlx::Result<At<Option<ServiceWithRuns>>> {
    let row = with_runs!(
        "select uid, id, namespace, name, object, false as gone from services
         where gone_at is null and namespace = $4 and name = $5
         order by id desc limit 1",
        true,
        ticks,
        namespace,
        name
    );
    let row = row.fetch_one(pool).await?;
    let position = Position { epoch: row.epoch, seq: row.last };
    let read = row.services.and_then(|Json(mut read)| read.pop());
    Ok(At { position, places: row.places, read })
}

/// A Service's Deployments, newest first, behind this one, at most `limit`; without checks for drift.
pub async fn deployments_of(
    pool: &PgPool,
    namespace: &str,
    service: &str,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> sqlx::Result<At<Vec<DeploymentRow>>> {
    let (created_at, uid) = after.unwrap_or((Timestamp::UNIX_EPOCH, Uuid::max()));
    let row = sqlx::query!(
        r#"select stream.epoch, stream.last, (
               select json_agg(r order by r.created_at desc, r.uid desc) from (
                   select d.uid, d.id, d.namespace, d.name, d.service, d.created_at, d.object,
                       d.gone_at is not null as gone, (
                           select t.object #>> '{spec,title}' from services t
                           where t.namespace = d.namespace and t.name = d.service order by t.id desc limit 1
                       ) as service_title
                   from deployments d
                   where d.namespace = $1 and d.service = $2 and not d.is_drift_check
                       and ($3 or (d.created_at, d.uid) < ($4, $5))
                   order by d.created_at desc, d.uid desc limit $6
               ) r
           ) as "deployments: Json<Vec<DeploymentRow>>"
           from stream"#,
        namespace,
        service,
        after.is_none(),
        created_at.to_sqlx() as _,
        uid,
        limit
    );
    let row = row.fetch_one(pool).await?;
    let position = Position { epoch: row.epoch, seq: row.last };
    let read = row.deployments.map(|Json(read)| read).unwrap_or_default();
    Ok(At { position, places: Vec::new(), read })
}

/// Deployments of all Services that somebody looks for, newest first, behind this one, at most `limit`.
pub async fn find_deployments(
    pool: &PgPool,
    of: &Namespaces,
    filter: &Filter,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> sqlx::Result<At<Vec<DeploymentRow>>> {
    let (all, only) = of.columns();
    let (at, uid) = after.unzip();
    let row = sqlx::query!(
        r#"select stream.epoch, stream.last, case when $1 then '{}' else places() end as "places!", (
               select json_agg(r order by r.created_at desc, r.uid desc) from (
                   select d.uid, d.id, d.namespace, d.name, d.service, d.created_at, d.object,
                       d.gone_at is not null as gone, (
                           select t.object #>> '{spec,title}' from services t
                           where t.namespace = d.namespace and t.name = d.service order by t.id desc limit 1
                       ) as service_title
                   from deployments d
                   where ($1 or d.namespace = any($2)) and (not d.is_drift_check or $7 = 'Drift')
                       and ($3::text is null or d.namespace = $3)
                       and ($4::text is null or d.service = $4)
                       and (cardinality($5::text[]) = 0 or case
                           when d.gone_at is not null and d.finished_at is null then 'Cancelled'
                           else coalesce(d.phase, 'Pending') end = any($5))
                       and ($6::text is null or d.requested_by = $6)
                       and ($7::text is null or d.via = $7)
                       and ($8::text is null or d.mode = $8)
                       and ($9::timestamptz is null or d.created_at >= $9)
                       and ($10::timestamptz is null or d.created_at < $10)
                       and ($11::timestamptz is null or (d.created_at, d.uid) < ($11, $12))
                   order by d.created_at desc, d.uid desc limit $13
               ) r
           ) as "deployments: Json<Vec<DeploymentRow>>"
           from stream"#,
        all,
        only,
        filter.namespace,
        filter.service,
        &filter.phases,
        filter.by,
        filter.via,
        filter.mode,
        filter.from.map(ToSqlx::to_sqlx) as _,
        filter.to.map(ToSqlx::to_sqlx) as _,
        at.map(ToSqlx::to_sqlx) as _,
        uid,
        limit
    );
    let row = row.fetch_one(pool).await?;
    let position = Position { epoch: row.epoch, seq: row.last };
    let read = row.deployments.map(|Json(read)| read).unwrap_or_default();
    Ok(At { position, places: row.places, read })
}

/// A Deployment and what is shown with it. Not `whole`: without what is read from the tables of events, and without those
/// that have no end.
pub async fn deployment(
    pool: &PgPool,
    uid: Uuid,
    whole: bool,
) -> sqlx::Result<At<Option<DeploymentWithSteps>>> {
    // Events are rows of their own: there may be more of them than one value can hold.
    let rows = sqlx::query!(
        r#"with d as (
               select d.uid, d.id, d.namespace, d.name, d.service, d.created_at, d.object,
                   d.gone_at is not null as gone, d.finished_at, (
                       select t.object #>> '{spec,title}' from services t
                       where t.namespace = d.namespace and t.name = d.service order by t.id desc limit 1
                   ) as service_title
               from deployments d where d.uid = $1
           ),
           run as materialized (
               select attempt, acked, lines, day from runs where uid = $1 order by attempt desc limit 1
           )
           select json_build_object(
               'epoch', stream.epoch, 'last', stream.last,
               'deployment', (select row_to_json(d) from d),
               'attempt', (
                   select json_build_object('attempt', run.attempt, 'acked', run.acked, 'lines', run.lines, 'gaps', (
                       select coalesce(json_agg(g), '[]') from (
                           select first_seq as first, last_seq as last from run_gaps
                           where uid = $1 and attempt = run.attempt order by first_seq
                       ) g
                   )) from run
               ),
               'usual', (
                   select json_agg(u) from d cross join lateral (
                       select key, percentile_disc(0.5) within group (order by place) as place, count(*) as runs,
                           (select count(distinct uid) from step_durations
                            where namespace = d.namespace and service = d.service) as of,
                           percentile_cont(0.5) within group (order by seconds) as median,
                           percentile_cont(0.9) within group (order by seconds) as p90
                       from step_durations where namespace = d.namespace and service = d.service
                       group by key order by 2, key
                   ) u
               ),
               'unfinished', case when $2 then (
                   select json_agg(u order by u.created_at, u.uid) from d cross join lateral (
                       select o.uid, o.id, o.namespace, o.name, o.service, o.created_at, o.object,
                           false as gone, null as service_title
                       from deployments o
                       where d.finished_at is null and o.namespace = d.namespace and o.service = d.service
                           and o.finished_at is null and o.gone_at is null and not o.is_drift_check
                       order by o.created_at, o.uid limit 500
                   ) u
               ) end
           ) as "head: Json<Head>", null::bigint as seq, null::timestamptz as "at: jiff_sqlx::Timestamp", null::jsonb as body
           from stream
           union all
           select null, e.seq, e.at, e.body from run_events e
           where $2 and e.day = (select day from run) and e.uid = $1 and e.attempt = (select attempt from run)
               and e.body ->> 'kind' <> 'output'
           order by seq nulls first"#,
        uid,
        whole
    );
    let mut rows = rows.fetch_all(pool).await?.into_iter();
    let Some(Json(head)) = rows.next().and_then(|row| row.head) else { return Err(sqlx::Error::RowNotFound) };
    let Head { epoch, last, deployment, attempt, usual, unfinished } = head;
    let results = rows.filter_map(|row| {
        let (seq, at, body) = (row.seq?, row.at?, row.body?);
        Some(StoredEvent { seq, at: at.to_jiff(), body })
    });
    let read = deployment.map(|deployment| DeploymentWithSteps {
        deployment,
        attempt,
        usual: usual.unwrap_or_default(),
        results: results.collect(),
        unfinished: unfinished.unwrap_or_default(),
    });
    Ok(At { position: Position { epoch, seq: last }, places: Vec::new(), read })
}
