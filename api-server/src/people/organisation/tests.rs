//! Through the router, on a real PostgreSQL, with an organisation that answers over HTTP; mostly from the side of
//! those who want in without being let in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::PgPool;

use super::{Organisation, Settings};
use crate::api::fake::Site;
use crate::claim::fake::NOW;
use crate::identity::foreign::Refusal;
use crate::identity::issuer::{Failure, Issuer};

/// A key that signs.
pub(crate) struct Signer {
    kid: String,
    key: EncodingKey,
    pub(crate) public: Value,
    pem: String,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.key_algorithm = Some(KeyAlgorithm::ES256);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = serde_json::to_value(&jwk).unwrap();
        Self { kid: kid.to_owned(), key, public, pem: pair.public_key_pem() }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }

    /// What attackers make of a token: unsigned in some spellings, and signed with what everybody knows.
    pub(crate) fn forged(&self, claims: &Value) -> Vec<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut forged = Vec::new();
        for alg in ["none", "None", "NONE", ""] {
            let head = part(&json!({"alg": alg, "typ": "JWT", "kid": self.kid}));
            forged.extend([format!("{head}.{}.", part(claims)), format!("{head}.{}.AAAA", part(claims))]);
        }
        for secret in [self.pem.as_bytes(), self.public.to_string().as_bytes()] {
            for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = Header { kid: Some(self.kid.clone()), ..Header::new(alg) };
                forged.push(encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap());
            }
        }
        // Another key under the same name, and the key in the token itself.
        let other = Self::new(&self.kid);
        forged.push(other.sign(claims));
        let mut header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        header.jwk = serde_json::from_value(other.public.clone()).unwrap();
        forged.push(encode(&header, claims, &other.key).unwrap());
        let mut header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        header.crit = Some(vec!["exp".into()]);
        forged.push(encode(&header, claims, &self.key).unwrap());
        // What was signed is not what is said.
        let honest = self.sign(claims);
        let parts: Vec<&str> = honest.split('.').collect();
        let mut changed = claims.clone();
        changed["sub"] = json!("somebody else");
        forged.push([parts[0], &part(&changed), parts[2]].join("."));
        forged.push(format!("{}.{}.", parts[0], parts[1]));
        forged.push("nonsense".into());
        forged
    }
}

#[derive(Default)]
struct World {
    keys: Vec<Value>,
    /// The answer to a code.
    token: String,
    away: bool,
    /// What was asked for: paths, and of the token endpoint the body.
    asked: Vec<String>,
    /// What we showed it.
    authorization: String,
}

/// An organisation, at an address of this machine.
#[derive(Clone)]
pub(crate) struct Provider {
    world: Arc<Mutex<World>>,
    pub(crate) url: String,
}

