//! One run's events, or its output: read once for all who follow it. Places are counted by the
//! runner, so whoever knows his last number misses nothing and gets nothing twice.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::read::NotAPosition;
use store::{PgPool, events, output, runs};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use uuid::Uuid;

use super::changes::Of;
use super::message;
use super::socket::{Ended, Out};
use super::{BACKLOG, Hub};
use crate::access::Access;
use crate::api::problem::Problem;
use crate::people::Person;

/// Events, or lines, that are read and sent at once.
const AT_ONCE: i64 = 500;
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
    pub(super) wake: Notify,
    news: broadcast::Sender<Arc<Page>>,
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
}

fn subscribe(hub: &Hub, pool: &PgPool, uid: Uuid, what: What) -> broadcast::Receiver<Arc<Page>> {
    let mut feeds = hub.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
    let feed = feeds.entry((uid, what)).or_insert_with(|| {
        let feed = Arc::new(Feed { wake: Notify::new(), news: broadcast::Sender::new(BACKLOG) });
        tokio::spawn(tell(hub.clone(), pool.clone(), uid, what, Arc::clone(&feed)));
        feed
    });
    feed.news.subscribe()
}

/// Tells until nobody follows.
async fn tell(hub: Hub, pool: PgPool, uid: Uuid, what: What, feed: Arc<Feed>) {
    let mut at = None;
    let mut said = None::<Instant>;
    loop {
        if said.is_none_or(|said| said.elapsed() >= LOOK) {
            // Where it cannot be said, news come a little later.
            let _ = runs::follow(&pool, uid, BELIEVED).await;
            said = Some(Instant::now());
        }
        match tell_once(&pool, uid, what, &feed, &mut at).await {
            Ok(()) => drop(tokio::time::timeout(LOOK, feed.wake.notified()).await),
            Err(_) => tokio::time::sleep(PAUSE).await,
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
        let _ = feed.news.send(Arc::new(Page { from: here, to: here, items: Vec::new(), more: true }));
        here
    };
    *at = Some(from);
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
    Ok(last.map_or(Place::START, |run| Place {
        attempt: run.attempt,
        last: match what {
            What::Events => run.acked,
            What::Output => run.lines,
        },
    }))
}

/// What comes behind a place; none, if there is nothing (yet).
async fn next(pool: &PgPool, uid: Uuid, what: What, from: Place) -> Result<Option<Page>, Problem> {
    let page = |items, last, more| Page { from, to: Place { last, ..from }, items, more };
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
    let later =
        later.map(|attempt| Page { from, to: Place { attempt, last: 0 }, items: Vec::new(), more: true });
    Ok(later)
}

fn event(event: events::StoredEvent) -> Option<(i64, String)> {
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
    pool: &PgPool,
    (access, who, of): (&Access, &Person, &Of),
    (topic, uid, what): (&str, Uuid, What),
    after: Cursor,
    out: &Out,
) -> Result<Ended, Problem> {
    let follower = Follower { pool, access, who, of, topic, uid, what, out, epoch: after.epoch };
    let mut news = subscribe(hub, pool, uid, what);
    let mut epoch = hub.0.epoch.subscribe();
    let mut at = after.place;
    follower.catch_up(&mut at).await?;
    loop {
        let page = tokio::select! {
            page = news.recv() => page,
            Ok(_) = epoch.wait_for(|epoch| epoch.is_some_and(|epoch| epoch != after.epoch)) => return Ok(Ended::Reset),
        };
        match page {
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
}

impl Follower<'_> {
    async fn catch_up(&self, at: &mut Place) -> Result<(), Problem> {
        while let Some(page) = next(self.pool, self.uid, self.what, *at).await? {
            self.send(&page, at).await?;
        }
        Ok(())
    }

    async fn send(&self, page: &Page, at: &mut Place) -> Result<(), Problem> {
        if !self.of.visible(self.access, self.who, "").await? {
            return Err(Problem::not_found("deployment"));
        }
        let new: Vec<&(i64, String)> = page
            .items
            .iter()
            .filter(|(number, _)| Place { attempt: page.from.attempt, last: *number } > *at)
            .collect();
        let attempt = page.from.attempt;
        *at = page.to;
        let Some((first, _)) = new.first() else { return Ok(()) };
        let items: Vec<&str> = new.iter().map(|(_, json)| json.as_str()).collect();
        let cursor = Cursor { epoch: self.epoch, place: *at }.to_string();
        let text = match self.what {
            What::Events => message::events(self.topic, &cursor, attempt, &items),
            What::Output => message::output(self.topic, &cursor, attempt, *first, &items),
        };
        self.out.send(text).await;
        Ok(())
    }
}
