//! What is live at one Service, run at another one.

use crds::service::InputType;
use serde_json::{Value, json};
use store::PgPool;

use crate::api::fake::Site;

const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OLD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn spec(branch: &str) -> Value {
    json!({"source": {"git": {"url": "https://git.example.com/blog.git", "branch": branch}},
        "inputs": [{"name": "version", "type": "text", "required": true}, {"name": "size", "type": "number", "default": 3}]})
}

fn live(number: i64, commit: &str, inputs: &Value) -> Value {
    json!({"live": {"deployment": {"name": "d", "uid": "00000000-0000-0000-0000-000000000001"}, "number": number, "digest": "d",
        "revision": format!("main@sha1:{commit}"), "inputs": inputs, "since": "2027-01-15T08:00:00Z"}})
}

/// Anna may deploy production, and see all of the team.
async fn site(pool: &PgPool) -> Site {
    let site = Site::on(pool);
    site.service(
        "team",
        "staging",
        1,
        spec("main"),
        live(12, COMMIT, &json!({"version": "v2", "debug": true})),
    )
    .await;
    site.service("team", "production", 1, spec("main"), live(4, OLD, &json!({"version": "v1"}))).await;
    for words in ["get services team *", "get deployments team *", "deploy services team production"] {
        site.fake.grant(&format!("anna {words}"));
    }
    site
}

