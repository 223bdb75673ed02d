//! One run's events, or its output: read once for all who follow it. Places are counted by the
//! runner, so whoever knows his last number misses nothing and gets nothing twice.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::events::{Body, NewEvent, StoredEvent};
use store::read::NotAPosition;
use store::runs::NewReport;
use store::{PgPool, events, output, runs};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use uuid::Uuid;

use super::changes::Of;
use super::message;
use super::socket::{Ended, Out};
use super::{BACKLOG, Hub};
use crate::access::{Access, Leave};
use crate::api::problem::Problem;
use crate::people::Person;

/// Events, or lines, that are read and sent at once.
const AT_ONCE: i64 = 500;
/// Bytes of output that are told without being read; more is read piece by piece.
const MAX_TAKEN: usize = 64 * 1024;
/// How soon a feed that nobody follows is given up, and how often it is said of one that somebody does.
const LOOK: Duration = Duration::from_secs(30);
/// How long that is believed. Seconds.
const BELIEVED: f64 = 75.0;
/// Before the database is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Results: all but output.
    Events,
    /// Lines.
    Output,
}

/// A place in a run: of an attempt, the last number that is known. `epoch.attempt.number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the database.
    pub epoch: Uuid,
    /// How far.
    pub place: Place,
}

/// How far in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    attempt: i32,
    last: i64,
}

impl Place {
    /// Before the first event.
    pub const START: Self = Self { attempt: 1, last: 0 };

    /// Of an attempt of which so much is stored.
    pub(super) fn of(what: What, attempt: i32, acked: i64, lines: i64) -> Self {
        Self {
            attempt,
            last: match what {
                What::Events => acked,
                What::Output => lines,
            },
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch.simple(), self.place.attempt, self.place.last)
    }
}

impl FromStr for Cursor {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or(NotAPosition);
        let epoch = next()?.parse().map_err(|_| NotAPosition)?;
        let attempt = next()?.parse().ok().filter(|attempt| *attempt >= 1).ok_or(NotAPosition)?;
        let last = next()?.parse().ok().filter(|last| *last >= 0).ok_or(NotAPosition)?;
        Ok(Self { epoch, place: Place { attempt, last } })
    }
}

/// What is new of a run, for all who follow it.
pub struct Feed {
    wake: Notify,
    inbox: Mutex<Inbox>,
    news: broadcast::Sender<Arc<Page>>,
}

/// What came since it was looked at last.
#[derive(Debug, Default)]
struct Inbox {
    /// Of reports that came to this process: nobody has to ask PostgreSQL for them.
    taken: Vec<Page>,
    /// How far PostgreSQL says that the run is.
    heard: Place,
    /// Something may not have been heard.
    missed: bool,
}

impl Inbox {
    /// What may be told at once by whoever has told up to `at`; and whether there is more, which is to be read.
    fn after(self, mut at: Place) -> (Vec<Page>, bool) {
        let mut behind = self.missed;
        let mut follows: Vec<Page> = Vec::new();
        for page in self.taken {
            if page.from == at {
                at = page.to;
                match follows.last_mut() {
                    Some(last) if last.takes(&page) => last.add(page),
                    _ => follows.push(page),
                }
            } else if page.to > at {
                behind = true;
            }
        }
        (follows, behind || self.heard > at)
    }
}

impl Feed {
    fn new() -> Self {
        Self { wake: Notify::new(), inbox: Mutex::default(), news: broadcast::Sender::new(BACKLOG) }
    }

    /// A report that is stored.
    pub(super) fn took(&self, what: What, report: &NewReport) {
        let page = match what {
            What::Events => events_of(report),
            What::Output => output_of(report),
        };
        if let Some(page) = page {
            self.put(|inbox| {
                if inbox.taken.len() < BACKLOG {
                    inbox.taken.push(page);
                } else {
                    inbox.missed = true;
                }
            });
        }
    }

    /// So far it is stored.
    pub(super) fn heard(&self, place: Place) {
        self.put(|inbox| inbox.heard = inbox.heard.max(place));
    }

