//! How long things are kept. What is old goes as a whole partition: that costs the same for a gigabyte as for a
//! line, and nobody waits for it. Results and output go by the day of their run, the audit log by its month.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx;
use sqlx::{AssertSqlSafe, PgPool};

use crate::transaction;

/// Until when what is older goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Results of runs, step by step and server by server.
    pub results: Date,
    /// What runs printed.
    pub output: Date,
    /// The audit log.
    pub activity: Date,
}

/// One at a time, over all replicas: "fdkeep" as a number.
const LOCK: i64 = 0x6664_6b65_6570;

/// Drops what is older, and makes the next months of the audit log. Answers what went. A partition that somebody
/// reads for long is dropped at the next look.
pub async fn keep(pool: &PgPool, today: Date, before: Before) -> sqlx::Result<Vec<String>> {
    months_ahead(pool, today).await?;
    let mut gone = Vec::new();
    for (parent, before) in [
        ("run_events", before.results),
        ("run_output", before.output),
        ("activity", before.activity.first_of_month()),
    ] {
        for (name, last) in partitions(pool, parent).await? {
            if last < before && drop_one(pool, &name).await? {
                gone.push(name);
            }
        }
    }
    if rest_is_old(pool, before.activity.first_of_month()).await? {
        // Rows of a time before there were months. A row cannot be removed, the whole can.
        sqlx::query("truncate activity_rest").execute(pool).await?;
        gone.push("activity_rest".to_owned());
    }
    Ok(gone)
}

/// Partitions by their names, with the last day that each can hold.
async fn partitions(pool: &PgPool, parent: &str) -> sqlx::Result<Vec<(String, Date)>> {
    let names = sqlx::query_scalar::<_, String>(
        "select inhrelid::regclass::text from pg_inherits where inhparent = to_regclass($1) order by 1",
    );
    let names = names.bind(parent).fetch_all(pool).await?;
    Ok(names.into_iter().filter_map(|name| last_day(&name, parent).map(|last| (name, last))).collect())
}

/// `run_output_20261124` holds that day, `activity_202611` that month. Nothing else is ours to drop.
fn last_day(name: &str, parent: &str) -> Option<Date> {
    let digits = name.strip_prefix(parent)?.strip_prefix('_')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits.len() {
        8 => Date::strptime("%Y%m%d", digits).ok(),
        6 => Date::strptime("%Y%m%d", format!("{digits}01")).ok().map(Date::last_of_month),
        _ => None,
    }
}

