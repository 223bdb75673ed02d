//! A revision that somebody chose, instead of the one that is wanted. Pure.

use crds::{Service, promotion, source::Git};
use kube::ResourceExt;

use super::{
    Entry,
    histories::{Has, Tip},
    selector,
};

/// Whether a commit is live at another Service from which it may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Promoted {
    Yes,
    /// It is live at one that does not follow the same; the sentence says what to make equal.
    Unlike(String),
    No,
}

/// What comes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This commit, by that ref: its short name and its whole one; both are empty for a commit by its id.
    Taken { name: String, commit: String, reference: String },
    /// It is not known yet.
    Looking,
    /// It is not known yet, and nobody is about to find it out: see `Sources::learn`.
    Learn(Tip),
    /// It may not be chosen: why.
    Not(String),
}

impl Entry {
    /// One of the refs that the Service permits, by its name or its commit, one of the last commits of the branch that it
    /// follows, a commit of `lived`, which were live, or one that is live at a Service that follows the same. `patient`: what
    /// is not known may have come a moment ago.
    pub(super) fn choice(
        &mut self,
        git: &Git,
        revision: &str,
        lived: &[String],
        others: Promoted,
        patient: bool,
    ) -> Choice {
        let Some(refs) = self.refs.clone() else { return Choice::Looking };
        let permitted = refs.permitted(&selector(git)).unwrap_or_default();
        if let Some(found) = permitted.iter().rfind(|r| r.name == revision || r.commit == revision) {
            let folder = if found.kind == git::Kind::Tag { "tags" } else { "heads" };
            return Choice::Taken {
                name: found.name.clone(),
                commit: found.commit.clone(),
                reference: format!("refs/{folder}/{}", found.name),
            };
        }
        let taken = |name: &str, reference: &str| Choice::Taken {
            name: name.to_owned(),
            commit: revision.to_owned(),
            reference: reference.to_owned(),
        };
        if lived.iter().any(|commit| commit == revision) || others == Promoted::Yes {
            return taken("", "");
        }
        let mut unread = None;
        if git::is_commit(revision)
            && let Some(tip) = Tip::of(&refs, git)
            && let Some(branch) = tip.branch()
        {
            match self.histories.has(&tip, revision) {
                Has::Yes => return taken(branch, tip.reference()),
                Has::Looking => return Choice::Looking,
                Has::Ask => return Choice::Learn(tip),
                Has::No(why) => unread = why,
            }
        }
        if git::is_commit(revision) && patient {
            return Choice::Looking;
        }
        if let Promoted::Unlike(message) = others {
            return Choice::Not(message);
        }
        let names: Vec<_> = permitted.iter().map(|r| r.name.as_str()).collect();
        Choice::Not(refusal(revision, &names, unread.as_deref()))
    }
}

/// Whether a commit is live at one of the others, and may be taken from there. Pure.
pub(super) fn promoted<'a>(
    to: (&str, &Git),
    commit: &str,
    others: impl Iterator<Item = &'a Service>,
) -> Promoted {
    let mut found = Promoted::No;
    for other in others {
        let live = other.status.as_ref().and_then(|status| status.live.as_ref());
        let (Some(live), Some(git)) = (live, &other.spec.source.git) else { continue };
        if promotion::commit(&live.revision) != Some(commit) {
            continue;
        }
        match promotion::taken((&other.name_any(), git, &live.revision), to) {
            Ok(_) => return Promoted::Yes,
            Err(unlike) => found = Promoted::Unlike(unlike.message),
        }
    }
    found
}

