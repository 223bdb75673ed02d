//! What is live at one Service, run at another one of the same namespace: which commit the other one may take. Pure; the
//! operator decides by it, and the API says by it beforehand what the operator would say.

use crate::source::Git;

/// Why a Service may not take what is live at another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// Which field is not the same: `source.git.branch`.
    pub field: &'static str,
    /// A sentence that says what to make equal.
    pub message: String,
}

/// The commit that a revision names: `main@sha1:4f2a…`, `sha1:4f2a…`. None: it does not come from Git.
pub fn commit(revision: &str) -> Option<&str> {
    split(revision).map(|(_, commit)| commit)
}

fn split(revision: &str) -> Option<(&str, &str)> {
    let (before, commit) = revision.rsplit_once("sha1:")?;
    let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    (is_commit && (before.is_empty() || before.ends_with('@')))
        .then(|| (before.trim_end_matches('@'), commit))
}

/// The commit that is live at one Service, if another one may take it: both read the same files of the same
/// repository and follow the same ref, so the other one has been there or will come there, too. `live` is the revision
/// that is live; the names are for the sentence.
pub fn taken<'a>(from: (&str, &Git, &'a str), to: (&str, &Git)) -> Result<&'a str, Unlike> {
    let ((origin, theirs, live), (target, ours)) = (from, to);
    let Some((name, commit)) = split(live) else {
        let message =
            format!("source: what is live at {origin} ({live}) does not come from Git, and {target} does");
        return Err(Unlike { field: "source", message });
    };
    let pairs = [
        ("source.git.url", Some(&theirs.url), Some(&ours.url)),
        ("source.git.path", theirs.path.as_ref(), ours.path.as_ref()),
        ("source.git.branch", theirs.branch.as_ref(), ours.branch.as_ref()),
        ("source.git.tag", theirs.tag.as_ref(), ours.tag.as_ref()),
        ("source.git.semver", theirs.semver.as_ref(), ours.semver.as_ref()),
        ("source.git.commit", theirs.commit.as_ref(), ours.commit.as_ref()),
    ];
    if let Some((field, theirs, ours)) = pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
        let word =
            |value: Option<&String>| value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
        let message = format!(
            "{field}: {origin} has {}, {target} has {}; write the same there, so that both follow the same",
            word(theirs),
            word(ours)
        );
        return Err(Unlike { field, message });
    }
    let sorted = |git: &Git| {
        let mut include = git.include.clone();
        include.sort();
        include
    };
    if sorted(theirs) != sorted(ours) {
        let field = "source.git.include";
        let message = format!("{field}: {origin} and {target} name different folders; write the same there");
        return Err(Unlike { field, message });
    }
    // It was live before its Service followed what it follows today.
    let followed = ours.branch.as_deref().or(ours.tag.as_deref());
    match followed.filter(|followed| !name.is_empty() && name != *followed) {
        Some(followed) => {
            let field = if ours.branch.is_some() { "source.git.branch" } else { "source.git.tag" };
            let message = format!(
                "{field}: what is live at {origin} came from {name}, and {target} follows {followed}; deploy {origin} from {followed} first"
            );
            Err(Unlike { field, message })
        }
        None => Ok(commit),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn git(more: &Value) -> Git {
        let mut git = json!({"url": "https://git.example.com/blog.git", "branch": "main", "path": "sites/blog", "include": ["a", "b"]});
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            git[key] = value;
        }
        serde_json::from_value(git).expect("a source")
    }

    #[test]
    fn who_follows_the_same_may_take_it_and_nobody_else() {
        let live = format!("main@sha1:{COMMIT}");
        let refused = |more: Value, live: &str| -> Result<String, &'static str> {
            let ours = git(&more);
            taken(("staging", &git(&json!({})), live), ("production", &ours))
                .map(ToOwned::to_owned)
                .map_err(|unlike| unlike.field)
        };
        assert_eq!(
            refused(json!({"include": ["b", "a"], "secretRef": {"name": "x"}, "interval": "1h"}), &live),
            Ok(COMMIT.into())
        );
        assert_eq!(refused(json!({}), &format!("sha1:{COMMIT}")), Ok(COMMIT.into()));
        for (more, field) in [
            (json!({"url": "https://git.example.com/other.git"}), "source.git.url"),
            (json!({"path": null}), "source.git.path"),
            (json!({"branch": "next"}), "source.git.branch"),
            (json!({"branch": null, "semver": "^1"}), "source.git.branch"),
            (json!({"branch": null}), "source.git.branch"),
            (json!({"include": ["a"]}), "source.git.include"),
        ] {
            assert_eq!(refused(more.clone(), &live), Err(field), "{more}");
        }
        // Live from before the Service followed main.
        assert_eq!(refused(json!({}), &format!("topic@sha1:{COMMIT}")), Err("source.git.branch"));
        for other in ["inline@sha256:abc", "", "main@sha1:abc", "sha1:"] {
            assert_eq!(refused(json!({}), other), Err("source"), "{other}");
        }
    }

    #[test]
    fn the_sentence_says_what_to_make_equal() {
        let (theirs, ours) = (git(&json!({})), git(&json!({"branch": null, "tag": "v1"})));
        let live = format!("main@sha1:{COMMIT}");
        let unlike = taken(("staging", &theirs, &live), ("production", &ours)).expect_err("another branch");
        assert_eq!(
            unlike.message,
            "source.git.branch: staging has `main`, production has nothing; write the same there, so that both follow the same"
        );
    }

    proptest! {
        #[test]
        fn any_revision_can_be_read(revision in ".*") {
            let _ = commit(&revision);
        }
    }
}
