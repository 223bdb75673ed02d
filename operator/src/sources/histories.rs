//! The last commits of what Services follow, where a form asks for one: read once per repository and commit, after everything
//! that a run waits for. They are for PostgreSQL, to be shown; nothing is decided by them.

use std::{collections::HashMap, time::Duration};

use crds::{Service, inputs::asks_for, service::InputType, source::Git};
use git::{Committed, Refs};
use jiff::Timestamp;
use kube::ResourceExt;
use store::commits::Commit;

use super::{PATIENCE, Sources, selector};

/// How long PostgreSQL is waited for.
const SOON: Duration = Duration::from_secs(5);
/// What could not be read, or not be written down, is tried again after so many checks.
const AGAIN: u64 = 12;

/// What is followed, where it is now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tip {
    /// See `crds::source::Git::followed`.
    followed: String,
    pub(super) commit: String,
}

impl Tip {
    /// Where what is followed is now, if it is there at all.
    pub(super) fn of(refs: &Refs, git: &Git) -> Option<Self> {
        let (name, commit) = refs.resolve(&selector(git)).ok()?;
        let followed = git.followed(&format!("{name}@sha1:{commit}"))?;
        Some(Self { followed, commit })
    }

    /// The whole name of the ref; empty for a commit that is named.
    fn reference(&self) -> &str {
        if self.followed.starts_with("refs/") { &self.followed } else { "" }
    }

    fn is_of(&self, refs: &Refs) -> bool {
        let named = |prefix: &str| self.followed.strip_prefix(prefix);
        let found = match (named("refs/heads/"), named("refs/tags/")) {
            (Some(branch), _) => refs.find(git::Kind::Branch, branch),
            (_, Some(tag)) => refs.find(git::Kind::Tag, tag),
            _ => return true,
        };
        found.is_some_and(|found| found.commit == self.commit)
    }
}

/// Of which tips of one repository the last commits were asked for, and the check after which they are looked at once more.
#[derive(Debug, Default)]
pub(super) struct Histories(HashMap<Tip, Option<u64>>);

impl Histories {
    /// Whether nobody has looked yet; whoever asks is about to.
    pub(super) fn is_new(&mut self, tip: &Tip) -> bool {
        let new = !self.is_wanted(tip);
        if new {
            self.0.insert(tip.clone(), None);
        }
        new
    }

    /// The repository was looked at: what has moved on is forgotten, and what is due is looked at once more.
    pub(super) fn checked(&mut self, refs: &Refs, check: u64) {
        self.0.retain(|tip, again| tip.is_of(refs) && again.is_none_or(|again| check < again));
    }

    fn is_wanted(&self, tip: &Tip) -> bool {
        self.0.contains_key(tip)
    }

    /// Something went wrong at this check.
    fn failed(&mut self, tip: &Tip, check: u64) {
        self.0.entry(tip.clone()).and_modify(|again| *again = Some(check + AGAIN));
    }
}

impl Sources {
    /// Reads the last commits of what is followed, to be shown.
    pub(super) async fn learn(self, key: String, tip: Tip) {
        if self.is_written(&key, &tip).await {
            return;
        }
        let Some((git, namespace)) = self.lock().get(&key).map(|e| (e.git.clone(), e.namespace.clone()))
        else {
            return;
        };
        let wanted = tip.clone();
        let ask = move |remote: &git::Remote| remote.history(&wanted.commit, wanted.reference(), PATIENCE);
        // One at a time, and not in the queue of those that a run waits for.
        let learned = match self.with_remote(&self.aside, &git, &namespace, ask).await {
            Ok(commits) if self.lock().get(&key).is_some_and(|e| e.histories.is_wanted(&tip)) => {
                self.write_commits(&key, &tip, commits).await.map_err(|error| error.to_string())
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.message),
        };
        if let Err(error) = learned {
            let (url, followed) = (&git.url, &tip.followed);
            tracing::info!(
                url,
                followed,
                error,
                "the last commits could not be learned; there is less to choose from"
            );
            if let Some(entry) = self.lock().get_mut(&key) {
                entry.histories.failed(&tip, entry.begun);
            }
        }
    }

