//! Runs as their reports came. One report is one transaction: what is answered is stored.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::events::{self, Body, NewEvent};
use crate::{output, partitions, transaction};

/// Bytes of output that are compressed on the spot; more goes to another thread.
const COMPRESS_HERE: usize = 64 * 1024;

/// A batch of events.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// Of the Deployment.
    pub uid: Uuid,
    /// From 1.
    pub attempt: i32,
    /// The process that sends.
    pub instance: String,
    /// Of the Deployment.
    pub namespace: String,
    /// Chooses the partition, if this is the first report of the attempt.
    pub day: Date,
    /// The lowest event that the runner still has.
    pub first_available: i64,
    /// In order, without gaps.
    pub events: Vec<NewEvent>,
    /// The last of these events is the run's last.
    pub finished: bool,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Every event up to this one is stored.
    Acked {
        /// The highest event that is stored.
        acked: i64,
        /// How many of these events are new.
        new: usize,
        /// Nothing more is taken.
        sealed: bool,
        /// Somebody may be watching it.
        followed: bool,
    },
    /// Another process reports for this attempt: nothing was stored.
    Fenced,
    /// The run has had its last event: nothing was stored.
    Sealed,
    /// Output goes back to lines that are stored already: nothing was stored.
    LinesGoBack,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// From 1.
    pub attempt: i32,
    /// The process that reports.
    pub instance: String,
    /// The highest event that is stored.
    pub acked: i64,
    /// The last line of output that is stored.
    pub lines: i64,
    /// When the last event was stored.
    pub sealed_at: Option<Timestamp>,
    /// Which partition has its events.
    pub day: Date,
}

/// Events that were lost with an earlier database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The first that is lost.
    pub first: i64,
    /// The last that is lost.
    pub last: i64,
}

/// Store what is new of a report.
///
/// A crash of PostgreSQL may forget what it was told in its last half second, except the end of a run and
/// what came before it: the runner keeps all it has until its pod ends, and is asked for it again.
pub async fn record(pool: &PgPool, report: &NewReport) -> sqlx::Result<Recorded> {
    match append(pool, report).await {
        Ok(Some(followed)) => {
            return Ok(Recorded::Acked {
                acked: report.events.last().map_or(0, |event| event.seq),
                new: report.events.len(),
                sealed: report.finished,
                followed,
            });
        }
        Ok(None) => {}
        Err(error) if is_partition_missing(&error) => {}
        Err(error) => return Err(error),
    }
    match try_record(pool, report).await {
        // Somebody dropped the partition of a day that is still reported for.
        Err(error) if is_partition_missing(&error) => {
            let day = row_day(pool, report.uid, report.attempt).await?.unwrap_or(report.day);
            partitions::ensure(pool, day).await?;
            try_record(pool, report).await
        }
        result => result,
    }
}

