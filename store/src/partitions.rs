//! Partitions of what runs report, one per day of a run's creation, made when they are needed.

use jiff::civil::Date;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::transaction;

/// One at a time, over all replicas: "fdpart" as a number.
const LOCK: i64 = 0x6664_7061_7274;
/// Days for which the tables have names of one shape and PostgreSQL has dates.
const FIRST: Date = jiff::civil::date(2000, 1, 1);
const LAST: Date = jiff::civil::date(9999, 12, 30);

/// Make the partitions of this day, unless they are there.
pub async fn ensure(pool: &PgPool, day: Date) -> sqlx::Result<()> {
    let day = day.clamp(FIRST, LAST);
    let suffix = day.strftime("%Y%m%d").to_string();
    if exists(&mut *pool.acquire().await?, &suffix).await? {
        return Ok(());
    }
    let mut tx = transaction::begin(pool).await?;
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut *tx).await?;
    // Somebody else may have made them while we waited.
    if exists(&mut tx, &suffix).await? {
        return Ok(());
    }
    let next = day.tomorrow().expect("there is a day after the last one");
    for parent in ["run_events", "run_output"] {
        // Attached instead of created in place: that would wait for all who read the parent, and
        // make all others wait meanwhile.
        let sql = format!(
            "create table if not exists {parent}_{suffix} (like {parent} including all);
             alter table {parent} attach partition {parent}_{suffix} for values from ('{day}') to ('{next}');"
        );
        // Made of two names of ours and two dates.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// Make today's and tomorrow's: to be called now and then, so that no report waits for it.
pub async fn ahead(pool: &PgPool, today: Date) -> sqlx::Result<()> {
    ensure(pool, today).await?;
    match today.tomorrow() {
        Ok(tomorrow) => ensure(pool, tomorrow).await,
        Err(_) => Ok(()),
    }
}

/// Both are made in one transaction, so one stands for both; a detached one does not count.
async fn exists(connection: &mut PgConnection, suffix: &str) -> sqlx::Result<bool> {
    let name = format!("run_output_{suffix}");
    let found = sqlx::query_scalar!(
        r#"select exists (
               select from pg_inherits where inhrelid = to_regclass($1) and inhparent = 'run_output'::regclass
           ) as "found!""#,
        name
    );
    found.fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[sqlx::test]
    async fn ten_at_once_make_one(pool: PgPool) {
        let day = date(2026, 11, 24);
        let all = futures::future::join_all((0..10).map(|_| ahead(&pool, day))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        let made = sqlx::query_scalar!(
            r#"select inhrelid::regclass::text as "name!" from pg_inherits
               where inhparent in ('run_events'::regclass, 'run_output'::regclass) order by 1"#
        );
        let made = made.fetch_all(&pool).await.unwrap();
        // An index of a partition has a parent, too, but another one.
        assert_eq!(
            made,
            ["run_events_20261124", "run_events_20261125", "run_output_20261124", "run_output_20261125"]
        );
    }

    #[sqlx::test]
    async fn a_reader_is_not_waited_for(pool: PgPool) {
        let mut reader = pool.begin().await.unwrap();
        sqlx::query!("select count(*) from run_events").fetch_one(&mut *reader).await.unwrap();
        ensure(&pool, date(2026, 1, 1)).await.unwrap();
        sqlx::query!("select count(*) from run_events").fetch_one(&mut *reader).await.unwrap();
    }
}
