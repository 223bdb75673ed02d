//! Tokens: a deployment token is given for a claim and shown with every report; it speaks for one
//! process of one attempt of one run, and ends shortly after the run must have ended. A user token
//! speaks for a person for a few minutes; a service token for a program, until it is revoked or ends.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::SigningKey;

/// Who gives tokens.
pub const ISSUER: &str = "fastdeploy";
/// What deployment tokens are for.
pub const RUN_AUDIENCE: &str = "fastdeploy.dev/run";
/// How much longer than the run a token is valid: to deliver what is left.
pub const AFTER_DEADLINE: SignedDuration = SignedDuration::from_mins(15);

/// What user tokens are for.
pub const API_AUDIENCE: &str = "fastdeploy.dev/api";
/// How long a user token is valid.
pub const USER_TOKEN: SignedDuration = SignedDuration::from_mins(10);

/// What a kind of token says.
pub trait Claims: Serialize + DeserializeOwned {
    /// What it is for.
    const AUDIENCE: &str;
    /// Seconds since 1970.
    fn expires(&self) -> i64;
}

/// What a user token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`API_AUDIENCE`].
    pub aud: String,
    /// [`UserType::User`].
    pub typ: UserType,
    /// Name of the account.
    pub sub: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// As the organisation says, with our prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// An organisation gave the name: Kubernetes knows them by it as it is.
    #[serde(default, rename = "org", skip_serializing_if = "std::ops::Not::not")]
    pub organisation: bool,
    /// The sign-in that it comes from.
    pub sid: Uuid,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
}

/// Which kind of token this is. Another kind is never mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserType {
    /// Speaks for a person.
    User,
}

impl UserClaims {
    /// What the token of somebody who has signed in says.
    pub fn new(name: &str, admin: bool, sid: Uuid, now: Timestamp) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: API_AUDIENCE.to_owned(),
            typ: UserType::User,
            sub: name.to_owned(),
            admin,
            groups: Vec::new(),
            organisation: false,
            sid,
            iat: now.as_second(),
            exp: now.as_second() + USER_TOKEN.as_secs(),
        }
    }
}

/// Which kind of token this is. Another kind is never mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceType {
    /// Speaks for a program.
    Service,
}

/// What a service token says. What it may do stands in the database, so it can be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`API_AUDIENCE`].
    pub aud: String,
    /// [`ServiceType::Service`].
    pub typ: ServiceType,
    /// `namespace/service`, for people who look into it.
    pub sub: String,
    /// Which one.
    pub jti: Uuid,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
}

impl ServiceClaims {
    /// What the token with this id for this Service says.
    pub fn new(id: Uuid, (namespace, service): (&str, &str), now: Timestamp, until: Timestamp) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: API_AUDIENCE.to_owned(),
            typ: ServiceType::Service,
            sub: format!("{namespace}/{service}"),
            jti: id,
            iat: now.as_second(),
            exp: until.as_second(),
        }
    }
}

impl Claims for ServiceClaims {
    const AUDIENCE: &str = API_AUDIENCE;

    fn expires(&self) -> i64 {
        self.exp
    }
}

impl Claims for UserClaims {
    const AUDIENCE: &str = API_AUDIENCE;

    fn expires(&self) -> i64 {
        self.exp
    }
}

impl Claims for RunClaims {
    const AUDIENCE: &str = RUN_AUDIENCE;

    fn expires(&self) -> i64 {
        self.exp
    }
}

/// Which kind of token this is. Another kind is never mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Speaks for a run.
    Deployment,
}

/// What a deployment token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`RUN_AUDIENCE`].
    pub aud: String,
    /// [`Type::Deployment`].
    pub typ: Type,
    /// uid of the Deployment.
    pub sub: String,
    /// Which attempt of it.
    pub attempt: u32,
    /// Which process of the runner.
    pub instance: String,
    /// Namespace of the Deployment.
    pub ns: String,
    /// Name of the Deployment.
    pub name: String,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
}

impl RunClaims {
    /// What the token for a granted claim says.
    pub fn new(
        uid: &str,
        attempt: u32,
        instance: &str,
        (namespace, name): (&str, &str),
        now: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: RUN_AUDIENCE.to_owned(),
            typ: Type::Deployment,
            sub: uid.to_owned(),
            attempt,
            instance: instance.to_owned(),
            ns: namespace.to_owned(),
            name: name.to_owned(),
            iat: now.as_second(),
            exp: deadline.as_second().saturating_add(AFTER_DEADLINE.as_secs()),
        }
    }
}

