//! What is said on the socket: JSON texts. `docs/websocket.md` describes them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// From a browser.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ToServer {
    /// The first message.
    SignIn {
        /// A user token.
        token: String,
    },
    /// A newer token of the same person.
    Renew {
        /// A user token.
        token: String,
    },
    /// Follow a topic.
    Subscribe {
        /// Which.
        topic: String,
        /// `cursor` of the answer that is shown.
        after: String,
        /// The same of the run's events; absent: from the first.
        #[serde(default)]
        run_after: Option<String>,
    },
    /// Follow it no longer.
    Unsubscribe {
        /// Which.
        topic: String,
    },
    /// Is somebody there?
    Ping {},
}

/// To a browser.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FromServer<'a> {
    Ready { user: &'a str, expires_at: Timestamp },
    Renewed { expires_at: Timestamp },
    Subscribed { topic: &'a str },
    Reset { topic: &'a str },
    Refused { topic: &'a str, reason: &'a str, detail: &'a str },
    Gone { topic: &'a str, cursor: String, kind: &'a str, uid: Uuid },
    Pong,
}

impl FromServer<'_> {
    /// As it is sent.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An object, already as JSON: it is made once, however many get it.
pub fn object(kind: &str, topic: &str, cursor: &str, json: &str) -> String {
    format!(r#"{{"type":"{kind}","topic":{},"cursor":"{cursor}","{kind}":{json}}}"#, quoted(topic))
}

/// Events of a run, each already as JSON.
pub fn events(topic: &str, cursor: &str, attempt: i32, events: &[&str]) -> String {
    let (topic, events) = (quoted(topic), events.join(","));
    format!(
        r#"{{"type":"events","topic":{topic},"cursor":"{cursor}","attempt":{attempt},"events":[{events}]}}"#
    )
}

/// Lines of output, each already as JSON.
pub fn output(topic: &str, cursor: &str, attempt: i32, first: i64, lines: &[&str]) -> String {
    let (topic, lines) = (quoted(topic), lines.join(","));
    format!(
        r#"{{"type":"output","topic":{topic},"cursor":"{cursor}","attempt":{attempt},"first":{first},"lines":[{lines}]}}"#
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
