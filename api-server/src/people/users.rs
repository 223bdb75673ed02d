//! `/api/v1/users`: accounts, for those with the verbs list, create, update and delete on
//! `users.fastdeploy.dev` (ClusterRole fastdeploy-admin). They are rows of PostgreSQL, not custom
//! resources; who may do what in the end is said by Kubernetes, by the name of the account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::users::{self, Change, Changed, Listed};
use utoipa::ToSchema;

use super::{Person, password};
use crate::api::problem::Problem;
use crate::api::services::Page;
use crate::api::{App, Body, Path, Query, bounded};

/// What Kubernetes is asked about.
const RESOURCE: &str = "users";
/// Most accounts on a page.
const MAX_PAGE: i64 = 200;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its name; of an organisation's people with its prefix.
    name: String,
    /// Is in the group `fastdeploy:admins`.
    admin: bool,
    /// May not sign in.
    disabled: bool,
    /// The organisation (OpenID Connect) that says who it is; absent: it has a password here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issuer: Option<String>,
    /// Groups, as the organisation said at the last sign-in.
    groups: Vec<String>,
    /// The password was chosen by an administrator and not changed since.
    must_change: bool,
    /// When it was made.
    created_at: Timestamp,
    /// When somebody last signed in with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_signed_in_at: Option<Timestamp>,
}

/// Accounts by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserPage {
    /// `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// Of this page.
    items: Vec<User>,
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 63 lower-case letters, digits, dots, dashes, underscores and @.
    name: String,
    /// At least 12 characters. Default: one is made and answered, once.
    #[serde(default)]
    password: Option<String>,
    /// To be in the group `fastdeploy:admins`. Default: false.
    #[serde(default)]
    #[schema(required = false)]
    admin: bool,
}

/// What is to be other.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// To be in the group `fastdeploy:admins`.
    #[serde(default)]
    admin: Option<bool>,
    /// true: may not sign in, and is signed out everywhere.
    #[serde(default)]
    disabled: Option<bool>,
}

/// A new password for somebody else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// At least 12 characters. Default: one is made and answered, once.
    #[serde(default)]
    password: Option<String>,
}

/// What was made, to be handed over. It is not shown again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Handover {
    /// Name of the account.
    name: String,
    /// The password, if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    password: Option<String>,
}

/// The accounts.
#[utoipa::path(get, path = "/users", tag = "people", operation_id = "listUsers", params(Page),
    responses((status = 200, body = UserPage), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Query(Page { limit, after }): Query<Page>,
) -> Result<Json<UserPage>, Problem> {
    app.access.must_everywhere(&who, "list", RESOURCE).await?;
    let limit = bounded("limit", limit, 100, MAX_PAGE)?;
    let mut rows = users::list(app.pool()?, after.as_deref(), limit + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| last.name.clone());
    Ok(Json(UserPage { next, items: rows.into_iter().map(shown).collect() }))
}

fn shown(row: Listed) -> User {
    let Listed { name, admin, disabled, issuer, groups, must_change, created_at, last_signed_in_at } = row;
    User { name, admin, disabled, issuer, groups, must_change, created_at, last_signed_in_at }
}

