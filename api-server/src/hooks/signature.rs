//! Who says it: whether a delivery was signed with one of our secrets, in the manner of its sender. Pure, and in
//! constant time: how wrong a signature is cannot be found out by the clock.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// How old a delivery with a time may be, and how far in the future, in seconds.
const TOLERANCE: i64 = 300;

/// Why a delivery does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No signature that we know.
    Unsigned,
    /// It was not made with one of our secrets.
    Wrong,
    /// It was made too long ago: perhaps it is said again by somebody else.
    Old,
}

impl Refusal {
    /// For the sender.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unsigned => {
                "Sign the delivery: X-Hub-Signature-256 (GitHub), X-Gitea-Signature, X-Gitlab-Token, or webhook-signature (Standard Webhooks)."
            }
            Self::Wrong => {
                "The signature is not made with a secret of this installation (Secret fastdeploy-webhooks)."
            }
            Self::Old => "The delivery is older than five minutes, or its webhook-timestamp is no time.",
        }
    }
}

/// Which kind of sender it is, if the delivery counts.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Vec<u8>],
    now: Timestamp,
) -> Result<&'static str, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = |key: &[u8], text: &[&[u8]], signature: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
        for part in text {
            mac.update(part);
        }
        mac.verify_slice(signature).is_ok()
    };
    let any = |right: &dyn Fn(&[u8]) -> bool| {
        // All are tried: which of them it was cannot be found out either.
        if secrets.iter().fold(false, |found, secret| right(secret) | found) {
            Ok(())
        } else {
            Err(Refusal::Wrong)
        }
    };
    if let Some(signatures) = header("webhook-signature") {
        let id = header("webhook-id").ok_or(Refusal::Unsigned)?;
        let at = header("webhook-timestamp").ok_or(Refusal::Unsigned)?;
        let text = [id.as_bytes(), b".", at.as_bytes(), b".", body];
        let signatures: Vec<Vec<u8>> = signatures
            .split(' ')
            .take(10)
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .collect();
        any(&|secret| {
            let key = standard_key(secret);
            signatures.iter().fold(false, |found, signature| signed(&key, &text, signature) | found)
        })?;
        let seconds = at.parse::<i64>().map_err(|_| Refusal::Old)?;
        if seconds.abs_diff(now.as_second()) > TOLERANCE.unsigned_abs() {
            return Err(Refusal::Old);
        }
        return Ok("webhook");
    }
    // Gitea sends GitHub's header as well.
    for (name, prefix, sender) in [
        ("x-gitea-signature", "", "gitea"),
        ("x-forgejo-signature", "", "forgejo"),
        ("x-hub-signature-256", "sha256=", "github"),
    ] {
        if let Some(signature) = header(name) {
            let signature = signature.strip_prefix(prefix).and_then(|text| hex::decode(text).ok());
            let signature = signature.ok_or(Refusal::Wrong)?;
            any(&|secret| signed(secret, &[body], &signature))?;
            return Ok(sender);
        }
    }
    if let Some(token) = header("x-gitlab-token") {
        // Of the same length, so that the comparison takes the same time for all.
        let token = Sha256::digest(token);
        any(&|secret| {
            let secret = Sha256::digest(secret);
            token.iter().zip(secret.iter()).fold(0_u8, |other, (a, b)| other | (a ^ b)) == 0
        })?;
        return Ok("gitlab");
    }
    Err(Refusal::Unsigned)
}

