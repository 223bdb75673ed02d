//! The last commits of a ref, for people who choose one. What authors wrote is what strangers wrote: short, on one line, and
//! without a sign that a terminal or a page would obey.

use std::time::Duration;

use crate::{
    Error, Remote, program,
    refs::is_commit,
    remote::{by_name_only, own_fault},
};

/// So many commits of a ref are told, at most.
pub const MOST: usize = 50;

/// What git says where a server would send all files with the commits.
const NO_FILTERS: &str = "filtering not recognized by server";

/// The last second of the year 9999, nearly: what clocks of authors say later than that, or before 1970, is nonsense.
const LAST_SECOND: i64 = 253_402_207_200;

/// A commit, as people tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its whole id.
    pub commit: String,
    /// The first line of its message, at most 200 characters; may be empty.
    pub subject: String,
    /// Who wrote it, as they call themselves, at most 100 characters; may be empty. Addresses are nobody's business.
    pub author: String,
    /// When it was committed, by the clock of whoever did, in seconds since 1970.
    pub at: i64,
}

impl Remote {
    /// The last commits of a ref, newest first: `commit`, the one before it on the same branch, and so on, at most [`MOST`].
    ///
    /// Only first parents are followed: these are the states that the branch itself had. What lies within a branch that was
    /// merged was never one of them, and may be something that nobody who reviewed the merge has seen.
    ///
    /// This is not a part of what `look_up` fetches, although one connection would do: a depth counts along *all* parents, so
    /// that with many merges it is thousands of commits, and there their trees would come, too, while a run waits for it.
    /// Here only commits come, and nobody waits. A server that cannot leave files out is not asked to send them.
    pub fn history(&self, commit: &str, reference: &str, within: Duration) -> Result<Vec<Committed>, Error> {
        let desk = self.desk()?;
        let temporary = tempfile::tempdir().map_err(|error| own_fault(&error))?;
        let folder = temporary.path();
        self.begin(&desk, folder, commit, within)?;
        let depth = format!("--depth={MOST}");
        let fetch = |what: &str| {
            let arguments = [
                // An old commit with a crooked line is none of ours to refuse: nothing of it is used but these words.
                "-c",
                "fetch.fsckObjects=false",
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-recurse-submodules",
                &depth,
                "--filter=tree:0",
                "origin",
                what,
            ];
            program::git_unless(Some(NO_FILTERS), &desk, folder, within, &arguments)
        };
        let mut answer = fetch(commit)?;
        if !answer.success && by_name_only(&answer) && !reference.is_empty() {
            answer = fetch(reference)?;
        }
        if answer.stderr.contains(NO_FILTERS) {
            return Err(Error::Unavailable("the server cannot send commits without their files".into()));
        }
        self.text(answer)?;
        let most = format!("--max-count={MOST}");
        let format = "--format=%H%x00%ct%x00%an%x00%s";
        let log = program::git(
            &desk,
            folder,
            within,
            &["log", "-z", "--first-parent", "--encoding=UTF-8", &most, format, commit, "--"],
        )?;
        Ok(parse(&self.text(log)?))
    }
}

/// Reads what `git log` prints: id, time, author and subject, each with a NUL behind it. What looks otherwise ends it. Pure.
fn parse(text: &str) -> Vec<Committed> {
    let mut fields = text.split('\0');
    let next = move || {
        let commit = fields.next().filter(|commit| is_commit(commit))?.to_owned();
        let at = fields.next()?.parse::<i64>().ok()?.clamp(0, LAST_SECOND);
        let author = words(fields.next()?, 100);
        let subject = words(fields.next()?, 200);
        Some(Committed { commit, subject, author, at })
    };
    std::iter::from_fn(next).take(MOST).collect()
}

