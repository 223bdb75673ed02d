//! Through the router, on a real PostgreSQL, as the people who ask.

mod audited;
mod cursors;
mod deploying;
mod evident;
mod kept;
mod manifests;
mod matrix;
mod promoted;
mod trust;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::PgPool;
use store::events::{Body as EventBody, NewEvent};
use store::runs::{self, NewReport};
use uuid::Uuid;

use super::fake::Site;
use crate::claim::fake::NOW;
use crate::identity::token::{self, RunClaims, UserClaims};

const FORM: &str = r#"[{"name": "version", "type": "text", "required": true, "pattern": "v[0-9]+"}]"#;

fn form() -> Value {
    json!({"title": "Blog", "inputs": serde_json::from_str::<Value>(FORM).unwrap()})
}

fn live() -> Value {
    json!({"observedGeneration": 1, "conditions": [
        {"type": "Ready", "status": "True", "reason": "Deployed", "message": "It is there.", "lastTransitionTime": "2027-01-15T08:00:00Z"},
        {"type": "InSync", "status": "True", "reason": "Deployed", "message": "", "lastTransitionTime": "2027-01-15T08:00:00Z"}],
        "live": {"deployment": {"name": "blog-1", "uid": "00000000-0000-0000-0000-000000000001"}, "number": 1,
            "digest": "v1:x", "revision": "inline@1", "since": "2027-01-15T08:00:00Z"},
        "last": {"deployment": {"name": "blog-1", "uid": "00000000-0000-0000-0000-000000000001"}, "number": 1, "phase": "Succeeded"}})
}

fn ended(number: i64, phase: &str, seconds: i64) -> Value {
    let end = NOW + SignedDuration::from_secs(seconds);
    json!({"observedGeneration": 1, "number": number, "phase": phase, "startedAt": NOW, "finishedAt": end,
        "steps": [{"key": "deploy.yml:1#1", "name": "Kept", "state": "Succeeded"}]})
}

fn cookie(headers: &HeaderMap) -> String {
    let cookie = headers.get("set-cookie").expect("a cookie").to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Secure"));
    cookie.split(';').next().unwrap().to_owned()
}