    async fn is_written(&self, key: &str, tip: &Tip) -> bool {
        let Some(pool) = &self.pool else { return false };
        let asked = tokio::time::timeout(SOON, store::commits::newest(pool, key, &tip.followed)).await;
        matches!(asked, Ok(Ok(Some(newest))) if newest == tip.commit)
    }

    async fn write_commits(&self, key: &str, tip: &Tip, commits: Vec<Committed>) -> store::sqlx::Result<()> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let rows: Vec<Commit> = commits.into_iter().map(row).collect();
        let _shared = self.writing.read().await;
        store::commits::replace(pool, key, &tip.followed, &rows).await?;
        if let Some(mut followed) = self.followed(key) {
            followed.push(tip.followed.clone());
            store::commits::keep(pool, key, &followed).await?;
        }
        Ok(())
    }

    /// Of what the commits are wanted of a repository; None as long as not all Services are known.
    fn followed(&self, key: &str) -> Option<Vec<String>> {
        if !self.all_known() {
            return None;
        }
        let refs = self.lock().get(key)?.refs.clone()?;
        let services = self.services.state();
        let followed = services.iter().filter(|service| asks(service)).filter_map(|service| {
            let git = service.spec.source.git.as_ref()?;
            let reads = git.repository(&service.namespace().unwrap_or_default()) == key;
            Some(reads.then(|| Tip::of(&refs, git))??.followed)
        });
        Some(followed.collect())
    }
}

/// Whether a form asks for a commit: only then is there somebody to choose one.
pub(super) fn asks(service: &Service) -> bool {
    asks_for(&service.spec.inputs, InputType::GitCommit)
}

fn row(commit: Committed) -> Commit {
    let Committed { commit, subject, author, at } = commit;
    Commit { commit, subject, author, at: Timestamp::from_second(at).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn refs(main: &str) -> Refs {
        Refs::parse(&format!(
            "ref: refs/heads/main\tHEAD\n{main}\tHEAD\n{main}\trefs/heads/main\n{A}\trefs/heads/v1.0\n{A}\trefs/tags/v1.0\n"
        ))
    }

    fn tip(git: &serde_json::Value) -> Option<Tip> {
        let mut source = json!({"url": "https://git.example.com/blog.git"});
        source.as_object_mut()?.extend(git.as_object()?.clone());
        Tip::of(&refs(B), &serde_json::from_value(source).expect("a repository"))
    }

    #[test]
    fn what_is_followed_has_one_name_and_one_commit() {
        for (git, followed, commit, reference) in [
            (json!({}), "refs/heads/main", B, "refs/heads/main"),
            (json!({"branch": "v1.0"}), "refs/heads/v1.0", A, "refs/heads/v1.0"),
            (json!({"tag": "v1.0"}), "refs/tags/v1.0", A, "refs/tags/v1.0"),
            (json!({"semver": "^1"}), "refs/tags/v1.0", A, "refs/tags/v1.0"),
            (json!({"commit": C}), C, C, ""),
        ] {
            let found = tip(&git).expect(followed);
            assert_eq!((found.followed.as_str(), found.commit.as_str()), (followed, commit));
            assert_eq!(found.reference(), reference);
        }
        assert_eq!(tip(&json!({"branch": "gone"})), None);
    }

    #[test]
    fn what_has_moved_on_is_forgotten_and_what_failed_is_tried_again() {
        let (main, pinned) =
            (tip(&json!({})).expect("a branch"), tip(&json!({"commit": C})).expect("a commit"));
        let mut histories = Histories::default();
        assert!(histories.is_new(&main) && histories.is_new(&pinned) && !histories.is_new(&main));
        histories.failed(&pinned, 0);
        histories.checked(&refs(B), AGAIN - 1);
        assert!(histories.is_wanted(&main) && histories.is_wanted(&pinned));
        histories.checked(&refs(B), AGAIN);
        assert!(histories.is_wanted(&main) && !histories.is_wanted(&pinned));
        assert!(histories.is_new(&pinned));
        histories.checked(&refs(C), AGAIN + 1);
        histories.failed(&main, AGAIN + 1);
        assert!(!histories.is_wanted(&main) && histories.is_wanted(&pinned), "nobody wants main's any more");
    }
}