/// Whether it went: who reads it for long is not waited for.
async fn drop_one(pool: &PgPool, name: &str) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    sqlx::query("set local lock_timeout = '500ms'").execute(&mut *tx).await?;
    // Of a name that we have made of our own words and digits.
    let dropped =
        sqlx::raw_sql(AssertSqlSafe(format!("drop table if exists {name}"))).execute(&mut *tx).await;
    match dropped {
        Ok(_) => tx.commit().await.map(|()| true),
        Err(error) if is(&error, "55P03") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes this month's and the next month's part of the audit log, unless they are there.
async fn months_ahead(pool: &PgPool, today: Date) -> sqlx::Result<()> {
    let this = today.first_of_month();
    let next = |month: Date| month.last_of_month().tomorrow().ok();
    for month in [Some(this), next(this)].into_iter().flatten() {
        let Some(end) = next(month) else { continue };
        let name = format!("activity_{}", month.strftime("%Y%m"));
        let there = sqlx::query_scalar::<_, bool>("select to_regclass($1) is not null").bind(&name);
        if there.fetch_one(pool).await? {
            continue;
        }
        let mut tx = transaction::begin(pool).await?;
        sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
        let sql = format!(
            "create table if not exists {name} (like activity including all excluding identity);
             alter table activity attach partition {name} for values from ('{month}') to ('{end}');"
        );
        // Made of a name of ours and two dates.
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await {
            Ok(_) => tx.commit().await?,
            // The month has begun in `activity_rest`, and ends there. Or another replica was faster.
            Err(error) if is(&error, "23514") || is(&error, "42P16") || is(&error, "42809") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn rest_is_old(pool: &PgPool, before: Date) -> sqlx::Result<bool> {
    let start: Timestamp = before.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |zoned| zoned.timestamp());
    let old = sqlx::query_scalar::<_, Option<bool>>("select max(at) < $1 from activity_rest");
    Ok(old.bind(start.to_sqlx()).fetch_one(pool).await?.unwrap_or(false))
}

fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|found| found == code)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::partitions;

    async fn names(pool: &PgPool, parent: &str) -> Vec<String> {
        super::partitions(pool, parent).await.unwrap().into_iter().map(|(name, _)| name).collect()
    }

    async fn did(pool: &PgPool, who: &str, at: &str) {
        sqlx::query("insert into activity (at, kind, what, actor, namespace, service, subject, data) values ($1::timestamptz, 'event', 'x', $2, '', '', '', '{}')")
            .bind(at)
            .bind(who)
            .execute(pool)
            .await
            .unwrap();
    }

    async fn known(pool: &PgPool) -> Vec<String> {
        sqlx::query_scalar("select actor from activity order by at").fetch_all(pool).await.unwrap()
    }

    #[sqlx::test]
    async fn what_is_older_goes_by_the_day_and_by_the_month(pool: PgPool) {
        for day in [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)] {
            partitions::ensure(&pool, day).await.unwrap();
        }
        let before =
            Before { results: date(2026, 1, 1), output: date(2026, 1, 3), activity: date(2026, 3, 20) };
        for month in [date(2026, 1, 31), date(2026, 3, 5)] {
            keep(&pool, month, Before { activity: date(2020, 1, 1), output: date(2020, 1, 1), ..before })
                .await
                .unwrap();
        }
        for (who, at) in [
            ("anna", "2026-01-31T23:59:59Z"),
            ("ben", "2026-02-01T00:00:00Z"),
            ("carl", "2026-03-01T00:00:00Z"),
        ] {
            did(&pool, who, at).await;
        }
        let gone = keep(&pool, date(2026, 3, 20), before).await.unwrap();
        assert_eq!(
            gone,
            ["run_output_20260101", "run_output_20260102", "activity_202601", "activity_202602"]
        );
        assert_eq!(names(&pool, "run_output").await, ["run_output_20260103"]);
        assert_eq!(names(&pool, "run_events").await.len(), 3);
        assert_eq!(known(&pool).await, ["carl"]);
        // What is in a month is as little to be changed as the whole.
        for change in ["delete from activity", "update activity_202603 set actor = 'x'"] {
            let refused = sqlx::raw_sql(change).execute(&pool).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
        assert_eq!(keep(&pool, date(2026, 3, 20), before).await.unwrap(), Vec::<String>::new());
    }

    #[sqlx::test]
    async fn a_log_that_was_there_before_its_months_is_kept_as_long(pool: PgPool) {
        did(&pool, "anna", "2026-03-02T00:00:00Z").await;
        let ever = date(2000, 1, 1);
        let before = Before { results: ever, output: ever, activity: ever };
        // March has begun without a month of its own, so April is the first.
        keep(&pool, date(2026, 3, 5), before).await.unwrap();
        assert_eq!(names(&pool, "activity").await, ["activity_202604"]);
        did(&pool, "ben", "2026-03-30T00:00:00Z").await;
        did(&pool, "carl", "2026-04-01T00:00:00Z").await;
        keep(&pool, date(2026, 4, 5), Before { activity: date(2026, 3, 31), ..before }).await.unwrap();
        assert_eq!(known(&pool).await, ["anna", "ben", "carl"]);
        let gone =
            keep(&pool, date(2026, 4, 5), Before { activity: date(2026, 4, 1), ..before }).await.unwrap();
        assert_eq!((gone, known(&pool).await), (vec!["activity_rest".to_owned()], vec!["carl".to_owned()]));
    }

    #[sqlx::test]
    async fn who_reads_is_not_disturbed_and_nobody_waits_for_it(pool: PgPool) {
        partitions::ensure(&pool, date(2026, 1, 1)).await.unwrap();
        let mut reader = pool.begin().await.unwrap();
        sqlx::query("select count(*) from run_output").fetch_one(&mut *reader).await.unwrap();
        let before =
            Before { results: date(2027, 1, 1), output: date(2027, 1, 1), activity: date(2000, 1, 1) };
        let gone = keep(&pool, date(2026, 6, 1), before).await.unwrap();
        assert_eq!(gone, ["run_events_20260101"]);
        reader.rollback().await.unwrap();
        assert_eq!(keep(&pool, date(2026, 6, 1), before).await.unwrap(), ["run_output_20260101"]);
    }

    #[test]
    fn only_what_has_our_names_is_ours_to_drop() {
        assert_eq!(last_day("run_output_20261124", "run_output"), Some(date(2026, 11, 24)));
        assert_eq!(last_day("activity_202602", "activity"), Some(date(2026, 2, 28)));
        for other in [
            "activity_rest",
            "run_output_2026112x",
            "run_output_20261340",
            "run_output",
            "users",
            "activity_20",
        ] {
            assert_eq!(last_day(other, "run_output").or(last_day(other, "activity")), None, "{other}");
        }
    }
}
