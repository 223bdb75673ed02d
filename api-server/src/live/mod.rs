//! Live updates: what was stored, told to whoever follows it. PostgreSQL says that something is new;
//! each thing is read once, however many follow; who was away or fell behind reads for itself.
//! What a run reports to this very process is told without being read again.

mod changes;
mod message;
mod runs;
pub mod socket;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::PgPool;
use store::listen::{Heard, Listener};
use store::runs::{self as stored, NewReport};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use self::changes::Batch;
use self::runs::{Feed, Place, What};
use self::socket::Ended;
use crate::api::problem::Problem;

/// Between two tries to reach PostgreSQL.
const PAUSE: Duration = Duration::from_secs(1);
/// Batches that a follower may be behind before it reads for itself.
const BACKLOG: usize = 64;
/// Connections to PostgreSQL for all who join or fell behind: when a thousand pages come again at once, they
/// wait for each other and not reports, requests and live updates for them.
const JOINING: u32 = 3;
/// How long somebody who joins waits for one of them.
const JOIN: Duration = Duration::from_secs(10);

/// Where live updates come together.
#[derive(Clone)]
pub struct Hub(Arc<Parts>);

struct Parts {
    pool: Option<PgPool>,
    /// The same database, for those who join.
    joining: Option<PgPool>,
    /// Something is new in the stream of changes.
    changed: Notify,
    changes: broadcast::Sender<Arc<Batch>>,
    /// Of the stream of changes: another database is another one.
    epoch: watch::Sender<Option<Uuid>>,
    runs: Mutex<HashMap<(Uuid, What), Arc<Feed>>>,
    /// Runners that wait for somebody who watches.
    waiting: Mutex<HashMap<Uuid, Arc<Notify>>>,
    /// The process is stopping.
    closing: watch::Sender<bool>,
}

impl Hub {
    /// Follows this database.
    pub fn new(pool: Option<PgPool>) -> Self {
        Self(Arc::new(Parts {
            joining: pool.as_ref().map(joining),
            pool,
            changed: Notify::new(),
            changes: broadcast::Sender::new(BACKLOG),
            epoch: watch::Sender::new(None),
            runs: Mutex::default(),
            waiting: Mutex::default(),
            closing: watch::Sender::new(false),
        }))
    }

    /// Listens until the process ends.
    pub async fn run(self) {
        let Some(pool) = self.0.pool.clone() else { return };
        tokio::join!(self.listen(&pool), changes::tell(&self, &pool));
    }

    /// Every socket is told to come again elsewhere.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Until another database stands behind this one than that of `known`.
    async fn another_database(&self, known: Uuid) -> Result<Ended, Problem> {
        let mut epoch = self.0.epoch.subscribe();
        // The sender is as old as this.
        let _ = epoch.wait_for(|epoch| epoch.is_some_and(|epoch| epoch != known)).await;
        Ok(Ended::Reset)
    }

    fn joining(&self) -> Result<&PgPool, Problem> {
        self.0.joining.as_ref().ok_or_else(Problem::no_database)
    }

    async fn listen(&self, pool: &PgPool) {
        loop {
            if let Ok(mut listener) = Listener::start(pool).await {
                self.heard(Heard::Anything);
                // Nothing is read here: what PostgreSQL says must not pile up.
                while let Ok(heard) = listener.next().await {
                    self.heard(heard);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until somebody watches the run, here or at another replica. False: this process is to end before.
    pub async fn followed(&self, pool: &PgPool, uid: Uuid) -> store::sqlx::Result<bool> {
        let waiting = Waiting::of(self, uid);
        let mut closing = self.0.closing.subscribe();
        loop {
            // What is said from here on is heard.
            let told = waiting.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if stored::is_followed(pool, uid).await? {
                return Ok(true);
            }
            tokio::select! {
                () = told => {}
                _ = closing.wait_for(|closing| *closing) => return Ok(false),
            }
        }
    }

    /// A report that was stored just now, all of it new.
    pub fn took(&self, report: &NewReport) {
        for what in [What::Events, What::Output] {
            if let Some(feed) = self.feed(report.uid, what) {
                feed.took(what, report);
            }
        }
    }

    fn heard(&self, heard: Heard) {
        match heard {
            Heard::Changes => self.0.changed.notify_one(),
            Heard::Run(run) => {
                for what in [What::Events, What::Output] {
                    if let Some(feed) = self.feed(run.uid, what) {
                        feed.heard(Place::of(what, run.attempt, run.acked, run.lines));
                    }
                }
            }
            Heard::Followed(uid) => {
                if let Some(waiting) = self.waiting().get(&uid) {
                    waiting.notify_waiters();
                }
            }
            Heard::Anything => {
                self.0.changed.notify_one();
                self.waiting().values().for_each(|waiting| waiting.notify_waiters());
                let runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
                runs.values().for_each(|feed| feed.missed());
            }
        }
    }

    fn feed(&self, uid: Uuid, what: What) -> Option<Arc<Feed>> {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner).get(&(uid, what)).map(Arc::clone)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn joining(pool: &PgPool) -> PgPool {
    let options = pool.options().clone().max_connections(JOINING).acquire_timeout(JOIN);
    options.acquire_slow_threshold(JOIN).connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// A runner that waits; when it does no more, it is forgotten.
struct Waiting<'a> {
    hub: &'a Hub,
    uid: Uuid,
    told: Arc<Notify>,
}

impl<'a> Waiting<'a> {
    fn of(hub: &'a Hub, uid: Uuid) -> Self {
        Self { hub, uid, told: Arc::clone(hub.waiting().entry(uid).or_default()) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hub.waiting();
        // One is here, one in the map: nobody else waits.
        if Arc::strong_count(&self.told) == 2 {
            waiting.remove(&self.uid);
        }
    }
}
