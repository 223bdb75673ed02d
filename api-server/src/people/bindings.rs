//! RoleBindings of our four ClusterRoles: who has which role where, as Kubernetes says.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::names::API_SERVER;
use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::claim::cluster::{Answer, Unavailable};

/// Label of what was bound on the page; only that is unbound there.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What somebody may be, somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees Services, runs and output.
    Viewer,
    /// Starts and stops runs, too.
    Deployer,
    /// Agrees to runs, or refuses them.
    Approver,
    /// Everything, also writing Services and giving roles.
    Admin,
}

impl Role {
    const ALL: [Self; 4] = [Self::Viewer, Self::Deployer, Self::Approver, Self::Admin];

    /// Its ClusterRole.
    pub const fn cluster_role(self) -> &'static str {
        match self {
            Self::Viewer => "fastdeploy-viewer",
            Self::Deployer => "fastdeploy-deployer",
            Self::Approver => "fastdeploy-approver",
            Self::Admin => "fastdeploy-admin",
        }
    }

    fn of(role: &RoleRef) -> Option<Self> {
        let ours = |ours: &Self| role.kind == "ClusterRole" && role.name == ours.cluster_role();
        Self::ALL.into_iter().find(ours)
    }
}

/// Whom a role is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum SubjectKind {
    /// One person, or one token.
    User,
    /// All of a group.
    Group,
    /// A program in the cluster.
    ServiceAccount,
}

/// Somebody who has a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bound {
    /// What kind.
    pub kind: SubjectKind,
    /// As Kubernetes knows them, for example `fastdeploy:anna`.
    pub name: String,
}

/// A role that somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// Where; absent: in every namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// Which role.
    pub role: Role,
    /// Who has it.
    pub subjects: Vec<Bound>,
    /// Bound here, so it can be unbound here; others belong to kubectl or a repository.
    pub ours: bool,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is so.
    Done,
    /// There is none.
    Missing,
    /// Kubernetes says no, in a sentence.
    Refused(String),
}

/// Where roles are bound. Tests have one in memory.
pub trait Bindings: Send + Sync + 'static {
    /// All of our roles; of one namespace with those of every namespace.
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Answer<Vec<Binding>>>;
    /// Gives a role. The same again changes nothing.
    fn bind<'a>(&'a self, namespace: &'a str, role: Role, to: &'a Bound) -> BoxFuture<'a, Answer<Wish>>;
    /// Takes it away.
    fn unbind<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Wish>>;
}

/// The real ones.
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Through this client.
    pub fn through(client: Client) -> Arc<dyn Bindings> {
        Arc::new(Self(client))
    }
}

/// The name of the binding: the same for the same wish.
pub fn name_of(role: Role, to: &Bound) -> String {
    let hash = Sha256::digest(format!("{:?}\n{}", to.kind, to.name));
    format!("{}-{}", role.cluster_role(), &hex::encode(hash)[..10])
}

const fn failed(what: &'static str) -> impl Fn(kube::Error) -> Unavailable {
    move |source| Unavailable { what, source }
}

fn binding(meta: &ObjectMeta, role: &RoleRef, subjects: Option<&[Subject]>) -> Option<Binding> {
    let subjects = subjects.unwrap_or_default().iter().filter_map(|subject| {
        let kind = match subject.kind.as_str() {
            "User" => SubjectKind::User,
            "Group" => SubjectKind::Group,
            "ServiceAccount" => SubjectKind::ServiceAccount,
            _ => return None,
        };
        let name = match &subject.namespace {
            Some(namespace) if kind == SubjectKind::ServiceAccount => format!("{namespace}/{}", subject.name),
            _ => subject.name.clone(),
        };
        Some(Bound { kind, name })
    });
    let managed = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    Some(Binding {
        name: meta.name.clone()?,
        namespace: meta.namespace.clone(),
        role: Role::of(role)?,
        subjects: subjects.collect(),
        ours: managed.is_some_and(|by| by == API_SERVER) && meta.namespace.is_some(),
    })
}

impl Bindings for Kubernetes {
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Answer<Vec<Binding>>> {
        Box::pin(async move {
            let here = match namespace {
                Some(namespace) => Api::<RoleBinding>::namespaced(self.0.clone(), namespace),
                None => Api::all(self.0.clone()),
            };
            let everywhere = Api::<ClusterRoleBinding>::all(self.0.clone());
            let params = ListParams::default();
            let (here, everywhere) = tokio::try_join!(here.list(&params), everywhere.list(&params))
                .map_err(failed("read who has which role"))?;
            let here = here.iter().filter_map(|it| binding(it.meta(), &it.role_ref, it.subjects.as_deref()));
            let all =
                everywhere.iter().filter_map(|it| binding(it.meta(), &it.role_ref, it.subjects.as_deref()));
            Ok(all.chain(here).collect())
        })
    }

    fn bind<'a>(&'a self, namespace: &'a str, role: Role, to: &'a Bound) -> BoxFuture<'a, Answer<Wish>> {
        Box::pin(async move {
            let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let group = "rbac.authorization.k8s.io".to_owned();
            let binding = RoleBinding {
                metadata: ObjectMeta {
                    name: Some(name_of(role, to)),
                    labels: Some(BTreeMap::from([
                        label(MANAGED_BY, API_SERVER),
                        label("app.kubernetes.io/part-of", "fastdeploy"),
                    ])),
                    ..ObjectMeta::default()
                },
                role_ref: RoleRef {
                    api_group: group.clone(),
                    kind: "ClusterRole".to_owned(),
                    name: role.cluster_role().to_owned(),
                },
                subjects: Some(vec![Subject {
                    api_group: Some(group),
                    kind: format!("{:?}", to.kind),
                    name: to.name.clone(),
                    namespace: None,
                }]),
            };
            let params = PostParams { field_manager: Some(API_SERVER.to_owned()), ..PostParams::default() };
            let api = Api::<RoleBinding>::namespaced(self.0.clone(), namespace);
            match api.create(&params, &binding).await {
                Ok(_) => Ok(Wish::Done),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Wish::Done),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Wish::Missing),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                    Ok(Wish::Refused(status.message.clone()))
                }
                Err(source) => Err(Unavailable { what: "give the role", source }),
            }
        })
    }

    fn unbind<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Wish>> {
        Box::pin(async move {
            let api = Api::<RoleBinding>::namespaced(self.0.clone(), namespace);
            match api.delete(name, &DeleteParams::default()).await {
                Ok(_) => Ok(Wish::Done),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Wish::Missing),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    Ok(Wish::Refused(status.message.clone()))
                }
                Err(source) => Err(Unavailable { what: "take the role", source }),
            }
        })
    }
}