/// Stores a report that follows the one before it, as nearly every one does: one statement, one round trip.
/// Answers whether somebody follows it. None: it is another one, and nothing was stored.
async fn append(pool: &PgPool, report: &NewReport) -> sqlx::Result<Option<bool>> {
    let (Some(first), Some(last)) = (report.events.first(), report.events.last()) else { return Ok(None) };
    let first_line = report.events.iter().find_map(|event| match event.body {
        Body::Output { first_line, .. } => Some(first_line),
        Body::Json(_) => None,
    });
    let lines = match first_line {
        Some(line) => match last_line(line.saturating_sub(1), &report.events) {
            None => return Ok(None),
            lines => lines,
        },
        None => None,
    };
    let chunks = if lines.is_some() { compress(&report.events).await? } else { Vec::new() };
    let events = events::Columns::of(&report.events);
    let output = output::Columns::of(chunks);
    let stored = sqlx::query!(
        r#"with run as (
               update runs set acked = $5, lines = coalesce($6, lines), updated_at = now(),
                   sealed_at = case when $7 then clock_timestamp() end
               where uid = $1 and attempt = $2 and instance = $3 and acked = $4 and sealed_at is null
                   and ($8::bigint is null or lines < $8)
               returning uid, attempt, day, acked, lines
           ), event as (
               insert into run_events (day, uid, attempt, seq, at, body)
               select run.day, run.uid, run.attempt, event.seq, event.at, event.body::jsonb
               from run, unnest($9::bigint[], $10::timestamptz[], $11::text[]) as event (seq, at, body)
           ), chunk as (
               insert into run_output (day, uid, attempt, first_line, lines, content)
               select run.day, run.uid, run.attempt, chunk.first_line, chunk.lines, chunk.content
               from run, unnest($12::bigint[], $13::integer[], $14::bytea[]) as chunk (first_line, lines, content)
           )
           select pg_notify('runs', concat_ws(' ', uid, attempt, acked, lines)) as "notified: ()", set_config('synchronous_commit',
               case when $7 then current_setting('synchronous_commit') else 'off' end, true) as durable,
               exists (select from followed where followed.uid = run.uid and until > now()) as "followed!"
           from run"#,
        report.uid,
        report.attempt,
        report.instance,
        first.seq - 1,
        last.seq,
        lines,
        report.finished,
        first_line,
        &events.seqs,
        &events.times as _,
        &events.bodies,
        &output.first_lines,
        &output.lines,
        &output.content
    );
    Ok(stored.fetch_optional(pool).await?.map(|stored| stored.followed))
}

/// Somebody watches this run, and does for `seconds` more. Whoever waits for that is told.
pub async fn follow(pool: &PgPool, uid: Uuid, seconds: f64) -> sqlx::Result<()> {
    let said = sqlx::query!(
        r#"with past as (delete from followed where until < now() and uid <> $1),
         said as (
             insert into followed (uid, until) values ($1, now() + make_interval(secs => $2))
             on conflict (uid) do update set until = excluded.until returning uid
         )
         select pg_notify('followed', uid::text) as "notified: ()" from said"#,
        uid,
        seconds
    );
    said.execute(pool).await.map(drop)
}

/// Whether somebody watches this run.
pub async fn is_followed(pool: &PgPool, uid: Uuid) -> sqlx::Result<bool> {
    let followed = sqlx::query_scalar!(
        r#"select exists (select from followed where uid = $1 and until > now()) as "followed!""#,
        uid
    );
    followed.fetch_one(pool).await
}

async fn try_record(pool: &PgPool, report: &NewReport) -> sqlx::Result<Recorded> {
    let NewReport { uid, attempt, instance, .. } = report;
    let mut tx = transaction::begin(pool).await?;
    let mut row = lock(&mut tx, *uid, *attempt).await?;
    if row.is_none() {
        tx.rollback().await?;
        partitions::ensure(pool, report.day).await?;
        tx = transaction::begin(pool).await?;
        insert(&mut tx, report).await?;
        row = lock(&mut tx, *uid, *attempt).await?;
    }
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    if row.instance != *instance {
        return Ok(Recorded::Fenced);
    }
    let events = match select(row.acked, row.sealed_at.is_some(), report) {
        Selected::New { events, gap } => {
            if let Some(gap) = gap {
                insert_gap(&mut tx, *uid, *attempt, gap).await?;
            }
            events
        }
        Selected::Nothing => {
            // Also where there was no row: the claim is known from now on.
            tx.commit().await?;
            let sealed = row.sealed_at.is_some();
            return Ok(Recorded::Acked { acked: row.acked, new: 0, sealed, followed: true });
        }
        Selected::Sealed => return Ok(Recorded::Sealed),
    };
    let Some(lines) = last_line(row.lines, events) else { return Ok(Recorded::LinesGoBack) };
    events::insert(&mut tx, row.day, *uid, *attempt, events).await?;
    if lines > row.lines {
        let chunks = compress(events).await?;
        output::insert(&mut tx, row.day, *uid, *attempt, chunks).await?;
    }
    let acked = events.last().map_or(row.acked, |event| event.seq);
    advance(&mut tx, *uid, *attempt, acked, lines, report.finished).await?;
    tx.commit().await?;
    Ok(Recorded::Acked { acked, new: events.len(), sealed: report.finished, followed: true })
}

