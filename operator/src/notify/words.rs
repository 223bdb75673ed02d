//! A sentence for people about what happened. Pure.

use crds::events::EventType;
use serde_json::Value;
use store::deliveries::Due;

/// How words stand in what they are written into.
pub struct Markup {
    /// What others wrote: text, never a mention or a link.
    pub text: fn(&str) -> String,
    /// The Service.
    pub name: fn(&str) -> String,
    /// Before good news, bad news, and what somebody should look at.
    pub marks: [&'static str; 3],
}

/// As it is.
pub const PLAIN: Markup = Markup { text: one_line, name: one_line, marks: ["", "", ""] };

/// In Slack, Mattermost and Rocket.Chat.
pub const SLACK: Markup = Markup {
    text: slack,
    name: |name| format!("*{}*", slack(name)),
    marks: [":white_check_mark: ", ":x: ", ":warning: "],
};

/// What happened.
pub fn sentence(due: &Due, markup: &Markup) -> String {
    let text = markup.text;
    let of = |value: &Value| text(value.as_str().unwrap_or_default());
    let [good, bad, look] = markup.marks;
    let data = &due.data;
    let number = data["number"].as_i64().map(|number| format!(" #{number}")).unwrap_or_default();
    let name = format!("{}{number} ({})", (markup.name)(&due.service), text(&due.namespace));
    let by = match data["requestedBy"]["name"].as_str() {
        Some(by) => format!(", asked for by {}", text(by)),
        None => String::new(),
    };
    match EventType::parse(&due.event) {
        Some(EventType::DeploymentRequested) => format!("{name}: a run was asked for{by}."),
        Some(EventType::DeploymentAwaitingApproval) => format!("{name} waits until somebody agrees{by}."),
        Some(EventType::DeploymentStarted) => format!("{name} has started{by}."),
        Some(EventType::DeploymentFinished) => format!("{good}{name} is live{by}."),
        Some(EventType::DeploymentFailed) => {
            let failure = &data["failure"];
            let step =
                failure["step"].as_str().map(|step| format!(" in \"{}\"", text(step))).unwrap_or_default();
            format!("{bad}{name} failed{step}: {} {}{by}", of(&failure["message"]), of(&failure["hint"]))
        }
        Some(EventType::DeploymentCancelled) => format!("{name} was stopped{by}."),
        Some(EventType::DriftFound) => {
            format!("{look}{name}: the servers are not as they were left. {}", of(&data["inSync"]))
        }
        Some(EventType::DriftGone) => format!("{name}: the servers are as they should be again."),
        Some(EventType::SourceUnreachable) => format!("{look}{name}: {}", of(&data["ready"])),
        _ => format!("{name}: {}", text(&due.event)),
    }
}

/// A head line is one line: what others wrote cannot begin another.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['*', '_', '`', '~'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tests::due, *};

    #[test]
    fn people_get_a_line_and_nobody_can_put_a_mention_into_it() {
        let data = json!({"number": 3, "requestedBy": {"name": "anna"}, "failure": {"step": "Install", "message": "<!channel> & <http://evil|click>", "hint": "Mend it."}});
        let due = due("deployment.failed", data);
        assert_eq!(
            sentence(&due, &SLACK),
            ":x: *blog* #3 (team) failed in \"Install\": &lt;!channel&gt; &amp; &lt;http://evil|click&gt; Mend it., asked for by anna"
        );
        assert_eq!(
            sentence(&due, &PLAIN),
            "blog #3 (team) failed in \"Install\": <!channel> & <http://evil|click> Mend it., asked for by anna"
        );
    }

    #[test]
    fn nobody_begins_another_line() {
        let due = due("deployment.failed", json!({"failure": {"message": "a\r\nBcc: x@example.com"}}));
        assert!(!sentence(&due, &PLAIN).contains(['\r', '\n']));
    }
}
