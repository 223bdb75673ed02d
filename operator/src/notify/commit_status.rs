//! The mark beside a commit at GitHub, GitLab and Gitea. Pure.

use crds::{events::EventType, notify::Provider};
use http::{Request, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::deliveries::Due;

use super::words::{self, PLAIN};

/// Bytes of a description that all of them take.
const DESCRIPTION: usize = 140;

/// A repository, by the address that it is fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// `github.com`.
    pub host: String,
    /// `owner/name`; at GitLab there may be groups before.
    pub path: String,
}

impl Repository {
    /// `https://github.com/owner/name.git`, `ssh://git@github.com/owner/name`, `git@github.com:owner/name.git`.
    pub fn of(url: &str) -> Option<Self> {
        let (host, path) = match url.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?,
            None => url.split_once(':')?,
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        // The port of ssh, or of another server than the API's: a Secret's `url` says where that is.
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let path = path.trim_matches('/').trim_end_matches(".git");
        let sound = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
        let names = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        (names && path.contains('/') && path.chars().all(sound) && !host.is_empty())
            .then(|| Self { host: host.to_owned(), path: path.to_owned() })
    }
}

/// The commit of a revision: `main@sha1:…`, or the id alone.
pub fn commit(revision: &str) -> Option<&str> {
    let id = revision.rsplit([':', '@']).next()?;
    (matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

/// What an event makes of the mark; none where it says nothing of a run.
pub fn state(provider: Provider, event: &str) -> Option<&'static str> {
    let of = |others: &'static str, gitlab: &'static str| {
        Some(if provider == Provider::GitLab { gitlab } else { others })
    };
    match EventType::parse(event)? {
        EventType::DeploymentRequested | EventType::DeploymentAwaitingApproval => of("pending", "pending"),
        EventType::DeploymentStarted => of("pending", "running"),
        EventType::DeploymentFinished => of("success", "success"),
        EventType::DeploymentFailed => of("failure", "failed"),
        EventType::DeploymentCancelled => of("error", "canceled"),
        _ => None,
    }
}

/// Whether the mark stays: one of a run under way that arrives late would stand over the verdict.
pub fn is_final(event: &str) -> bool {
    !matches!(state(Provider::GitLab, event), Some("pending" | "running"))
}

/// The request that writes it. `base`: where the API is, unless where the program has it by default.
pub fn request(
    provider: Provider,
    repository: &Repository,
    due: &Due,
    token: &str,
    base: Option<&str>,
) -> Result<Request<Vec<u8>>, String> {
    let state = state(provider, &due.event).ok_or("this event says nothing of a commit")?;
    let commit = due.data["revision"].as_str().and_then(commit).ok_or("the run has no commit")?;
    let Repository { host, path } = repository;
    let base = match (base, provider) {
        (Some(base), _) => base.trim_end_matches('/').to_owned(),
        (None, Provider::GitHub) if host == "github.com" => "https://api.github.com".to_owned(),
        (None, Provider::GitHub) => format!("https://{host}/api/v3"),
        (None, Provider::GitLab) => format!("https://{host}/api/v4"),
        (None, Provider::Gitea) => format!("https://{host}/api/v1"),
    };
    let url = match provider {
        Provider::GitLab => format!("{base}/projects/{}/statuses/{commit}", path.replace('/', "%2F")),
        Provider::GitHub | Provider::Gitea => format!("{base}/repos/{path}/statuses/{commit}"),
    };
    // One mark for each Service that deploys this commit.
    let name = format!("fastdeploy/{}/{}", due.namespace, due.service);
    let mut body = json!({"state": state, "description": description(due)});
    let (key, authorization) = match provider {
        Provider::GitLab => ("name", ("private-token", token.to_owned())),
        Provider::GitHub => ("context", (header::AUTHORIZATION.as_str(), format!("Bearer {token}"))),
        Provider::Gitea => ("context", (header::AUTHORIZATION.as_str(), format!("token {token}"))),
    };
    body[key] = Value::String(name);
    Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("fastdeploy/", env!("CARGO_PKG_VERSION")))
        .header(authorization.0, authorization.1)
        .body(body.to_string().into_bytes())
        .map_err(|_| {
            "the Secret's url is not an address, or its token has characters that none has".to_owned()
        })
}

