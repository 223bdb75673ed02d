//! `/api/v1/roles`: who has which of our roles where. A role is a ClusterRole, having it a RoleBinding;
//! who may give one is whom Kubernetes lets create RoleBindings there and `bind` that ClusterRole.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use crds::events::EventType;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::outbox::{self, Event};
use utoipa::{IntoParams, ToSchema};

use super::Person;
use super::bindings::{self, Binding, Bound, Role, SubjectKind, Wish};
use super::organisation::settings::RESERVED;
use crate::api::problem::Problem;
use crate::api::{App, Body, Path, Query};

/// What Kubernetes is asked about.
pub const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

/// Which ones.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// Only of this namespace, with those that hold everywhere. Default: of all.
    namespace: Option<String>,
}

/// Roles that people have.
#[derive(Debug, Serialize, ToSchema)]
pub struct BindingList {
    /// Those that hold everywhere first.
    items: Vec<Binding>,
    /// Whether you may give and take roles there.
    may: RolesMay,
}

/// What somebody may do with roles.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolesMay {
    /// Give one.
    bind: bool,
    /// Take one.
    unbind: bool,
}

/// A role for somebody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewBinding {
    /// Where.
    namespace: String,
    /// Which role.
    role: Role,
    /// Whom: `{"kind": "User", "name": "anna"}`; a group has its prefix: `oidc:web`.
    subject: Bound,
    /// Whose name that is.
    #[serde(default)]
    #[schema(required = false)]
    known_by: KnownBy,
}

/// Who knows somebody by a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum KnownBy {
    /// fastDeploy: a person's name without a colon is that of an account here.
    #[default]
    FastDeploy,
    /// The organisation: the name is taken as the cluster knows it, also where that has no prefix.
    Organisation,
}

