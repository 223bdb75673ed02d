//! How PostgreSQL itself fares, and what waits in it: for whoever looks after the installation.

use jiff::Timestamp;
use sqlx::PgPool;

/// What there is to know, at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of PostgreSQL, for example `15.18`.
    pub version: String,
    /// All of the database, in bytes.
    pub bytes: i64,
    /// The last change of the schema that was made.
    pub migration: i64,
    /// The mirror.
    pub mirror: Mirror,
    /// Reports of runs.
    pub reports: Reports,
    /// Notifications.
    pub told: Told,
}

/// How far the mirror is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// When its writer last said that it is at work.
    pub beat_at: Option<Timestamp>,
    /// Changes that were waiting then.
    pub waiting: i64,
    /// The last change that was written; none in the last day: absent.
    pub changed_at: Option<Timestamp>,
}

/// How reports come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports {
    /// Attempts of Deployments that have not ended, whose last report is still to come, and that reported within a day.
    pub open: i64,
    /// When one of them last reported, or the last one was complete.
    pub last_at: Option<Timestamp>,
    /// Stretches of events that were lost with an earlier database.
    pub gaps: i64,
}

/// What is told to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Events that nobody looked through yet.
    pub events: i64,
    /// Notifications that are to be told, or to be tried again.
    pub pending: i64,
    /// Of those: that were tried in vain.
    pub failing: i64,
    /// Of the pending ones: since when the oldest could have been tried.
    pub due_since: Option<Timestamp>,
    /// Given up.
    pub dead: i64,
    /// When the last one was.
    pub dead_at: Option<Timestamp>,
}

