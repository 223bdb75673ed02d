//! Services as manifests, through the router.

use serde_json::{Value, json};
use store::PgPool;

use super::{form, live};
use crate::api::fake::Site;

const YAML: (&str, &str) = ("content-type", "application/yaml");
const BLOG: &str = "apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: blog, namespace: team}
spec: {playbook: deploy.yml, source: {inline: {deploy.yml: x}}, inventory: {local: true}}
";
const PATH: &str = "/services/team/blog/manifest";

fn reason(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

fn tag(headers: &axum::http::HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_service_is_made_read_changed_and_deleted(pool: PgPool) {
    let site = Site::on(&pool);
    for verb in ["get", "create", "update", "delete"] {
        site.fake.grant(&format!("anna {verb} services team *"));
    }
    let (status, _, body) = site.manifest("anna", ("POST", "/services?dryRun=All"), &[YAML], BLOG).await;
    assert_eq!((status, site.fake.world().services.len()), (200, 0), "{body}");
    let (status, headers, body) = site.manifest("anna", ("POST", "/services"), &[YAML], BLOG).await;
    assert_eq!(
        (status, &headers["location"]),
        (201, &"/api/v1/services/team/blog".parse().unwrap()),
        "{body}"
    );
    // It is in the mirror at once.
    assert_eq!(site.get("anna", "/services/team/blog").await.0, 200);
    let (status, _, body) = site.manifest("anna", ("POST", "/services"), &[YAML], BLOG).await;
    assert_eq!((status, reason(&body)), (409, "Exists".into()));

    let (status, headers, yaml) = site.manifest("anna", ("GET", PATH), &[], "").await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/yaml".parse().unwrap()));
    assert!(yaml.contains("playbook: deploy.yml") && !yaml.contains("resourceVersion"), "{yaml}");
    let first = tag(&headers);
    let (_, headers, text) =
        site.manifest("anna", ("GET", PATH), &[("accept", "application/json")], "").await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["kind"], "Service");
    assert_eq!(tag(&headers), first);

    let other = yaml.replace("deploy.yml", "site.yml");
    let (status, _, body) = site.manifest("anna", ("PUT", PATH), &[YAML], &other).await;
    assert_eq!((status, reason(&body)), (428, "IfMatchMissing".into()));
    let stale = ("if-match", "\"0\"");
    let (status, _, body) = site.manifest("anna", ("PUT", PATH), &[YAML, stale], &other).await;
    assert_eq!((status, reason(&body)), (412, "Changed".into()));
    let held = ("if-match", first.as_str());
    let (status, _, _) = site
        .manifest("anna", ("PUT", "/services/team/blog/manifest?dryRun=All"), &[YAML, held], &other)
        .await;
    assert_eq!(
        (status, site.fake.world().services["blog"].spec.playbook.clone()),
        (200, Some("deploy.yml".into()))
    );
    // A status that is written meanwhile is no reason to begin anew.
    site.fake.world().busy = 1;
    let (status, headers, body) = site.manifest("anna", ("PUT", PATH), &[YAML, held], &other).await;
    assert_eq!(
        (status, site.fake.world().services["blog"].spec.playbook.clone()),
        (200, Some("site.yml".into())),
        "{body}"
    );
    let second = tag(&headers);
    assert_ne!(first, second);
    assert_eq!(site.manifest("anna", ("PUT", PATH), &[YAML, held], &other).await.0, 412);

    assert_eq!(site.manifest("anna", ("DELETE", PATH), &[], "").await.0, 428);
    assert_eq!(site.manifest("anna", ("DELETE", PATH), &[held], "").await.0, 412);
    let held = ("if-match", second.as_str());
    assert_eq!(
        site.manifest("anna", ("DELETE", "/services/team/blog/manifest?dryRun=All"), &[held], "").await.0,
        204
    );
    assert_eq!(site.fake.world().services.len(), 1);
    assert_eq!(site.manifest("anna", ("DELETE", PATH), &[held], "").await.0, 204);
    assert_eq!(site.manifest("anna", ("GET", PATH), &[], "").await.0, 404);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nobody_writes_services_by_less_than_kubernetes_verb(pool: PgPool) {
    let site = Site::on(&pool);
    site.service("team", "blog", 1, form(), live()).await;
    // A deployer has no verb to write Services: whoever writes one may use every Secret of the namespace.
    for verb in ["get", "list", "deploy"] {
        site.fake.grant(&format!("ben {verb} services team *"));
    }
    site.fake.grant("eve create services other *");
    let any = ("if-match", "*");
    for (who, method, path, expected) in [
        ("ben", "POST", "/services", 403),
        ("ben", "PUT", PATH, 403),
        ("ben", "DELETE", PATH, 403),
        ("eve", "POST", "/services", 403),
        ("eve", "GET", PATH, 404),
        ("eve", "PUT", PATH, 404),
        ("eve", "DELETE", PATH, 404),
    ] {
        let (status, _, body) = site.manifest(who, (method, path), &[YAML, any], BLOG).await;
        assert_eq!(status, expected, "{who} {method} {path}: {body}");
    }
    // Another place than the one that was asked about.
    site.fake.grant("anna get services team *");
    site.fake.grant("anna update services team *");
    let elsewhere = BLOG.replace("namespace: team", "namespace: other");
    let (status, _, body) = site.manifest("anna", ("PUT", PATH), &[YAML, any], &elsewhere).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("metadata.namespace")));
    for place in ["../../../v1/namespaces/team/secrets", "a/b", "%2e%2e", ""] {
        let traversal = BLOG.replace("namespace: team", &format!("namespace: {place:?}"));
        let (status, _, body) = site.manifest("anna", ("POST", "/services"), &[YAML], &traversal).await;
        assert_eq!((status, reason(&body)), (422, "InvalidInput".into()), "{place}: {body}");
    }
    assert_eq!(site.manifest("anna", ("PUT", PATH), &[any], BLOG).await.0, 415);
    let large = format!("{BLOG}# {}", "x".repeat(1 << 20));
    assert_eq!(site.manifest("anna", ("PUT", PATH), &[YAML, any], &large).await.0, 413);
    assert_eq!(site.manifest("anna", ("PUT", PATH), &[YAML, any], "a: [").await.0, 400);
    let (status, _, body) =
        site.manifest("anna", ("PUT", PATH), &[YAML, any], &BLOG.replace("local: true", "local: [1]")).await;
    assert_eq!((status, reason(&body)), (422, "Refused".into()));
}
