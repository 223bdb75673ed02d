//! Tokens that somebody else signs: an organisation that people sign in with, a CI system. Pure: its keys, the
//! token, the time; what a token says counts only if all of this fits.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// How much another clock may differ from ours.
pub const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 32 * 1024;
/// Keys of one issuer that are looked at.
const MAX_KEYS: usize = 50;
/// Shortest RSA key that counts, in bytes.
const MIN_RSA: usize = 256;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// What a token says.
pub type Claims = Map<String, Value>;

/// The public keys of an issuer that may sign.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    /// With which this very key may have signed: none of them knows a shared secret.
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

impl Keys {
    /// From a JWK set. Keys of other kinds are left out; none at all is an error.
    pub fn read(body: &[u8]) -> Result<Self, &'static str> {
        let set: Value = serde_json::from_slice(body).map_err(|_| "its keys are not JSON")?;
        let keys = set["keys"].as_array().ok_or("its keys are not a JWK set")?;
        let usable: Vec<Key> = keys.iter().take(MAX_KEYS).filter_map(Key::read).collect();
        if usable.is_empty() {
            return Err("it has no key for RS256 to RS512, PS256 to PS512, ES256, ES384 or EdDSA");
        }
        Ok(Self(usable))
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        let fitting = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let size = URL_SAFE_NO_PAD.decode(rsa.n.trim_end_matches('=')).ok()?;
                let size = size.iter().skip_while(|byte| **byte == 0).count();
                if size < MIN_RSA {
                    return None;
                }
                RSA
            }
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => P256,
                EllipticCurve::P384 => P384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => ED25519,
            _ => return None,
        };
        let said = jwk.common.key_algorithm.map(|said| said.to_string());
        let algorithms = fitting
            .iter()
            .copied()
            .filter(|one| said.as_ref().is_none_or(|said| *said == format!("{one:?}")));
        let algorithms: Vec<Algorithm> = algorithms.collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { kid: jwk.common.key_id.clone(), algorithms, public: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

/// What the token says, if this issuer signed it for this audience, and it counts now.
pub fn verify(
    token: &str,
    keys: &Keys,
    (issuer, audience): (&str, &str),
    now: Timestamp,
) -> Result<Claims, Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed);
    }
    let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
    // What must be understood is not: there is no extension that we know.
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Refusal::Malformed);
    }
    if ![RSA, P256, P384, ED25519].iter().any(|family| family.contains(&header.alg)) {
        return Err(Refusal::Algorithm);
    }
    let key = choose(keys, header.kid.as_deref(), header.alg)?;
    let mut rules = Validation::new(header.alg);
    // All of it is compared below, with the clock that is passed in.
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    let claims = decode::<Claims>(token, &key.public, &rules).map_err(|_| Refusal::Signature)?.claims;
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(Refusal::Issuer);
    }
    if !audiences(&claims).contains(&audience) {
        return Err(Refusal::Audience);
    }
    let expires = seconds(&claims, "exp").ok_or(Refusal::Claim("exp"))?;
    if expires.saturating_add(SKEW.as_secs()) <= now.as_second() {
        return Err(Refusal::Expired);
    }
    let made = seconds(&claims, "iat").ok_or(Refusal::Claim("iat"))?;
    let from =
        if claims.contains_key("nbf") { seconds(&claims, "nbf").ok_or(Refusal::Claim("nbf"))? } else { made };
    if made.max(from) > now.as_second().saturating_add(SKEW.as_secs()) {
        return Err(Refusal::Early);
    }
    Ok(claims)
}

/// For whom the token is.
pub fn audiences(claims: &Claims) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Seconds since 1970; some write them with a fraction.
pub fn seconds(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|seconds| seconds.abs() < 1e15).map(|seconds| seconds as i64))
}

