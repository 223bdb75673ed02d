//! The evidence of one run.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::PgPool;
use tower::ServiceExt;
use uuid::Uuid;

use super::{ended, report};
use crate::api::fake::Site;
use crate::claim::fake::NOW;

/// The files of an archive.
type Files = BTreeMap<String, Vec<u8>>;

async fn evidence(site: &Site, who: &str, uid: Uuid) -> (u16, Files) {
    let request = Request::get(format!("/api/v1/deployments/{uid}/evidence"))
        .header("accept-encoding", "gzip")
        .header("authorization", format!("Bearer {}", site.token(who)));
    let response = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    if status != 200 {
        return (status, Files::new());
    }
    assert_eq!(response.headers()["content-type"], "application/zip");
    assert!(response.headers().get("content-encoding").is_none(), "it is packed already");
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = Files::new();
    for n in 0..zip.len() {
        let mut file = zip.by_index(n).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().unwrap().into_owned(), content);
    }
    (status, files)
}

fn text(files: &Files, name: &str) -> String {
    String::from_utf8(files[name].clone()).unwrap()
}

/// A run with an approval, a frozen input, and more output than is read at once.
async fn run(site: &Site) -> (Uuid, String) {
    let commit = "a".repeat(40);
    let bundle = json!({"digest": "v1:sha256:abc", "inputs": {"version": "v2"}, "playbook": "deploy.yml",
        "source": {"git": {"url": "https://git.example.com/blog.git", "commit": commit, "path": "sites", "caBundle": "PEM"}},
        "credentials": {"secretInputs": ["pin"]}})
    .to_string();
    let name = crds::names::bundle(&bundle);
    store::bundles::put(&site.pool, &name, "v1:sha256:abc", &bundle).await.unwrap();
    let mut status = ended(3, "Succeeded", 60);
    let more = json!({"bundle": name, "digest": "v1:sha256:abc", "revision": format!("main@sha1:{commit}"), "secretInputs": {"name": "pins"},
        "requestedBy": {"name": "anna", "via": "Dashboard"}, "approval": {"by": "fastdeploy:ben", "decision": "Approved", "at": NOW}});
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let spec = json!({"reason": "Release", "inputs": {"version": "v2"}, "secretInputs": {"secretRef": {"name": "pins"}},
        "approval": {"decision": "Approved", "digest": "v1:sha256:abc", "by": "fastdeploy:ben"}});
    let uid = site.run(("team", "blog"), 3, spec, status).await;
    let plan = json!({"kind": "plan", "steps": []});
    report(&site.pool, uid, 1, &[plan]).await;
    for n in 0..3 {
        let lines: Vec<String> = (0..5_000).map(|line| format!("line {}", n * 5_000 + line + 1)).collect();
        let output = json!({"kind": "output", "firstLine": n * 5_000 + 1, "text": lines.join("\n")});
        report(&site.pool, uid, n + 2, &[output]).await;
    }
    (uid, bundle)
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn the_evidence_of_a_run_is_whole_and_its_hashes_fit(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna get deployments team *");
    site.fake.grant("root list services * *");
    let (uid, bundle) = run(&site).await;
    assert_eq!(evidence(&site, "ben", uid).await.0, 404);
    let (status, files) = evidence(&site, "anna", uid).await;
    assert_eq!(status, 200);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["attempt-1/events.jsonl", "attempt-1/output.txt", "bundle.json", "manifest.json"]);
    assert_eq!(text(&files, "bundle.json"), bundle);
    let output = text(&files, "attempt-1/output.txt");
    assert_eq!((output.lines().count(), output.lines().last()), (15_000, Some("line 15000")));
    let events: Vec<Value> = text(&files, "attempt-1/events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.iter().map(|event| event["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);

    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let content = &files[file["name"].as_str().unwrap()];
        assert_eq!(
            (&file["sha256"], &file["bytes"]),
            (&json!(hex::encode(Sha256::digest(content))), &json!(content.len()))
        );
    }
    assert_eq!(manifest["files"].as_array().unwrap().len(), 3);
    for (pointer, expected) in [
        ("/format", json!("fastdeploy.dev/evidence/v1")),
        ("/madeFor", json!("anna")),
        ("/requestedBy", json!({"name": "anna", "via": "Dashboard"})),
        (
            "/approval",
            json!({"by": "fastdeploy:ben", "decision": "Approved", "at": NOW, "digest": "v1:sha256:abc"}),
        ),
        ("/commit", json!("a".repeat(40))),
        (
            "/source",
            json!({"url": "https://git.example.com/blog.git", "commit": "a".repeat(40), "path": "sites"}),
        ),
        ("/bundle/kept", json!(true)),
        ("/inputs", json!({"version": "v2"})),
        ("/secretInputs", json!(["pin"])),
        ("/number", json!(3)),
        ("/phase", json!("Succeeded")),
        ("/attempts", json!([{"attempt": 1, "events": 4, "lines": 15_000}])),
    ] {
        assert_eq!(manifest.pointer(pointer), Some(&expected), "{pointer}");
    }
    let timeline = manifest["timeline"].as_array().unwrap();
    assert!(timeline.iter().any(|moment| moment["event"] == "deployment.finished"), "{timeline:?}");
    // It is a look at the output.
    let (_, log) = site.get("root", "/activity?kind=request&what=deployment.outputRead").await;
    let looks = log["items"].as_array().unwrap();
    assert_eq!(
        looks.iter().map(|look| (&look["who"], &look["status"])).collect::<Vec<_>>(),
        [(&json!("anna"), &json!(200)), (&json!("ben"), &json!(404))]
    );
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_run_that_never_began_has_evidence_too(pool: PgPool) {
    let site = Site::on(&pool);
    site.fake.grant("anna get deployments team *");
    let uid =
        site.run(("team", "blog"), 1, json!({}), json!({"phase": "Failed", "reason": "InvalidInput"})).await;
    let (status, files) = evidence(&site, "anna", uid).await;
    assert_eq!((status, files.len()), (200, 1));
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(
        (&manifest["reason"], &manifest["attempts"], &manifest["files"]),
        (&json!("InvalidInput"), &json!([]), &json!([]))
    );
}
