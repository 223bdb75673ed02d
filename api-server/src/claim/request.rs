//! What is asked, parsed once: path, header and body become an [`Ask`] and a token, or a refusal.

use axum::http::{HeaderMap, header};
use protocol::PROTOCOL;
use protocol::claim::ClaimRequest;
use serde::Deserialize;

use super::answer::Refusal;

/// Longest uid and instance: what the custom resource takes.
const MAX_ID: usize = 64;
/// What fits behind a name into a label, see [`crds::names::job`].
const MAX_ATTEMPT: u32 = 99_999_999;

/// May this process start Ansible for this attempt of this run?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// uid of the Deployment.
    pub uid: String,
    /// From 1.
    pub attempt: u32,
    /// Which process of the runner.
    pub instance: String,
}

impl Ask {
    /// From the path's two variable parts and the body.
    pub fn parse(uid: &str, attempt: &str, body: &[u8]) -> Result<Self, Refusal> {
        if !is_id(uid) {
            return Err(Refusal::bad_request("The path names no run: write its uid."));
        }
        let attempt = match attempt.parse() {
            Ok(attempt) if (1..=MAX_ATTEMPT).contains(&attempt) => attempt,
            _ => return Err(Refusal::bad_request("The path names no attempt: write a number from 1.")),
        };
        let instance = parse_body(body)?.instance;
        if !is_id(&instance) {
            return Err(Refusal::bad_request("instance: write 1 to 64 letters, digits and dashes."));
        }
        Ok(Self { uid: uid.to_owned(), attempt, instance })
    }
}

/// The version is looked at first: another one may have another shape.
fn parse_body(body: &[u8]) -> Result<ClaimRequest, Refusal> {
    #[derive(Deserialize)]
    struct Version {
        protocol: u32,
    }
    let wrong = |error: serde_json::Error| Refusal::bad_request(format!("The body is not a claim: {error}."));
    let Version { protocol } = serde_json::from_slice(body).map_err(wrong)?;
    if protocol != PROTOCOL {
        return Err(Refusal::bad_request(format!(
            "protocol: this server speaks {PROTOCOL}, not {protocol}; runner and api-server are of different releases."
        )));
    }
    serde_json::from_slice(body).map_err(wrong)
}

/// What comes into a log line or a name is plain.
fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The one bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::unauthenticated("not exactly one Authorization header"));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match token {
        Some(token) if !token.is_empty() => Ok(token),
        _ => Err(Refusal::unauthenticated("the Authorization header holds no bearer token")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"protocol":1,"instance":"i-1"}"#;

    #[test]
    fn a_claim_is_read() {
        let ask = Ask { uid: "0b6d-1".into(), attempt: 2, instance: "i-1".into() };
        assert_eq!(Ask::parse("0b6d-1", "2", BODY), Ok(ask.clone()));
        let newer = br#"{"protocol":1,"instance":"i-1","later":true}"#;
        assert_eq!(Ask::parse("0b6d-1", "2", newer), Ok(ask));
    }

    #[test]
    fn what_is_no_claim_is_answered_with_a_sentence() {
        let long = "x".repeat(65);
        let instance = |text: &str| format!(r#"{{"protocol":1,"instance":{text:?}}}"#);
        let cases: Vec<(&str, &str, String)> = vec![
            ("", "1", instance("i")),
            ("a/b", "1", instance("i")),
            ("../x", "1", instance("i")),
            ("é", "1", instance("i")),
            (&long, "1", instance("i")),
            ("u", "0", instance("i")),
            ("u", "-1", instance("i")),
            ("u", "one", instance("i")),
            ("u", "4294967296", instance("i")),
            ("u", "100000000", instance("i")),
            ("u", "1", String::new()),
            ("u", "1", "{".to_owned()),
            ("u", "1", "[]".to_owned()),
            ("u", "1", "null".to_owned()),
            ("u", "1", r#"{"instance":"i"}"#.to_owned()),
            ("u", "1", r#"{"protocol":1}"#.to_owned()),
            ("u", "1", r#"{"protocol":1,"instance":7}"#.to_owned()),
            ("u", "1", r#"{"protocol":"1","instance":"i"}"#.to_owned()),
            ("u", "1", "[".repeat(10_000)),
            ("u", "1", instance("")),
            ("u", "1", instance("a b")),
            ("u", "1", instance("a\nb")),
            ("u", "1", instance(&long)),
        ];
        for (uid, attempt, body) in cases {
            let refusal = Ask::parse(uid, attempt, body.as_bytes()).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{uid} {attempt} {body}");
            assert!(refusal.message.ends_with('.'), "{}", refusal.message);
        }
    }

    #[test]
    fn another_protocol_is_named_before_its_shape_is_looked_at() {
        let refusal = Ask::parse("u", "1", br#"{"protocol":2,"process":"i"}"#).unwrap_err();
        assert!(refusal.message.contains("speaks 1, not 2"), "{}", refusal.message);
    }

    #[test]
    fn only_one_bearer_token_counts() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])), Ok("abc"));
        assert_eq!(bearer(&headers(&["bearer  abc "])), Ok("abc"));
        for wrong in [&[][..], &["Bearer"], &["Bearer "], &["abc"], &["Basic abc"], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(bearer(&headers(wrong)).unwrap_err().status, StatusCode::UNAUTHORIZED, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(uid in ".*", attempt in ".*", body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ask::parse(&uid, &attempt, &body);
        }
    }
}
