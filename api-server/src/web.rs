//! The page's files. Their names change with their content, so browsers keep them for ever; the
//! page itself is asked for each time.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::services::{ServeDir, ServeFile};

/// A year.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK: HeaderValue = HeaderValue::from_static("no-cache");
/// Nothing from elsewhere, nothing inline, nobody frames us.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// Files of this folder; every other path is the page, which finds its own way.
pub fn router(folder: &Path) -> Router {
    let page = ServeFile::new(folder.join("index.html")).precompressed_gzip();
    let assets = ServeDir::new(folder.join("assets")).precompressed_gzip();
    let files =
        ServeDir::new(folder).precompressed_gzip().append_index_html_on_directories(true).fallback(page);
    Router::new().nest_service("/assets", assets).fallback_service(files).layer(middleware::from_fn(cached))
}

async fn cached(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let asset = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let keep = if asset && response.status().is_success() { FOR_EVER } else { ASK };
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    response
}

/// What every answer to a browser carries.
pub async fn secured(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers
        .insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::HeaderMap;
    use tower::ServiceExt;

    use super::*;

    struct Folder(std::path::PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    async fn ask(folder: &Folder, method: &str, path: &str, encoding: &str) -> (u16, HeaderMap, String) {
        let routes = router(&folder.0).layer(middleware::from_fn(secured));
        let request = Request::builder().method(method).uri(path).header("accept-encoding", encoding);
        let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    fn built() -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("fastdeploy-web-{}", uuid::Uuid::new_v4())));
        std::fs::create_dir_all(folder.0.join("assets")).unwrap();
        for (name, content) in
            [("index.html", "page"), ("assets/a-1.js", "script"), ("assets/a-1.js.gz", "packed")]
        {
            std::fs::write(folder.0.join(name), content).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn what_never_changes_is_kept_for_ever_and_the_page_is_asked_for_each_time() {
        let folder = built();
        let (status, headers, body) = ask(&folder, "GET", "/assets/a-1.js", "gzip").await;
        assert_eq!((status, body.as_str()), (200, "packed"));
        assert_eq!(
            (&headers["content-encoding"], &headers["cache-control"]),
            (&HeaderValue::from_static("gzip"), &FOR_EVER)
        );
        assert_eq!(ask(&folder, "GET", "/assets/a-1.js", "identity").await.2, "script");
        for path in ["/", "/index.html", "/services/team/blog", "/sign-in"] {
            let (status, headers, body) = ask(&folder, "GET", path, "gzip").await;
            assert_eq!((status, body.as_str(), &headers["cache-control"]), (200, "page", &ASK), "{path}");
            assert_eq!(headers["content-security-policy"], POLICY);
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_kept_and_nothing_outside_is_served() {
        let folder = built();
        let (status, headers, _) = ask(&folder, "GET", "/assets/old-0.js", "gzip").await;
        assert_eq!((status, &headers["cache-control"]), (404, &ASK));
        std::fs::write(folder.0.parent().unwrap().join("fastdeploy-web-secret"), "secret").unwrap();
        for path in [
            "/assets/../../fastdeploy-web-secret",
            "/assets/%2e%2e/%2e%2e/fastdeploy-web-secret",
            "/..%2ffastdeploy-web-secret",
            "//etc/passwd",
        ] {
            let (_, _, body) = ask(&folder, "GET", path, "identity").await;
            assert!(!body.contains("secret") && !body.contains("root:"), "{path}: {body}");
        }
        assert_eq!(ask(&folder, "POST", "/", "identity").await.0, 405);
    }
}
