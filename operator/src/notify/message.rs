//! What programs are told: a CloudEvent 1.0 in structured JSON, signed as Standard Webhooks says; and a
//! chat. Pure.

use hmac::{Hmac, KeyInit, Mac};
use http::{Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use store::deliveries::Due;

use super::words;
use base64::{Engine, engine::general_purpose::STANDARD};
use crds::events::EventType;

/// The request that tells a program.
pub fn webhook(
    due: &Due,
    url: &str,
    secret: Option<&str>,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, String> {
    let body = cloud_event(due).to_string().into_bytes();
    // The same for each try of the same, so that a receiver can leave out what it knows.
    let (id, at) = (due.id.to_string(), now.as_second().to_string());
    let mut request = post(url, "application/cloudevents+json");
    if let Some(secret) = secret {
        request = request.header("webhook-signature", sign(&key(secret)?, &id, &at, &body));
    }
    request.header("webhook-id", id).header("webhook-timestamp", at).body(body).map_err(no_address)
}

/// The request that tells a chat.
pub fn slack(due: &Due, url: &str) -> Result<Request<Vec<u8>>, String> {
    let body = json!({"text": words::sentence(due, &words::SLACK)});
    post(url, "application/json").body(body.to_string().into_bytes()).map_err(no_address)
}

fn post(url: &str, content: &str) -> http::request::Builder {
    Request::post(url)
        .header(header::CONTENT_TYPE, content)
        .header(header::USER_AGENT, concat!("fastdeploy/", env!("CARGO_PKG_VERSION")))
}

#[allow(clippy::needless_pass_by_value)]
fn no_address(_: http::Error) -> String {
    "the Secret's url is not an address".to_owned()
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

#[cfg(test)]
mod tests {
    use super::{super::tests::due, *};

    #[test]
    fn a_program_gets_a_signed_cloud_event() {
        let due = due("deployment.failed", json!({"number": 3}));
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let request = webhook(&due, "https://example.com/hook", Some(secret), now).unwrap();
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
    fn what_is_no_address_is_said_without_it() {
        let due = due("deployment.failed", json!({}));
        let error = slack(&due, "not an address").unwrap_err();
        assert!(!error.contains("not an address at"), "{error}");
        assert!(webhook(&due, "https://a.example", Some("whsec_!!"), Timestamp::UNIX_EPOCH).is_err());
    }
}
