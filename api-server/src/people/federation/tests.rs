//! Through the router, on a real PostgreSQL, with a CI system that answers over HTTP; mostly from the side of those
//! whose pipeline is not meant.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use store::PgPool;

use super::{GRANT, JWT};
use crate::api::fake::Site;
use crate::claim::fake::NOW;
use crate::people::organisation::tests::{Provider, Signer};
use crate::people::tests::ask;

const AUDIENCE: &str = "http://deploy.example.com";

async fn site(pool: &PgPool, provider: &Provider) -> Site {
    let site = Site::on(pool);
    for name in ["blog", "shop"] {
        site.service("team", name, 1, json!({}), json!({"observedGeneration": 1})).await;
    }
    let rule = |service: &str, verbs: Value| {
        json!({"name": format!("ci-{service}"), "issuer": provider.url, "claims": {"repository": "team/blog", "ref": "main"},
            "namespace": "team", "service": service, "verbs": verbs})
    };
    let rules = json!([rule("blog", json!(["deploy"])), rule("wiki", json!(["deploy"])), {
        "name": "other", "issuer": provider.url, "audience": "elsewhere", "claims": {"repository": "team/shop"},
        "namespace": "team", "service": "shop", "verbs": ["deploy", "cancel"]}]);
    site.app.people.trust.read(Some(&json!({"url": AUDIENCE, "rules": rules}).to_string())).unwrap();
    site
}

fn claims(provider: &Provider, jti: &str) -> Value {
    let now = NOW.as_second();
    json!({"iss": provider.url, "aud": AUDIENCE, "sub": "repo:team/blog:main", "repository": "team/blog", "ref": "main",
        "jti": jti, "iat": now, "nbf": now, "exp": now + 300})
}

async fn exchange(site: &Site, pairs: &[(&str, &str)]) -> (u16, Value) {
    let body = crate::people::organisation::encode(pairs);
    let request = Request::post("/api/v1/token").header("content-type", "application/x-www-form-urlencoded");
    let (status, _, body) = site.send(request.body(Body::from(body)).unwrap()).await;
    (status.as_u16(), body)
}

