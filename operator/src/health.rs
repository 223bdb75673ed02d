//! `/healthz`, `/readyz` and `/metrics` on a port of their own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, http::StatusCode, routing::get};

use crate::metrics::Metrics;

/// Whether we have come up: configured, and Kubernetes has answered.
#[derive(Clone, Default)]
pub struct Ready {
    up: Arc<AtomicBool>,
    without_database: Arc<AtomicBool>,
}

impl Ready {
    /// We have.
    pub fn set(&self) {
        self.up.store(true, Ordering::Relaxed);
    }

    /// PostgreSQL can be written, or cannot. Answers whether that is news.
    pub fn database(&self, there: bool) -> bool {
        self.without_database.swap(!there, Ordering::Relaxed) == there
    }

    fn text(&self) -> (StatusCode, &'static str) {
        if !self.up.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        } else if self.without_database.load(Ordering::Relaxed) {
            // Not a reason to take us out: deployments go on.
            (StatusCode::OK, "degraded: database")
        } else {
            (StatusCode::OK, "ok")
        }
    }
}

/// Serves until the process ends.
pub async fn serve(address: SocketAddr, ready: Ready, metrics: Metrics) -> std::io::Result<()> {
    let readyz = move || {
        let text = ready.text();
        async move { text }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(move || async move { metrics.text() }));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
