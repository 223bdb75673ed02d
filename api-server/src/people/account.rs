//! `/api/v1/account`: one's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::read::{Namespaces, Snapshot};
use store::users;
use utoipa::ToSchema;

use super::address::Address;
use super::{Person, password};
use crate::api::problem::Problem;
use crate::api::{App, Body};

/// Who one is, and what one may do that belongs to no namespace.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnAccount {
    /// Name of the account.
    name: String,
    /// As Kubernetes knows it: what roles are bound to.
    kubernetes_user: String,
    /// Groups, likewise.
    groups: Vec<String>,
    /// Has a password here, which can be changed.
    password: bool,
    /// The password was chosen by somebody else: change it.
    must_change: bool,
    /// What one may do.
    may: AccountMay,
}

/// What somebody may do that belongs to no namespace.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountMay {
    /// See and change accounts.
    users: bool,
    /// See who has which role in every namespace.
    roles: bool,
    /// See which versions are at work and how each part fares.
    system: bool,
    /// Make Services.
    add: Add,
}

/// Where somebody may make Services.
#[derive(Debug, Serialize, ToSchema)]
pub struct Add {
    /// In every namespace.
    everywhere: bool,
    /// If not in every one: in these, of the namespaces that have Services.
    namespaces: Vec<String>,
}

/// A new password of one's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one until now.
    old: String,
    /// At least 12 characters.
    new: String,
}

/// Who I am.
#[utoipa::path(get, path = "/account", tag = "people", operation_id = "getAccount",
    responses((status = 200, body = OwnAccount), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn read(State(app): State<App>, who: Person) -> Result<Json<OwnAccount>, Problem> {
    let user = users::by_name(app.pool()?, &who.name).await?;
    let may = AccountMay {
        users: app.access.may_everywhere(&who, "list", "users").await?,
        roles: app.access.may_everywhere(&who, "list", super::roles::BINDINGS).await?,
        system: app.access.may_everywhere(&who, "get", crate::system::RESOURCE).await?,
        add: match app.access.adds(&who, &mut Snapshot::begin(app.pool()?).await?).await? {
            Namespaces::All => Add { everywhere: true, namespaces: Vec::new() },
            Namespaces::Only(namespaces) => Add { everywhere: false, namespaces },
        },
    };
    let subject = who.subject();
    Ok(Json(OwnAccount {
        name: who.name,
        kubernetes_user: subject.user,
        groups: subject.groups,
        password: user.as_ref().is_some_and(|user| user.password_hash.is_some()),
        must_change: user.is_some_and(|user| user.must_change),
        may,
    }))
}

/// Change my password. Every other browser of mine is signed out; this one refreshes its token.
#[utoipa::path(post, path = "/account/password", tag = "people", operation_id = "changePassword", request_body = PasswordChange,
    responses((status = 204, description = "it is changed"),
        (status = 403, description = "WrongPassword", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn change_password(
    State(app): State<App>,
    who: Person,
    from: Address,
    Body(PasswordChange { old, new }): Body<PasswordChange>,
) -> Result<StatusCode, Problem> {
    who.in_person()?;
    let pool = app.pool()?;
    let hash = users::by_name(pool, &who.name).await?.and_then(|user| user.password_hash);
    let Some(hash) = hash else {
        let detail = "This account signs in with its organisation, which also keeps the password.";
        return Err(Problem::conflict("NoPassword", detail));
    };
    if old.len() > password::MAX || !app.passwords.check(&who.name, &from, old, Some(hash)).await? {
        let detail = "That is not your password until now.";
        let mut problem = Problem::new(StatusCode::FORBIDDEN, "WrongPassword", detail);
        problem.field = Some("old".to_owned());
        return Err(problem);
    }
    password::rule(&who.name, &new)?;
    let hash = app.passwords.hash(new).await?;
    users::set_password(pool, &who.name, &hash, (&who.name, Some(who.session)), (app.clock)()).await?;
    app.people.standing.forget(&who.name).await;
    tracing::info!(user.name = who.name, "{} has a new password", who.name);
    Ok(StatusCode::NO_CONTENT)
}