/// Who has which role.
#[utoipa::path(get, path = "/roles", tag = "people", operation_id = "listRoles", params(Where),
    responses((status = 200, body = BindingList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    who: Person,
    Query(Where { namespace }): Query<Where>,
) -> Result<Json<BindingList>, Problem> {
    let may = |verb| {
        let (app, who, namespace) = (&app, &who, namespace.as_deref());
        async move {
            match namespace {
                Some(namespace) => app.access.may(who, verb, BINDINGS, (namespace, "")).await,
                None => app.access.may_everywhere(who, verb, BINDINGS).await,
            }
        }
    };
    if !may("list").await? {
        let place = if namespace.is_some() { "in this namespace" } else { "in the whole cluster" };
        return Err(Problem::forbidden(format!(
            "You may not see who has which role: that takes the verb \"list\" on {BINDINGS} {place} (ClusterRole fastdeploy-admin has it)."
        )));
    }
    let items = app.people.bindings()?.list(namespace.as_deref()).await?;
    let may = RolesMay { bind: may("create").await?, unbind: may("delete").await? };
    Ok(Json(BindingList { items, may }))
}

/// Give somebody a role in a namespace.
#[utoipa::path(post, path = "/roles", tag = "people", operation_id = "bindRole", request_body = NewBinding,
    responses((status = 201, body = Binding), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn bind(
    State(app): State<App>,
    who: Person,
    Body(NewBinding { namespace, role, subject, known_by }): Body<NewBinding>,
) -> Result<(StatusCode, Json<Binding>), Problem> {
    let subject =
        subject_of(subject, known_by).map_err(|sentence| Problem::invalid(Some("subject.name"), sentence))?;
    if !is_label(&namespace) {
        let detail = "namespace: write the name of a namespace: lower-case letters, digits and dashes.";
        return Err(Problem::invalid(Some("namespace"), detail));
    }
    must(&app, &who, "create", BINDINGS, (&namespace, "")).await?;
    must(&app, &who, "bind", CLUSTER_ROLES, (&namespace, role.cluster_role())).await?;
    wished(app.people.bindings()?.bind(&namespace, role, &subject).await?, "namespace")?;
    told(&app, &who, EventType::RoleBound, &namespace, role, &subject).await;
    let name = bindings::name_of(role, &subject);
    let namespace = Some(namespace);
    Ok((StatusCode::CREATED, Json(Binding { name, namespace, role, subjects: vec![subject], ours: true })))
}

/// Take a role that was given here.
#[utoipa::path(delete, path = "/roles/{namespace}/{name}", tag = "people", operation_id = "unbindRole",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 204, description = "it is taken"),
        (status = 409, description = "NotOurs", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn unbind(
    State(app): State<App>,
    who: Person,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    must(&app, &who, "delete", BINDINGS, (&namespace, &name)).await?;
    let bindings = app.people.bindings()?;
    let all = bindings.list(Some(&namespace)).await?;
    let there =
        all.into_iter().find(|there| there.name == name && there.namespace.as_ref() == Some(&namespace));
    let there = there.ok_or_else(|| Problem::not_found("role"))?;
    if !there.ours {
        let detail = format!(
            "{name} was not given here. Take it away where it was given: with kubectl, or in the repository."
        );
        return Err(Problem::conflict("NotOurs", detail));
    }
    wished(bindings.unbind(&namespace, &name).await?, "role")?;
    for subject in &there.subjects {
        told(&app, &who, EventType::RoleUnbound, &namespace, there.role, subject).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn must(
    app: &App,
    who: &Person,
    verb: &'static str,
    resource: &'static str,
    of: (&str, &str),
) -> Result<(), Problem> {
    if app.access.may(who, verb, resource, of).await? {
        return Ok(());
    }
    let (namespace, name) = of;
    Err(Problem::forbidden(format!(
        "You may not give or take this role: that takes the verb \"{verb}\" on {resource} {name} in the namespace {namespace} \
         (ClusterRole fastdeploy-admin has it)."
    )))
}

fn wished(wish: Wish, what: &str) -> Result<(), Problem> {
    match wish {
        Wish::Done => Ok(()),
        Wish::Missing => Err(Problem::not_found(what)),
        Wish::Refused(sentence) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Refused",
            format!("Kubernetes refused it: {sentence}"),
        )),
    }
}

/// It is done already: without the database only nobody is told.
async fn told(app: &App, who: &Person, event: EventType, namespace: &str, role: Role, to: &Bound) {
    let data = json!({"role": role, "namespace": namespace, "subject": to});
    let event =
        Event { namespace: namespace.to_owned(), ..Event::of_person(event, &who.name, &to.name, data) };
    let deed = event.event.as_str();
    tracing::info!(
        user.name = who.name,
        "{}: {} {} in {namespace}, by {}",
        deed,
        to.name,
        role.cluster_role(),
        who.name
    );
    if let Ok(pool) = app.pool()
        && let Err(error) = outbox::tell(pool, &[event]).await
    {
        tracing::warn!(error = error.to_string(), "{deed} could not be written down: {error}");
    }
}

/// As Kubernetes knows them.
fn subject_of(Bound { kind, name }: Bound, known_by: KnownBy) -> Result<Bound, String> {
    let sound = !name.is_empty() && name.len() <= 253 && !name.chars().any(char::is_control);
    let theirs = sound && known_by == KnownBy::Organisation && kind != SubjectKind::ServiceAccount;
    if theirs && RESERVED.iter().any(|taken| name.starts_with(taken)) {
        return Err(format!(
            "subject.name: nobody of an organisation is called that; names that begin with {} belong to Kubernetes and to fastDeploy.",
            RESERVED.join(", ")
        ));
    }
    let name = match kind {
        _ if theirs => name,
        SubjectKind::User if sound && !name.contains(':') => format!("{}{name}", crds::names::USER_PREFIX),
        SubjectKind::User | SubjectKind::Group if sound && name.contains(':') => name,
        SubjectKind::Group => {
            return Err(
                "subject.name: write a group with its prefix, for example oidc:web-team; where the cluster knows groups \
                 without a prefix, say knownBy: Organisation."
                    .into(),
            );
        }
        _ => {
            return Err(
                "subject.name: write the name of an account; service accounts get their roles with kubectl."
                    .into(),
            );
        }
    };
    if name.starts_with("system:") {
        return Err("subject.name: names that begin with system: belong to Kubernetes.".into());
    }
    Ok(Bound { kind, name })
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_knows() {
        let subject = |kind, name: &str| {
            subject_of(Bound { kind, name: name.into() }, KnownBy::FastDeploy).map(|bound| bound.name)
        };
        assert_eq!(subject(SubjectKind::User, "anna").as_deref(), Ok("fastdeploy:anna"));
        assert_eq!(
            subject(SubjectKind::User, "oidc:anna@example.com").as_deref(),
            Ok("oidc:anna@example.com")
        );
        assert_eq!(subject(SubjectKind::Group, "oidc:web").as_deref(), Ok("oidc:web"));
        for (kind, wrong) in [
            (SubjectKind::Group, "web"),
            (SubjectKind::User, ""),
            (SubjectKind::User, "system:admin"),
            (SubjectKind::Group, "system:masters"),
            (SubjectKind::ServiceAccount, "default"),
        ] {
            assert!(subject(kind, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_an_organisation_are_taken_as_they_are_but_nobody_elses() {
        let subject = |kind, name: &str| {
            subject_of(Bound { kind, name: name.into() }, KnownBy::Organisation).map(|bound| bound.name)
        };
        for (kind, name) in [
            (SubjectKind::User, "anna"),
            (SubjectKind::User, "anna@example.com"),
            (SubjectKind::User, "https://sso.example.com#7"),
            (SubjectKind::Group, "web"),
            (SubjectKind::Group, "oidc:web"),
        ] {
            assert_eq!(subject(kind, name).as_deref(), Ok(name));
        }
        for (kind, wrong) in [
            (SubjectKind::User, "fastdeploy:anna"),
            (SubjectKind::User, "system:admin"),
            (SubjectKind::Group, "system:masters"),
            (SubjectKind::Group, "token:x"),
            (SubjectKind::Group, ""),
            (SubjectKind::User, "a\nb"),
            (SubjectKind::ServiceAccount, "default"),
        ] {
            assert!(subject(kind, wrong).is_err(), "{wrong}");
        }
    }
}