/// What a stranger wrote, as so many plain characters at most.
fn words(text: &str, most: usize) -> String {
    // Those that turn the direction of reading show another text than the one that is there.
    let obeyed = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = text.chars().map(|c| if c.is_control() || obeyed(c) { ' ' } else { c });
    let short: String = plain.skip_while(|c| c.is_whitespace()).take(most).collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::{Repository, SOON};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn told(commits: &[Committed]) -> Vec<&str> {
        commits.iter().map(|commit| commit.subject.as_str()).collect()
    }

    #[test]
    fn whatever_strangers_write_is_short_and_plain() {
        for (author, subject, expected) in [
            ("Ann", "Fix the footer", ("Ann", "Fix the footer")),
            ("", "", ("", "")),
            (" \t ", "\ttab\tand\nline\r\n", ("", "tab and line")),
            ("\u{1b}[31mred", "a\u{7f}b\u{85}c", ("[31mred", "a b c")),
            ("\u{202e}nnA", "safe \u{2066}not\u{2069} this", ("nnA", "safe  not  this")),
            ("\u{fffd}\u{fffd}", "Grüße 👩‍👩‍👧", ("\u{fffd}\u{fffd}", "Grüße 👩‍👩‍👧")),
        ] {
            let found = parse(&format!("{A}\x001764460800\0{author}\0{subject}\0"));
            let seen: Vec<_> = found.iter().map(|c| (c.author.as_str(), c.subject.as_str())).collect();
            assert_eq!(seen, [expected], "{author:?} {subject:?}");
        }
        let long = "ü".repeat(1_000_000);
        let found = parse(&format!("{A}\x00-5\0{long}\0{long}\0{A}\x0099999999999999\0x\0y\0"));
        assert_eq!((found[0].author.chars().count(), found[0].subject.chars().count()), (100, 200));
        assert_eq!((found[0].at, found[1].at), (0, LAST_SECOND));
    }

    #[test]
    fn what_does_not_look_like_a_commit_ends_it() {
        let one = format!("{A}\x001\0Ann\0One\0");
        for rest in
            ["", "\0", "not an id\x001\0x\0y\0", &format!("{A}\0today\0x\0y\0"), &format!("{A}\x001\0x")]
        {
            assert_eq!(told(&parse(&format!("{one}{rest}"))), ["One"], "{rest:?}");
        }
        assert_eq!(parse(&one.repeat(MOST + 9)).len(), MOST);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", author in ".*", subject in ".*") {
            let _ = parse(&text);
            let found = parse(&format!("{A}\x001\0{author}\0{subject}\0"));
            prop_assert!(found.iter().all(|c| !c.author.chars().chain(c.subject.chars()).any(char::is_control)));
        }
    }

    #[test]
    fn the_states_of_a_branch_are_told_newest_first() {
        let repository = Repository::new();
        repository.git(&["config", "uploadpack.allowFilter", "true"]);
        let first = repository.commit("deploy.yml", "1");
        repository.git(&["checkout", "--quiet", "-b", "side"]);
        let within = repository.commit("side.yml", "2");
        repository.git(&["checkout", "--quiet", "main"]);
        repository.git(&["merge", "--quiet", "--no-ff", "--message", "Merge side", "side"]);
        repository.git(&["commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message", ""]);
        let tip = repository.git(&["rev-parse", "HEAD"]);
        let remote = repository.remote();
        let found = remote.history(&tip, "refs/heads/main", SOON).expect("commits");
        assert_eq!(told(&found), ["", "Merge side", "Change deploy.yml"]);
        assert_eq!((&found[0].commit, &found[2].commit), (&tip, &first));
        assert!(
            found.iter().all(|c| c.author == "t" && c.at > 1_700_000_000 && c.commit != within),
            "{found:?}"
        );

        // As far as the depth goes, and with the words of another age.
        for n in 0..MOST {
            repository.git(&[
                "commit",
                "--quiet",
                "--allow-empty",
                "--message",
                &format!("Number {n}\n\nmore"),
            ]);
        }
        repository.git(&[
            "-c",
            "i18n.commitEncoding=ISO-8859-1",
            "commit",
            "--quiet",
            "--allow-empty",
            "--author",
            "\u{1b}]0;x <>",
            "--message",
            "bytes of no encoding: ü",
        ]);
        let tip = repository.git(&["rev-parse", "HEAD"]);
        let found = remote.history(&tip, "", SOON).expect("commits");
        assert_eq!((found.len(), found[1].subject.as_str()), (MOST, "Number 49"));
        assert_eq!((found[0].author.as_str(), found[49].subject.as_str()), ("]0;x", "Number 1"));
        assert!(found[0].subject.starts_with("bytes of no encoding: "), "{:?}", found[0]);
    }

    #[test]
    fn a_server_that_would_send_the_files_is_not_asked_for_them() {
        let repository = Repository::new();
        let tip = repository.commit("deploy.yml", "1");
        let Err(Error::Unavailable(said)) = repository.remote().history(&tip, "refs/heads/main", SOON) else {
            panic!("it knows no filters")
        };
        assert_eq!(said, "the server cannot send commits without their files");
        repository.git(&["config", "uploadpack.allowFilter", "true"]);
        let gone = repository.remote().history(&"0".repeat(40), "refs/heads/main", SOON);
        assert!(gone.is_err(), "{gone:?}");
        let bad = repository.remote().history("main", "", SOON);
        assert!(matches!(bad, Err(Error::Invalid(_))), "{bad:?}");
    }
}
