//! A server is trusted by whoever may change its Service, by the key that was compared, and nothing else is changed.

use serde_json::{Value, json};
use store::PgPool;

use super::{ended, live};
use crate::api::fake::Site;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const PRINT: &str = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";

fn unrecognised(reason: &str) -> Value {
    let mut status = ended(1, "Failed", 60);
    status["failure"] = json!({"reason": reason, "message": "x", "hint": "", "host": "web1",
        "hostKey": {"fingerprint": PRINT, "knownHosts": format!("web1.example.com {KEY}"), "known": "SHA256:old"}});
    status
}

fn known(site: &Site) -> Value {
    let services = &site.fake.world().services;
    serde_json::to_value(&services["blog"].spec.credentials.known_hosts).unwrap()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_server_is_trusted_by_the_fingerprint_that_was_compared(pool: PgPool) {
    let site = Site::on(&pool);
    let before = json!({"configMapRef": {"name": "hosts"}, "inline": [format!("db {KEY}")]});
    site.service("team", "blog", 1, json!({"credentials": {"knownHosts": before}}), live()).await;
    let uid = site.deployment("blog", 1, unrecognised("HostKeyChanged")).await;
    let other = site.deployment("blog", 2, unrecognised("TaskFailed")).await;
    for verb in ["get services", "get deployments", "update services", "list services"] {
        site.fake.grant(&format!("anna {verb} team *"));
    }
    // As many as a role of ours has that does not write Services.
    for verb in
        ["get services", "get deployments", "deploy services", "cancel deployments", "approve deployments"]
    {
        site.fake.grant(&format!("ben {verb} team *"));
    }
    let path = format!("/deployments/{uid}/trust");
    let (_, seen) = site.get("anna", &format!("/deployments/{uid}")).await;
    assert_eq!(seen["may"]["trust"], true);
    assert_eq!(seen["deployment"]["failure"]["hostKey"]["known"], "SHA256:old");
    assert_eq!(site.get("ben", &format!("/deployments/{uid}")).await.1["may"]["trust"], false);

    let right = json!({"fingerprint": PRINT});
    for (who, path, body, expected) in [
        ("ben", path.as_str(), &right, (403, "Forbidden")),
        ("carl", &path, &right, (404, "NotFound")),
        ("anna", &path, &json!({"fingerprint": "SHA256:old"}), (409, "OtherKey")),
        ("anna", &path, &json!({"fingerprint": ""}), (409, "OtherKey")),
        ("anna", &path, &json!({}), (400, "BadRequest")),
        ("anna", &format!("/deployments/{other}/trust"), &right, (409, "NoKey")),
    ] {
        let (status, said) = site.post(who, path, None, body).await;
        assert_eq!((status, said["reason"].as_str().unwrap()), expected, "{who} {path}: {said}");
        assert_eq!(known(&site), before);
    }

    // The operator writes its status meanwhile.
    site.fake.world().busy = 1;
    let pinned = json!({"configMapRef": {"name": "hosts"}, "inline": [format!("db {KEY}"), format!("web1.example.com {KEY}")]});
    for _ in 0..2 {
        let (status, said) = site.post("anna", &path, None, &right).await;
        assert_eq!((status, &said["knownHosts"]), (200, &pinned["inline"][1]), "{said}");
        assert_eq!(known(&site), pinned);
    }
    let (_, log) = site.get("anna", "/activity?kind=request&what=trustServer").await;
    let last = &log["items"][0];
    assert_eq!(
        (&last["who"], &last["namespace"], &last["service"], &last["subject"], &last["status"]),
        (&json!("anna"), &json!("team"), &json!("blog"), &json!("blog-1"), &json!(200))
    );
}