/// Why a revision is not one to choose. `permitted`: names of refs, the one that is followed last; `unread`: why the last
/// commits of the branch are not known. Pure.
fn refusal(revision: &str, permitted: &[&str], unread: Option<&str>) -> String {
    let names: Vec<_> = permitted.iter().rev().take(5).copied().collect();
    let most = git::MOST;
    let unread = unread.map(|why| format!("; those {most} could not be read: {why}")).unwrap_or_default();
    format!(
        "{revision} is not one that this Service permits; it permits {}, the last {most} commits of a branch that it follows, \
         commits that were live, and what is live at a Service of this namespace that follows the same{unread}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use git::Refs;
    use serde_json::{Value, json};

    use super::*;

    const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn service(name: &str, git: &Value, revision: &str) -> Service {
        serde_json::from_value(json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {"source": {"git": git}, "playbook": "deploy.yml", "inventory": {"local": true}},
            "status": {"live": {"deployment": {"name": "d", "uid": "u"}, "number": 1, "digest": "d",
                "revision": revision, "since": "2026-11-23T12:00:00Z"}}}))
        .expect("a Service")
    }

    #[test]
    fn what_is_live_where_the_same_is_followed_may_be_taken() {
        let git = |branch: &str| json!({"url": "https://git.example.com/blog.git", "branch": branch});
        let target = service("production", &git("main"), "main@sha1:0");
        let ours = target.spec.source.git.clone().expect("a repository");
        let (older, newer) = (format!("main@sha1:{COMMIT}"), format!("main@sha1:{}", "b".repeat(40)));
        let take = |others: &[Service]| promoted(("production", &ours), COMMIT, others.iter());
        let (staging, ahead) =
            (service("staging", &git("main"), &older), service("ahead", &git("main"), &newer));
        let other = service("topic", &git("topic"), &format!("topic@sha1:{COMMIT}"));
        assert_eq!(take(&[ahead.clone(), other.clone(), staging]), Promoted::Yes);
        assert_eq!(take(&[ahead]), Promoted::No);
        let Promoted::Unlike(said) = take(&[other]) else { panic!("it follows another branch") };
        assert!(said.starts_with("source.git.branch: topic has `topic`, production has `main`"), "{said}");
    }

    const TIP: &str = "dddddddddddddddddddddddddddddddddddddddd";
    const OLD: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn entry(git: &Value) -> Entry {
        let mut source = json!({"url": "https://git.example.com/blog.git"});
        source.as_object_mut().expect("an object").extend(git.as_object().expect("an object").clone());
        let mut entry = Entry::new(&serde_json::from_value(source).expect("a repository"), "team");
        entry.refs = Some(Arc::new(Refs::parse(&format!(
            "ref: refs/heads/main\tHEAD\n{TIP}\tHEAD\n{TIP}\trefs/heads/main\n{COMMIT}\trefs/heads/side\n{OLD}\trefs/tags/v1.0.0\n"
        ))));
        entry
    }

    fn choose(entry: &mut Entry, revision: &str) -> Choice {
        let git = entry.git.clone();
        entry.choice(&git, revision, &[], Promoted::No, false)
    }

    fn refused(choice: &Choice, words: &str) {
        assert!(matches!(choice, Choice::Not(said) if said.contains(words)), "{choice:?}");
    }

    #[test]
    fn an_earlier_commit_of_the_branch_that_is_followed_may_be_chosen() {
        for git in [json!({}), json!({"branch": "main"})] {
            let mut entry = entry(&git);
            let Choice::Learn(tip) = choose(&mut entry, OLD) else { panic!("nobody has looked") };
            assert_eq!((tip.commit(), tip.reference()), (TIP, "refs/heads/main"));
            assert_eq!(choose(&mut entry, OLD), Choice::Looking);
            // What is permitted anyway does not wait for it.
            let taken = |name: &str, commit: &str, reference: &str| Choice::Taken {
                name: name.into(),
                commit: commit.into(),
                reference: reference.into(),
            };
            assert_eq!(choose(&mut entry, "main"), taken("main", TIP, "refs/heads/main"));
            let ours = entry.git.clone();
            let lived = entry.choice(&ours, OLD, &[OLD.into()], Promoted::No, false);
            assert_eq!(lived, taken("", OLD, ""));

            entry.histories.know(&tip, &[TIP, OLD]);
            assert_eq!(choose(&mut entry, OLD), taken("main", OLD, "refs/heads/main"));
            // The tip of another branch; by half its id; by a name that is none of a ref.
            for other in [COMMIT, &OLD[..12], "side", "v1.0.0", "HEAD~1"] {
                refused(
                    &choose(&mut entry, other),
                    "it permits main, the last 50 commits of a branch that it follows, ",
                );
            }
            // It may be about to be live at another Service.
            let ours = entry.git.clone();
            assert_eq!(entry.choice(&ours, COMMIT, &[], Promoted::No, true), Choice::Looking);
        }
    }

    #[test]
    fn whoever_wrote_a_tag_a_range_or_a_commit_means_no_other() {
        for git in [json!({"tag": "v1.0.0"}), json!({"semver": "^1"}), json!({"commit": OLD})] {
            refused(&choose(&mut entry(&git), TIP), &format!("{TIP} is not one that this Service permits"));
        }
    }

    #[test]
    fn commits_that_could_not_be_read_are_a_reason_that_is_told() {
        let mut entry = entry(&json!({}));
        let Choice::Learn(tip) = choose(&mut entry, OLD) else { panic!("nobody has looked") };
        entry.histories.fail(&tip, "no filters");
        refused(&choose(&mut entry, OLD), "those 50 could not be read: no filters");
    }
}
