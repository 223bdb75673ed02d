//! Branches and tags, and which of them is meant. Pure.

use semver::{Version, VersionReq};
use sha2::{Digest, Sha256};

use crate::Error;

/// A branch or a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `refs/heads/…`
    Branch,
    /// `refs/tags/…`
    Tag,
}

impl Kind {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }
}

/// One ref.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ref {
    /// What it is.
    pub kind: Kind,
    /// Its short name: `main`, `v1.2.0`.
    pub name: String,
    /// The commit that it means: that of an annotated tag is peeled.
    pub commit: String,
}

/// All refs of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// The branch that the repository calls its own.
    pub default_branch: Option<String>,
    /// Sorted by kind and name, each once.
    pub list: Vec<Ref>,
}

/// Which commit is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The repository's own branch.
    Default,
    /// The newest commit of a branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// The highest version among the tags that is in this range.
    Semver(String),
    /// Exactly this commit, by its whole id.
    Commit(String),
}

impl Refs {
    /// Reads what `git ls-remote --symref` prints.
    pub fn parse(text: &str) -> Self {
        let mut refs = Self::default();
        let mut peeled = Vec::new();
        for (left, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if let (Some(target), "HEAD") = (left.strip_prefix("ref: refs/heads/"), name) {
                refs.default_branch = Some(target.to_owned());
            } else if !is_commit(left) {
            } else if let Some(name) = name.strip_prefix("refs/heads/") {
                refs.list.push(Ref { kind: Kind::Branch, name: name.into(), commit: left.into() });
            } else if let Some(name) = name.strip_prefix("refs/tags/") {
                match name.strip_suffix("^{}") {
                    Some(name) => peeled.push((name.to_owned(), left.to_owned())),
                    None => refs.list.push(Ref { kind: Kind::Tag, name: name.into(), commit: left.into() }),
                }
            }
        }
        refs.list.sort();
        for (name, commit) in peeled {
            let of_name = |r: &&mut Ref| r.kind == Kind::Tag && r.name == name;
            if let Some(tag) = refs.list.iter_mut().find(of_name) {
                tag.commit = commit;
            }
        }
        refs
    }

    /// The commit of a branch or tag.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Ref> {
        self.list.iter().find(|r| r.kind == kind && r.name == name)
    }

    /// All refs that a selector permits. The one that it means is the last.
    pub fn permitted(&self, selector: &Selector) -> Result<Vec<&Ref>, Error> {
        Ok(match selector {
            Selector::Commit(_) => Vec::new(),
            Selector::Default => {
                let branch = self.default_branch.as_deref();
                branch.and_then(|name| self.find(Kind::Branch, name)).into_iter().collect()
            }
            Selector::Branch(name) => self.find(Kind::Branch, name).into_iter().collect(),
            Selector::Tag(name) => self.find(Kind::Tag, name).into_iter().collect(),
            Selector::Semver(range) => {
                let range = parse_range(range)?;
                let tags = self.list.iter().filter(|r| r.kind == Kind::Tag);
                let mut versions: Vec<_> = tags
                    .filter_map(|tag| Some((parse_version(&tag.name)?, tag)))
                    .filter(|(version, _)| range.matches(version))
                    .collect();
                versions.sort();
                versions.into_iter().map(|(_, tag)| tag).collect()
            }
        })
    }

    /// The name and the commit that a selector means.
    pub fn resolve(&self, selector: &Selector) -> Result<(String, String), Error> {
        if let Selector::Commit(commit) = selector {
            return Ok((String::new(), commit.clone()));
        }
        if let Some(found) = self.permitted(selector)?.last() {
            return Ok((found.name.clone(), found.commit.clone()));
        }
        let some = |kind| {
            let names: Vec<_> =
                self.list.iter().filter(|r| r.kind == kind).take(5).map(|r| r.name.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        Err(Error::NotFound(match selector {
            Selector::Default | Selector::Commit(_) => "the repository is empty: it has no branch yet".into(),
            Selector::Branch(name) => {
                format!("the repository has no branch {name}; it has {}", some(Kind::Branch))
            }
            Selector::Tag(name) => format!("the repository has no tag {name}; it has {}", some(Kind::Tag)),
            Selector::Semver(range) => {
                format!("no tag of the repository is a version in {range}; it has {}", some(Kind::Tag))
            }
        }))
    }

    /// A hash over all of it: another one says that something changed.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.default_branch.as_deref().unwrap_or_default());
        for Ref { kind, name, commit } in &self.list {
            hash.update(format!("\n{} {name} {commit}", kind.as_str()));
        }
        hex::encode(hash.finalize())
    }
}

