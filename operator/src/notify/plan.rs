//! Who is told what, and when it is tried again. Pure.

use crds::notify::{Notify, Provider};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{
    deliveries::{NewDelivery, Outcome},
    outbox::Stored,
};

use super::commit_status::{self, Repository};

/// After each try that failed: how long until the next one. Fifteen hours in all.
const PAUSES: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(4),
    SignedDuration::from_hours(8),
];

/// An entry of `spec.notify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What kind of receiver it is.
    pub kind: Kind,
    /// The Secret with its address.
    pub secret: String,
}

/// What kind of receiver it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program, by CloudEvents.
    Webhook,
    /// A chat.
    Slack,
    /// People, at these addresses.
    Email(Vec<String>),
    /// The commit of this repository.
    CommitStatus(Provider, Repository),
}

impl Entry {
    /// Reads one; `repository` beside it is where the Service's source was when the event was told.
    pub fn read(entry: &Value) -> Option<Self> {
        let repository = || serde_json::from_value(entry["repository"].clone()).ok();
        let Notify { webhook, slack, email, commit_status, .. } =
            serde_json::from_value(entry.clone()).ok()?;
        let (kind, secret) = match (webhook, slack, email, commit_status) {
            (Some(channel), None, None, None) => (Kind::Webhook, channel.secret_ref),
            (None, Some(channel), None, None) => (Kind::Slack, channel.secret_ref),
            (None, None, Some(email), None) => (Kind::Email(email.to), email.secret_ref),
            (None, None, None, Some(status)) => {
                (Kind::CommitStatus(status.provider, repository()?), status.secret_ref)
            }
            _ => return None,
        };
        Some(Self { kind, secret: secret.name })
    }

    fn target(&self) -> String {
        let kind = match self.kind {
            Kind::Webhook => "webhook",
            Kind::Slack => "slack",
            Kind::Email(_) => "email",
            Kind::CommitStatus(..) => "commitStatus",
        };
        format!("{kind}/{}", self.secret)
    }

    /// Of the commit only a run says something, and only of one that it has.
    fn concerns(&self, event: &Stored) -> bool {
        let Kind::CommitStatus(provider, _) = self.kind else { return true };
        let commit = event.data["revision"].as_str().and_then(commit_status::commit);
        commit.is_some() && commit_status::state(provider, &event.event).is_some()
    }
}

/// Who is told of an event, by its Service: `{notify, url}`, the second of its repository. Previews and
/// drift checks change nothing, and are nobody's news.
pub fn wanted(event: &Stored, service: &Value) -> Vec<NewDelivery> {
    if event.data["mode"] == "Check" {
        return Vec::new();
    }
    let entries = service["notify"].as_array().map(Vec::as_slice).unwrap_or_default();
    let repository = service["url"].as_str().and_then(Repository::of);
    let told = entries.iter().filter_map(|entry| {
        let Notify { when, commit_status, .. } = serde_json::from_value(entry.clone()).ok()?;
        let mut channel = entry.clone();
        if commit_status.is_some() {
            channel["repository"] = json!(repository);
        }
        let entry = Entry::read(&channel)?;
        let asked = when.iter().any(|when| when.event().as_str() == event.event);
        (asked && entry.concerns(event)).then(|| NewDelivery {
            event: event.clone(),
            target: entry.target(),
            channel,
        })
    });
    told.collect()
}

/// What follows from a try that failed, after so many that had failed before.
pub fn again(attempts: i32, error: String, now: Timestamp) -> Outcome {
    match usize::try_from(attempts).ok().and_then(|n| PAUSES.get(n)) {
        Some(pause) => Outcome::Again(now + *pause, error),
        None => Outcome::Dead(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(word: &str, data: Value) -> Stored {
        Stored {
            seq: 1,
            id: "id".into(),
            at: Timestamp::UNIX_EPOCH,
            event: word.into(),
            namespace: "team".into(),
            service: "blog".into(),
            subject: "blog-1".into(),
            actor: String::new(),
            data,
        }
    }

    #[test]
    fn those_are_told_who_want_to_know() {
        let notify = json!([
            {"webhook": {"secretRef": {"name": "hook"}}},
            {"slack": {"secretRef": {"name": "chat"}}, "when": ["Failed", "DriftFound"]},
            {"carrierPigeon": {}},
        ]);
        let told = |word: &str, data: Value| -> Vec<String> {
            wanted(&event(word, data), &json!({"notify": notify}))
                .into_iter()
                .map(|told| told.target)
                .collect()
        };
        assert_eq!(told("deployment.failed", json!({})), ["webhook/hook", "slack/chat"]);
        assert_eq!(told("deployment.finished", json!({})), ["webhook/hook"]);
        assert_eq!(told("drift.found", json!({})), ["slack/chat"]);
        assert_eq!(told("deployment.queued", json!({})), Vec::<String>::new());
        assert_eq!(told("deployment.failed", json!({"mode": "Check"})), Vec::<String>::new());
        assert_eq!(wanted(&event("deployment.failed", json!({})), &json!("nonsense")), []);
    }

    #[test]
    fn a_commit_is_marked_by_runs_that_have_one() {
        let service = json!({
            "notify": [{"commitStatus": {"provider": "GitHub", "secretRef": {"name": "github"}}, "when": ["Started", "Failed", "DriftFound"]}],
            "url": "https://github.com/web/blog.git",
        });
        let commit = json!({"revision": "main@sha1:0123456789abcdef0123456789abcdef01234567"});
        let told = wanted(&event("deployment.failed", commit.clone()), &service);
        assert_eq!(told[0].target, "commitStatus/github");
        let repository = Repository { host: "github.com".into(), path: "web/blog".into() };
        let kind = Entry::read(&told[0].channel).expect("can be read again").kind;
        assert_eq!(kind, Kind::CommitStatus(Provider::GitHub, repository));
        assert_eq!(wanted(&event("deployment.started", commit.clone()), &service).len(), 1);
        for (word, data, service) in [
            ("deployment.failed", json!({}), service.clone()),
            ("drift.found", commit.clone(), service.clone()),
            ("deployment.failed", commit, json!({"notify": service["notify"]})),
        ] {
            assert_eq!(wanted(&event(word, data), &service), []);
        }
    }

    #[test]
    fn it_is_tried_for_hours_and_then_given_up() {
        let now = Timestamp::UNIX_EPOCH;
        let mut at = now;
        for attempts in 0..9 {
            match again(attempts, "x".into(), at) {
                Outcome::Again(next, _) => at = next,
                other => panic!("{other:?} after {attempts}"),
            }
        }
        let hours = at.duration_since(now).as_hours();
        assert!((15..24).contains(&hours), "{hours}");
        assert_eq!(again(9, "x".into(), at), Outcome::Dead("x".into()));
    }
}
