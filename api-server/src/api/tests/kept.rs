//! What somebody has already is not sent again, and nobody is told by another one's tag that something is as it was.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::json;
use store::PgPool;
use tower::ServiceExt;

use super::{ended, live, report};
use crate::api::fake::Site;

async fn ask(site: &Site, who: &str, path: &str, tag: Option<&str>) -> (u16, HeaderMap, usize) {
    let mut request =
        Request::get(format!("/api/v1{path}")).header("authorization", format!("Bearer {}", site.token(who)));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, to_bytes(body, 8 << 20).await.unwrap().len())
}

async fn tag(site: &Site, who: &str, path: &str) -> String {
    let (status, headers, _) = ask(site, who, path, None).await;
    assert_eq!(status, 200, "{path}");
    assert_eq!(headers["cache-control"], "private, no-cache");
    assert!(headers.get_all("vary").iter().any(|vary| vary == "authorization"), "{headers:?}");
    headers["etag"].to_str().unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_is_as_it_was_is_not_sent_again(pool: PgPool) {
    let site = Site::on(&pool);
    for who in ["anna", "ben"] {
        for words in ["get services", "list services", "get deployments"] {
            site.fake.grant(&format!("{who} {words} team *"));
        }
    }
    site.service("team", "blog", 1, json!({}), live()).await;
    let uid = site.deployment("blog", 1, ended(1, "Succeeded", 60)).await;
    let one = format!("/deployments/{uid}");
    let paths = ["/services", "/services/team/blog", "/services/team/blog/deployments", "/deployments", &one];
    for path in paths {
        let anna = tag(&site, "anna", path).await;
        let (status, headers, bytes) = ask(&site, "anna", path, Some(&anna)).await;
        assert_eq!((status, headers["etag"].to_str().unwrap(), bytes), (304, anna.as_str(), 0), "{path}");
        assert_eq!(headers["cache-control"], "private, no-cache");
        // Another one's tag, or that of another address, says nothing; and who may see nothing learns nothing.
        assert_eq!(ask(&site, "ben", path, Some(&anna)).await.0, 200, "{path}");
        assert_eq!(ask(&site, "anna", &format!("{path}?"), Some(&anna)).await.0, 200, "{path}");
        let carl = ask(&site, "carl", path, Some(&anna)).await.0;
        assert!(carl == 404 || carl == 200, "{path} {carl}");
    }

    // Something changes; a run goes on; somebody may do more.
    let before: Vec<String> = futures::future::join_all(paths.map(|path| tag(&site, "anna", path))).await;
    site.service("team", "shop", 2, json!({}), live()).await;
    for (path, tag) in paths.iter().zip(&before) {
        assert_eq!(ask(&site, "anna", path, Some(tag)).await.0, 200, "{path}");
    }
    let before = tag(&site, "anna", &one).await;
    report(&pool, uid, 1, &[json!({"kind": "plan", "steps": []})]).await;
    assert_eq!(ask(&site, "anna", &one, Some(&before)).await.0, 200);
    let before = tag(&site, "anna", "/services/team/blog").await;
    site.fake.grant("anna deploy services team *");
    site.app.access.forget();
    assert_eq!(ask(&site, "anna", "/services/team/blog", Some(&before)).await.0, 200);
    // What was taken away is not confirmed.
    let before = tag(&site, "anna", "/services/team/blog").await;
    site.fake.world().grants.clear();
    site.app.access.forget();
    assert_eq!(ask(&site, "anna", "/services/team/blog", Some(&before)).await.0, 404);
}
