//! Passwords: argon2id, one at a time and off the async threads, because each costs 19 MiB and some
//! 50 ms. Who is not known costs as much as who is, and too many wrong ones have to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use moka::sync::Cache;
use tokio::sync::Semaphore;

use crate::api::problem::Problem;

/// Longer ones are no passwords.
pub const MAX: usize = 1_024;
/// That wait for their turn; others are asked to come again.
const QUEUE: usize = 20;
/// Wrong ones for one name within [`WINDOW`].
const WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);
/// Names that are remembered: bounds the memory.
const NAMES: u64 = 10_000;

/// Where passwords are looked at.
#[derive(Clone)]
pub struct Passwords(Arc<Parts>);

struct Parts {
    queue: Semaphore,
    turn: Semaphore,
    wrong: Cache<String, Arc<AtomicU32>>,
}

impl Default for Passwords {
    fn default() -> Self {
        let wrong = Cache::builder().max_capacity(NAMES).time_to_live(WINDOW).build();
        Self(Arc::new(Parts { queue: Semaphore::new(QUEUE), turn: Semaphore::new(1), wrong }))
    }
}

impl Passwords {
    /// Whether this is the password of that name's account. `hash` is none where there is no such account.
    pub async fn check(&self, name: &str, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let wrong = self.0.wrong.get_with(name.to_owned(), Arc::default);
        if wrong.load(Ordering::Relaxed) >= WRONG {
            let detail = "Too many wrong passwords for this name. Wait a minute, then try again.";
            return Err(Problem::too_many(detail, 60));
        }
        let right = self
            .work(move || {
                if let Some(hash) = hash {
                    PasswordHash::new(&hash).is_ok_and(|hash| {
                        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
                    })
                } else {
                    // So that the time tells nothing.
                    let _ = Argon2::default().hash_password(password.as_bytes());
                    false
                }
            })
            .await?;
        if right {
            self.0.wrong.invalidate(name);
        } else {
            wrong.fetch_add(1, Ordering::Relaxed);
        }
        Ok(right)
    }

    /// As it is stored.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let hashed = self
            .work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hashed.await?.map_err(|error| Problem::unavailable("This did not work, try again.", error))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = || Problem::too_many("Many people are signing in, try again in a moment.", 1);
        let _place = self.0.queue.try_acquire().map_err(|_| busy())?;
        let _turn = self.0.turn.acquire().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Problem::unavailable("This did not work, try again.", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.check("anna", "correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.check("anna", "correct horse ".into(), Some(hash)).await.unwrap());
        assert!(!passwords.check("anna", "x".into(), Some("no hash".into())).await.unwrap());
        assert!(!passwords.check("nobody", "x".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn guessing_is_stopped_for_that_name_only() {
        let passwords = Passwords::default();
        for _ in 0..WRONG {
            assert!(!passwords.check("anna", "x".into(), Some("no hash".into())).await.unwrap());
        }
        let problem = passwords.check("anna", "x".into(), Some("no hash".into())).await.unwrap_err();
        assert_eq!(problem.reason, "TooManyTries");
        assert!(!passwords.check("ben", "x".into(), Some("no hash".into())).await.unwrap());
    }
}
