//! What is promised in a list is looked at by some test: read from the sources, so that nobody has to remember.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crds::Reason;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CRATES: [&str; 9] =
    ["crds", "protocol", "store", "git", "operator", "runner", "api-server", "telemetry", "tests"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The parts of the sources that are tests.
fn tests() -> String {
    let mut files = Vec::new();
    for name in CRATES {
        for part in ["src", "tests"] {
            sources(&Path::new(ROOT).join(name).join(part), &mut files);
        }
    }
    // This file mentions some by name.
    files.retain(|path| !path.ends_with("tests/src/proof.rs"));
    let part = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let words = path.to_string_lossy();
        let whole = words.contains("/tests/") || words.ends_with("tests.rs") || words.contains("/simulation");
        let begin = if whole { Some(0) } else { text.find("#[cfg(test)]") };
        begin.map(|begin| text[begin..].to_owned())
    };
    files.iter().filter_map(part).collect()
}

fn mentions(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

#[test]
fn every_reason_is_provoked_by_some_test() {
    let tests = tests();
    let never: Vec<_> =
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !mentions(&tests, reason)).collect();
    assert!(
        never.is_empty(),
        "no test mentions {never:?}: provoke them, or take them out of crds/src/reasons.rs"
    );
}

/// docs/checklist.md and docs/security.md name tests; a test that was renamed is looked for in vain.
#[test]
fn every_test_that_the_docs_name_is_there() {
    let tests = tests();
    for page in ["checklist.md", "security.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join("docs").join(page)).expect("a page");
        let rows = text.lines().filter(|line| line.starts_with('|'));
        let named = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|word| {
            word.contains('_')
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        let stories: Vec<PathBuf> = {
            let mut files = Vec::new();
            sources(&Path::new(ROOT).join("tests/tests"), &mut files);
            files
        };
        let is_story =
            |word: &str| stories.iter().any(|path| path.file_stem().is_some_and(|stem| stem == word));
        let missing: Vec<_> =
            named.filter(|word| !is_story(word) && !tests.contains(&format!("fn {word}("))).collect();
        assert!(missing.is_empty(), "docs/{page} names tests that are not there: {missing:?}");
    }
}