    /// Anything may be stored.
    pub(super) fn missed(&self) {
        self.put(|inbox| inbox.missed = true);
    }

    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    fn look(&self) -> Inbox {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What stands between two places of one attempt.
#[derive(Debug)]
struct Page {
    from: Place,
    to: Place,
    /// With their numbers, each as JSON.
    items: Vec<(i64, String)>,
    /// More may have been there when it was read.
    more: bool,
    /// What those are told who know all before it: made once, however many they are.
    told: OnceLock<Told>,
}

impl Page {
    fn new(from: Place, to: Place, items: Vec<(i64, String)>, more: bool) -> Self {
        Self { from, to, items, more, told: OnceLock::new() }
    }

    /// Whether both can be told at once.
    fn takes(&self, next: &Self) -> bool {
        let items = self.items.len() + next.items.len();
        self.to.attempt == next.from.attempt && items as i64 <= AT_ONCE
    }

    /// With what comes right behind it, before anybody is told.
    fn add(&mut self, next: Self) {
        self.items.extend(next.items);
        self.to = next.to;
        self.more |= next.more;
    }
}

/// A text, and for which topic of which database it is.
#[derive(Debug)]
struct Told {
    topic: String,
    epoch: Uuid,
    text: Option<Utf8Bytes>,
}

fn subscribe(hub: &Hub, uid: Uuid, what: What) -> broadcast::Receiver<Arc<Page>> {
    let mut feeds = hub.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
    let feed = feeds.entry((uid, what)).or_insert_with(|| {
        let feed = Arc::new(Feed::new());
        tokio::spawn(tell(hub.clone(), uid, what, Arc::clone(&feed)));
        feed
    });
    feed.news.subscribe()
}

/// Tells until nobody follows.
async fn tell(hub: Hub, uid: Uuid, what: What, feed: Arc<Feed>) {
    let Some(pool) = hub.0.pool.clone() else { return };
    let mut at = None;
    let mut said = None::<Instant>;
    loop {
        if said.is_none_or(|said| said.elapsed() >= LOOK) {
            // Where it cannot be said, news come a little later.
            let _ = runs::follow(&pool, uid, BELIEVED).await;
            said = Some(Instant::now());
        }
        match tell_once(&pool, uid, what, &feed, &mut at).await {
            Ok(()) if tokio::time::timeout(LOOK, feed.wake.notified()).await.is_ok() => {}
            Ok(()) => feed.missed(),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                feed.missed();
            }
        }
        let mut feeds = hub.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if feed.news.receiver_count() == 0 {
            feeds.remove(&(uid, what));
            return;
        }
    }
}

async fn tell_once(
    pool: &PgPool,
    uid: Uuid,
    what: What,
    feed: &Feed,
    at: &mut Option<Place>,
) -> Result<(), Problem> {
    let mut from = if let Some(at) = *at {
        at
    } else {
        // Here it begins. Who has read up to an earlier place meanwhile notices it by this page.
        let here = end(pool, uid, what).await?;
        let _ = feed.news.send(Arc::new(Page::new(here, here, Vec::new(), true)));
        here
    };
    let (follows, behind) = feed.look().after(from);
    for page in follows {
        from = page.to;
        let _ = feed.news.send(Arc::new(page));
    }
    *at = Some(from);
    if !behind {
        return Ok(());
    }
    while let Some(page) = next(pool, uid, what, from).await? {
        from = page.to;
        *at = Some(from);
        let more = page.more;
        let _ = feed.news.send(Arc::new(page));
        if !more {
            break;
        }
    }
    Ok(())
}

/// The last place there is.
async fn end(pool: &PgPool, uid: Uuid, what: What) -> Result<Place, Problem> {
    let last = runs::attempts(pool, uid).await?.pop();
    Ok(last.map_or(Place::START, |run| Place::of(what, run.attempt, run.acked, run.lines)))
}

/// What comes behind a place; none, if there is nothing (yet).
async fn next(pool: &PgPool, uid: Uuid, what: What, from: Place) -> Result<Option<Page>, Problem> {
    let page = |items, last, more| Page::new(from, Place { last, ..from }, items, more);
    match what {
        What::Events => {
            let events = events::after(pool, uid, from.attempt, from.last, AT_ONCE).await?;
            if let Some(last) = events.last() {
                let (number, full) = (last.seq, i64::try_from(events.len()) == Ok(AT_ONCE));
                // Behind the end of an attempt there may be another one.
                let more = full || last.body["kind"] == "finished";
                return Ok(Some(page(events.into_iter().filter_map(event).collect(), number, more)));
            }
        }
        What::Output => {
            let read = output::read(pool, uid, from.attempt, from.last + 1, AT_ONCE).await?;
            if !read.lines.is_empty() {
                let last = read.first + read.lines.len() as i64 - 1;
                let lines = read.lines.into_iter().map(|line| Value::from(line).to_string());
                return Ok(Some(page((read.first..).zip(lines).collect(), last, true)));
            }
        }
    }
    let attempts = runs::attempts(pool, uid).await?;
    let later = attempts.into_iter().map(|run| run.attempt).find(|attempt| *attempt > from.attempt);
    Ok(later.map(|attempt| Page::new(from, Place { attempt, last: 0 }, Vec::new(), true)))
}

/// As they are read, none where that many are not read at once.
fn events_of(report: &NewReport) -> Option<Page> {
    let (first, last) = (report.events.first()?, report.events.last()?);
    let new = report.events.iter().filter_map(|NewEvent { seq, at, body }| match body {
        Body::Json(text) => {
            // PostgreSQL keeps no smaller part of a second.
            let at = Timestamp::from_microsecond(at.as_microsecond()).ok()?;
            event(StoredEvent { seq: *seq, at, body: serde_json::from_str(text).ok()? })
        }
        Body::Output { .. } => None,
    });
    let place = |last| Place { attempt: report.attempt, last };
    let at_once = report.events.len() as i64 <= AT_ONCE;
    at_once.then(|| Page::new(place(first.seq - 1), place(last.seq), new.collect(), false))
}

/// As they are read, none where there is none, or one is lost, or so many are not read at once.
fn output_of(report: &NewReport) -> Option<Page> {
    let mut items: Vec<(i64, String)> = Vec::new();
    let mut bytes = 0;
    for NewEvent { body, .. } in &report.events {
        let Body::Output { first_line, text } = body else { continue };
        bytes += text.len();
        if bytes > MAX_TAKEN || items.last().is_some_and(|(last, _)| last + 1 != *first_line) {
            return None;
        }
        items.extend((*first_line..).zip(text.split('\n').map(|line| Value::from(line).to_string())));
    }
    let ((first, _), (last, _)) = (items.first()?, items.last()?);
    let place = |last| Place { attempt: report.attempt, last };
    Some(Page::new(place(first - 1), place(*last), items, false))
}

fn event(event: StoredEvent) -> Option<(i64, String)> {
    let Value::Object(mut body) = event.body else { return None };
    if body.get("kind").and_then(Value::as_str) == Some("output") {
        return None;
    }
    body.insert("seq".to_owned(), json!(event.seq));
    body.insert("at".to_owned(), json!(event.at));
    Some((event.seq, Value::Object(body).to_string()))
}

/// Follows until it ends; what it says goes to the socket.
pub async fn follow(
    hub: &Hub,
    (access, who, of): (&Access, &Person, &Of),
    (topic, uid, what): (&str, Uuid, What),
    after: Cursor,
    out: &Out,
) -> Result<Ended, Problem> {
    let pool = hub.joining()?;
    let mut follower =
        Follower { pool, access, who, of, topic, uid, what, out, epoch: after.epoch, leave: None };
    let mut news = subscribe(hub, uid, what);
    let mut at = after.place;
    follower.catch_up(&mut at).await?;
    loop {
        match news.recv().await {
            Ok(page) if page.to <= at => {}
            Ok(page) if page.from <= at => follower.send(&page, &mut at).await?,
            Ok(_) | Err(RecvError::Lagged(_)) => follower.catch_up(&mut at).await?,
            Err(RecvError::Closed) => return Ok(Ended::Reset),
        }
    }
}

struct Follower<'a> {
    pool: &'a PgPool,
    access: &'a Access,
    who: &'a Person,
    of: &'a Of,
    topic: &'a str,
    uid: Uuid,
    what: What,
    out: &'a Out,
    epoch: Uuid,
    /// To see it.
    leave: Option<Leave>,
}

