//! `/api/v1/deployments/{uid}/evidence`: all that is known of one run as one file, for whoever has to show later what was done.

mod archive;
mod manifest;

use std::collections::VecDeque;
use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use store::PgPool;
use store::activity::Filter;
use store::read::{Namespaces, Snapshot};
use uuid::Uuid;

use self::archive::Archive;
use self::manifest::{AttemptLine, Known, Lost};
use super::problem::Problem;
use super::{App, Path, deployments};
use crate::people::Person;

/// Events that are read at once.
const EVENTS: i64 = 1_000;
/// Lines that are read at once.
const LINES: i64 = 10_000;
/// Moments of the audit log.
const MOMENTS: i64 = 1_000;

/// All that is known of a run, as a zip: `manifest.json` (who asked and agreed, what was run, how it ended, the SHA-256 of
/// each file), the frozen input as it was archived, and of each attempt its events and its output. However long the
/// output is, it is sent piece by piece. No secret is in it.
#[utoipa::path(get, path = "/deployments/{uid}/evidence", tag = "deployments", operation_id = "downloadEvidence",
    params(("uid" = Uuid, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn download(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
) -> Result<Response, Problem> {
    let pool = app.pool()?.clone();
    let mut snapshot = Snapshot::begin(&pool).await?;
    let row = deployments::find(&app, &who, &mut snapshot, uid).await?;
    let newest = snapshot.attempt(uid).await?;
    drop(snapshot);
    let bundle = match row.object.pointer("/status/bundle").and_then(|name| name.as_str()) {
        Some(name) => store::bundles::content(&pool, name).await?,
        None => None,
    };
    let filter = Filter {
        kind: Some("event".into()),
        what: Some("deployment.".into()),
        namespace: Some(row.namespace.clone()),
        subject: Some(row.name.clone()),
        ..Filter::default()
    };
    let here = Namespaces::Only(vec![row.namespace.clone()]);
    let mut told = store::activity::list(&pool, &here, false, &filter, None, MOMENTS).await?;
    told.reverse();
    let name = format!("attachment; filename=\"evidence-{}-{uid}.zip\"", row.name);
    let known = Known { row, bundle, told, made_for: who.name, now: (app.clock)() };
    let mut parts = VecDeque::from([Part::Bundle]);
    let mut attempts = Vec::new();
    if let Some(newest) = newest {
        for attempt in 1..=newest.attempt {
            let lost = if attempt == newest.attempt {
                newest.gaps.iter().map(Lost::from).collect()
            } else {
                Vec::new()
            };
            attempts.push(AttemptLine { attempt, events: 0, lines: 0, lost });
            parts.extend([Part::Events { attempt, after: 0 }, Part::Output { attempt, from: 1 }]);
        }
    }
    parts.push_back(Part::Manifest);
    let archive = Archive::new(known.now);
    let making = Making { pool, uid, known, archive, attempts, parts };
    let pieces = stream::try_unfold(Some(making), |making| async move {
        match making {
            Some(making) => Box::pin(making.next()).await.map(Some),
            None => Ok::<_, io::Error>(None),
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// What comes next.
enum Part {
    Bundle,
    Events { attempt: i32, after: i64 },
    Output { attempt: i32, from: i64 },
    Manifest,
}

/// An archive that is half made.
struct Making {
    pool: PgPool,
    uid: Uuid,
    known: Known,
    archive: Archive,
    attempts: Vec<AttemptLine>,
    parts: VecDeque<Part>,
}

impl Making {
    /// The next piece of the file, and what is left to do.
    async fn next(mut self) -> io::Result<(Vec<u8>, Option<Self>)> {
        match self.parts.pop_front() {
            Some(Part::Bundle) => {
                if let Some(content) = self.known.bundle.clone() {
                    self.archive.begin("bundle.json")?;
                    self.archive.write(content.as_bytes())?;
                }
            }
            Some(Part::Events { attempt, after }) => self.events(attempt, after).await?,
            Some(Part::Output { attempt, from }) => self.output(attempt, from).await?,
            Some(Part::Manifest) | None => return self.last().map(|last| (last, None)),
        }
        Ok((self.archive.take(), Some(self)))
    }

    async fn events(&mut self, attempt: i32, after: i64) -> io::Result<()> {
        if after == 0 {
            self.archive.begin(&format!("attempt-{attempt}/events.jsonl"))?;
        }
        let events = store::events::after(&self.pool, self.uid, attempt, after, EVENTS)
            .await
            .map_err(io::Error::other)?;
        let mut text = Vec::new();
        for event in &events {
            let mut line = event.body.clone();
            line["seq"] = event.seq.into();
            line["at"] = event.at.to_string().into();
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        self.note(attempt, |line| line.events += events.len() as u64);
        if let Some(last) = events.last().filter(|_| events.len() as i64 == EVENTS) {
            self.parts.push_front(Part::Events { attempt, after: last.seq });
        }
        self.write(text).await
    }

    async fn output(&mut self, attempt: i32, from: i64) -> io::Result<()> {
        if from == 1 {
            self.archive.begin(&format!("attempt-{attempt}/output.txt"))?;
        }
        let read = store::output::read(&self.pool, self.uid, attempt, from, LINES)
            .await
            .map_err(io::Error::other)?;
        if read.lines.is_empty() {
            return Ok(());
        }
        self.note(attempt, |line| line.lines += read.lines.len() as u64);
        self.parts.push_front(Part::Output { attempt, from: read.next() });
        self.write(read.to_text(from).into_bytes()).await
    }

    /// To pack some megabytes takes longer than others should wait.
    async fn write(&mut self, text: Vec<u8>) -> io::Result<()> {
        let mut archive = std::mem::replace(&mut self.archive, Archive::new(self.known.now));
        let written = tokio::task::spawn_blocking(move || archive.write(&text).map(|()| archive)).await;
        self.archive = written.map_err(io::Error::other)??;
        Ok(())
    }

    fn note(&mut self, attempt: i32, note: impl FnOnce(&mut AttemptLine)) {
        if let Some(line) = self.attempts.iter_mut().find(|line| line.attempt == attempt) {
            note(line);
        }
    }

    fn last(mut self) -> io::Result<Vec<u8>> {
        self.archive.end();
        let files = self.archive.entries.clone();
        let manifest = manifest::manifest(&self.known, self.attempts, files)
            .ok_or_else(|| io::Error::other("this version cannot read the Deployment"))?;
        self.archive.begin("manifest.json")?;
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        self.archive.write(&text)?;
        self.archive.finish()
    }
}
