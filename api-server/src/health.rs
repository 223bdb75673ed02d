//! `/healthz`, `/readyz` and `/metrics`, on a plain listener of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;

/// What readiness depends on. Nothing is asked for it: each part says so when it is up.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    kubernetes: AtomicBool,
    listener: AtomicBool,
    /// Runs go on without it, and so does this process.
    database_away: AtomicBool,
}

impl Health {
    /// The Kubernetes API has answered, and keys and certificates are there.
    pub fn kubernetes_answered(&self) {
        self.0.kubernetes.store(true, Ordering::Relaxed);
    }

    /// The listener for runs is up, or not any longer.
    pub fn listening(&self, up: bool) {
        self.0.listener.store(up, Ordering::Relaxed);
    }

    /// The database can be used, or not any longer.
    pub fn database(&self, up: bool) {
        self.0.database_away.store(!up, Ordering::Relaxed);
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        if !self.0.kubernetes.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting for the Kubernetes API\n")
        } else if !self.0.listener.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "the listener for runs is not up\n")
        } else if self.0.database_away.load(Ordering::Relaxed) {
            (StatusCode::OK, "degraded: database\n")
        } else {
            (StatusCode::OK, "ok\n")
        }
    }
}

/// The routes.
pub fn router(health: Health, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|State(health): State<Health>| async move { health.readiness() }))
        .with_state(health)
        .route("/metrics", get(move || async move { exposition(&metrics) }))
}

fn exposition(metrics: &Metrics) -> impl IntoResponse + use<> {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.text())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(router: &Router, path: &str) -> (StatusCode, String) {
        let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_is_ready_once_both_parts_are_up_and_until_it_stops() {
        let health = Health::default();
        let router = router(health.clone(), Arc::new(Metrics::default()));
        assert_eq!(get(&router, "/healthz").await.0, StatusCode::OK);
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.kubernetes_answered();
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.listening(true);
        assert_eq!(get(&router, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        health.database(false);
        assert_eq!(get(&router, "/readyz").await, (StatusCode::OK, "degraded: database\n".to_owned()));
        health.database(true);
        assert_eq!(get(&router, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        health.listening(false);
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_are_there_before_the_first_claim() {
        let router = router(Health::default(), Arc::new(Metrics::default()));
        let (status, text) = get(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("fastdeploy_claims_total{outcome=\"granted\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
