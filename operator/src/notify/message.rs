//! What is sent: a CloudEvent 1.0 in structured JSON, signed as Standard Webhooks says, or a line of
//! text for people. Pure.

use hmac::{Hmac, KeyInit, Mac};
use http::{Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use store::deliveries::Due;

use super::plan::Kind;
use base64::{Engine, engine::general_purpose::STANDARD};
use crds::events::EventType;

/// The request that tells it.
pub fn request(
    kind: Kind,
    due: &Due,
    url: &str,
    secret: Option<&str>,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, String> {
    let (body, content) = match kind {
        Kind::Webhook => (cloud_event(due), "application/cloudevents+json"),
        Kind::Slack => (json!({"text": text(due)}), "application/json"),
    };
    let body = body.to_string().into_bytes();
    let mut request = Request::post(url)
        .header(header::CONTENT_TYPE, content)
        .header(header::USER_AGENT, concat!("fastdeploy/", env!("CARGO_PKG_VERSION")));
    if kind == Kind::Webhook {
        // The same for each try of the same, so that a receiver can leave out what it knows.
        let (id, at) = (due.id.to_string(), now.as_second().to_string());
        if let Some(secret) = secret {
            request = request.header("webhook-signature", sign(&key(secret)?, &id, &at, &body));
        }
        request = request.header("webhook-id", id).header("webhook-timestamp", at);
    }
    request.body(body).map_err(|_| "the Secret's url is not an address".to_owned())
}

fn cloud_event(due: &Due) -> Value {
    let kind = EventType::parse(&due.event).map_or_else(|| due.event.clone(), EventType::cloud_type);
    json!({
        "specversion": "1.0",
        "id": due.event_id,
        "source": format!("/fastdeploy/namespaces/{}/services/{}", due.namespace, due.service),
        "type": kind,
        "subject": due.subject,
        "time": due.at,
        "datacontenttype": "application/json",
        "data": due.data,
    })
}

/// `whsec_` and base64, as Standard Webhooks writes it; anything else is taken as it is.
fn key(secret: &str) -> Result<Vec<u8>, String> {
    match secret.strip_prefix("whsec_") {
        Some(text) => STANDARD
            .decode(text)
            .map_err(|_| "the Secret's key secret is not base64 behind whsec_".to_owned()),
        None => Ok(secret.as_bytes().to_vec()),
    }
}

fn sign(key: &[u8], id: &str, at: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A line for people. What others wrote is text in it, never a mention or a link.
fn text(due: &Due) -> String {
    let of = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let data = &due.data;
    let number = data["number"].as_i64().map(|number| format!(" #{number}")).unwrap_or_default();
    let name = format!("*{}*{number} ({})", escaped(&due.service), escaped(&due.namespace));
    let by = match data["requestedBy"]["name"].as_str() {
        Some(by) => format!(", asked for by {}", escaped(by)),
        None => String::new(),
    };
    let word = EventType::parse(&due.event);
    match word {
        Some(EventType::DeploymentRequested) => format!("{name}: a run was asked for{by}."),
        Some(EventType::DeploymentAwaitingApproval) => format!("{name} waits until somebody agrees{by}."),
        Some(EventType::DeploymentStarted) => format!("{name} has started{by}."),
        Some(EventType::DeploymentFinished) => format!(":white_check_mark: {name} is live{by}."),
        Some(EventType::DeploymentFailed) => {
            let failure = &data["failure"];
            let step =
                failure["step"].as_str().map(|step| format!(" in \"{}\"", escaped(step))).unwrap_or_default();
            format!(":x: {name} failed{step}: {} {}{by}", of(&failure["message"]), of(&failure["hint"]))
        }
        Some(EventType::DeploymentCancelled) => format!("{name} was stopped{by}."),
        Some(EventType::DriftFound) => {
            format!(":warning: {name}: the servers are not as they were left. {}", of(&data["inSync"]))
        }
        Some(EventType::DriftGone) => format!("{name}: the servers are as they should be again."),
        Some(EventType::SourceUnreachable) => format!(":warning: {name}: {}", of(&data["ready"])),
        _ => format!("{name}: {}", escaped(&due.event)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['*', '_', '`', '~'], " ")
}

#[cfg(test)]
mod tests {
    use store::sqlx::types::Uuid;

    use super::*;

    fn due(event: &str, data: Value) -> Due {
        Due {
            id: Uuid::from_u128(7),
            event_id: "uid/deployment.failed/".into(),
            event: event.into(),
            at: Timestamp::UNIX_EPOCH,
            namespace: "team".into(),
            service: "blog".into(),
            subject: "blog-1".into(),
            channel: Value::Null,
            data,
            attempts: 0,
        }
    }

    #[test]
    fn a_program_gets_a_signed_cloud_event() {
        let due = due("deployment.failed", json!({"number": 3}));
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let request = request(Kind::Webhook, &due, "https://example.com/hook", Some(secret), now).unwrap();
        assert_eq!(request.headers()["content-type"], "application/cloudevents+json");
        assert_eq!(request.headers()["webhook-id"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(request.headers()["webhook-timestamp"], "1614265330");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(
            body,
            json!({"specversion": "1.0", "id": "uid/deployment.failed/", "source": "/fastdeploy/namespaces/team/services/blog",
                "type": "dev.fastdeploy.deployment.failed.v1", "subject": "blog-1", "time": "1970-01-01T00:00:00Z",
                "datacontenttype": "application/json", "data": {"number": 3}})
        );
        // The example of the specification of Standard Webhooks.
        let key = key(secret).unwrap();
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn people_get_a_line_and_nobody_can_put_a_mention_into_it() {
        let data = json!({"number": 3, "requestedBy": {"name": "anna"}, "failure": {"step": "Install", "message": "<!channel> & <http://evil|click>", "hint": "Mend it."}});
        let text = text(&due("deployment.failed", data));
        assert_eq!(
            text,
            ":x: *blog* #3 (team) failed in \"Install\": &lt;!channel&gt; &amp; &lt;http://evil|click&gt; Mend it., asked for by anna"
        );
    }

    #[test]
    fn what_is_no_address_is_said_without_it() {
        let due = due("deployment.failed", json!({}));
        let error = request(Kind::Slack, &due, "not an address", None, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(!error.contains("not an address at"), "{error}");
        assert!(
            request(Kind::Webhook, &due, "https://a.example", Some("whsec_!!"), Timestamp::UNIX_EPOCH)
                .is_err()
        );
    }
}