/// What is to be stored of a report.
#[derive(Debug, PartialEq, Eq)]
enum Selected<'a> {
    New {
        /// At least one.
        events: &'a [NewEvent],
        /// Lost for ever.
        gap: Option<Gap>,
    },
    /// All is stored already, or something is missing before it that the runner still has.
    Nothing,
    Sealed,
}

fn select(acked: i64, sealed: bool, report: &NewReport) -> Selected<'_> {
    let known = report.events.partition_point(|event| event.seq <= acked);
    let events = &report.events[known..];
    let Some(first) = events.first().map(|event| event.seq) else { return Selected::Nothing };
    if sealed {
        Selected::Sealed
    } else if first == acked + 1 {
        Selected::New { events, gap: None }
    } else if first == report.first_available {
        // This database is not the one that had the others acknowledged.
        Selected::New { events, gap: Some(Gap { first: acked + 1, last: first - 1 }) }
    } else {
        Selected::Nothing
    }
}

/// Nothing if some line has been there before.
fn last_line(stored: i64, events: &[NewEvent]) -> Option<i64> {
    events.iter().try_fold(stored, |last, event| match &event.body {
        Body::Json(_) => Some(last),
        Body::Output { first_line, text } => {
            (*first_line > last).then(|| first_line.checked_add(output::count(text) - 1)).flatten()
        }
    })
}

async fn compress(events: &[NewEvent]) -> sqlx::Result<Vec<output::Chunk>> {
    let texts = events.iter().filter_map(|event| match &event.body {
        Body::Output { first_line, text } => Some((*first_line, text.as_str())),
        Body::Json(_) => None,
    });
    let texts: Vec<(i64, &str)> = texts.collect();
    if texts.iter().map(|(_, text)| text.len()).sum::<usize>() <= COMPRESS_HERE {
        return Ok(output::chunks(&texts)?);
    }
    let texts: Vec<(i64, String)> = texts.into_iter().map(|(first, text)| (first, text.to_owned())).collect();
    let work = tokio::task::spawn_blocking(move || {
        let texts: Vec<(i64, &str)> = texts.iter().map(|(first, text)| (*first, text.as_str())).collect();
        output::chunks(&texts)
    });
    Ok(work.await.map_err(std::io::Error::other)??)
}

/// All attempts of a run, in order.
pub async fn attempts(pool: &PgPool, uid: Uuid) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        Row,
        r#"select attempt, instance, acked, lines, sealed_at as "sealed_at: jiff_sqlx::Timestamp",
               day as "day: jiff_sqlx::Date"
           from runs where uid = $1 order by attempt"#,
        uid
    )
    .map(RunRow::from)
    .fetch_all(pool)
    .await
}

/// The highest event of an attempt that is stored; 0 for none.
pub async fn acked(pool: &PgPool, uid: Uuid, attempt: i32, instance: &str) -> sqlx::Result<i64> {
    let acked = sqlx::query_scalar!(
        "select acked from runs where uid = $1 and attempt = $2 and instance = $3",
        uid,
        attempt,
        instance
    );
    Ok(acked.fetch_optional(pool).await?.unwrap_or(0))
}

/// What was lost with an earlier database, in order.
pub async fn gaps(pool: &PgPool, uid: Uuid, attempt: i32) -> sqlx::Result<Vec<Gap>> {
    sqlx::query_as!(
        Gap,
        r#"select first_seq as first, last_seq as last from run_gaps
           where uid = $1 and attempt = $2 order by first_seq"#,
        uid,
        attempt
    )
    .fetch_all(pool)
    .await
}

/// A run that had its last event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRun {
    /// Of the Deployment.
    pub uid: Uuid,
    /// From 1.
    pub attempt: i32,
    /// The process that reported.
    pub instance: String,
    /// Of the Deployment.
    pub namespace: String,
    /// Name of the Deployment; absent where the mirror does not know it (yet).
    pub name: Option<String>,
    /// The last event.
    pub acked: i64,
    /// When that was stored.
    pub sealed_at: Timestamp,
}