fn description(due: &Due) -> String {
    let mut text = words::sentence(due, &PLAIN);
    if text.len() > DESCRIPTION {
        text.truncate(text.floor_char_boundary(DESCRIPTION - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::tests::due, *};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn told(provider: Provider, event: &str, base: Option<&str>) -> (String, Value, http::HeaderMap) {
        let due = due(event, json!({"number": 3, "revision": format!("main@sha1:{COMMIT}")}));
        let host = if provider == Provider::GitHub { "github.com" } else { "git.example.com" };
        let repository = Repository { host: host.into(), path: "web/blog".into() };
        let request = request(provider, &repository, &due, "t0ken", base).unwrap();
        let body = serde_json::from_slice(request.body()).unwrap();
        (request.uri().to_string(), body, request.headers().clone())
    }

    #[test]
    fn each_program_is_told_in_its_own_words() {
        let (url, body, headers) = told(Provider::GitHub, "deployment.finished", None);
        assert_eq!(url, format!("https://api.github.com/repos/web/blog/statuses/{COMMIT}"));
        assert_eq!(
            body,
            json!({"state": "success", "context": "fastdeploy/team/blog", "description": "blog #3 (team) is live."})
        );
        assert_eq!(headers["authorization"], "Bearer t0ken");

        let (url, body, headers) = told(Provider::GitLab, "deployment.failed", None);
        assert_eq!(url, format!("https://git.example.com/api/v4/projects/web%2Fblog/statuses/{COMMIT}"));
        assert_eq!((&body["state"], &body["name"]), (&json!("failed"), &json!("fastdeploy/team/blog")));
        assert_eq!(headers["private-token"], "t0ken");

        let (url, body, headers) =
            told(Provider::Gitea, "deployment.started", Some("http://gitea.inside:3000/api/v1/"));
        assert_eq!(url, format!("http://gitea.inside:3000/api/v1/repos/web/blog/statuses/{COMMIT}"));
        assert_eq!(body["state"], "pending");
        assert_eq!(headers["authorization"], "token t0ken");
    }

    #[test]
    fn a_repository_is_known_by_any_of_its_addresses() {
        for url in [
            "https://github.com/web/blog.git",
            "https://github.com/web/blog/",
            "https://x:y@github.com:8443/web/blog",
            "ssh://git@github.com:22/web/blog.git",
            "git@github.com:web/blog.git",
        ] {
            let expected = Repository { host: "github.com".into(), path: "web/blog".into() };
            assert_eq!(Repository::of(url), Some(expected), "{url}");
        }
        for url in [
            "",
            "https://github.com",
            "https://github.com/blog",
            "https://h/../x",
            "https://h/a/b?c=d",
            "file:///a/b",
        ] {
            assert_eq!(Repository::of(url), None, "{url}");
        }
    }

    #[test]
    fn a_long_story_is_cut_between_characters() {
        let due = due("deployment.failed", json!({"failure": {"message": "ü".repeat(200)}}));
        let text = description(&due);
        assert!(text.len() <= DESCRIPTION && text.ends_with('…'), "{text}");
    }

    #[test]
    fn a_token_that_is_no_header_is_refused() {
        let due = due("deployment.finished", json!({"revision": COMMIT}));
        let repository = Repository::of("https://github.com/web/blog").unwrap();
        let error = request(Provider::GitHub, &repository, &due, "a\nb", None).unwrap_err();
        assert!(!error.contains("a\nb"), "{error}");
        assert!(
            request(
                Provider::GitHub,
                &repository,
                &super::super::tests::due("drift.found", json!({})),
                "t",
                None
            )
            .is_err()
        );
    }

    #[test]
    fn a_verdict_stays_and_what_is_under_way_does_not() {
        assert!(
            is_final("deployment.failed")
                && is_final("deployment.finished")
                && is_final("deployment.cancelled")
        );
        assert!(!is_final("deployment.started") && !is_final("deployment.requested"));
    }
}