impl Follower<'_> {
    async fn catch_up(&mut self, at: &mut Place) -> Result<(), Problem> {
        while let Some(page) = next(self.pool, self.uid, self.what, *at).await? {
            self.send(&page, at).await?;
        }
        Ok(())
    }

    async fn send(&mut self, page: &Page, at: &mut Place) -> Result<(), Problem> {
        if !self.leave.as_ref().is_some_and(|leave| self.access.honours(leave)) {
            let leave = self.access.leave();
            if !self.of.visible(self.access, self.who, "").await? {
                return Err(Problem::not_found("deployment"));
            }
            self.leave = Some(leave);
        }
        let had = std::mem::replace(at, page.to);
        let anew = || self.text(page, had);
        let text = if had == page.from {
            let told = page.told.get_or_init(|| Told {
                topic: self.topic.to_owned(),
                epoch: self.epoch,
                text: anew(),
            });
            if told.epoch == self.epoch && told.topic == self.topic { told.text.clone() } else { anew() }
        } else {
            anew()
        };
        if let Some(text) = text {
            self.out.send(text).await;
        }
        Ok(())
    }

    /// What of it is new to those who know all up to a place.
    fn text(&self, page: &Page, had: Place) -> Option<Utf8Bytes> {
        let attempt = page.from.attempt;
        let new = page.items.iter().filter(|(number, _)| Place { attempt, last: *number } > had);
        let (numbers, items): (Vec<i64>, Vec<&str>) =
            new.map(|(number, json)| (*number, json.as_str())).unzip();
        let cursor = Cursor { epoch: self.epoch, place: page.to }.to_string();
        let first = *numbers.first()?;
        let text = match self.what {
            What::Events => message::events(self.topic, &cursor, attempt, &items),
            What::Output => message::output(self.topic, &cursor, attempt, first, &items),
        };
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(attempt: i32, last: i64) -> Place {
        Place { attempt, last }
    }

    fn page(attempt: i32, from: i64, to: i64) -> Page {
        Page::new(place(attempt, from), place(attempt, to), Vec::new(), false)
    }

    /// What is told at once, and whether there is more.
    fn after(at: Place, taken: Vec<Page>, heard: Place, missed: bool) -> (Vec<Place>, bool) {
        let (told, more) = Inbox { taken, heard, missed }.after(at);
        (told.into_iter().map(|page| page.to).collect(), more)
    }

    #[test]
    fn what_came_together_is_told_together() {
        let items = |numbers: std::ops::Range<i64>| numbers.map(|n| (n, n.to_string())).collect();
        let page = |from, to| Page::new(place(1, from), place(1, to), items(from + 1..to + 1), false);
        let inbox = |taken| Inbox { taken, heard: Place::default(), missed: false };
        let numbers = |page: &Page| page.items.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        let (told, _) = inbox(vec![page(0, 2), page(2, 3)]).after(Place::START);
        assert_eq!(told.iter().map(numbers).collect::<Vec<_>>(), [vec![1, 2, 3]]);
        let (told, _) = inbox(vec![page(0, AT_ONCE), page(AT_ONCE, AT_ONCE + 1)]).after(Place::START);
        assert_eq!(told.len(), 2, "as many as are read at once");
    }

    #[test]
    fn what_follows_is_told_at_once_and_the_rest_is_read() {
        let (at, nothing) = (place(1, 5), Place::default());
        assert_eq!(after(at, vec![], nothing, false), (vec![], false));
        assert_eq!(after(at, vec![page(1, 5, 6), page(1, 6, 9)], nothing, false), (vec![place(1, 9)], false));
        // PostgreSQL says the same of it, or of what is known.
        assert_eq!(after(at, vec![page(1, 5, 6)], place(1, 6), false), (vec![place(1, 6)], false));
        assert_eq!(after(at, vec![], place(1, 5), false), (vec![], false));
        // Known, because it was read meanwhile.
        assert_eq!(after(at, vec![page(1, 3, 5)], nothing, false), (vec![], false));
        // Another replica took what is between, or behind; or a later attempt.
        assert_eq!(after(at, vec![page(1, 8, 9)], nothing, false), (vec![], true));
        assert_eq!(after(at, vec![page(1, 5, 6)], place(1, 7), false), (vec![place(1, 6)], true));
        assert_eq!(after(at, vec![page(2, 0, 1)], nothing, false), (vec![], true));
        assert_eq!(after(at, vec![page(1, 5, 6)], nothing, true), (vec![place(1, 6)], true));
    }
}
