//! The last commits of what Services follow, for those who choose one: read once per repository and commit, after everything
//! that a run waits for. PostgreSQL gets them to show; what may be chosen is decided by what the repository itself said.

use std::{collections::HashMap, time::Duration};

use crds::source::Git;
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
    commit: String,
}

impl Tip {
    /// Where what is followed is now, if it is there at all.
    pub(super) fn of(refs: &Refs, git: &Git) -> Option<Self> {
        let (name, commit) = refs.resolve(&selector(git)).ok()?;
        let followed = git.followed(&format!("{name}@sha1:{commit}"))?;
        Some(Self { followed, commit })
    }

    pub(super) fn commit(&self) -> &str {
        &self.commit
    }

    /// The branch, if it is one that is followed. Its last commits may be chosen; whoever wrote a tag, a range or a commit
    /// meant no other.
    pub(super) fn branch(&self) -> Option<&str> {
        self.followed.strip_prefix("refs/heads/")
    }

    /// The whole name of the ref; empty for a commit that is named.
    pub(super) fn reference(&self) -> &str {
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

/// The last commits of what is followed of one repository.
#[derive(Debug, Default)]
pub(super) struct Histories(HashMap<Tip, Slot>);

#[derive(Debug)]
struct Slot {
    history: History,
    /// The check after which it is looked at once more.
    again: Option<u64>,
}

#[derive(Debug)]
enum History {
    Looking,
    /// PostgreSQL has it since an earlier leader: enough as long as nobody has chosen.
    Written,
    Known(Vec<String>),
    Not(String),
}

/// Whether a commit is among the last ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Has {
    Yes,
    /// No, or nobody can say: for this reason.
    No(Option<String>),
    /// That is being found out.
    Looking,
    /// That has to be found out: see [`Sources::learn`].
    Ask,
}

impl Histories {
    /// Whether nobody has looked yet; whoever asks is about to.
    pub(super) fn is_new(&mut self, tip: &Tip) -> bool {
        let new = !self.0.contains_key(tip);
        if new {
            self.0.insert(tip.clone(), Slot { history: History::Looking, again: None });
        }
        new
    }

    /// Whether a commit is among the last ones.
    pub(super) fn has(&mut self, tip: &Tip, commit: &str) -> Has {
        match self.0.get(tip).map(|slot| &slot.history) {
            Some(History::Looking) => Has::Looking,
            Some(History::Known(ids)) if ids.iter().any(|id| id == commit) => Has::Yes,
            Some(History::Known(_)) => Has::No(None),
            Some(History::Not(said)) => Has::No(Some(said.clone())),
            Some(History::Written) | None => {
                self.0.insert(tip.clone(), Slot { history: History::Looking, again: None });
                Has::Ask
            }
        }
    }

    /// The repository was looked at: what has moved on is forgotten, and what is due is looked at once more.
    pub(super) fn checked(&mut self, refs: &Refs, check: u64) {
        self.0.retain(|tip, slot| tip.is_of(refs) && slot.again.is_none_or(|again| check < again));
    }

    #[cfg(test)]
    pub(super) fn know(&mut self, tip: &Tip, ids: &[&str]) {
        assert!(self.note(tip, History::Known(ids.iter().map(|id| (*id).to_owned()).collect()), None));
    }

    #[cfg(test)]
    pub(super) fn fail(&mut self, tip: &Tip, said: &str) {
        assert!(self.note(tip, History::Not(said.to_owned()), None));
    }

    /// Whether that is still wanted.
    fn note(&mut self, tip: &Tip, history: History, again: Option<u64>) -> bool {
        let Some(slot) = self.0.get_mut(tip) else { return false };
        *slot = Slot { history, again };
        true
    }
}

impl Sources {
    /// Reads the last commits of what is followed. `chosen`: somebody waits for them, to have one of them run.
    pub(super) async fn learn(self, key: String, tip: Tip, chosen: bool) {
        if !chosen && self.is_written(&key, &tip).await {
            if let Some(entry) = self.lock().get_mut(&key) {
                entry.histories.note(&tip, History::Written, None);
            }
            return;
        }
        let Some((git, namespace)) = self.lock().get(&key).map(|e| (e.git.clone(), e.namespace.clone()))
        else {
            return;
        };
        let wanted = tip.clone();
        // One at a time, and not in the queue of those that a run waits for.
        let turn = if chosen { &self.at_once } else { &self.aside };
        let ask = move |remote: &git::Remote| remote.history(&wanted.commit, wanted.reference(), PATIENCE);
        let result = self.with_remote(turn, &git, &namespace, ask).await;
        let noted = {
            let mut known = self.lock();
            let Some(entry) = known.get_mut(&key) else { return };
            let (history, again) = match &result {
                Ok(commits) => (History::Known(commits.iter().map(|c| c.commit.clone()).collect()), None),
                Err(fault) => (History::Not(fault.message.clone()), Some(entry.begun + AGAIN)),
            };
            entry.histories.note(&tip, history, again)
        };
        match result {
            Ok(commits) if noted => self.write_commits(&key, &tip, commits).await,
            Ok(_) => {}
            Err(fault) => {
                tracing::info!(
                    url = git.url,
                    followed = tip.followed,
                    error = fault.message,
                    "the last commits could not be read; there is less to choose from"
                );
            }
        }
    }

