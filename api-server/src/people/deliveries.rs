//! `/api/v1/services/{namespace}/{name}/deliveries`: what was told to whom, and what could not be told.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::deliveries::{self, Listed};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Person;
use crate::api::problem::Problem;
use crate::api::services::visible;
use crate::api::{App, Path, Query};

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried again.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn of(word: &str) -> Self {
        let all = [Self::Pending, Self::Delivered, Self::Dead];
        all.into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Pending)
    }
}

/// A notification for somebody.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its id: the header webhook-id of each try.
    id: Uuid,
    /// What happened: a word of docs/events.md.
    event: String,
    /// To what.
    subject: String,
    /// Whom it is told: `webhook/` or `slack/` and the name of the Secret with the address.
    target: String,
    /// What became of it.
    state: DeliveryState,
    /// How often it was tried.
    attempts: i32,
    /// When it is tried next, if it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_at: Option<Timestamp>,
    /// What came of the last try, if it did not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<String>,
    /// When it was to be told.
    created_at: Timestamp,
    /// When it arrived, or was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    finished_at: Option<Timestamp>,
}

/// Notifications about a Service, newest first; at most 200.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryList {
    /// They.
    items: Vec<Delivery>,
}

/// Which ones.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those in this state. Default: all.
    state: Option<DeliveryState>,
}

/// What was told about a Service, to whom.
#[utoipa::path(get, path = "/services/{namespace}/{name}/deliveries", tag = "notifications", operation_id = "listDeliveries",
    params(("namespace" = String, Path), ("name" = String, Path), Which),
    responses((status = 200, body = DeliveryList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
    Query(Which { state }): Query<Which>,
) -> Result<Json<DeliveryList>, Problem> {
    visible(&app, &who, (&namespace, &name)).await?;
    let rows = deliveries::list(app.pool()?, &namespace, &name, state.map(DeliveryState::as_str)).await?;
    Ok(Json(DeliveryList { items: rows.into_iter().map(shown).collect() }))
}

fn shown(row: Listed) -> Delivery {
    let Listed { id, event, subject, target, state, attempts, next_at, last_error, created_at, finished_at } =
        row;
    let state = DeliveryState::of(&state);
    let next_at = (state == DeliveryState::Pending).then_some(next_at);
    Delivery { id, event, subject, target, state, attempts, next_at, last_error, created_at, finished_at }
}

/// Try one again that was given up, or that waits.
#[utoipa::path(post, path = "/services/{namespace}/{name}/deliveries/{id}/retry", tag = "notifications", operation_id = "retryDelivery",
    params(("namespace" = String, Path), ("name" = String, Path), ("id" = Uuid, Path)),
    responses((status = 202, description = "it is tried now"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn retry(
    State(app): State<App>,
    who: Person,
    Path((namespace, name, id)): Path<(String, String, Uuid)>,
) -> Result<StatusCode, Problem> {
    let of = (namespace.as_str(), name.as_str());
    visible(&app, &who, of).await?;
    app.access.must(&who, "deploy", "services", of).await?;
    if deliveries::again(app.pool()?, &namespace, &name, id, (app.clock)()).await? {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Problem::not_found("notification that has not arrived"))
    }
}
