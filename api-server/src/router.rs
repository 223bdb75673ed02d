//! What runs can ask for, on one page.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::post;

use crate::claim::cluster::Cluster;
use crate::claim::{self, App, answer::Refusal};
use crate::limits;
use crate::reports::{self, Intake};

/// The routes of the listener for runs.
pub fn runs<C: Cluster>(app: App<C>, intake: Intake) -> Router {
    let reports = Router::new()
        .route("/runs/{uid}/{attempt}/reports", post(reports::handle))
        .layer(DefaultBodyLimit::max(reports::MAX_BODY))
        .with_state(intake);
    Router::new()
        .route("/runs/{uid}/{attempt}/claim", post(claim::handle::<C>))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "NotFound", "There is nothing here.") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "A claim is made with POST.")
        })
        .layer(DefaultBodyLimit::max(limits::MAX_BODY))
        .with_state(app)
        .merge(reports)
}