/// By its name; a token without one means the only key that fits.
fn choose<'a>(keys: &'a Keys, kid: Option<&str>, algorithm: Algorithm) -> Result<&'a Key, Refusal> {
    let mut named = keys.0.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).peekable();
    if named.peek().is_none() {
        return Err(Refusal::UnknownKey);
    }
    let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(Refusal::Algorithm),
        (Some(_), Some(_)) => Err(Refusal::UnknownKey),
    }
}

/// Why a token does not count: for the log of whoever looks after it, not for whoever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a JWT as we know it.
    #[error("it is not a signed JWT")]
    Malformed,
    /// None, a shared secret, or not what that key signs with.
    #[error("its algorithm is not one that its key signs with")]
    Algorithm,
    /// The issuer has no such key (now).
    #[error("its issuer has no key of that name")]
    UnknownKey,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is wrong")]
    Signature,
    /// Another one signed it.
    #[error("it is of another issuer (claim iss)")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience (claim aud)")]
    Audience,
    /// It was given to somebody else.
    #[error("it was given to another program (claim azp)")]
    Party,
    /// It has ended.
    #[error("it has expired (claim exp)")]
    Expired,
    /// It is from the future: one of the clocks is wrong.
    #[error(
        "it does not count yet (claims iat, nbf); does the clock of this machine agree with its issuer's?"
    )]
    Early,
    /// Something is missing, or of another kind.
    #[error("its claim {0} is missing, or is not what it should be")]
    Claim(&'static str),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7515, appendix A.2.
    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const THEN: Timestamp = Timestamp::constant(1_300_819_000, 0);

    fn said(change: &Value, token: &str) -> Refusal {
        let mut key = json!({"kty": "RSA", "n": N, "e": "AQAB"});
        for (name, value) in change.as_object().unwrap() {
            key[name] = value.clone();
        }
        let Ok(keys) = Keys::read(json!({"keys": [key]}).to_string().as_bytes()) else {
            return Refusal::UnknownKey;
        };
        verify(token, &keys, ("joe", "us"), THEN).unwrap_err()
    }

    #[test]
    fn the_standards_own_example_is_signed_and_only_for_nobody() {
        // It has no audience; so far one comes only with a right signature.
        assert_eq!(said(&json!({}), TOKEN), Refusal::Audience);
        let (head, signature) = TOKEN.rsplit_once('.').unwrap();
        assert_eq!(
            said(&json!({}), &format!("{head}.{}", signature.replacen('c', "d", 1))),
            Refusal::Signature
        );
        assert_eq!(said(&json!({"alg": "RS256", "use": "sig"}), TOKEN), Refusal::Audience);
        // Keys that are for something else, or too short to mean anything.
        assert_eq!(said(&json!({"alg": "PS256"}), TOKEN), Refusal::Algorithm);
        assert_eq!(said(&json!({"use": "enc"}), TOKEN), Refusal::UnknownKey);
        assert_eq!(said(&json!({"alg": "HS256"}), TOKEN), Refusal::UnknownKey);
        assert_eq!(said(&json!({"n": &N[..170]}), TOKEN), Refusal::UnknownKey);
        assert_eq!(said(&json!({"kty": "oct", "k": "AAAA"}), TOKEN), Refusal::UnknownKey);
    }

    #[test]
    fn a_token_without_a_name_means_the_only_key_that_fits() {
        let key = |kid: &str| json!({"kty": "RSA", "n": N, "e": "AQAB", "kid": kid});
        let keys = Keys::read(json!({"keys": [key("a"), key("b")]}).to_string().as_bytes()).unwrap();
        assert_eq!(verify(TOKEN, &keys, ("joe", "us"), THEN), Err(Refusal::UnknownKey));
        for wrong in ["", "{}", "[]", r#"{"keys": []}"#, r#"{"keys": [{}, 1, null]}"#] {
            assert!(Keys::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        for nonsense in ["", ".", "..", "a.b.c", "é.é.é", long.as_str()] {
            assert_eq!(verify(nonsense, &keys, ("joe", "us"), THEN), Err(Refusal::Malformed));
        }
    }
}
