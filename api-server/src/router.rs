//! What runs and what people can ask for, on one page.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, patch, post};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::api::problem::Problem;
use crate::api::{
    self, activity, compare, decisions, deployments, docs, evidence, form, manifest, openapi, output,
    promotion, services, start, trust, wait,
};
use crate::audit;
use crate::claim::cluster::Cluster;
use crate::claim::{self, App, answer::Refusal};
use crate::hooks;
use crate::limits;
use crate::live::socket;
use crate::people::organisation::door;
use crate::people::{account, deliveries, federation, roles, session, tokens, users};
use crate::reports::{self, Intake};
use crate::system;
use crate::web;

/// The routes of the listener for runs.
pub fn runs<C: Cluster>(app: App<C>, intake: Intake) -> Router {
    let reports = Router::new()
        .route("/runs/{uid}/{attempt}/reports", post(reports::handle))
        .route("/runs/{uid}/{attempt}/followed", get(reports::followed))
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

/// To pack it again would take time and gain nothing.
const PACKED: NotForContentType = NotForContentType::const_new("application/zip");
/// From the head of a request to its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The routes of the listener for people: the API, its socket and the page.
pub fn people(app: api::App, page: Option<&Path>) -> Router {
    let rest = Router::new()
        .route("/session", post(session::sign_in).delete(session::sign_out))
        .route("/session/refresh", post(session::refresh))
        .route("/session/ways", get(door::ways))
        .route("/session/oidc/start", get(door::start))
        .route("/session/oidc/callback", get(door::callback))
        .route("/token", post(federation::exchange).layer(DefaultBodyLimit::max(federation::MAX_BODY)))
        .route("/account", get(account::read))
        .route("/account/password", post(account::change_password))
        .route("/users", get(users::list).post(users::create))
        .route("/users/{name}", patch(users::change).delete(users::delete))
        .route("/users/{name}/password", post(users::reset_password))
        .route("/roles", get(roles::list).post(roles::bind))
        .route("/roles/{namespace}/{name}", delete(roles::unbind))
        .route("/services/{namespace}/{name}/deliveries", get(deliveries::list))
        .route("/services/{namespace}/{name}/deliveries/{id}/retry", post(deliveries::retry))
        .route("/services/{namespace}/{name}/tokens", get(tokens::list).post(tokens::create))
        .route("/services/{namespace}/{name}/tokens/{id}", delete(tokens::revoke))
        .route(
            "/services",
            get(services::list).post(manifest::create).layer(DefaultBodyLimit::max(manifest::MAX_MANIFEST)),
        )
        .route("/services/{namespace}/{name}", get(services::one))
        .route(
            "/services/{namespace}/{name}/manifest",
            get(manifest::read)
                .put(manifest::change)
                .delete(manifest::delete)
                .layer(DefaultBodyLimit::max(manifest::MAX_MANIFEST)),
        )
        .route("/services/{namespace}/{name}/deployments", get(deployments::list).post(start::start))
        .route("/services/{namespace}/{name}/form", get(form::form))
        .route("/services/{namespace}/{name}/plan", get(form::plan))
        .route("/services/{namespace}/{name}/promotion", get(promotion::look))
        .route("/services/{namespace}/{name}/promote", post(promotion::promote))
        .route("/services/{namespace}/{name}/durations", get(form::durations))
        .route("/deployments", get(deployments::find_all))
        .route("/deployments/{uid}", get(deployments::one))
        .route("/deployments/{uid}/cancel", post(decisions::cancel))
        .route("/deployments/{uid}/approval", post(decisions::decide))
        .route("/deployments/{uid}/retry", post(start::retry))
        .route("/deployments/{uid}/trust", post(trust::trust))
        .route("/deployments/{uid}/comparison", get(compare::compare))
        .route("/deployments/{uid}/wait", get(wait::wait))
        .route("/deployments/{uid}/output", get(output::read))
        .route("/deployments/{uid}/output/search", get(output::search))
        .route("/deployments/{uid}/output/download", get(output::download))
        .route("/deployments/{uid}/evidence", get(evidence::download))
        .route("/hooks", post(hooks::hear).layer(DefaultBodyLimit::max(hooks::MAX_DELIVERY)))
        .route("/system", get(system::read))
        .route("/activity", get(activity::list))
        .route("/activity/csv", get(activity::csv))
        .route("/activity/jsonl", get(activity::jsonl))
        .route(
            "/openapi.json",
            get(|| async { ([(header::CONTENT_TYPE, "application/json")], openapi::json()) }),
        )
        .fallback(|| async { Problem::not_found("address") })
        .method_not_allowed_fallback(|| async {
            let detail = "This address takes other methods; the header allow names them.";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", detail)
        })
        .layer(DefaultBodyLimit::max(api::MAX_BODY))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(PACKED)))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(app.clone(), audit::noted));
    let api = Router::new().route("/ws", get(socket::open)).merge(rest).with_state(app);
    let routes = Router::new()
        .nest("/api/v1", api)
        .route("/docs", get(|| async { Redirect::permanent("/docs/api") }))
        .route("/docs/api", get(docs::show))
        .route("/docs/api.css", get(docs::style));
    let routes = match page {
        Some(folder) => routes.fallback_service(web::router(folder)),
        None => routes,
    };
    routes.layer(middleware::from_fn(web::secured))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("This took too long, try again.", "request timeout").into_response(),
    }
}
