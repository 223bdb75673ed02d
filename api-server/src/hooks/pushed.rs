//! What was pushed, as each sender writes it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// Something was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The addresses of the repository, each [`normal`].
    pub repositories: Vec<String>,
    /// The branch or tag, as far as it is said.
    pub revision: Option<String>,
}

/// Where addresses of the repository stand: GitHub, Gitea and Forgejo; GitLab; and what others may write.
const PLACES: [&str; 10] = [
    "/repository/clone_url",
    "/repository/ssh_url",
    "/repository/html_url",
    "/repository/git_url",
    "/project/git_http_url",
    "/project/git_ssh_url",
    "/repository/git_http_url",
    "/repository/git_ssh_url",
    "/repository",
    "/data/repository",
];
/// Longest address or ref that is looked at, in bytes.
const LONGEST: usize = 1_000;

/// None: it is about something else, for example a ping.
pub fn read(body: &[u8]) -> Result<Option<Push>, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("Send JSON, not a form: {error}."))?;
    // A push has a ref everywhere; what others send needs none.
    let plain = body["repository"].is_string() || body["data"]["repository"].is_string();
    let revision = body["ref"].as_str().filter(|text| text.len() <= LONGEST).map(ToOwned::to_owned);
    if !plain && revision.is_none() {
        return Ok(None);
    }
    let found = PLACES.iter().filter_map(|place| body.pointer(place).and_then(Value::as_str));
    let found: BTreeSet<String> = found
        .filter(|url| url.len() <= LONGEST)
        .map(normal)
        .filter(|url| url.split_once('/').is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()))
        .collect();
    if found.is_empty() {
        return Err("repository: write the address that Services have in source.git.url.".to_owned());
    }
    Ok(Some(Push { repositories: found.into_iter().collect(), revision }))
}

/// `host/path` of an address, by whatever way: HTTPS and SSH of the same repository are the same.
pub fn normal(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let with_scheme = rest.len() != url.len();
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) if with_scheme || !host.contains(':') => (host, path),
        // git@host:path
        _ => rest.split_once(':').unwrap_or((rest, "")),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    // An IPv6 address has colons of its own.
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    format!("{host}/{path}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_repository_has_many_addresses() {
        for url in [
            "https://git.example.com/team/blog.git",
            "https://git.example.com/team/blog",
            "https://user@git.example.com:8443/team/blog.git/",
            "ssh://git@git.example.com:2222/team/blog.git",
            "git@git.example.com:team/blog.git",
            "git@git.example.com:/team/blog",
            "HTTPS://GIT.example.com/Team/Blog",
        ] {
            assert_eq!(normal(url), "git.example.com/team/blog", "{url}");
        }
        for other in [
            "https://git.example.com/team/blog2",
            "https://evil.example/git.example.com/team/blog",
            "https://git.example.com@evil.example/team/blog",
        ] {
            assert_ne!(normal(other), "git.example.com/team/blog", "{other}");
        }
    }

    #[test]
    fn each_sender_writes_it_in_its_own_place() {
        let read = |text: &str| read(text.as_bytes());
        let github = r#"{"ref": "refs/heads/main", "repository": {"clone_url": "https://github.com/a/b.git", "ssh_url": "git@github.com:a/b.git"}}"#;
        let found = read(github).unwrap().unwrap();
        assert_eq!(
            (found.repositories, found.revision.as_deref()),
            (vec!["github.com/a/b".to_owned()], Some("refs/heads/main"))
        );
        let gitlab = r#"{"ref": "refs/tags/v1", "project": {"git_http_url": "https://gl.example/a/b/c.git"}, "repository": {"git_ssh_url": "git@gl.example:a/b/c.git"}}"#;
        assert_eq!(read(gitlab).unwrap().unwrap().repositories, ["gl.example/a/b/c"]);
        assert_eq!(
            read(r#"{"repository": "https://x.example/y"}"#).unwrap().unwrap().repositories,
            ["x.example/y"]
        );
        assert_eq!(
            read(r#"{"zen": "Keep it simple", "repository": {"clone_url": "https://github.com/a/b"}}"#),
            Ok(None)
        );
        for wrong in ["", "payload=%7B", r#"{"ref": "x"}"#, r#"{"repository": "blog"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(text in ".{0,200}") {
            let _ = read(text.as_bytes());
            let _ = normal(&text);
            let _ = read(serde_json::json!({"ref": text.clone(), "repository": {"ssh_url": text}}).to_string().as_bytes());
        }
    }
}
