//! Who is told what, and when it is tried again. Pure.

use crds::notify::Notify;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{
    deliveries::{NewDelivery, Outcome},
    outbox::Stored,
};

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

/// What kind of receiver it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CloudEvents.
    Webhook,
    /// Text for people.
    Slack,
}

/// An entry of `spec.notify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What kind of receiver it is.
    pub kind: Kind,
    /// The Secret with its address.
    pub secret: String,
}

/// Reads an entry.
pub fn channel(entry: &Value) -> Option<Channel> {
    let Notify { webhook, slack, .. } = serde_json::from_value(entry.clone()).ok()?;
    match (webhook, slack) {
        (Some(channel), None) => Some(Channel { kind: Kind::Webhook, secret: channel.secret_ref.name }),
        (None, Some(channel)) => Some(Channel { kind: Kind::Slack, secret: channel.secret_ref.name }),
        _ => None,
    }
}

/// Who is told of an event. Previews and drift checks change nothing, and are nobody's news.
pub fn wanted(event: &Stored, notify: &Value) -> Vec<NewDelivery> {
    if event.data["mode"] == "Check" {
        return Vec::new();
    }
    let entries = notify.as_array().map(Vec::as_slice).unwrap_or_default();
    let told = entries.iter().filter_map(|entry| {
        let Notify { when, .. } = serde_json::from_value(entry.clone()).ok()?;
        let Channel { kind, secret } = channel(entry)?;
        when.iter().any(|when| when.event().as_str() == event.event).then(|| NewDelivery {
            event: event.clone(),
            target: format!("{}/{secret}", if kind == Kind::Webhook { "webhook" } else { "slack" }),
            channel: entry.clone(),
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
    use serde_json::json;

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
            wanted(&event(word, data), &notify).into_iter().map(|told| told.target).collect()
        };
        assert_eq!(told("deployment.failed", json!({})), ["webhook/hook", "slack/chat"]);
        assert_eq!(told("deployment.finished", json!({})), ["webhook/hook"]);
        assert_eq!(told("drift.found", json!({})), ["slack/chat"]);
        assert_eq!(told("deployment.queued", json!({})), Vec::<String>::new());
        assert_eq!(told("deployment.failed", json!({"mode": "Check"})), Vec::<String>::new());
        assert_eq!(wanted(&event("deployment.failed", json!({})), &json!("nonsense")), []);
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