/// Make an account. Whoever signs in with it should change the password.
#[utoipa::path(post, path = "/users", tag = "people", operation_id = "createUser", request_body = NewUser,
    responses((status = 201, body = Handover),
        (status = 409, description = "NameTaken", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn create(
    State(app): State<App>,
    who: Person,
    Body(NewUser { name, password, admin }): Body<NewUser>,
) -> Result<(StatusCode, Json<Handover>), Problem> {
    app.access.must_everywhere(&who, "create", RESOURCE).await?;
    if !is_name(&name) {
        let detail = "name: write 1 to 63 lower-case letters, digits, dots, dashes, underscores and @, beginning with a letter or digit.";
        return Err(Problem::invalid(Some("name"), detail));
    }
    let (password, made) = chosen(&name, password)?;
    let hash = app.passwords.hash(password).await?;
    if !users::create(app.pool()?, (&name, admin), &hash, &who.name).await? {
        let detail = format!(
            "The name {name} was given before. Names are never given twice, so that history stays true."
        );
        return Err(Problem::conflict("NameTaken", detail));
    }
    tracing::info!(user.name = who.name, account.name = name, "{} made the account {name}", who.name);
    Ok((StatusCode::CREATED, Json(Handover { name, password: made })))
}

/// Change an account: whether it may sign in, whether it administers.
#[utoipa::path(patch, path = "/users/{name}", tag = "people", operation_id = "changeUser", params(("name" = String, Path)),
    request_body = UserChange,
    responses((status = 204, description = "it is so"),
        (status = 409, description = "LastAdmin", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn change(
    State(app): State<App>,
    who: Person,
    Path(name): Path<String>,
    Body(UserChange { admin, disabled }): Body<UserChange>,
) -> Result<StatusCode, Problem> {
    app.access.must_everywhere(&who, "update", RESOURCE).await?;
    let change = Change { admin, disabled };
    let changed = users::change(app.pool()?, &name, &change, (app.clock)(), &who.name).await?;
    done(&app, &who, &name, changed, "changed").await
}

/// Remove an account. Its name is never given to somebody else.
#[utoipa::path(delete, path = "/users/{name}", tag = "people", operation_id = "deleteUser", params(("name" = String, Path)),
    responses((status = 204, description = "it is gone"),
        (status = 409, description = "LastAdmin", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(
    State(app): State<App>,
    who: Person,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.access.must_everywhere(&who, "delete", RESOURCE).await?;
    let changed = users::delete(app.pool()?, &name, (app.clock)(), &who.name).await?;
    done(&app, &who, &name, changed, "removed").await
}

/// Give an account a new password. It is signed out everywhere.
#[utoipa::path(post, path = "/users/{name}/password", tag = "people", operation_id = "resetPassword",
    params(("name" = String, Path)), request_body = NewPassword,
    responses((status = 200, body = Handover), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn reset_password(
    State(app): State<App>,
    who: Person,
    Path(name): Path<String>,
    Body(NewPassword { password }): Body<NewPassword>,
) -> Result<Json<Handover>, Problem> {
    app.access.must_everywhere(&who, "update", RESOURCE).await?;
    let (password, made) = chosen(&name, password)?;
    let hash = app.passwords.hash(password).await?;
    let changed = users::set_password(app.pool()?, &name, &hash, (&who.name, None), (app.clock)()).await?;
    done(&app, &who, &name, changed, "gave a new password to").await?;
    Ok(Json(Handover { name, password: made }))
}

/// The password that is to be, and whether it was made here.
fn chosen(name: &str, password: Option<String>) -> Result<(String, Option<String>), Problem> {
    if let Some(password) = password {
        password::rule(name, &password)?;
        Ok((password, None))
    } else {
        let made = uuid::Uuid::new_v4().simple().to_string();
        Ok((made.clone(), Some(made)))
    }
}

async fn done(
    app: &App,
    who: &Person,
    name: &str,
    changed: Changed,
    deed: &str,
) -> Result<StatusCode, Problem> {
    match changed {
        Changed::Done => {
            app.people.standing.forget(name).await;
            tracing::info!(
                user.name = who.name,
                account.name = name,
                "{} {deed} the account {name}",
                who.name
            );
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::Missing => Err(Problem::not_found("account")),
        Changed::LastAdmin => Err(Problem::conflict(
            "LastAdmin",
            "Nobody could administer any more. Make somebody else an administrator first.",
        )),
        Changed::NoPassword => Err(Problem::conflict(
            "NoPassword",
            "This account signs in with its organisation, which also keeps the password.",
        )),
    }
}

/// Without a colon: that is what tells them from names of an organisation and of tokens.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b".-_@".contains(&b))
}