async fn session(
    site: &Site,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(format!("/api/v1/session{path}"));
    request = request.header("host", "deploy.example.com").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    site.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn people_sign_in_stay_signed_in_and_sign_out(pool: PgPool) {
    let site = Site::on(&pool);
    let hash = site.app.passwords.hash("correct horse".into()).await.unwrap();
    store::users::make_first_admin(&pool, "admin", &hash).await.unwrap();
    let right = json!({"name": "admin", "password": "correct horse"});
    for wrong in
        [json!({"name": "admin", "password": "x"}), json!({"name": "nobody", "password": "correct horse"})]
    {
        let (status, headers, body) = session(&site, "POST", "", &[], &wrong).await;
        assert_eq!((status.as_u16(), &body["reason"]), (401, &json!("WrongPassword")));
        assert!(headers.get("set-cookie").is_none());
        assert_eq!(headers["content-type"], "application/problem+json");
    }
    let (status, _, body) = session(&site, "POST", "", &[("origin", "https://evil.example")], &right).await;
    assert_eq!((status.as_u16(), &body["reason"]), (403, &json!("Forbidden")));

    let (status, headers, body) =
        session(&site, "POST", "", &[("origin", "https://deploy.example.com")], &right).await;
    assert_eq!((status.as_u16(), &body["user"]), (200, &json!({"name": "admin", "admin": true})));
    let claims: UserClaims = token::verify(&site.key, body["token"].as_str().unwrap(), NOW).unwrap();
    assert_eq!((claims.sub.as_str(), claims.admin, claims.exp), ("admin", true, NOW.as_second() + 600));
    let first = cookie(&headers);

    let (status, headers, _) = session(&site, "POST", "/refresh", &[("cookie", &first)], &Value::Null).await;
    let second = cookie(&headers);
    assert_eq!(status.as_u16(), 200);
    assert_ne!(first, second);
    for none in ["", "fastdeploy-session=guessed"] {
        let (status, _, body) = session(&site, "POST", "/refresh", &[("cookie", none)], &Value::Null).await;
        assert_eq!((status.as_u16(), &body["reason"]), (401, &json!("SignedOut")));
    }
    let (status, _, _) = session(&site, "DELETE", "", &[("cookie", &second)], &Value::Null).await;
    assert_eq!(status.as_u16(), 204);
    for ended in [&first, &second] {
        let (status, _, _) = session(&site, "POST", "/refresh", &[("cookie", ended)], &Value::Null).await;
        assert_eq!(status.as_u16(), 401);
    }
    // Signed out once, told once: a cookie that has ended, was guessed or is missing is nobody's.
    for nobody in [&second, "fastdeploy-session=guessed", ""] {
        let (status, _, _) = session(&site, "DELETE", "", &[("cookie", nobody)], &Value::Null).await;
        assert_eq!(status.as_u16(), 204);
    }
    let told = store::outbox::after(&pool, 0, 100).await.unwrap();
    let told: Vec<_> = told.iter().map(|event| (event.event.as_str(), &event.data["name"])).collect();
    let out: Vec<_> = told.iter().filter(|(event, _)| *event == "user.signedOut").collect();
    assert_eq!(out, [&("user.signedOut", &json!("admin"))]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_disabled_account_is_out(pool: PgPool) {
    let site = Site::on(&pool);
    let hash = site.app.passwords.hash("correct horse".into()).await.unwrap();
    store::users::make_first_admin(&pool, "admin", &hash).await.unwrap();
    let right = json!({"name": "admin", "password": "correct horse"});
    let (_, headers, _) = session(&site, "POST", "", &[], &right).await;
    sqlx::query("update users set disabled_at = now()").execute(&pool).await.unwrap();
    assert_eq!(session(&site, "POST", "", &[], &right).await.0, 401);
    let cookie = cookie(&headers);
    assert_eq!(session(&site, "POST", "/refresh", &[("cookie", &cookie)], &Value::Null).await.0, 401);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nobody_gets_in_without_a_token_of_a_person(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, form(), live()).await;
    let uid = site.deployment("blog", 1, ended(1, "Succeeded", 60)).await;
    let run = RunClaims::new("uid", 1, "i", ("team", "blog-1"), NOW, NOW + SignedDuration::from_mins(30));
    let old = UserClaims::new("admin", true, Uuid::nil(), NOW - SignedDuration::from_mins(10));
    let tokens = [
        None,
        Some("Bearer nonsense".to_owned()),
        Some(format!("Bearer {}", token::issue(&site.key, &run).unwrap())),
        Some(format!("Bearer {}", token::issue(&site.key, &old).unwrap())),
        Some(format!("Basic {}", site.token("admin"))),
    ];
    for token in &tokens {
        for (method, path) in [
            ("GET", "/services".to_owned()),
            ("GET", "/services/team/blog".to_owned()),
            ("GET", "/services/team/blog/deployments".to_owned()),
            ("POST", "/services/team/blog/deployments".to_owned()),
            ("GET", format!("/deployments/{uid}")),
            ("POST", format!("/deployments/{uid}/cancel")),
            ("GET", format!("/deployments/{uid}/output")),
        ] {
            let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let (status, headers, body) = site.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(
                (status.as_u16(), &body["reason"]),
                (401, &json!("SignedOut")),
                "{method} {path} {token:?}"
            );
            assert_eq!(headers["content-type"], "application/problem+json");
        }
    }
    assert_eq!(site.fake.world().asked, 0);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_one_may_not_see_is_not_there(pool: PgPool) {
    let site = Site::on(&pool);
    for (namespace, name) in [("team", "blog"), ("team", "shop"), ("other", "wiki")] {
        site.service(namespace, name, 1, json!({}), live()).await;
    }
    let uid = site.deployment("blog", 1, ended(1, "Succeeded", 60)).await;
    let names = |body: &Value| -> Vec<String> {
        body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (status, body) = site.get("anna", "/services").await;
    assert_eq!((status, names(&body)), (200, vec![]));
    for path in [
        "/services/team/blog".to_owned(),
        "/services/team/blog/deployments".into(),
        format!("/deployments/{uid}"),
        format!("/deployments/{uid}/output"),
    ] {
        let (status, body) = site.get("anna", &path).await;
        assert_eq!((status, &body["reason"]), (404, &json!("NotFound")), "{path}");
    }

    site.fake.grant("ben list services team *");
    site.fake.grant("fastdeploy:admins list services * *");
    site.fake.grant("carl get services team blog");
    assert_eq!(names(&site.get("ben", "/services").await.1), ["blog", "shop"]);
    assert_eq!(names(&site.get("admin", "/services").await.1), ["wiki", "blog", "shop"]);
    assert_eq!(names(&site.get("carl", "/services").await.1), Vec::<String>::new());
    assert_eq!(site.get("carl", "/services/team/blog").await.0, 200);
    assert_eq!(site.get("carl", "/services/team/shop").await.0, 404);
    assert_eq!(site.get("carl", &format!("/deployments/{uid}")).await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn kubernetes_is_asked_once_and_again_when_roles_change(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, json!({}), live()).await;
    site.fake.grant("anna get services team *");
    for _ in 0..5 {
        assert_eq!(site.get("anna", "/services/team/blog").await.0, 200);
    }
    // Two for `get`, three each for `deploy`, `update` and `delete`.
    assert_eq!(site.fake.world().asked, 11);
    site.fake.world().grants.clear();
    site.app.access.forget();
    assert_eq!(site.get("anna", "/services/team/blog").await.0, 404);
    site.fake.world().away = true;
    site.app.access.forget();
    let (status, body) = site.get("anna", "/services/team/blog").await;
    assert_eq!((status, &body["reason"]), (503, &json!("Unavailable")));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn pages_follow_each_other_without_gap(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna list services * *");
    site.fake.grant("anna get services * *");
    for n in 0..5 {
        site.service("team", &format!("s{n}"), 1, json!({}), live()).await;
        site.deployment("s0", n, ended(n as i64 + 1, "Succeeded", 60)).await;
    }
    for (path, key, expected) in [
        ("/services", "name", json!(["s0", "s1", "s2", "s3", "s4"])),
        ("/services/team/s0/deployments", "name", json!(["s0-4", "s0-3", "s0-2", "s0-1", "s0-0"])),
    ] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (status, body) = site.get("anna", &format!("{path}?limit=2{after}")).await;
            assert_eq!(status, 200, "{body}");
            seen.extend(body["items"].as_array().unwrap().iter().map(|item| item[key].clone()));
            match body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(Value::from(seen), expected);
    }
    for wrong in ["limit=0", "limit=201", "limit=x", "after=x", "lmit=3"] {
        assert_eq!(site.get("anna", &format!("/services?{wrong}")).await.0, 400, "{wrong}");
    }
    assert_eq!(site.get("anna", "/services/team/s0/deployments?after=2027").await.0, 400);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_service_tells_how_it_stands(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna get services team *");
    site.service("team", "blog", 1, form(), live()).await;
    for (n, (phase, seconds)) in [("Succeeded", 60), ("Failed", 5), ("Succeeded", 80)].iter().enumerate() {
        site.deployment("blog", n as u128 + 1, ended(n as i64 + 1, phase, *seconds)).await;
    }
    let (status, body) = site.get("anna", "/services/team/blog").await;
    let service = &body["service"];
    assert_eq!((status, &service["title"], &service["state"]), (200, &json!("Blog"), &json!("Live")));
    assert_eq!((&service["live"]["number"], &service["last"]["number"]), (&json!(1), &json!(1)));
    assert_eq!(service["inputs"][0]["name"], "version");
    let ticks: Vec<_> =
        service["recent"].as_array().unwrap().iter().map(|tick| tick["seconds"].clone()).collect();
    assert_eq!((ticks, &service["usualSeconds"]), (vec![json!(60), json!(5), json!(80)], &json!(80)));
    assert_eq!(body["may"], json!({"deploy": false, "change": false, "delete": false}));
    let text = body.to_string();
    assert!(!text.contains("deploy.yml\":") && !text.contains("inventory"), "{text}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_person_starts_a_run_once_per_key(pool: PgPool) {
    let site = Site::on(&pool);
    let path = "/services/team/blog/deployments";
    site.service("team", "blog", 1, form(), live()).await;
    site.fake.grant("anna get services team *");
    site.fake.grant("anna get deployments team *");
    let good = json!({"inputs": {"version": "v2"}, "reason": " Fix the footer "});
    let (status, body) = site.post("anna", path, None, &good).await;
    assert_eq!((status, &body["reason"]), (403, &json!("Forbidden")));
    assert!(body["detail"].as_str().unwrap().contains("verb \"deploy\""), "{body}");
    site.fake.grant("anna deploy services team blog");
    site.app.access.forget();

    for (wrong, field) in [
        (json!({}), "inputs.version"),
        (json!({"inputs": {"version": "x"}}), "inputs.version"),
        (json!({"inputs": {"version": "v1", "sice": 1}}), "inputs.sice"),
        (json!({"inputs": {"version": "v1"}, "reason": "x".repeat(501)}), "reason"),
    ] {
        let (status, body) = site.post("anna", path, None, &wrong).await;
        assert_eq!((status, &body["reason"], &body["field"]), (422, &json!("InvalidInput"), &json!(field)));
    }
    for nonsense in [json!(3), json!({"input": {}}), json!({"inputs": 3})] {
        assert_eq!(site.post("anna", path, None, &nonsense).await.0, 400, "{nonsense}");
    }
    assert!(site.fake.world().deployments.is_empty());

    let (status, first) = site.post("anna", path, Some("k1"), &good).await;
    assert_eq!(status, 201, "{first}");
    let run = &first["deployment"];
    assert_eq!((&run["note"], &run["phase"]), (&json!("Fix the footer"), &json!("Pending")));
    assert_eq!(run["requestedBy"], json!({"name": "anna", "via": "Dashboard"}));
    let made = site.fake.world().deployments.values().next().unwrap().clone();
    assert_eq!(made.metadata.annotations.unwrap()["fastdeploy.dev/requested-by"], "anna");
    let uid = run["uid"].as_str().unwrap();
    assert_eq!(site.get("anna", &format!("/deployments/{uid}")).await.1["deployment"], *run);

    let (status, again) = site.post("anna", path, Some("k1"), &good).await;
    assert_eq!((status, &again["deployment"]["uid"]), (200, &run["uid"]));
    let (status, body) = site.post("anna", path, Some("k1"), &json!({"inputs": {"version": "v3"}})).await;
    assert_eq!((status, &body["reason"]), (409, &json!("KeyUsed")));
    assert_eq!(site.post("anna", path, Some("k2"), &good).await.0, 201);
    assert_eq!(site.post("anna", path, Some(&"k".repeat(129)), &good).await.0, 400);
    assert_eq!(site.fake.world().deployments.len(), 2);

    let mut paused = form();
    paused["suspend"] = json!(true);
    site.service("team", "blog", 2, paused, live()).await;
    let (status, body) = site.post("anna", path, None, &good).await;
    assert_eq!((status, &body["reason"]), (409, &json!("Suspended")));
}

/// Whoever asks may continue a trace of their own; what is no trace is left out.
#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_callers_trace_goes_on(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, form(), live()).await;
    for verb in ["get", "deploy"] {
        site.fake.grant(&format!("anna {verb} services team *"));
    }
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (traceparent, kept) in [(caller, Some(caller)), ("{{ nonsense }}", None)] {
        let request = Request::post("/api/v1/services/team/blog/deployments")
            .header("authorization", format!("Bearer {}", site.token("anna")))
            .header("content-type", "application/json")
            .header("idempotency-key", traceparent)
            .header("traceparent", traceparent);
        let body = json!({"inputs": {"version": "v2"}}).to_string();
        assert_eq!(site.send(request.body(Body::from(body)).unwrap()).await.0, 201);
        let made = |d: &crds::Deployment| {
            d.metadata.annotations.clone().unwrap().remove("fastdeploy.dev/traceparent")
        };
        let found: Vec<_> = site.fake.world().deployments.values().map(made).collect();
        assert!(found.contains(&kept.map(ToOwned::to_owned)), "{found:?}");
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn without_the_database_a_run_starts_all_the_same(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, form(), live()).await;
    for verb in ["get", "deploy"] {
        site.fake.grant(&format!("anna {verb} services team *"));
    }
    pool.close().await;
    let (status, body) = site.get("anna", "/services/team/blog").await;
    assert_eq!((status, &body["reason"]), (503, &json!("Unavailable")));
    let path = "/services/team/blog/deployments";
    let (status, body) = site.post("anna", path, None, &json!({"inputs": {"version": "v2"}})).await;
    assert_eq!((status, &body["deployment"]["requestedBy"]["name"]), (201, &json!("anna")), "{body}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_person_stops_a_run(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna get deployments team *");
    let running = json!({"observedGeneration": 1, "number": 2, "phase": "Running", "attempt": 1});
    let uid = site.deployment("blog", 1, running).await;
    let over = site.deployment("blog", 2, ended(1, "Failed", 5)).await;
    let path = format!("/deployments/{uid}/cancel");
    let (status, body) = site.post("anna", &path, None, &json!({"how": "AfterStep"})).await;
    assert_eq!((status, &body["reason"]), (403, &json!("Forbidden")));
    site.fake.grant("anna cancel deployments team *");
    site.app.access.forget();
    assert_eq!(site.post("anna", &path, None, &json!({"how": "Later"})).await.0, 400);
    let (status, body) = site.post("anna", &path, None, &json!({"how": "AfterStep"})).await;
    assert_eq!((status, &body["deployment"]["cancel"]), (202, &json!("AfterStep")));
    let (status, body) = site.post("anna", &path, None, &json!({"how": "Now"})).await;
    assert_eq!((status, &body["deployment"]["cancel"]), (202, &json!("Now")));
    // What is stronger stays.
    assert_eq!(
        site.post("anna", &path, None, &json!({"how": "AfterStep"})).await.1["deployment"]["cancel"],
        "Now"
    );
    let (status, body) =
        site.post("anna", &format!("/deployments/{over}/cancel"), None, &json!({"how": "Now"})).await;
    assert_eq!((status, &body["reason"]), (409, &json!("Ended")));
}

/// Stored.
pub(crate) async fn report(pool: &PgPool, uid: Uuid, first: i64, bodies: &[Value]) {
    runs::record(pool, &new_report(uid, first, bodies)).await.unwrap();
}

/// As a runner reports it.
pub(crate) fn new_report(uid: Uuid, first: i64, bodies: &[Value]) -> NewReport {
    let events = bodies.iter().enumerate().map(|(n, body)| NewEvent {
        seq: first + n as i64,
        at: NOW,
        body: match body["kind"].as_str() {
            Some("output") => EventBody::Output {
                first_line: body["firstLine"].as_i64().unwrap(),
                text: body["text"].as_str().unwrap().to_owned(),
            },
            _ => EventBody::Json(body.to_string()),
        },
    });
    NewReport {
        uid,
        attempt: 1,
        instance: "i".into(),
        namespace: "team".into(),
        day: NOW.to_zoned(jiff::tz::TimeZone::UTC).date(),
        first_available: 1,
        events: events.collect(),
        finished: false,
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_run_shows_its_steps_and_its_output(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna get deployments team *");
    let uid = site.deployment("blog", 1, ended(1, "Failed", 60)).await;
    let (status, body) = site.get("anna", &format!("/deployments/{uid}")).await;
    assert_eq!((status, &body["steps"][0]["name"], body.get("run")), (200, &json!("Kept"), None));

    report(&pool, uid, 1, &[
        json!({"kind": "plan", "steps": [{"key": "a:1#1", "name": "One"}, {"key": "a:2#1", "name": "Two"}]}),
        json!({"kind": "stepStarted", "key": "a:1#1", "name": "One"}),
        json!({"kind": "output", "firstLine": 1, "text": "TASK [One]\n\u{1b}[0;31mfatal\u{1b}[0m"}),
        json!({"kind": "hostResult", "key": "a:1#1", "host": "web1", "state": "Failed", "changed": false, "durationMs": 5, "message": "disk full"}),
        json!({"kind": "stepFinished", "key": "a:1#1", "state": "Failed"}),
    ])
    .await;
    let (_, body) = site.get("anna", &format!("/deployments/{uid}")).await;
    assert_eq!(body["steps"].as_array().unwrap().len(), 2);
    let step = &body["steps"][0];
    assert_eq!((&step["state"], &step["message"]), (&json!("Failed"), &json!("disk full")));
    assert_eq!(
        step["hosts"][0],
        json!({"host": "web1", "state": "Failed", "changed": false, "durationMs": 5, "message": "disk full"})
    );
    assert_eq!((&body["run"]["attempt"], &body["run"]["lost"]), (&json!(1), &json!([])));
    assert!(body["run"]["cursor"].as_str().unwrap().ends_with(".1.5"));

    let (status, body) = site.get("anna", &format!("/deployments/{uid}/output?from=2&limit=1")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["lines"], &body["first"], &body["total"]),
        (&json!(["\u{1b}[0;31mfatal\u{1b}[0m"]), &json!(2), &json!(2))
    );
    for wrong in ["from=0", "limit=10001", "attempt=x"] {
        assert_eq!(site.get("anna", &format!("/deployments/{uid}/output?{wrong}")).await.0, 400, "{wrong}");
    }
    assert_eq!(site.get("anna", "/deployments/no-uid").await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn every_no_is_a_problem_and_every_answer_is_guarded(pool: PgPool) {
    let site = Site::on(&pool);
    let ask = async |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {}", site.token("anna")));
        site.send(request.header("content-type", "application/json").body(Body::from(body)).unwrap()).await
    };
    for (method, path, body, status) in [
        ("GET", "/api/v1/nothing", vec![], 404),
        ("DELETE", "/api/v1/services", vec![], 405),
        ("POST", "/api/v1/session", vec![b' '; super::MAX_BODY + 1], 413),
        ("POST", "/api/v1/session", b"{".to_vec(), 400),
        ("GET", "/api/v1/services?limit=x", vec![], 400),
    ] {
        let (answered, headers, body) = ask(method, path, body).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method} {path}");
        assert_eq!(body["status"], status);
        assert!(body["detail"].as_str().unwrap().ends_with('.'), "{body}");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
    let (_, _, contract) = ask("GET", "/api/v1/openapi.json", vec![]).await;
    assert!(contract["openapi"].as_str().unwrap().starts_with("3.1"), "{contract}");
}
