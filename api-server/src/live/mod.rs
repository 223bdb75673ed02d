//! Live updates: what was stored, told to whoever follows it. PostgreSQL says that something is new;
//! each thing is read once, however many follow; who was away or fell behind reads for itself.

mod changes;
mod message;
mod runs;
pub mod socket;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::PgPool;
use store::listen::{Heard, Listener};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use self::changes::Batch;
use self::runs::{Feed, What};

/// Between two tries to reach PostgreSQL.
const PAUSE: Duration = Duration::from_secs(1);
/// Batches that a follower may be behind before it reads for itself.
const BACKLOG: usize = 64;

/// Where live updates come together.
#[derive(Clone)]
pub struct Hub(Arc<Parts>);

struct Parts {
    pool: Option<PgPool>,
    /// Something is new in the stream of changes.
    changed: Notify,
    changes: broadcast::Sender<Arc<Batch>>,
    /// Of the stream of changes: another database is another one.
    epoch: watch::Sender<Option<Uuid>>,
    runs: Mutex<HashMap<(Uuid, What), Arc<Feed>>>,
    /// The process is stopping.
    closing: watch::Sender<bool>,
}

impl Hub {
    /// Follows this database.
    pub fn new(pool: Option<PgPool>) -> Self {
        Self(Arc::new(Parts {
            pool,
            changed: Notify::new(),
            changes: broadcast::Sender::new(BACKLOG),
            epoch: watch::Sender::new(None),
            runs: Mutex::default(),
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

    fn heard(&self, heard: Heard) {
        let runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Heard::Changes => self.0.changed.notify_one(),
            Heard::Run(uid) => {
                for what in [What::Events, What::Output] {
                    if let Some(feed) = runs.get(&(uid, what)) {
                        feed.wake.notify_one();
                    }
                }
            }
            Heard::Anything => {
                self.0.changed.notify_one();
                runs.values().for_each(|feed| feed.wake.notify_one());
            }
        }
    }
}