/// The change of the schema that this program brings last.
pub fn newest_migration() -> i64 {
    crate::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// How things stand.
pub async fn state(pool: &PgPool) -> sqlx::Result<State> {
    let own = sqlx::query!(
        r#"select current_setting('server_version') as "version!", pg_database_size(current_database()) as "bytes!""#
    );
    let own = own.fetch_one(pool).await?;
    // Not checked when it is compiled: the table is made by whoever migrates.
    let migration =
        sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations where success");
    let migration: i64 = migration.fetch_one(pool).await?;
    // "15.18 (Debian 15.18-0+deb12u1)": the number says it all.
    let version = own.version.split(' ').next().unwrap_or_default().to_owned();
    let (mirror, reports, told) = (mirror(pool).await?, reports(pool).await?, told(pool).await?);
    Ok(State { version, bytes: own.bytes, migration, mirror, reports, told })
}

async fn mirror(pool: &PgPool) -> sqlx::Result<Mirror> {
    let row = sqlx::query!(
        r#"select beat_at as "beat_at: jiff_sqlx::Timestamp", waiting,
               (select max(at) from changes) as "changed_at: jiff_sqlx::Timestamp" from mirror"#
    );
    let row = row.fetch_one(pool).await?;
    Ok(Mirror { beat_at: known(row.beat_at), waiting: row.waiting, changed_at: known(row.changed_at) })
}

async fn reports(pool: &PgPool) -> sqlx::Result<Reports> {
    let row = sqlx::query!(
        r#"select count(*) as "open!",
               greatest(max(runs.updated_at), (select max(sealed_at) from runs)) as "last_at: jiff_sqlx::Timestamp",
               (select count(*) from run_gaps) as "gaps!"
           from runs left join deployments using (uid)
           where sealed_at is null and runs.updated_at > now() - interval '1 day'
               and deployments.finished_at is null and deployments.gone_at is null"#
    );
    let row = row.fetch_one(pool).await?;
    Ok(Reports { open: row.open, last_at: known(row.last_at), gaps: row.gaps })
}

async fn told(pool: &PgPool) -> sqlx::Result<Told> {
    let row = sqlx::query!(
        r#"select greatest((select events from stream) - (select seq from notified), 0) as "events!",
               count(*) filter (where state = 'pending') as "pending!",
               count(*) filter (where state = 'pending' and attempts > 0) as "failing!",
               min(next_at) filter (where state = 'pending') as "due_since: jiff_sqlx::Timestamp",
               count(*) filter (where state = 'dead') as "dead!",
               max(finished_at) filter (where state = 'dead') as "dead_at: jiff_sqlx::Timestamp"
           from deliveries"#
    );
    let row = row.fetch_one(pool).await?;
    let (due_since, dead_at) = (known(row.due_since), known(row.dead_at));
    let (events, pending, failing) = (row.events, row.pending, row.failing);
    Ok(Told { events, pending, failing, due_since, dead: row.dead, dead_at })
}

fn known(at: Option<jiff_sqlx::Timestamp>) -> Option<Timestamp> {
    at.map(jiff_sqlx::Timestamp::to_jiff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror;

    #[sqlx::test]
    async fn a_new_database_has_the_schema_and_nothing_that_waits(pool: PgPool) {
        let state = state(&pool).await.unwrap();
        assert_eq!(state.migration, newest_migration());
        assert!(
            state.bytes > 1_000_000 && state.version.starts_with(|c: char| c.is_ascii_digit()),
            "{state:?}"
        );
        assert_eq!(state.mirror, Mirror { beat_at: None, waiting: 0, changed_at: None });
        assert_eq!(state.reports, Reports { open: 0, last_at: None, gaps: 0 });
        let none = Told { events: 0, pending: 0, failing: 0, due_since: None, dead: 0, dead_at: None };
        assert_eq!(state.told, none);
    }

    #[sqlx::test]
    async fn only_the_leader_of_now_says_that_the_mirror_is_at_work(pool: PgPool) {
        let old = mirror::open_epoch(&pool).await.unwrap();
        let new = mirror::open_epoch(&pool).await.unwrap();
        assert_eq!(mirror::beat(&pool, old, 7).await.unwrap(), new);
        assert_eq!(state(&pool).await.unwrap().mirror.beat_at, None);
        assert_eq!(mirror::beat(&pool, new, 3).await.unwrap(), new);
        let seen = state(&pool).await.unwrap().mirror;
        assert!(seen.beat_at.is_some() && seen.waiting == 3, "{seen:?}");
    }

    #[sqlx::test]
    async fn what_waits_and_what_was_given_up_is_counted(pool: PgPool) {
        sqlx::raw_sql(
            "insert into deliveries (id, event_id, type, at, namespace, service, subject, target, channel, data, next_at, state, finished_at)
             select gen_random_uuid(), n::text, 'deployment.failed', now(), 'team', 'blog', 'x', 'webhook/x', '{}', '{}', now() - interval '1 hour',
                 case when n = 1 then 'dead' else 'pending' end, case when n = 1 then now() end
             from generate_series(1, 3) as n;
             insert into runs (uid, attempt, instance, namespace, day, sealed_at, updated_at) values
                 (gen_random_uuid(), 1, 'a', 'team', current_date, null, now()),
                 (gen_random_uuid(), 1, 'b', 'team', current_date, null, now() - interval '3 days'),
                 (gen_random_uuid(), 1, 'c', 'team', current_date, now(), now()),
                 ('11111111-1111-1111-1111-111111111111', 1, 'd', 'team', current_date, null, now());
             insert into deployments (uid, namespace, name, service, created_at, finished_at, epoch, resource_version, object) values
                 ('11111111-1111-1111-1111-111111111111', 'team', 'killed', 'blog', now(), now(), 1, 1, '{}');
             update deliveries set attempts = 1 where event_id = '2';
             update stream set events = 5",
        )
        .execute(&pool)
        .await
        .unwrap();
        let State { reports, told, .. } = state(&pool).await.unwrap();
        // One whose pod was killed never said that it ended: it reports no more all the same.
        assert_eq!((reports.open, told.events, told.pending, told.failing, told.dead), (1, 5, 2, 1, 1));
        assert!(told.due_since < told.dead_at && reports.last_at.is_some());
    }
}
