//! A revision that somebody chose, instead of the one that is wanted. Pure.

use crds::{Service, promotion, source::Git};
use kube::ResourceExt;

use super::{Entry, selector};

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
    /// It may not be chosen: why.
    Not(String),
}

impl Entry {
    /// One of the refs that the Service permits, by its name or its commit, a commit of `lived`, which were live, or one that
    /// is live at a Service that follows the same. `patient`: what is not known may have come a moment ago.
    pub(super) fn choice(
        &self,
        git: &Git,
        revision: &str,
        lived: &[String],
        others: Promoted,
        patient: bool,
    ) -> Choice {
        let Some(refs) = &self.refs else { return Choice::Looking };
        let permitted = refs.permitted(&selector(git)).unwrap_or_default();
        if let Some(found) = permitted.iter().rfind(|r| r.name == revision || r.commit == revision) {
            let folder = if found.kind == git::Kind::Tag { "tags" } else { "heads" };
            return Choice::Taken {
                name: found.name.clone(),
                commit: found.commit.clone(),
                reference: format!("refs/{folder}/{}", found.name),
            };
        }
        if lived.iter().any(|commit| commit == revision) || others == Promoted::Yes {
            return Choice::Taken {
                name: String::new(),
                commit: revision.to_owned(),
                reference: String::new(),
            };
        }
        if git::is_commit(revision) && patient {
            return Choice::Looking;
        }
        if let Promoted::Unlike(message) = others {
            return Choice::Not(message);
        }
        let names: Vec<_> = permitted.iter().map(|r| r.name.as_str()).collect();
        Choice::Not(refusal(revision, &names))
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

/// Why a revision is not one to choose. `permitted`: names of refs, the one that is followed last. Pure.
fn refusal(revision: &str, permitted: &[&str]) -> String {
    let names: String = permitted.iter().rev().take(5).flat_map(|name| [name, ", "]).collect();
    format!(
        "{revision} is not one that this Service permits; it permits {names}commits that were live, and what is live at a \
         Service of this namespace that follows the same"
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

    fn choose(git: &Value, revision: &str, lived: &[&str], patient: bool) -> Choice {
        let entry = entry(git);
        let lived: Vec<_> = lived.iter().map(|commit| (*commit).to_owned()).collect();
        entry.choice(&entry.git, revision, &lived, Promoted::No, patient)
    }

    fn taken(name: &str, commit: &str, reference: &str) -> Choice {
        Choice::Taken { name: name.into(), commit: commit.into(), reference: reference.into() }
    }

    #[test]
    fn a_ref_that_matches_may_be_chosen_and_what_was_live() {
        for git in [json!({}), json!({"branch": "main"})] {
            for revision in ["main", TIP] {
                assert_eq!(choose(&git, revision, &[], false), taken("main", TIP, "refs/heads/main"));
            }
        }
        for git in [json!({"tag": "v1.0.0"}), json!({"semver": "^1"})] {
            for revision in ["v1.0.0", OLD] {
                assert_eq!(choose(&git, revision, &[], false), taken("v1.0.0", OLD, "refs/tags/v1.0.0"));
            }
            assert_eq!(choose(&git, COMMIT, &[TIP, COMMIT], false), taken("", COMMIT, ""));
        }
        // It may be about to be live at another Service.
        assert_eq!(choose(&json!({}), COMMIT, &[], true), Choice::Looking);
    }

    #[test]
    fn nothing_else_may_be_chosen() {
        for (git, permits) in [
            (json!({}), "it permits main, commits that were live"),
            (json!({"branch": "side"}), "it permits side, commits that were live"),
            (json!({"semver": "^1"}), "it permits v1.0.0, commits that were live"),
            (json!({"commit": COMMIT}), "it permits commits that were live"),
        ] {
            // A commit that no ref names; half an id; no name of a ref.
            for revision in ["e".repeat(40).as_str(), &TIP[..12], "HEAD~1", "v0"] {
                let said = choose(&git, revision, &[], false);
                assert!(matches!(&said, Choice::Not(said) if said.contains(permits)), "{revision}: {said:?}");
            }
        }
        // What other refs of the repository name.
        for (git, revision) in [
            (json!({}), OLD),
            (json!({}), "side"),
            (json!({}), "v1.0.0"),
            (json!({"branch": "side"}), TIP),
            (json!({"semver": "^2"}), OLD),
            (json!({"commit": COMMIT}), TIP),
        ] {
            assert!(matches!(choose(&git, revision, &[], false), Choice::Not(_)), "{git}: {revision}");
        }
    }
}
