//! Passwords: argon2id, one at a time and on a thread of its own, because each costs 19 MiB and some 50 ms. (On the
//! many threads for blocking work each leaves its 19 MiB in another corner of the allocator.) Who is not known costs as much as who is, and too many wrong ones have to wait: from one
//! address for one name, from one address for any, and from anywhere for one name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use moka::sync::Cache;
use tokio::sync::{Semaphore, oneshot};

use super::address::Address;
use crate::api::problem::Problem;

/// Longer ones are no passwords.
pub const MAX: usize = 1_024;
/// That wait for their turn; others are asked to come again.
const QUEUE: usize = 20;
/// Shorter ones are guessed.
const MIN: usize = 12;
/// Wrong ones within [`WINDOW`] for one name from one address.
const WRONG: u32 = 10;
/// For any name from one address.
const WRONG_FROM: u32 = 50;
/// For one name from anywhere: high, so that nobody can lock out somebody else with ease.
const WRONG_FOR: u32 = 200;
const WINDOW: Duration = Duration::from_mins(1);
/// Names that are remembered: bounds the memory.
const NAMES: u64 = 10_000;

/// Whether a new password will do; a sentence, if not.
pub fn rule(name: &str, password: &str) -> Result<(), Problem> {
    let wrong = |sentence: &str| Err(Problem::invalid(Some("password"), format!("password: {sentence}")));
    let (low, length) = (password.to_lowercase(), password.chars().count());
    let mut different: Vec<char> = low.chars().collect();
    different.sort_unstable();
    different.dedup();
    if length < MIN {
        return wrong("write at least 12 characters, for example three or four words.");
    }
    if password.len() > MAX {
        return wrong("write at most 1024 characters.");
    }
    if name.len() >= 3 && low.contains(&name.to_lowercase()) {
        return wrong("leave out the account's name: that is tried first.");
    }
    if different.len() < 5 || COMMON.iter().any(|common| low.contains(common) && length <= common.len() + 6) {
        return wrong(
            "this one is among those that are tried first. Write three or four words that do not belong together.",
        );
    }
    Ok(())
}

/// What most of the guessed ones are made of.
const COMMON: [&str; 16] = [
    "password",
    "passwort",
    "12345678",
    "87654321",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "abcdefgh",
    "letmein",
    "iloveyou",
    "administrator",
    "changeme",
    "welcome",
    "fastdeploy",
    "trustno1",
    "monkey123",
];

/// Where passwords are looked at.
#[derive(Clone)]
pub struct Passwords(Arc<Parts>);

type Work = Box<dyn FnOnce() + Send>;

/// One that panics answers nothing, and the next has its turn.
fn carried_out(work: Work) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

struct Parts {
    queue: Semaphore,
    worker: mpsc::Sender<Work>,
    /// How many argon2id were begun.
    computed: AtomicU64,
    wrong: Cache<String, Arc<AtomicU32>>,
}

impl Parts {
    fn argon2(&self) -> Argon2<'static> {
        self.computed.fetch_add(1, Ordering::Relaxed);
        Argon2::default()
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let wrong = Cache::builder().max_capacity(NAMES).time_to_live(WINDOW).build();
        let (worker, works) = mpsc::channel();
        // It ends with the last sender. Without a thread nobody takes the work, and whoever signs in is told so.
        let thread = thread::Builder::new().name("passwords".to_owned());
        if let Err(error) = thread.spawn(move || works.into_iter().for_each(carried_out)) {
            tracing::error!(error = %error, "there is no thread for passwords: {error}");
        }
        Self(Arc::new(Parts { queue: Semaphore::new(QUEUE), worker, computed: AtomicU64::new(0), wrong }))
    }
}