/// The whole id of a commit: SHA-1 or SHA-256, in lower case.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A range as people write it: `1.x`, `^1.2`, `>=1.0 <2.0`, `>=1.0, <2.0`.
pub fn parse_range(text: &str) -> Result<VersionReq, Error> {
    let mut comparators: Vec<String> = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match comparators.last_mut() {
            // `>= 1.0`: the operator stands alone.
            Some(last) if last.chars().all(|c| "<>=~^".contains(c)) => last.push_str(word),
            _ => comparators.push(word.to_owned()),
        }
    }
    VersionReq::parse(&comparators.join(", ")).map_err(|error| {
        Error::Invalid(format!(
            "`{text}` is not a range of versions ({error}); write for example ^1.2 or >=1.0 <2.0"
        ))
    })
}

/// `v1.2.3`, `1.2.3`, `v1.2`.
fn parse_version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    Version::parse(text).ok().or_else(|| {
        let short = text.split('.').count() == 2 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        short.then(|| Version::parse(&format!("{text}.0")).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn refs() -> Refs {
        Refs::parse(&format!(
            "ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/main\n{B}\trefs/heads/feature/x\n\
             {B}\trefs/tags/v1.2.0\n{C}\trefs/tags/v1.2.0^{{}}\n{A}\trefs/tags/v1.10.0\n{A}\trefs/tags/v2.0.0\n\
             {A}\trefs/tags/v2.1.0-rc.1\n{B}\trefs/tags/nightly\n{B}\trefs/pull/1/head\nnonsense\n"
        ))
    }

    #[test]
    fn each_selector_finds_what_it_means() {
        for (selector, name, commit) in [
            (Selector::Default, "main", A),
            (Selector::Branch("feature/x".into()), "feature/x", B),
            (Selector::Tag("v1.2.0".into()), "v1.2.0", C),
            (Selector::Semver("^1".into()), "v1.10.0", A),
            (Selector::Semver(">= 1.0 < 1.5".into()), "v1.2.0", C),
            (Selector::Semver("*".into()), "v2.0.0", A),
            (Selector::Commit(B.into()), "", B),
        ] {
            assert_eq!(refs().resolve(&selector), Ok((name.into(), commit.into())), "{selector:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        for (selector, word) in [
            (Selector::Branch("master".into()), "no branch master; it has feature/x, main"),
            (Selector::Tag("v9".into()), "no tag v9; it has nightly"),
            (Selector::Semver("^3".into()), "version in ^3"),
        ] {
            let error = refs().resolve(&selector).expect_err("not there");
            assert!(matches!(&error, Error::NotFound(m) if m.contains(word)), "{error:?}");
        }
        assert!(matches!(Refs::default().resolve(&Selector::Default), Err(Error::NotFound(_))));
        assert!(matches!(refs().resolve(&Selector::Semver("latest".into())), Err(Error::Invalid(_))));
    }

    #[test]
    fn a_range_permits_all_that_is_in_it() {
        let refs = refs();
        let permitted = refs.permitted(&Selector::Semver(">=1.2".into())).expect("a range");
        let names: Vec<_> = permitted.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["v1.2.0", "v1.10.0", "v2.0.0"]);
    }

    #[test]
    fn the_fingerprint_follows_every_ref() {
        let mut other = refs();
        assert_eq!(other.fingerprint(), refs().fingerprint());
        other.list[0].commit = C.into();
        assert_ne!(other.fingerprint(), refs().fingerprint());
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", range in ".*") {
            let refs = Refs::parse(&text);
            let _ = refs.resolve(&Selector::Semver(range));
        }
    }
}
