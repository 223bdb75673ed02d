//! Through the router, on a real PostgreSQL, as those who know the secret and those who do not.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use store::PgPool;

use super::MAX_DELIVERY;
use super::signature::tests::{SECRET, hmac};
use crate::api::fake::Site;

async fn deliver(site: &Site, signature: Option<&str>, body: &str) -> (u16, Value) {
    let mut request = Request::post("/api/v1/hooks").header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    let (status, _, answer) = site.send(request.body(Body::from(body.to_owned())).unwrap()).await;
    (status.as_u16(), answer)
}

fn signed(body: &str) -> String {
    format!("sha256={}", hex::encode(hmac(SECRET.as_bytes(), body.as_bytes())))
}

fn push(url: &str, commit: &str) -> String {
    json!({"ref": "refs/heads/main", "after": commit, "repository": {"clone_url": url}}).to_string()
}

async fn site(pool: &PgPool) -> Site {
    let site = Site::on(pool);
    site.app.people.hooks.trust(vec![SECRET.as_bytes().to_vec()]);
    for (namespace, name, git) in [
        ("team", "blog", json!({"url": "https://git.example.com/team/site.git"})),
        ("team", "shop", json!({"url": "https://git.example.com/team/site.git", "path": "shop"})),
        ("other", "wiki", json!({"url": "git@git.example.com:team/site.git", "secretRef": {"name": "key"}})),
        ("other", "else", json!({"url": "https://git.example.com/team/site2.git"})),
    ] {
        site.service(namespace, name, 1, json!({"source": {"git": git}}), json!({})).await;
    }
    site
}

async fn events(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("select namespace, actor from outbox where type = 'source.announced' order by seq")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_push_is_heard_once_by_whom_it_concerns(pool: PgPool) {
    let site = site(&pool).await;
    let body = push("https://git.example.com/team/site", "1");
    let (status, heard) = deliver(&site, Some(&signed(&body)), &body).await;
    assert_eq!((status, heard), (202, json!({"services": 3, "again": false})));
    // One look for each way in which the repository is read, not one for each Service.
    let mut announced = site.fake.world().announced.clone();
    announced.sort();
    let who: Vec<_> = announced.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(who, ["other/wiki", "team/blog"]);
    let said = |namespace: &str| (namespace.to_owned(), "webhook:github".to_owned());
    assert_eq!(events(&pool).await, [said("other"), said("team")]);

    let (status, heard) = deliver(&site, Some(&signed(&body)), &body).await;
    assert_eq!((status, heard), (202, json!({"services": 0, "again": true})));
    // A replica that has not heard it asks for the same look, which is none, and tells nobody again.
    site.app.people.hooks.0.seen.invalidate_all();
    deliver(&site, Some(&signed(&body)), &body).await;
    let again = site.fake.world().announced.clone();
    assert_eq!(again[2..], again[..2]);
    assert_eq!(events(&pool).await.len(), 2);

    let elsewhere = push("https://git.example.com/nobody/else", "1");
    assert_eq!(deliver(&site, Some(&signed(&elsewhere)), &elsewhere).await.1["services"], 0);
    let ping =
        json!({"zen": "x", "repository": {"clone_url": "https://git.example.com/team/site"}}).to_string();
    assert_eq!(
        deliver(&site, Some(&signed(&ping)), &ping).await,
        (202, json!({"services": 0, "again": false}))
    );
    assert_eq!(site.fake.world().announced.len(), 4);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn many_pushes_at_once_are_one_look(pool: PgPool) {
    let site = site(&pool).await;
    let bodies: Vec<_> =
        (0..20).map(|n| push("https://git.example.com/team/site2", &n.to_string())).collect();
    let all = futures::future::join_all(bodies.iter().map(|body| {
        let signature = signed(body);
        let site = &site;
        async move { deliver(site, Some(&signature), body).await.0 }
    }));
    assert!(all.await.iter().all(|status| *status == 202));
    // Eight are heard at a time, and those are together.
    let looks = site.fake.world().announced.len();
    assert!((1..=5).contains(&looks), "{looks}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nothing_follows_from_what_is_not_signed(pool: PgPool) {
    let site = site(&pool).await;
    let body = push("https://git.example.com/team/site", "1");
    let other = body.replace("\"1\"", "\"2\"");
    let large = format!("{body}{}", " ".repeat(MAX_DELIVERY));
    for (signature, body, expected) in [
        (None, &body, (401, "BadSignature")),
        (Some("sha256=00".to_owned()), &body, (401, "BadSignature")),
        (Some(signed(&other)), &body, (401, "BadSignature")),
        (Some(signed(&large)), &large, (413, "TooLarge")),
    ] {
        let (status, answer) = deliver(&site, signature.as_deref(), body).await;
        assert_eq!((status, answer["reason"].as_str().unwrap()), expected);
    }
    let form = "payload=%7B%7D";
    assert_eq!(deliver(&site, Some(&signed(form)), form).await.0, 400);
    // Without any secret nobody is heard, whatever they sign with.
    site.app.people.hooks.trust(Vec::new());
    let empty = format!("sha256={}", hex::encode(hmac(b"", body.as_bytes())));
    assert_eq!(deliver(&site, Some(&empty), &body).await.0, 401);
    assert_eq!(events(&pool).await, []);
    assert_eq!(site.fake.world().announced, Vec::<String>::new());
}

#[test]
fn a_secret_that_can_be_guessed_does_not_count() {
    let secret = serde_yaml::from_str(
        "stringData: {}\ndata: {a: c2hvcnQ=, b: YSBzZWNyZXQgb2Ygc2l4dGVlbiBieXRlcwo=, c: ''}",
    )
    .unwrap();
    assert_eq!(super::usable(&secret), [SECRET.as_bytes().to_vec()]);
}