impl Passwords {
    /// Whether this is the password of that name's account. `hash` is none where there is no such account.
    pub async fn check(
        &self,
        name: &str,
        from: &Address,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let from = from.counted();
        let limits = [
            (format!("{name}\n{from}"), WRONG),
            (format!("\n{from}"), WRONG_FROM),
            (format!("{name}\n"), WRONG_FOR),
        ];
        let counts = limits.map(|(key, most)| (self.0.wrong.get_with(key, Arc::default), most));
        if counts.iter().any(|(count, most)| count.load(Ordering::Relaxed) >= *most) {
            let detail = "Too many wrong passwords. Wait a minute, then try again.";
            return Err(Problem::too_many(detail, 60));
        }
        // Counted before it is looked at: a hundred at once are a hundred.
        for (count, _) in &counts {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let parts = Arc::clone(&self.0);
        let right = self
            .work(move || {
                if let Some(hash) = hash {
                    PasswordHash::new(&hash)
                        .is_ok_and(|hash| parts.argon2().verify_password(password.as_bytes(), &hash).is_ok())
                } else {
                    // So that the time tells nothing.
                    let _ = parts.argon2().hash_password(password.as_bytes());
                    false
                }
            })
            .await?;
        if right {
            for (count, _) in &counts {
                count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(right)
    }

    /// As it is stored.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let parts = Arc::clone(&self.0);
        let hashed =
            self.work(move || parts.argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hashed.await?.map_err(|error| Problem::unavailable("This did not work, try again.", error))
    }

    /// How many argon2id were computed: the same number for whoever is known and whoever is not.
    #[cfg(test)]
    pub fn computed(&self) -> u64 {
        self.0.computed.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = |_| Problem::too_many("Many people are signing in, try again in a moment.", 1);
        let _place = self.0.queue.try_acquire().map_err(busy)?;
        let (answer, done) = oneshot::channel();
        let work = move || drop(answer.send(work()));
        let failed = || Problem::unavailable("This did not work, try again.", "the thread for passwords");
        self.0.worker.send(Box::new(work)).map_err(|_| failed())?;
        done.await.map_err(|_| failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Address {
        Address(address.parse().ok())
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let (passwords, here) = (Passwords::default(), from("1.1.1.1"));
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.check("anna", &here, "correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.check("anna", &here, "correct horse ".into(), Some(hash)).await.unwrap());
        assert!(!passwords.check("anna", &here, "x".into(), Some("no hash".into())).await.unwrap());
        assert!(!passwords.check("nobody", &here, "x".into(), None).await.unwrap());
    }

    /// Each thread keeps for itself what it has freed: on many of them, many times 19 MiB.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_are_looked_at_by_one_thread() {
        let passwords = Passwords::default();
        let threads = (0..8).map(|_| passwords.work(|| thread::current().id()));
        let threads = futures::future::try_join_all(threads).await.unwrap();
        assert!(threads.iter().all(|id| *id == threads[0] && *id != thread::current().id()), "{threads:?}");
        // One that fails is told to whom it belongs, and to nobody else.
        assert!(passwords.work(|| assert_eq!(1, 2)).await.is_err());
        assert_eq!(passwords.work(|| thread::current().id()).await.unwrap(), threads[0]);
    }

    #[tokio::test]
    async fn guessing_is_stopped_for_that_name_from_there_only() {
        let passwords = Passwords::default();
        let guess = async |name: &str, address: &str| {
            passwords.check(name, &from(address), "x".into(), Some("no hash".into())).await
        };
        for _ in 0..WRONG {
            assert!(!guess("anna", "1.1.1.1").await.unwrap());
        }
        assert_eq!(guess("anna", "1.1.1.1").await.unwrap_err().reason, "TooManyTries");
        // Anna herself, elsewhere, gets in; somebody else from there, too.
        assert!(!guess("anna", "2.2.2.2").await.unwrap());
        assert!(!guess("ben", "1.1.1.1").await.unwrap());
    }

    #[tokio::test]
    async fn trying_many_names_or_from_many_places_is_stopped() {
        let passwords = Passwords::default();
        let guess = async |name: String, address: String| {
            passwords.check(&name, &from(&address), "x".into(), Some("no hash".into())).await
        };
        for n in 0..WRONG_FROM {
            assert!(!guess(format!("user{n}"), "1.1.1.1".into()).await.unwrap());
        }
        assert!(guess("another".into(), "1.1.1.1".into()).await.is_err());
        for n in 0..WRONG_FOR {
            assert!(!guess("anna".into(), format!("2.2.{n}.1")).await.unwrap());
        }
        assert!(guess("anna".into(), "3.3.3.3".into()).await.is_err());
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for wrong in [
            "short",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "password1234",
            "Passwort!!2026",
            "anna is the best",
            "123456789012",
            "qwertzuiop123",
        ] {
            let problem = rule("anna", wrong).unwrap_err();
            assert_eq!(
                (problem.field.as_deref(), problem.status.as_u16()),
                (Some("password"), 422),
                "{wrong}"
            );
        }
        for fine in [
            "correct horse battery",
            "tr0ub4dor&3-and-more",
            "grün ist die Hoffnung",
            "password manager of my aunt",
        ] {
            assert!(rule("anna", fine).is_ok(), "{fine}");
        }
    }
}
