//! Events of runs, as their runners numbered them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// An event to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// From 1, without gaps within one attempt.
    pub seq: i64,
    /// When the runner saw it.
    pub at: Timestamp,
    /// What it says.
    pub body: Body,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// JSON text, without NUL characters.
    Json(String),
    /// Lines, joined by `\n`: kept apart, see [`crate::output`].
    Output {
        /// Number of the first one, from 1.
        first_line: i64,
        /// The lines.
        text: String,
    },
}

/// An event that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// From 1.
    pub seq: i64,
    /// When the runner saw it.
    pub at: Timestamp,
    /// The event's kind and fields; of output: `{"kind":"output","firstLine":n,"count":n}`.
    pub body: Value,
}

/// The events after `seq`, in order, at most `limit`.
pub async fn after(
    pool: &PgPool,
    uid: Uuid,
    attempt: i32,
    seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<StoredEvent>> {
    let rows = sqlx::query!(
        r#"select seq, at as "at: jiff_sqlx::Timestamp", body from run_events
           where day = (select day from runs where uid = $1 and attempt = $2)
               and uid = $1 and attempt = $2 and seq > $3
           order by seq limit $4"#,
        uid,
        attempt,
        seq,
        limit
    );
    let rows = rows.fetch_all(pool).await?.into_iter();
    Ok(rows.map(|row| StoredEvent { seq: row.seq, at: row.at.to_jiff(), body: row.body }).collect())
}

/// One row each.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    day: Date,
    uid: Uuid,
    attempt: i32,
    events: &[NewEvent],
) -> sqlx::Result<()> {
    let Columns { seqs, times, bodies } = Columns::of(events);
    sqlx::query!(
        "insert into run_events (day, uid, attempt, seq, at, body)
         select $1, $2, $3, seq, at, body::jsonb
         from unnest($4::bigint[], $5::timestamptz[], $6::text[]) as event (seq, at, body)",
        day.to_sqlx() as _,
        uid,
        attempt,
        &seqs,
        &times as _,
        &bodies
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Events as PostgreSQL takes many at once.
pub(crate) struct Columns {
    pub(crate) seqs: Vec<i64>,
    pub(crate) times: Vec<jiff_sqlx::Timestamp>,
    /// JSON texts.
    pub(crate) bodies: Vec<String>,
}

impl Columns {
    pub(crate) fn of(events: &[NewEvent]) -> Self {
        Self {
            seqs: events.iter().map(|event| event.seq).collect(),
            times: events.iter().map(|event| event.at.to_sqlx()).collect(),
            bodies: events.iter().map(|event| row(&event.body)).collect(),
        }
    }
}

fn row(body: &Body) -> String {
    match body {
        Body::Json(text) => text.clone(),
        Body::Output { first_line, text } => {
            let count = crate::output::count(text);
            format!(r#"{{"kind":"output","firstLine":{first_line},"count":{count}}}"#)
        }
    }
}