async fn wish(site: &Site, token: &str, resource: &str, scope: &str) -> (u16, Value) {
    let pairs = [
        ("grant_type", GRANT),
        ("subject_token", token),
        ("subject_token_type", JWT),
        ("resource", resource),
        ("scope", scope),
    ];
    exchange(site, &pairs[..if scope.is_empty() { 4 } else { 5 }]).await
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_pipeline_exchanges_its_token_for_one_of_its_service(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider).await;
    let (status, body) = wish(&site, &signer.sign(&claims(&provider, "1")), "team/blog", "").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"], &body["issued_token_type"]),
        (&json!("Bearer"), &json!(900), &json!("deploy"), &json!(super::ACCESS_TOKEN))
    );
    let token = body["access_token"].as_str().unwrap();
    let (status, run) =
        ask(&site, token, "POST", "/services/team/blog/deployments", &json!({"inputs": {}})).await;
    assert_eq!((status, &run["deployment"]["requestedBy"]["name"]), (201, &json!("token:ci-blog")), "{run}");
    let uid = run["deployment"]["uid"].as_str().unwrap();
    // It is for this Service and this verb, whatever else there is.
    for (method, path, body, expected) in [
        ("GET", "/services/team/shop".to_owned(), Value::Null, 404),
        ("POST", "/services/team/shop/deployments".into(), json!({"inputs": {}}), 404),
        ("POST", format!("/deployments/{uid}/cancel"), json!({"how": "Now"}), 403),
        ("POST", "/services/team/blog/tokens".into(), json!({"name": "more", "verbs": ["deploy"]}), 403),
    ] {
        let (status, answer) = ask(&site, token, method, &path, &body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    // People see it, and who it was; it is told as every other token.
    let (kind, name, by): (String, String, String) =
        sqlx::query_as("select kind, name, created_by from tokens").fetch_one(&pool).await.unwrap();
    assert_eq!(
        (kind.as_str(), name.as_str(), by.as_str()),
        ("federated", "ci-blog", "federation:ci-blog repo:team/blog:main")
    );
    let told = store::outbox::after(&pool, 0, 100).await.unwrap();
    let issued = told.iter().find(|event| event.event == "token.issued").unwrap();
    assert_eq!((issued.actor.as_str(), issued.namespace.as_str()), (by.as_str(), "team"));
    let (what, actor): (String, String) =
        sqlx::query_as("select what, actor from activity where what = 'exchangeToken'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((what.as_str(), actor), ("exchangeToken", by));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nobody_else_gets_a_token(pool: PgPool) {
    let (signer, stranger) = (Signer::new("a"), Signer::new("a"));
    let provider = Provider::with(&[&signer]).await;
    let elsewhere = Provider::with(&[&stranger]).await;
    let site = site(&pool, &provider).await;
    let now = NOW.as_second();
    let mut forged: Vec<(String, &str, &str)> = Vec::new();
    for (n, change) in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"aud": []}),
        json!({"repository": "team/blog2"}),
        json!({"repository": ["team/blog"]}),
        json!({"ref": "refs/pull/1/merge"}),
        json!({"ref": null}),
        json!({"exp": now - 61}),
        json!({"exp": null}),
        json!({"iat": now + 61}),
        json!({"nbf": now + 61}),
        json!({"iat": now - 3601}),
        json!({"iat": null}),
    ]
    .iter()
    .enumerate()
    {
        let mut changed = claims(&provider, &format!("c{n}"));
        for (key, value) in change.as_object().unwrap() {
            changed[key] = value.clone();
        }
        forged.push((signer.sign(&changed), "team/blog", ""));
    }
    let honest = claims(&provider, "h");
    forged.extend(signer.forged(&honest).into_iter().map(|token| (token, "team/blog", "")));
    // Signed by somebody who is nobody here, in whosever name.
    forged.push((stranger.sign(&claims(&elsewhere, "s")), "team/blog", ""));
    forged.push((stranger.sign(&honest), "team/blog", ""));
    // Another Service: one whose rule asks for more, one that nobody wrote of, one that there is not.
    for service in ["team/shop", "team/other", "other/blog", "team/wiki"] {
        forged.push((signer.sign(&honest), service, ""));
    }
    // More than the rule gives.
    forged.push((signer.sign(&honest), "team/blog", "cancel"));
    forged.push((signer.sign(&honest), "team/blog", "deploy cancel"));
    let mut words = std::collections::BTreeSet::new();
    for (token, resource, scope) in &forged {
        let (status, body) = wish(&site, token, resource, scope).await;
        assert_eq!(
            (status, &body["reason"]),
            (403, &json!("NotTrusted")),
            "{token} {resource} {scope}: {body}"
        );
        words.insert(body["detail"].to_string());
    }
    // Whoever tries learns nothing from the words.
    assert_eq!(words.len(), 1, "{words:?}");
    let made: i64 = sqlx::query_scalar("select count(*) from tokens").fetch_one(&pool).await.unwrap();
    assert_eq!(made, 0);
    // Nobody had us ask an address that no rule names.
    assert_eq!(elsewhere.asked("discovery") + elsewhere.asked("keys"), 0);
    assert_eq!(wish(&site, &signer.sign(&honest), "team/blog", "deploy").await.0, 200);
    // Nothing is trusted any more as soon as the rules are gone.
    site.app.people.trust.read(None).unwrap();
    assert_eq!(wish(&site, &signer.sign(&claims(&provider, "z")), "team/blog", "").await.0, 403);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_token_that_was_seen_by_others_is_worth_nothing_to_them(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider).await;
    let token = signer.sign(&claims(&provider, "once"));
    // Both at once: one of them gets it.
    let (one, two) = tokio::join!(wish(&site, &token, "team/blog", ""), wish(&site, &token, "team/blog", ""));
    let mut both = [one.0, two.0];
    both.sort_unstable();
    assert_eq!(both, [200, 403]);
    assert_eq!(wish(&site, &token, "team/blog", "").await.0, 403);
    assert_eq!(wish(&site, &signer.sign(&claims(&provider, "twice")), "team/blog", "").await.0, 200);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_is_not_an_exchange_is_told_what_to_write(pool: PgPool) {
    let signer = Signer::new("a");
    let provider = Provider::with(&[&signer]).await;
    let site = site(&pool, &provider).await;
    let token = signer.sign(&claims(&provider, "1"));
    let right = [
        ("grant_type", GRANT),
        ("subject_token", token.as_str()),
        ("subject_token_type", JWT),
        ("resource", "team/blog"),
    ];
    for (name, value, status, field) in [
        ("grant_type", "password", 422, "grant_type"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", 422, "subject_token_type"),
        ("resource", "blog", 422, "resource"),
        ("resource", "a/b/c", 422, "resource"),
        ("scope", "approve", 422, "scope"),
        ("other", "x", 400, ""),
        ("resource", "team/\u{0}", 403, ""),
    ] {
        let mut pairs: Vec<_> = right.iter().copied().filter(|pair| pair.0 != name).collect();
        pairs.push((name, value));
        let (answered, body) = exchange(&site, &pairs).await;
        assert_eq!(
            (answered, body["field"].as_str().unwrap_or_default()),
            (status, field),
            "{name}={value}: {body}"
        );
    }
    for missing in ["grant_type", "subject_token", "subject_token_type", "resource"] {
        let pairs: Vec<_> = right.iter().copied().filter(|pair| pair.0 != missing).collect();
        assert_eq!(exchange(&site, &pairs).await.0, 400, "{missing}");
    }
    let long = "x".repeat(super::MAX_BODY);
    assert_eq!(wish(&site, &long, "team/blog", "").await.0, 413);
    provider.goes_away();
    assert_eq!(wish(&site, &token, "team/blog", "").await.0, 503);
}