/// Runs that had their last event after `since` and whose Deployment has no end yet, as far as the
/// mirror knows; oldest first, at most `limit`. Who seals writes the result at once: this finds
/// what is left where a process died in between.
pub async fn sealed(pool: &PgPool, since: Timestamp, limit: i64) -> sqlx::Result<Vec<SealedRun>> {
    let rows = sqlx::query!(
        r#"select r.uid, r.attempt, r.instance, r.namespace, r.acked, d.name as "name?",
               r.sealed_at as "sealed_at!: jiff_sqlx::Timestamp"
           from runs r left join deployments d on d.uid = r.uid
           where r.sealed_at > $1 and d.finished_at is null and d.gone_at is null
           order by r.sealed_at limit $2"#,
        since.to_sqlx() as _,
        limit
    );
    let rows = rows.fetch_all(pool).await?.into_iter().map(|row| SealedRun {
        uid: row.uid,
        attempt: row.attempt,
        instance: row.instance,
        namespace: row.namespace,
        name: row.name,
        acked: row.acked,
        sealed_at: row.sealed_at.to_jiff(),
    });
    Ok(rows.collect())
}

struct Row {
    attempt: i32,
    instance: String,
    acked: i64,
    lines: i64,
    sealed_at: Option<jiff_sqlx::Timestamp>,
    day: jiff_sqlx::Date,
}

impl From<Row> for RunRow {
    fn from(row: Row) -> Self {
        let Row { attempt, instance, acked, lines, sealed_at, day } = row;
        let sealed_at = sealed_at.map(jiff_sqlx::Timestamp::to_jiff);
        Self { attempt, instance, acked, lines, sealed_at, day: day.to_jiff() }
    }
}

async fn lock(tx: &mut PgConnection, uid: Uuid, attempt: i32) -> sqlx::Result<Option<RunRow>> {
    sqlx::query_as!(
        Row,
        r#"select attempt, instance, acked, lines, sealed_at as "sealed_at: jiff_sqlx::Timestamp",
               day as "day: jiff_sqlx::Date"
           from runs where uid = $1 and attempt = $2 for update"#,
        uid,
        attempt
    )
    .map(RunRow::from)
    .fetch_optional(tx)
    .await
}

async fn row_day(pool: &PgPool, uid: Uuid, attempt: i32) -> sqlx::Result<Option<Date>> {
    let day = sqlx::query_scalar!(
        r#"select day as "day: jiff_sqlx::Date" from runs where uid = $1 and attempt = $2"#,
        uid,
        attempt
    );
    Ok(day.fetch_optional(pool).await?.map(jiff_sqlx::Date::to_jiff))
}

async fn insert(tx: &mut PgConnection, report: &NewReport) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into runs (uid, attempt, instance, namespace, day) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        report.uid,
        report.attempt,
        report.instance,
        report.namespace,
        report.day.to_sqlx() as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_gap(tx: &mut PgConnection, uid: Uuid, attempt: i32, gap: Gap) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into run_gaps (uid, attempt, first_seq, last_seq) values ($1, $2, $3, $4)",
        uid,
        attempt,
        gap.first,
        gap.last
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// And wake who follows the run.
async fn advance(
    tx: &mut PgConnection,
    uid: Uuid,
    attempt: i32,
    acked: i64,
    lines: i64,
    sealed: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with stored as (
             update runs set acked = $3, lines = $4, updated_at = now(),
                 sealed_at = case when $5 then clock_timestamp() end
             where uid = $1 and attempt = $2 returning uid, attempt, acked, lines
         )
         select pg_notify('runs', concat_ws(' ', uid, attempt, acked, lines)) from stored",
        uid,
        attempt,
        acked,
        lines,
        sealed
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// `check_violation` without a constraint: no partition takes the row.
fn is_partition_missing(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("23514") && error.constraint().is_none())
}