/// Sign.
pub fn issue<C: Claims>(key: &SigningKey, claims: &C) -> Result<String, jsonwebtoken::errors::Error> {
    let header = Header { kid: Some(key.kid()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &key.private())
}

/// What a token says, if it is ours, of this kind and not expired.
pub fn verify<C: Claims>(key: &SigningKey, token: &str, now: Timestamp) -> Result<C, Invalid> {
    let header = decode_header(token).map_err(|_| Invalid)?;
    if header.alg != Algorithm::EdDSA {
        return Err(Invalid);
    }
    let public = header.kid.and_then(|kid| key.public(&kid)).ok_or(Invalid)?;
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[C::AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Compared below, with the clock that is passed in.
    rules.validate_exp = false;
    let claims = decode::<C>(token, &public, &rules).map_err(|_| Invalid)?.claims;
    if claims.expires() <= now.as_second() { Err(Invalid) } else { Ok(claims) }
}

/// Not a token that counts. Why is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct Invalid;

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};

    use super::super::key;
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn claims() -> RunClaims {
        RunClaims::new("uid-1", 2, "i-1", ("team-web", "blog-1"), NOW, NOW + SignedDuration::from_mins(30))
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// Our own key signs something that is not quite a deployment token.
    fn signed(key: &SigningKey, header: Value, change: impl Fn(&mut Value)) -> String {
        let mut body = serde_json::to_value(claims()).unwrap();
        change(&mut body);
        let header: Header = serde_json::from_value(header).unwrap();
        encode(&header, &body, &key.private()).unwrap()
    }

    fn header(key: &SigningKey) -> Value {
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": key.kid() })
    }

    #[test]
    fn a_token_says_what_was_granted() {
        let key = key::tests::any();
        let token = issue(&key, &claims()).unwrap();
        assert_eq!(verify::<RunClaims>(&key, &token, NOW), Ok(claims()));
        assert_eq!(decode_header(&token).unwrap().kid, Some(key.kid()));
        let body = token.split('.').nth(1).unwrap();
        let body: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "iss": "fastdeploy", "aud": "fastdeploy.dev/run", "typ": "deployment", "sub": "uid-1", "attempt": 2,
                "instance": "i-1", "ns": "team-web", "name": "blog-1", "iat": 1_800_000_000, "exp": 1_800_000_000 + 45 * 60,
            })
        );
    }

    #[test]
    fn it_ends_fifteen_minutes_after_the_deadline_without_leeway() {
        let key = key::tests::any();
        let token = issue(&key, &claims()).unwrap();
        assert!(verify::<RunClaims>(&key, &token, NOW + SignedDuration::from_secs(45 * 60 - 1)).is_ok());
        assert_eq!(verify::<RunClaims>(&key, &token, NOW + SignedDuration::from_mins(45)), Err(Invalid));
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let key = key::tests::any();
        let body = part(&serde_json::to_value(claims()).unwrap());
        for alg in ["none", "None", "NONE", ""] {
            let head = part(&json!({ "alg": alg, "typ": "JWT", "kid": key.kid() }));
            assert_eq!(verify::<RunClaims>(&key, &format!("{head}.{body}."), NOW), Err(Invalid));
            assert_eq!(verify::<RunClaims>(&key, &format!("{head}.{body}.AAAA"), NOW), Err(Invalid));
        }
        let honest = issue(&key, &claims()).unwrap();
        let (unsigned, _) = honest.rsplit_once('.').unwrap();
        assert_eq!(verify::<RunClaims>(&key, &format!("{unsigned}."), NOW), Err(Invalid));
        assert_eq!(verify::<RunClaims>(&key, unsigned, NOW), Err(Invalid));
    }

    #[test]
    fn the_public_key_as_a_shared_secret_is_refused() {
        let (pem, kid) = key::generate().unwrap();
        let key = SigningKey::from_pem(&pem, &kid).unwrap();
        let pair = rcgen::KeyPair::from_pem(&pem).unwrap();
        let secrets = [pair.public_key_pem().into_bytes(), pair.public_key_raw().to_vec()];
        for (secret, alg) in secrets.iter().zip([Algorithm::HS256, Algorithm::HS512]) {
            let header = Header { kid: Some(kid.clone()), ..Header::new(alg) };
            let forged = encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(verify::<RunClaims>(&key, &forged, NOW), Err(Invalid));
        }
    }

    #[test]
    fn another_key_under_our_name_is_refused() {
        let ours = key::tests::any();
        let theirs = SigningKey::from_pem(&key::generate().unwrap().0, &ours.kid()).unwrap();
        assert_eq!(verify::<RunClaims>(&ours, &issue(&theirs, &claims()).unwrap(), NOW), Err(Invalid));
    }

    #[test]
    fn our_key_under_another_name_or_none_is_refused() {
        let key = key::tests::any();
        let other = json!({ "alg": "EdDSA", "kid": "other" });
        assert_eq!(verify::<RunClaims>(&key, &signed(&key, other, |_| {}), NOW), Err(Invalid));
        assert_eq!(
            verify::<RunClaims>(&key, &signed(&key, json!({ "alg": "EdDSA" }), |_| {}), NOW),
            Err(Invalid)
        );
    }

    #[test]
    fn a_token_of_another_kind_is_refused() {
        let key = key::tests::any();
        let changes: [(&str, Value); 12] = [
            ("aud", json!("fastdeploy.dev/api")),
            ("aud", json!("fastdeploy.dev/run/uid-1/2")),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("iss", json!("kubernetes/serviceaccount")),
            ("iss", Value::Null),
            ("typ", json!("user")),
            ("typ", Value::Null),
            ("exp", json!(1_799_999_999)),
            ("exp", Value::Null),
            ("exp", json!("never")),
            ("sub", Value::Null),
        ];
        assert!(verify::<RunClaims>(&key, &signed(&key, header(&key), |_| {}), NOW).is_ok());
        for (name, value) in changes {
            let token = signed(&key, header(&key), |body| body[name] = value.clone());
            assert_eq!(verify::<RunClaims>(&key, &token, NOW), Err(Invalid), "{name}: {value}");
            let token = signed(&key, header(&key), |body| {
                body.as_object_mut().unwrap().remove(name);
            });
            assert_eq!(verify::<RunClaims>(&key, &token, NOW), Err(Invalid), "without {name}");
        }
    }

    #[test]
    fn a_changed_token_is_refused() {
        let key = key::tests::any();
        let token = issue(&key, &claims()).unwrap();
        let mut body = serde_json::to_value(claims()).unwrap();
        body["sub"] = json!("uid-2");
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(
            verify::<RunClaims>(&key, &[parts[0], &part(&body), parts[2]].join("."), NOW),
            Err(Invalid)
        );
        for nonsense in ["", ".", "..", "...", "a.b.c", "é.é.é", &"A".repeat(10_000)] {
            assert_eq!(verify::<RunClaims>(&key, nonsense, NOW), Err(Invalid));
        }
    }

    #[test]
    fn a_person_and_a_run_are_never_mistaken_for_each_other() {
        let key = key::tests::any();
        let user = UserClaims::new("anna", true, Uuid::nil(), NOW);
        let token = issue(&key, &user).unwrap();
        assert_eq!(verify::<UserClaims>(&key, &token, NOW), Ok(user.clone()));
        assert_eq!(verify::<RunClaims>(&key, &token, NOW), Err(Invalid));
        assert_eq!(verify::<UserClaims>(&key, &issue(&key, &claims()).unwrap(), NOW), Err(Invalid));
        assert_eq!(verify::<UserClaims>(&key, &token, NOW + USER_TOKEN), Err(Invalid));
        let mut run_audience = user;
        run_audience.aud = RUN_AUDIENCE.to_owned();
        assert_eq!(verify::<RunClaims>(&key, &issue(&key, &run_audience).unwrap(), NOW), Err(Invalid));
    }

    #[test]
    fn a_program_is_never_mistaken_for_a_person() {
        let key = key::tests::any();
        let claims =
            ServiceClaims::new(Uuid::nil(), ("team", "blog"), NOW, NOW + SignedDuration::from_hours(1));
        let token = issue(&key, &claims).unwrap();
        assert_eq!(verify::<ServiceClaims>(&key, &token, NOW), Ok(claims));
        assert_eq!(verify::<UserClaims>(&key, &token, NOW), Err(Invalid));
        assert_eq!(verify::<RunClaims>(&key, &token, NOW), Err(Invalid));
        let user = issue(&key, &UserClaims::new("anna", true, Uuid::nil(), NOW)).unwrap();
        assert_eq!(verify::<ServiceClaims>(&key, &user, NOW), Err(Invalid));
    }

    #[test]
    fn the_key_is_replaced_without_anybody_being_signed_out() {
        let [(old_pem, old), (new_pem, new)] = [key::generate().unwrap(), key::generate().unwrap()];
        let anna = UserClaims::new("anna", false, Uuid::nil(), NOW);
        // One replica has read the next key already, the other has not.
        let first = SigningKey::from_pem(&old_pem, &old).unwrap();
        let handle = first.clone();
        let before = issue(&first, &anna).unwrap();
        assert!(first.become_as(&SigningKey::from_pem(&old_pem, &old).unwrap().and(&new_pem, &new).unwrap()));
        assert_eq!(handle.kid(), old);
        let next = SigningKey::from_pem(&new_pem, &new).unwrap().and(&old_pem, &old).unwrap();
        let after = issue(&next, &anna).unwrap();
        for token in [&before, &after] {
            assert!(verify::<UserClaims>(&handle, token, NOW).is_ok());
            assert!(verify::<UserClaims>(&next, token, NOW).is_ok());
        }
        assert!(handle.become_as(&next) && !handle.become_as(&next));
        assert_eq!(handle.kid(), new);
        // Forgotten at last.
        handle.become_as(&SigningKey::from_pem(&new_pem, &new).unwrap());
        assert_eq!(verify::<UserClaims>(&handle, &before, NOW), Err(Invalid));
        assert!(verify::<UserClaims>(&handle, &after, NOW).is_ok());
    }
}
