//! Whether an account's tokens still count: a user token says for ten minutes who somebody is, and an
//! account may be closed meanwhile. What PostgreSQL says is remembered for some seconds, so each request costs nothing.

use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use store::{PgPool, users};

/// How long somebody who was shut out may still be in.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Accounts that are remembered: bounds the memory.
const ACCOUNTS: u64 = 10_000;

/// Which accounts are in good standing.
#[derive(Clone)]
pub struct Standing {
    pool: Option<PgPool>,
    /// From when on tokens count.
    known: Cache<String, Option<Timestamp>>,
}

impl Standing {
    /// As this database says. Without one, or while it is away, tokens count until they end: runs go on.
    pub fn new(pool: Option<PgPool>) -> Self {
        let known = Cache::builder().max_capacity(ACCOUNTS).time_to_live(REMEMBERED).build();
        Self { pool, known }
    }

    /// Whether a token of this account that was given at that second counts.
    pub async fn counts(&self, name: &str, given: i64) -> bool {
        let Some(pool) = &self.pool else { return true };
        let read = async {
            users::valid_from(pool, name).await.unwrap_or_else(|error| {
                let error = error.to_string();
                tracing::debug!(error, "whether {name} may still come in is not known: {error}");
                None
            })
        };
        self.known.get_with_by_ref(name, read).await.is_none_or(|from| from.as_second() <= given)
    }

    /// It was changed here.
    pub async fn forget(&self, name: &str) {
        self.known.invalidate(name).await;
    }
}
