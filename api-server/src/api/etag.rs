//! ETags of what is read from PostgreSQL: whoever has it already is told so (304), before the expensive part is read. A tag is a
//! hash over the place in the stream of changes, who asks, what they may see, and what they ask for: it tells nothing, and
//! nobody else's answer has it.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::read::Position;

use crate::people::Person;

/// Digits of the hash: enough that no two answers have the same.
const DIGITS: usize = 32;

/// What a request says of the answer that its sender has.
pub struct Had {
    address: String,
    tags: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Had {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let whole = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        Ok(Self { address: whole.to_string(), tags: tags(&parts.headers) })
    }
}

/// What is true for one who asks, at one place in the stream of changes.
pub struct Tag {
    tag: String,
    had: bool,
}

impl Had {
    /// Whether whoever asks has an answer already: then it is worth a look whether it is still the one, before all is read.
    pub fn some(&self) -> bool {
        !self.tags.is_empty()
    }

    /// `view`: all else that the answer depends on, such as what somebody may do.
    pub fn tag(&self, who: &Person, position: Position, view: &Value) -> Tag {
        let Person { name, admin, groups, organisation, scope, session: _, given: _, expires_at: _ } = who;
        let scope = scope.as_ref().map(|scope| (&scope.namespace, &scope.service, &scope.verbs));
        let seen = json!([
            self.address,
            position.to_string(),
            name,
            admin,
            groups,
            organisation,
            scope,
            view,
            env!("CARGO_PKG_VERSION")
        ]);
        let hash = hex::encode(Sha256::digest(seen.to_string()));
        let tag = format!("W/\"{}\"", hash.get(..DIGITS).unwrap_or(&hash));
        Tag { had: self.tags.contains(&tag), tag }
    }
}

impl Tag {
    /// The whole answer, where whoever asks has it already.
    pub fn had(&self) -> Option<Response> {
        self.had.then(|| (StatusCode::NOT_MODIFIED, headers(self.tag.clone())).into_response())
    }

    /// An answer that may be kept by whoever has asked, and is asked for anew each time.
    pub fn on(self, answer: impl Serialize) -> Response {
        (headers(self.tag), Json(answer)).into_response()
    }
}

fn headers(tag: String) -> [(HeaderName, String); 3] {
    [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::VARY, "authorization".to_owned()),
    ]
}

/// Tags are compared weakly: what a proxy has packed is the same.
fn tags(headers: &HeaderMap) -> Vec<String> {
    let said = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let weak = |tag: &str| if tag.starts_with('"') { format!("W/{tag}") } else { tag.to_owned() };
    said.flat_map(|value| value.split(',')).map(|tag| weak(tag.trim())).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn person(name: &str) -> Person {
        let (session, expires_at) = (Uuid::nil(), Timestamp::UNIX_EPOCH);
        Person {
            name: name.into(),
            admin: false,
            groups: Vec::new(),
            organisation: false,
            session,
            given: 0,
            expires_at,
            scope: None,
        }
    }

    fn had(address: &str, tags: &[&str]) -> Had {
        Had { address: address.into(), tags: tags.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn only_the_same_answer_to_the_same_person_has_the_same_tag() {
        let tag = |address: &str, who: &str, seq, view: Value| {
            let position = Position { epoch: Uuid::nil(), seq };
            had(address, &[]).tag(&person(who), position, &view).tag
        };
        let first = tag("/a", "anna", 1, json!(true));
        assert_eq!(first, tag("/a", "anna", 1, json!(true)));
        for other in [
            tag("/b", "anna", 1, json!(true)),
            tag("/a", "ben", 1, json!(true)),
            tag("/a", "anna", 2, json!(true)),
            tag("/a", "anna", 1, json!(false)),
        ] {
            assert_ne!(first, other);
        }
        let position = Position { epoch: Uuid::nil(), seq: 1 };
        for (tags, same) in
            [(vec![first.as_str()], true), (vec!["W/\"x\"", &first], true), (vec!["W/\"x\""], false)]
        {
            let found = had("/a", &tags).tag(&person("anna"), position, &json!(true));
            assert_eq!(found.had().is_some(), same, "{tags:?}");
        }
    }

    #[test]
    fn what_was_sent_is_read_whatever_its_shape() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_NONE_MATCH, "\"a\", W/\"b\"".parse().unwrap());
        headers.append(header::IF_NONE_MATCH, "*".parse().unwrap());
        assert_eq!(tags(&headers), ["W/\"a\"", "W/\"b\"", "*"]);
    }
}