const PATH: &str = "/services/team/staging/promote";

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn it_is_said_beforehand_what_would_change(pool: PgPool) {
    let site = site(&pool).await;
    let (status, found) = site.get("anna", "/services/team/staging/promotion?to=production").await;
    assert_eq!(status, 200, "{found}");
    assert_eq!((&found["may"], &found["number"], &found["same"]), (&json!(true), &json!(12), &json!(false)));
    let revision =
        json!({"from": format!("main@sha1:{OLD}"), "to": format!("main@sha1:{COMMIT}"), "commit": COMMIT});
    assert_eq!(found["revision"], revision);
    assert_eq!(
        found["inputs"],
        json!([{"name": "version", "label": "version", "from": "v1", "to": "v2"},
        {"name": "size", "label": "size", "from": 3, "to": 3}])
    );
    assert_eq!(
        (&found["leftOut"], &found["missing"]),
        (&json!([{"name": "debug", "why": "Unknown"}]), &json!([]))
    );
    let (_, back) = site.get("anna", "/services/team/production/promotion?to=staging").await;
    assert_eq!(back["may"], false);

    site.service("team", "topic", 1, spec("topic"), Value::Null).await;
    let (status, found) = site.get("anna", "/services/team/staging/promotion?to=topic").await;
    assert_eq!((status, &found["hindrance"]["reason"]), (200, &json!("OtherSource")));
    assert_eq!(found["hindrance"]["field"], "source.git.branch");
    let (_, found) = site.get("anna", "/services/team/topic/promotion?to=staging").await;
    assert_eq!((&found["hindrance"]["reason"], found.get("number")), (&json!("NothingLive"), None));
    for (query, status) in [("to=staging", 422), ("to=nowhere", 404), ("to=%00", 400), ("", 400)] {
        assert_eq!(
            site.get("anna", &format!("/services/team/staging/promotion?{query}")).await.0,
            status,
            "{query}"
        );
    }
    assert_eq!(site.get("ben", "/services/team/staging/promotion?to=production").await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn the_live_commit_and_answers_are_run_once_per_key(pool: PgPool) {
    let site = site(&pool).await;
    let body = json!({"to": "production", "number": 12, "reason": " Release ", "inputs": {"size": 5}});
    let (status, first) = site.post("anna", PATH, Some("k"), &body).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(first["deployment"]["requestedBy"], json!({"name": "anna", "via": "Dashboard"}));
    let made = site.fake.world().deployments[first["deployment"]["name"].as_str().unwrap()].spec.clone();
    assert_eq!(
        serde_json::to_value(made).unwrap(),
        json!({"service": "production", "revision": COMMIT, "inputs": {"version": "v2", "size": 5},
            "reason": "Release (promoted from staging #12)"})
    );
    // Something else is live by now: whoever asks again for a lost answer gets the run that was made.
    site.service("team", "staging", 2, spec("main"), live(13, OLD, &json!({"version": "v3"}))).await;
    let (status, again) = site.post("anna", PATH, Some("k"), &body).await;
    assert_eq!((status, &again["deployment"]["uid"]), (200, &first["deployment"]["uid"]));
    let other = json!({"to": "production", "reason": "Release", "inputs": {"size": 6}});
    let (status, refused) = site.post("anna", PATH, Some("k"), &other).await;
    assert_eq!((status, &refused["reason"]), (409, &json!("KeyUsed")));
    let (status, refused) = site.post("anna", PATH, Some("k2"), &body).await;
    assert_eq!((status, &refused["reason"]), (409, &json!("OtherLive")));
    let (status, second) = site.post("anna", PATH, None, &json!({"to": "production", "mode": "Check"})).await;
    assert_eq!((status, &second["deployment"]["note"]), (201, &json!("Promoted from staging #13")));
    assert_eq!(second["deployment"]["mode"], "Check");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_cannot_be_promoted_is_refused_with_what_to_do(pool: PgPool) {
    let site = site(&pool).await;
    site.fake.grant("anna deploy services team topic");
    site.fake.grant("anna deploy services team strict");
    site.service("team", "topic", 1, spec("topic"), Value::Null).await;
    let mut strict = spec("main");
    strict["inputs"] = json!([{"name": "who", "type": "text", "required": true}, {"name": "pin", "type": "secret", "required": true}]);
    site.service("team", "strict", 1, strict, Value::Null).await;
    for (body, status, reason, field) in [
        (json!({"to": "topic"}), 409, "OtherSource", json!("source.git.branch")),
        (json!({"to": "production", "number": 11}), 409, "OtherLive", Value::Null),
        (json!({"to": "strict"}), 422, "InvalidInput", json!("inputs.who")),
        (json!({"to": "production", "inputs": {"sice": 1}}), 422, "InvalidInput", json!("inputs.sice")),
        (json!({"to": "production", "reason": "x".repeat(401)}), 422, "InvalidInput", json!("reason")),
        (json!({"to": "nowhere"}), 403, "Forbidden", Value::Null),
        (json!({"to": "staging"}), 403, "Forbidden", Value::Null),
    ] {
        let (seen, answer) = site.post("anna", PATH, None, &body).await;
        assert_eq!(
            (seen, answer["reason"].as_str(), &answer["field"]),
            (status, Some(reason), &field),
            "{body}"
        );
    }
    let (_, answer) = site.post("anna", PATH, None, &json!({"to": "strict"})).await;
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2, "{answer}");
    let (status, answer) =
        site.post("anna", "/services/team/topic/promote", None, &json!({"to": "production"})).await;
    assert_eq!((status, &answer["reason"]), (409, &json!("NothingLive")));
    assert_eq!(site.post("ben", PATH, None, &json!({"to": "production"})).await.0, 404);
    assert!(site.fake.world().deployments.is_empty());
    let body =
        json!({"to": "strict", "inputs": {"who": "all"}, "secretInputs": {"secretRef": {"name": "pins"}}});
    let (status, answer) = site.post("anna", PATH, None, &body).await;
    assert_eq!(status, 201, "{answer}");
    let made = site.fake.world().deployments.values().next().unwrap().spec.clone();
    assert_eq!(made.secret_inputs.unwrap().secret_ref.name, "pins");
    let said = |secret: &str| {
        let form = site.fake.world().services["strict"].spec.inputs.clone();
        let name = form.into_iter().find(|input| input.type_ == InputType::Secret).unwrap().name;
        json!({"to": "strict", "inputs": {"who": "all"}, "secretInputs": {"values": {name: secret}}})
    };
    for (secret, status) in [("hunter2", 201), ("hunter2", 200), ("hunter3", 409)] {
        assert_eq!(site.post("anna", PATH, Some("said"), &said(secret)).await.0, status, "{secret}");
    }
}
