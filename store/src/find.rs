//! Deployments that somebody looks for, across Services; those that wait, and those that ended.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

use crate::read::{DeploymentRow, DeploymentTuple, Namespaces, Snapshot};

/// What a Deployment must be like. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where it is.
    pub namespace: Option<String>,
    /// Of which Service.
    pub service: Option<String>,
    /// One of these; empty: any.
    pub phases: Vec<String>,
    /// Who asked for it.
    pub by: Option<String>,
    /// By which way. Checks for drift are found with `Drift` only.
    pub via: Option<String>,
    /// `Apply` or `Check`.
    pub mode: Option<String>,
    /// Asked for then or later.
    pub from: Option<Timestamp>,
    /// Asked for earlier.
    pub to: Option<Timestamp>,
}

impl Snapshot {
    /// Newest first, behind this one, at most `limit`.
    pub async fn find_deployments(
        &mut self,
        of: &Namespaces,
        filter: &Filter,
        after: Option<(Timestamp, Uuid)>,
        limit: i64,
    ) -> sqlx::Result<Vec<DeploymentRow>> {
        let (all, only) = of.columns();
        let (at, uid) = after.unzip();
        let rows = sqlx::query_as!(
            DeploymentTuple,
            r#"select d.uid, d.id, d.namespace, d.name, d.service, d.created_at as "created_at: jiff_sqlx::Timestamp",
                   d.object, d.gone_at is not null as "gone!",
                   (select s.object #>> '{spec,title}' from services s
                    where s.namespace = d.namespace and s.name = d.service order by s.id desc limit 1) as service_title
               from deployments d
               where ($1 or d.namespace = any($2)) and (not d.is_drift_check or $7 = 'Drift')
                   and ($3::text is null or d.namespace = $3)
                   and ($4::text is null or d.service = $4)
                   and (cardinality($5::text[]) = 0 or coalesce(d.phase, 'Pending') = any($5))
                   and ($6::text is null or d.requested_by = $6)
                   and ($7::text is null or d.via = $7)
                   and ($8::text is null or d.mode = $8)
                   and ($9::timestamptz is null or d.created_at >= $9)
                   and ($10::timestamptz is null or d.created_at < $10)
                   and ($11::timestamptz is null or (d.created_at, d.uid) < ($11, $12))
               order by d.created_at desc, d.uid desc limit $13"#,
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
        rows.map(DeploymentRow::from).fetch_all(self.connection()).await
    }

    /// A Service's Deployments that have no end yet, in the order in which they were asked for. Checks for
    /// drift give way to all of them.
    pub async fn unfinished(&mut self, namespace: &str, service: &str) -> sqlx::Result<Vec<DeploymentRow>> {
        let rows = sqlx::query_as!(
            DeploymentTuple,
            r#"select d.uid, d.id, d.namespace, d.name, d.service, d.created_at as "created_at: jiff_sqlx::Timestamp",
                   d.object, false as "gone!", null::text as service_title
               from deployments d
               where d.namespace = $1 and d.service = $2 and d.finished_at is null and d.gone_at is null
                   and not d.is_drift_check
               order by d.created_at, d.uid limit 500"#,
            namespace,
            service
        );
        rows.map(DeploymentRow::from).fetch_all(self.connection()).await
    }

    /// The one of that number.
    pub async fn deployment_of_number(
        &mut self,
        namespace: &str,
        service: &str,
        number: i64,
    ) -> sqlx::Result<Option<DeploymentRow>> {
        let rows = sqlx::query_as!(
            DeploymentTuple,
            r#"select d.uid, d.id, d.namespace, d.name, d.service, d.created_at as "created_at: jiff_sqlx::Timestamp",
                   d.object, d.gone_at is not null as "gone!", null::text as service_title
               from deployments d
               where d.namespace = $1 and d.service = $2 and d.number = $3
               order by d.created_at desc limit 1"#,
            namespace,
            service,
            number
        );
        rows.map(DeploymentRow::from).fetch_optional(self.connection()).await
    }

    /// The last run of a Service that applied all and whose events are here: what is planned is likely the same.
    pub async fn last_reported(
        &mut self,
        namespace: &str,
        service: &str,
    ) -> sqlx::Result<Option<DeploymentRow>> {
        let rows = sqlx::query_as!(
            DeploymentTuple,
            r#"select d.uid, d.id, d.namespace, d.name, d.service, d.created_at as "created_at: jiff_sqlx::Timestamp",
                   d.object, d.gone_at is not null as "gone!", null::text as service_title
               from deployments d
               where d.namespace = $1 and d.service = $2 and d.finished_at is not null
                   and d.phase in ('Succeeded', 'Failed') and not d.is_drift_check
                   and exists (select from runs where runs.uid = d.uid)
               order by d.phase = 'Succeeded' and d.mode = 'Apply' desc, d.created_at desc limit 1"#,
            namespace,
            service
        );
        rows.map(DeploymentRow::from).fetch_optional(self.connection()).await
    }

    /// When runs of a Service that changed the servers started and ended, newest first.
    pub async fn durations(
        &mut self,
        namespace: &str,
        service: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<crate::read::TickRow>> {
        let rows = sqlx::query!(
            r#"select uid, number, phase as "phase!", object #>> '{status,startedAt}' as started_at,
                   finished_at as "finished_at: jiff_sqlx::Timestamp"
               from deployments
               where namespace = $1 and service = $2 and finished_at is not null and phase is not null and mode = 'Apply'
               order by created_at desc, uid desc limit $3"#,
            namespace,
            service,
            limit
        );
        let rows = rows.fetch_all(self.connection()).await?.into_iter().map(|row| crate::read::TickRow {
            uid: row.uid,
            number: row.number,
            phase: row.phase,
            started_at: row.started_at.and_then(|at| at.parse().ok()),
            finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
        });
        Ok(rows.collect())
    }
}