impl Provider {
    pub(crate) async fn with(keys: &[&Signer]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let provider = Self { world, url: url.clone() };
        provider.has(keys);
        let (a, b, c) = (provider.clone(), provider.clone(), provider.clone());
        let discovery = json!({"issuer": url, "authorization_endpoint": format!("{url}/auth?tenant=1"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"), "end_session_endpoint": format!("{url}/end")});
        let routes = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || a.answer("discovery", |_| discovery)),
            )
            .route("/keys", get(async move || b.answer("keys", |world| json!({"keys": world.keys}))))
            .route(
                "/token",
                post(async move |headers: HeaderMap, body: Bytes| {
                    let body = String::from_utf8(body.to_vec()).unwrap();
                    c.answer(&body, |world| {
                        let shown = headers.get(header::AUTHORIZATION).map(|shown| shown.to_str().unwrap());
                        world.authorization = shown.unwrap_or_default().to_owned();
                        json!({"access_token": "x", "token_type": "Bearer", "id_token": world.token})
                    })
                }),
            );
        tokio::spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    fn answer(&self, what: &str, answer: impl FnOnce(&mut World) -> Value) -> axum::response::Response {
        let mut world = self.world();
        world.asked.push(what.to_owned());
        if world.away {
            StatusCode::BAD_GATEWAY.into_response()
        } else {
            Json(answer(&mut world)).into_response()
        }
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, keys: &[&Signer]) {
        self.world().keys = keys.iter().map(|key| key.public.clone()).collect();
    }

    pub(crate) fn goes_away(&self) {
        self.world().away = true;
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.world().asked.iter().filter(|asked| *asked == what).count()
    }

    fn claims(&self, nonce: &str) -> Value {
        let now = NOW.as_second();
        json!({"iss": self.url, "aud": "fastdeploy", "sub": "42", "preferred_username": "anna", "nonce": nonce,
            "groups": ["web"], "iat": now, "exp": now + 300})
    }
}

const SITE: &str = "http://deploy.example.com";

fn site(pool: &PgPool, provider: &Provider) -> Site {
    let site = Site::on(pool);
    let settings = json!({"issuer": provider.url, "clientId": "fastdeploy", "url": SITE, "usernameClaim": "preferred_username",
        "usernamePrefix": "oidc:", "groupsPrefix": "oidc:", "displayName": "Our Keycloak"});
    let organisation =
        Organisation::new(Settings::read(&settings.to_string()).unwrap(), Some("s3cret/&".into()));
    site.app.people.door.lead_to(Some(organisation.unwrap()));
    site
}

/// Where one is led, and the cookies that are set, by name.
async fn walk(site: &Site, path: &str, cookie: &str) -> (String, BTreeMap<String, String>) {
    let request = Request::get(format!("/api/v1/session/oidc/{path}")).header("cookie", cookie);
    let (status, headers, body) = site.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 303, "{body}");
    let cookies = headers.get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    let cookies = cookies.map(|cookie| {
        let (name, rest) = cookie.split_once('=').unwrap();
        (name.to_owned(), rest.to_owned())
    });
    (headers[header::LOCATION].to_str().unwrap().to_owned(), cookies.collect())
}

/// A sign-in that has begun: what the organisation was asked, and the browser's cookie.
async fn begun(site: &Site, next: &str) -> (BTreeMap<String, String>, String) {
    let (location, cookies) = walk(site, &format!("start{next}"), "").await;
    let query = location.split_once('?').unwrap().1;
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    let cookie = &cookies["fastdeploy-oidc"];
    for part in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/api/v1/session/oidc;", "; Max-Age=600"]
    {
        assert!(format!("{cookie};").contains(part), "{cookie}");
    }
    let cookie = format!("fastdeploy-oidc={}", cookie.split(';').next().unwrap());
    (pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), cookie)
}

async fn sign_in(
    site: &Site,
    provider: &Provider,
    signer: &Signer,
    change: &Value,
    next: &str,
) -> (String, BTreeMap<String, String>) {
    let (asked, cookie) = begun(site, next).await;
    let mut claims = provider.claims(&asked["nonce"]);
    for (key, value) in change.as_object().unwrap() {
        claims[key] = value.clone();
    }
    provider.world().token = signer.sign(&claims);
    walk(site, &format!("callback?code=abc&state={}", asked["state"]), &cookie).await
}