/// `whsec_` and base64, or the secret as it is.
fn standard_key(secret: &[u8]) -> Vec<u8> {
    let coded = secret.strip_prefix(b"whsec_");
    coded.and_then(|coded| STANDARD.decode(coded).ok()).unwrap_or_else(|| secret.to_vec())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::claim::fake::NOW;

    pub(crate) const SECRET: &str = "a secret of sixteen bytes";

    pub(crate) fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        });
        pairs.collect()
    }

    fn said(pairs: &[(&str, &str)], body: &str) -> Result<&'static str, Refusal> {
        let secrets = [b"an older secret, still trusted".to_vec(), SECRET.as_bytes().to_vec()];
        verify(&headers(pairs), body.as_bytes(), &secrets, NOW)
    }

    #[test]
    fn each_sender_signs_in_its_own_manner() {
        // From GitHub's documentation of webhooks, with its secret and its body.
        let body = "Hello, World!";
        let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secrets = [b"It's a Secret to Everybody".to_vec()];
        assert_eq!(
            verify(&headers(&[("x-hub-signature-256", github)]), body.as_bytes(), &secrets, NOW),
            Ok("github")
        );

        let hex = hex::encode(hmac(SECRET.as_bytes(), body.as_bytes()));
        assert_eq!(said(&[("x-gitea-signature", &hex)], body), Ok("gitea"));
        assert_eq!(said(&[("x-gitlab-token", SECRET)], body), Ok("gitlab"));
        let at = NOW.as_second().to_string();
        let text = format!("msg_1.{at}.{body}");
        let signature = format!("v1,{}", STANDARD.encode(hmac(SECRET.as_bytes(), text.as_bytes())));
        let standard =
            [("webhook-id", "msg_1"), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
        assert_eq!(said(&standard, body), Ok("webhook"));
        let several = format!("v1a,x v1,AAAA {signature}");
        assert_eq!(said(&[standard[0], standard[1], ("webhook-signature", &several)], body), Ok("webhook"));
    }

    #[test]
    fn whoever_does_not_know_the_secret_is_not_heard() {
        let hex = hex::encode(hmac(SECRET.as_bytes(), b"body"));
        let other = hex::encode(hmac(b"another secret of some length", b"body"));
        let github = format!("sha256={hex}");
        for (pairs, body) in [
            // Another body, another secret, half of a signature, none at all, an older algorithm.
            (vec![("x-hub-signature-256", github.as_str())], "other"),
            (vec![("x-gitea-signature", other.as_str())], "body"),
            (vec![("x-gitea-signature", &hex[..32])], "body"),
            (vec![("x-gitea-signature", "")], "body"),
            (vec![("x-hub-signature-256", hex.as_str())], "body"),
            (vec![("x-gitlab-token", "")], "body"),
            (vec![("x-gitlab-token", &SECRET[..SECRET.len() - 1])], "body"),
            // What counts in one header does not in another.
            (vec![("x-gitlab-token", hex.as_str())], "body"),
            // One that is right does not help one that is wrong.
            (vec![("x-gitea-signature", other.as_str()), ("x-hub-signature-256", github.as_str())], "body"),
        ] {
            assert_eq!(said(&pairs, body), Err(Refusal::Wrong), "{pairs:?}");
        }
        assert_eq!(said(&[("x-hub-signature", "sha1=00")], "body"), Err(Refusal::Unsigned));
        assert_eq!(said(&[], "body"), Err(Refusal::Unsigned));
        let right = headers(&[("x-gitea-signature", &hex)]);
        assert_eq!(verify(&right, b"body", &[], NOW), Err(Refusal::Wrong));
        assert_eq!(verify(&headers(&[("x-gitlab-token", "")]), b"body", &[], NOW), Err(Refusal::Wrong));
    }

    #[test]
    fn an_old_delivery_is_not_heard_again() {
        for (seconds, expected) in
            [(0, Ok("webhook")), (299, Ok("webhook")), (301, Err(Refusal::Old)), (-301, Err(Refusal::Old))]
        {
            let at = (NOW.as_second() - seconds).to_string();
            let text = format!("id.{at}.body");
            let signature = format!("v1,{}", STANDARD.encode(hmac(SECRET.as_bytes(), text.as_bytes())));
            let pairs = [("webhook-id", "id"), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
            assert_eq!(said(&pairs, "body"), expected, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(name in 0..5_usize, value in "[ -~]{0,80}", body in ".{0,50}") {
            let name = ["webhook-signature", "x-gitea-signature", "x-hub-signature-256", "x-gitlab-token", "webhook-id"][name];
            let _ = said(&[(name, &value), ("webhook-timestamp", &value)], &body);
        }
    }
}
