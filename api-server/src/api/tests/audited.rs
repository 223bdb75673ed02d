//! Numbers of requests, and what the audit log has of them; the page with the contract.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use store::PgPool;

use super::{ended, live};
use crate::api::fake::Site;

async fn lines(site: &Site, query: &str) -> Vec<Value> {
    let (status, body) = site.get("root", &format!("/activity?kind=request{query}")).await;
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().unwrap().clone()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn every_write_and_every_look_at_output_is_written_down(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, json!({}), live()).await;
    let uid = site.deployment("blog", 1, ended(1, "Succeeded", 60)).await;
    for words in [
        "root list services * *",
        "anna get services team *",
        "anna get deployments team *",
        "anna deploy services team *",
    ] {
        site.fake.grant(words);
    }
    assert_eq!(site.post("anna", "/services/team/blog/deployments", None, &json!({})).await.0, 201);
    assert_eq!(
        site.post("anna", &format!("/deployments/{uid}/cancel"), None, &json!({"how": "Now"})).await.0,
        403
    );
    assert_eq!(site.get("anna", &format!("/deployments/{uid}/output")).await.0, 200);
    assert_eq!(site.text("anna", &format!("/deployments/{uid}/output/download")).await.0, 200);
    // What is only looked at otherwise is not written down, nor what somebody without a name tries.
    assert_eq!(site.get("anna", "/services/team/blog").await.0, 200);
    let nobody = Request::post("/api/v1/services/team/blog/deployments").body(Body::empty()).unwrap();
    assert_eq!(site.send(nobody).await.0, 401);

    let found = lines(&site, "").await;
    let short: Vec<_> = found
        .iter()
        .map(|line| {
            format!(
                "{} {} {}/{} {} {}",
                line["who"],
                line["what"],
                line["namespace"],
                line["service"],
                line["subject"],
                line["status"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        short,
        [
            "anna deployment.outputRead team/blog blog-1 200",
            "anna deployment.outputRead team/blog blog-1 200",
            "anna cancelDeployment team/blog blog-1 403",
            "anna startDeployment team/blog blog 201",
        ]
    );
    assert_eq!(found[2]["data"]["reason"], "Forbidden");
    assert_eq!(lines(&site, "&what=startDeployment").await.len(), 1);
    let (_, _, csv) = site.text("root", "/activity/csv?kind=any&who=anna").await;
    assert!(csv.contains("startDeployment") && csv.contains("\"201\""), "{csv}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_service_that_is_written_names_who_did_it(pool: PgPool) {
    let site = Site::on(&pool);
    for words in ["root list services * *", "anna create services team *"] {
        site.fake.grant(words);
    }
    let blog = "{apiVersion: fastdeploy.dev/v1alpha1, kind: Service, metadata: {name: blog, namespace: team}, spec: {playbook: x.yml, source: {inline: {x.yml: x}}, inventory: {local: true}}}";
    let yaml = ("content-type", "application/yaml");
    let sent = [yaml, ("x-request-id", "ci-17"), ("user-agent", "curl/8")];
    assert_eq!(site.manifest("anna", ("POST", "/services?dryRun=All"), &sent, blog).await.0, 200);
    let (status, headers, _) = site.manifest("anna", ("POST", "/services"), &sent, blog).await;
    assert_eq!((status, headers["x-request-id"].to_str().unwrap()), (201, "ci-17"));
    let found = lines(&site, "&what=createService").await;
    let line = &found[0];
    assert_eq!(
        (
            &line["who"],
            &line["namespace"],
            &line["subject"],
            &line["requestId"],
            &line["agent"],
            &line["data"]
        ),
        (&json!("anna"), &json!("team"), &json!("blog"), &json!("ci-17"), &json!("curl/8"), &json!({}))
    );
    assert_eq!(found[1]["data"], json!({"dryRun": true}));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn every_answer_has_a_number_that_nobody_can_write_lines_with(pool: PgPool) {
    let site = Site::on(&pool);
    let ask = async |id: Option<&str>| {
        let mut request = Request::get("/api/v1/services");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let (_, headers, body) = site.send(request.body(Body::empty()).unwrap()).await;
        let id = headers["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(body["requestId"], id);
        id
    };
    assert_eq!(ask(Some("mine-1")).await, "mine-1");
    let (a, b) = (ask(None).await, ask(None).await);
    assert!(a != b && a.len() == 36);
    for wrong in ["a b", "<script>", &"x".repeat(65)] {
        assert_eq!(ask(Some(wrong)).await.len(), 36);
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn where_a_problem_points_to_is_there(pool: PgPool) {
    let site = Site::on(&pool);
    let (_, problem) = site.get("anna", "/nowhere").await;
    let (path, anchor) = problem["type"].as_str().unwrap().split_once('#').unwrap();
    let response = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(site.router(), request).await.unwrap()
    };
    let page = response(path).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        page.status() == 200 && policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = axum::body::to_bytes(page.into_body(), 8 << 20).await.unwrap();
    assert!(String::from_utf8(html.to_vec()).unwrap().contains(&format!("id=\"{anchor}\"")));
    assert_eq!(response("/docs/api.css").await.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(response("/docs").await.headers()["location"], "/docs/api");
}