async fn refreshed(site: &Site, cookies: &BTreeMap<String, String>) -> (u16, Value) {
    let cookie = cookies["fastdeploy-session"].split(';').next().unwrap();
    let request =
        Request::post("/api/v1/session/refresh").header("cookie", format!("fastdeploy-session={cookie}"));
    let (status, _, body) = site.send(request.body(Body::empty()).unwrap()).await;
    (status.as_u16(), body)
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn somebody_signs_in_with_their_organisation_and_out(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    let ways = Request::get("/api/v1/session/ways").body(Body::empty()).unwrap();
    assert_eq!(site.send(ways).await.2, json!({"organisation": {"name": "Our Keycloak"}}));

    let (asked, cookie) = begun(&site, "?next=%2Fservices%2Fteam%2Fblog%3Fdeploy%3D1").await;
    let is = |name: &str, value: &str| assert_eq!(asked[name], value);
    is("tenant", "1");
    is("response_type", "code");
    is("client_id", "fastdeploy");
    is("scope", "openid%20profile%20email");
    is("redirect_uri", "http%3A%2F%2Fdeploy.example.com%2Fapi%2Fv1%2Fsession%2Foidc%2Fcallback");
    is("code_challenge_method", "S256");
    provider.world().token = signer.sign(&provider.claims(&asked["nonce"]));
    let (location, cookies) =
        walk(&site, &format!("callback?code=a%2Fb&state={}", asked["state"]), &cookie).await;
    assert_eq!(location, "/services/team/blog?deploy=1");
    assert!(cookies["fastdeploy-oidc"].contains("Max-Age=0"));
    assert!(cookies["fastdeploy-session"].contains("SameSite=Strict"));

    // Only who began can finish: the verifier fits the challenge; and the organisation knows us.
    let form = provider.world().asked.iter().find(|asked| asked.contains("code_verifier")).unwrap().clone();
    let shown = provider.world().authorization.clone();
    let verifier = form.split('&').find_map(|pair| pair.strip_prefix("code_verifier=")).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)), asked["code_challenge"]);
    assert!(form.contains("code=a%2Fb") && !form.contains("s3cret"), "{form}");
    let expected = base64::engine::general_purpose::STANDARD.encode("fastdeploy:s3cret%2F%26");
    assert_eq!(shown, format!("Basic {expected}"));

    let (status, session) = refreshed(&site, &cookies).await;
    assert_eq!((status, &session["user"]["name"]), (200, &json!("oidc:anna")), "{session}");
    let token = session["token"].as_str().unwrap();
    let (_, me) = crate::people::tests::ask(&site, token, "GET", "/account", &Value::Null).await;
    assert_eq!(
        (&me["kubernetesUser"], &me["groups"], &me["password"]),
        (&json!("oidc:anna"), &json!(["fastdeploy:users", "oidc:web"]), &json!(false))
    );
    // What they may do is what Kubernetes says of their group; it is asked for anew with each sign-in.
    site.service("team", "blog", 1, json!({}), json!({"observedGeneration": 1})).await;
    site.fake.grant("oidc:web get services team *");
    let (status, _) =
        crate::people::tests::ask(&site, token, "GET", "/services/team/blog", &Value::Null).await;
    assert_eq!(status, 200);
    let (_, cookies) = sign_in(&site, &provider, &signer, &json!({"groups": ["ops"]}), "").await;
    let (_, session) = refreshed(&site, &cookies).await;
    let token = session["token"].as_str().unwrap();
    let (status, _) =
        crate::people::tests::ask(&site, token, "GET", "/services/team/blog", &Value::Null).await;
    assert_eq!(status, 404);

    let cookie = cookies["fastdeploy-session"].split(';').next().unwrap();
    let request = Request::delete("/api/v1/session").header("cookie", format!("fastdeploy-session={cookie}"));
    let (status, _, out) = site.send(request.body(Body::empty()).unwrap()).await;
    let back = "http%3A%2F%2Fdeploy.example.com%2Fsign-in";
    let next = format!("{}/end?client_id=fastdeploy&post_logout_redirect_uri={back}", provider.url);
    assert_eq!((status.as_u16(), out), (200, json!({"next": next})));
    assert_eq!(refreshed(&site, &cookies).await.0, 401);
    let told: Vec<_> =
        store::outbox::after(&pool, 0, 100).await.unwrap().into_iter().map(|event| event.event).collect();
    assert_eq!(told, ["user.created", "user.signedIn", "user.signedIn", "user.signedOut"]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn no_answer_but_the_right_one_signs_anybody_in(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    let now = NOW.as_second();
    for change in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"aud": ["fastdeploy", "another"]}),
        json!({"aud": []}),
        json!({"azp": "another"}),
        json!({"nonce": "another"}),
        json!({"exp": now - 61}),
        json!({"exp": "never"}),
        json!({"iat": now + 61}),
        json!({"nbf": now + 61}),
        json!({"sub": ""}),
        json!({"preferred_username": ""}),
    ] {
        let (location, cookies) = sign_in(&site, &provider, &signer, &change, "").await;
        assert_eq!(location, "/sign-in?problem=refused", "{change}");
        assert!(!cookies.contains_key("fastdeploy-session"), "{change}");
    }
    let forged = signer.forged(&provider.claims("n"));
    for n in 0..forged.len() {
        let (asked, cookie) = begun(&site, "").await;
        let forged = signer.forged(&provider.claims(&asked["nonce"])).swap_remove(n);
        provider.world().token.clone_from(&forged);
        let (location, cookies) =
            walk(&site, &format!("callback?code=x&state={}", asked["state"]), &cookie).await;
        assert_eq!(location, "/sign-in?problem=refused", "{forged}");
        assert!(!cookies.contains_key("fastdeploy-session"), "{forged}");
    }
    assert_eq!(store::users::list(&pool, None, 10).await.unwrap(), []);
    // So far another clock may differ.
    for change in [
        json!({"exp": now - 59}),
        json!({"iat": now + 60}),
        json!({"aud": ["fastdeploy"], "azp": "fastdeploy"}),
    ] {
        assert_eq!(sign_in(&site, &provider, &signer, &change, "").await.0, "/", "{change}");
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn only_the_browser_that_began_finishes_and_once(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    let (asked, cookie) = begun(&site, "").await;
    let (other, others) = begun(&site, "").await;
    provider.world().token = signer.sign(&provider.claims(&asked["nonce"]));
    let answer = format!("callback?code=x&state={}", asked["state"]);
    let ours = site.token("anna");
    let foreign = format!("fastdeploy-oidc={ours}");
    for (path, cookie) in [
        (answer.as_str(), ""),
        (&answer, &others),
        (&answer, "fastdeploy-oidc=nonsense"),
        // Our key has signed it, but for something else.
        (&answer, &foreign),
        (&format!("callback?code=x&state={}", other["state"]), &cookie),
        ("callback?code=x", &cookie),
        ("callback", &cookie),
    ] {
        let (location, cookies) = walk(&site, path, cookie).await;
        assert_eq!(location, "/sign-in?problem=lost", "{path} {cookie}");
        assert!(!cookies.contains_key("fastdeploy-session"), "{path} {cookie}");
    }
    assert_eq!(walk(&site, &answer, &cookie).await.0, "/");
    assert_eq!(walk(&site, &answer, &cookie).await.0, "/sign-in?problem=lost");
    // Whoever says no there, and whoever answers in another one's name.
    let (asked, cookie) = begun(&site, "?next=/people").await;
    let denied = format!("callback?error=access_denied&error_description=no%0Anot&state={}", asked["state"]);
    assert_eq!(walk(&site, &denied, &cookie).await.0, "/sign-in?problem=denied&next=%2Fpeople");
    let (asked, cookie) = begun(&site, "").await;
    let mixed = format!("callback?code=x&iss=https%3A%2F%2Fevil.example&state={}", asked["state"]);
    assert_eq!(walk(&site, &mixed, &cookie).await.0, "/sign-in?problem=refused");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nobody_is_led_to_another_site(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    for next in [
        "https://evil.example",
        "//evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/api/v1/session/oidc/start",
    ] {
        let (location, _) = sign_in(&site, &provider, &signer, &json!({}), &format!("?next={next}")).await;
        assert_eq!(location, "/", "{next}");
    }
    provider.world().away = true;
    site.app.people.door.lead_to(None);
    assert_eq!(walk(&site, "start?next=//evil.example", "").await.0, "/sign-in?problem=none");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn while_the_organisation_is_away_passwords_count(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    provider.world().away = true;
    assert_eq!(walk(&site, "start?next=/people", "").await.0, "/sign-in?problem=away&next=%2Fpeople");
    // It is not asked again at once, however many want in.
    walk(&site, "start", "").await;
    assert_eq!(provider.asked("discovery"), 1);
    let hash = site.app.passwords.hash("correct horse battery".into()).await.unwrap();
    store::users::make_first_admin(&pool, "admin", &hash).await.unwrap();
    let body = json!({"name": "admin", "password": "correct horse battery"}).to_string();
    let request = Request::post("/api/v1/session").header("content-type", "application/json");
    assert_eq!(site.send(request.body(Body::from(body)).unwrap()).await.0, 200);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_name_that_is_given_and_an_account_that_is_closed_stay_so(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider);
    let (_, cookies) = sign_in(&site, &provider, &signer, &json!({}), "").await;
    let (location, others) = sign_in(&site, &provider, &signer, &json!({"sub": "43"}), "").await;
    assert_eq!(location, "/sign-in?problem=taken");
    assert!(!others.contains_key("fastdeploy-session"));
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let (location, _) = sign_in(&site, &provider, &signer, &json!({"groups": many}), "").await;
    assert_eq!(location, "/sign-in?problem=groups");

    store::users::make_first_admin(&pool, "admin", "x").await.unwrap();
    let closed = store::users::Change { admin: None, disabled: Some(true) };
    store::users::change(&pool, "oidc:anna", &closed, NOW, "admin").await.unwrap();
    assert_eq!(refreshed(&site, &cookies).await.0, 401);
    assert_eq!(sign_in(&site, &provider, &signer, &json!({}), "").await.0, "/sign-in?problem=closed");
}

#[tokio::test]
async fn new_keys_are_asked_for_but_not_for_each_forged_name() {
    let (old, new, never) = (Signer::new("old"), Signer::new("new"), Signer::new("never"));
    let provider = Provider::with(&[&old]).await;
    let client = outbound::Client::new(outbound::Allowed::anywhere(), &[]);
    let issuer = Issuer::new(&provider.url, client);
    let claims = provider.claims("n");
    let says = async |signer: &Signer, later: i64| {
        let at = NOW + SignedDuration::from_secs(later);
        issuer.verify(&signer.sign(&claims), "fastdeploy", at).await.map(drop)
    };
    assert_eq!(says(&old, 0).await, Ok(()));
    for _ in 0..5 {
        assert_eq!(says(&never, 10).await, Err(Failure::Refused(Refusal::UnknownKey)));
    }
    assert_eq!(provider.asked("keys"), 1);
    provider.has(&[&old, &new]);
    assert_eq!(says(&new, 31).await, Ok(()));
    for _ in 0..5 {
        assert_eq!(says(&never, 32).await, Err(Failure::Refused(Refusal::UnknownKey)));
    }
    assert_eq!((provider.asked("keys"), provider.asked("discovery")), (2, 1));
    // What it gave up counts no more after an hour, whatever else happens.
    provider.has(&[&new]);
    let at = NOW + SignedDuration::from_secs(3700);
    let mut later = claims.clone();
    later["exp"] = json!(at.as_second() + 60);
    let said = issuer.verify(&old.sign(&later), "fastdeploy", at).await;
    assert_eq!(said, Err(Failure::Refused(Refusal::UnknownKey)));
}

#[tokio::test]
async fn an_issuer_that_is_another_one_is_not_believed() {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let client = outbound::Client::new(outbound::Allowed::anywhere(), &[]);
    // The same server under another name.
    let issuer = Issuer::new(&provider.url.replace("127.0.0.1", "localhost"), client);
    let said = issuer.verify(&signer.sign(&provider.claims("n")), "fastdeploy", NOW).await;
    let Err(Failure::Away(away)) = said else { panic!("{said:?}") };
    assert!(away.to_string().contains("names another issuer"), "{away}");
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (door, trust) = (super::Door::default(), crate::people::federation::Trust::default());
    let name = || door.now().map(|now| now.settings.name().to_owned());
    let settings = |issuer: &str| {
        json!({"issuer": issuer, "clientId": "x", "url": "https://deploy.example.com"}).to_string()
    };
    super::take(&door, Some(&settings("https://sso.example.com")), Some(" secret\n"));
    assert_eq!(door.now().unwrap().secret.as_deref(), Some("secret"));
    for wrong in ["", "{}", "[", &settings("sso.example.com")] {
        super::take(&door, Some(wrong), None);
        assert_eq!(name().as_deref(), Some("sso.example.com"), "{wrong}");
    }
    super::take(&door, None, None);
    assert_eq!(name(), None);

    let rules = |service: &str| {
        json!({"url": "https://deploy.example.com", "rules": [{"name": "ci", "issuer": "https://ci.example.com", "claims": {"a": "b"},
            "namespace": "team", "service": service, "verbs": ["deploy"]}]})
        .to_string()
    };
    assert_eq!(trust.read(Some(&rules("blog"))), Ok(1));
    assert!(trust.read(Some(&rules(""))).is_err() && trust.read(Some("[]")).is_err());
    assert!(trust.knows("https://ci.example.com", ("team", "blog")));
    assert_eq!(trust.read(None), Ok(0));
    assert!(!trust.knows("https://ci.example.com", ("team", "blog")));
}