    async fn is_written(&self, key: &str, tip: &Tip) -> bool {
        let Some(pool) = &self.pool else { return false };
        let asked = tokio::time::timeout(SOON, store::commits::newest(pool, key, &tip.followed)).await;
        matches!(asked, Ok(Ok(Some(newest))) if newest == tip.commit)
    }

    async fn write_commits(&self, key: &str, tip: &Tip, commits: Vec<Committed>) {
        let Some(pool) = &self.pool else { return };
        let rows: Vec<Commit> = commits.into_iter().map(row).collect();
        let _shared = self.writing.read().await;
        let mut written = store::commits::replace(pool, key, &tip.followed, &rows).await;
        if let (Ok(()), Some(mut followed)) = (&written, self.followed(key)) {
            followed.push(tip.followed.clone());
            written = store::commits::keep(pool, key, &followed).await;
        }
        if let Err(error) = written {
            tracing::debug!(%error, "commits could not be written");
            if let Some(entry) = self.lock().get_mut(key)
                && let Some(slot) = entry.histories.0.get_mut(tip)
            {
                slot.again = Some(entry.begun + AGAIN);
            }
        }
    }

    /// What the Services follow of a repository; None as long as not all of them are known.
    fn followed(&self, key: &str) -> Option<Vec<String>> {
        if !self.all_known() {
            return None;
        }
        let refs = self.lock().get(key)?.refs.clone()?;
        let services = self.services.state();
        let followed = services.iter().filter_map(|service| {
            let git = service.spec.source.git.as_ref()?;
            let reads = git.repository(&service.namespace().unwrap_or_default()) == key;
            Some(reads.then(|| Tip::of(&refs, git))??.followed)
        });
        Some(followed.collect())
    }
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
        for (git, followed, commit, branch, reference) in [
            (json!({}), "refs/heads/main", B, Some("main"), "refs/heads/main"),
            (json!({"branch": "v1.0"}), "refs/heads/v1.0", A, Some("v1.0"), "refs/heads/v1.0"),
            (json!({"tag": "v1.0"}), "refs/tags/v1.0", A, None, "refs/tags/v1.0"),
            (json!({"semver": "^1"}), "refs/tags/v1.0", A, None, "refs/tags/v1.0"),
            (json!({"commit": C}), C, C, None, ""),
        ] {
            let found = tip(&git).expect(followed);
            assert_eq!((found.followed.as_str(), found.commit()), (followed, commit));
            assert_eq!((found.branch(), found.reference()), (branch, reference));
        }
        assert_eq!(tip(&json!({"branch": "gone"})), None);
    }

    #[test]
    fn a_commit_may_be_chosen_once_the_repository_itself_has_told_it() {
        let main = tip(&json!({})).expect("a branch");
        let mut histories = Histories::default();
        // Somebody chooses before anybody looked.
        assert_eq!((histories.has(&main, A), histories.has(&main, A)), (Has::Ask, Has::Looking));
        assert!(!histories.is_new(&main));
        let ids = vec![B.to_owned(), A.to_owned()];
        assert!(histories.note(&main, History::Known(ids), None));
        assert_eq!((histories.has(&main, A), histories.has(&main, C)), (Has::Yes, Has::No(None)));
        // What PostgreSQL has is to be shown, and decides nothing.
        assert!(histories.note(&main, History::Written, None));
        assert_eq!((histories.has(&main, A), histories.has(&main, A)), (Has::Ask, Has::Looking));
        assert!(histories.note(&main, History::Not("away".into()), Some(12)));
        assert_eq!(histories.has(&main, A), Has::No(Some("away".into())));
    }

    #[test]
    fn what_has_moved_on_is_forgotten_and_what_failed_is_tried_again() {
        let (main, pinned) =
            (tip(&json!({})).expect("a branch"), tip(&json!({"commit": C})).expect("a commit"));
        let mut histories = Histories::default();
        assert!(histories.is_new(&main) && histories.is_new(&pinned) && !histories.is_new(&main));
        histories.note(&pinned, History::Not("away".into()), Some(12));
        histories.checked(&refs(B), 11);
        assert!(!histories.is_new(&main) && !histories.is_new(&pinned));
        histories.checked(&refs(B), 12);
        assert!(!histories.is_new(&main) && histories.is_new(&pinned));
        histories.checked(&refs(C), 13);
        assert!(!histories.note(&main, History::Known(vec![B.into()]), None), "nobody wants that any more");
        assert!(histories.is_new(&main) && !histories.is_new(&pinned));
    }
}
