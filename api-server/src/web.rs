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
