//! Deployments that somebody looks for, across Services; those that wait, and those that ended.

use jiff::Timestamp;

use crate::read::{DeploymentRow, DeploymentTuple, Snapshot};

/// What a Deployment must be like. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where it is.
    pub namespace: Option<String>,
    /// Of which Service.
    pub service: Option<String>,
    /// One of these; empty: any. One that was removed before it ended counts as Cancelled.
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
