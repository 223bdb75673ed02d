//! Kubernetes as people's requests see it.

use std::sync::Arc;

use crds::deployment::{Cancel, Deployment};
use crds::names::{API_SERVER, GROUP};
use crds::service::Service;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::access::{Ask, Subject};
use crate::claim::cluster::{Answer, Unavailable};

/// What people's requests need of Kubernetes. Tests have one in memory.
pub trait Cluster: Send + Sync + 'static {
    /// May they?
    fn allowed<'a>(&'a self, who: &'a Subject, ask: &'a Ask) -> BoxFuture<'a, Answer<bool>>;
    /// The Service as it is now.
    fn service<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Service>>>;
    /// The Deployment as it is now.
    fn deployment<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>>;
    /// Makes it.
    fn create<'a>(&'a self, namespace: &'a str, deployment: &'a Deployment)
    -> BoxFuture<'a, Answer<Created>>;
    /// Writes `spec.cancel`. None: the Deployment is there no longer.
    fn cancel<'a>(
        &'a self,
        deployment: &'a Deployment,
        how: Cancel,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>>;
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there now.
    New(Box<Deployment>),
    /// One of that name was there.
    Exists,
    /// Kubernetes says no, in a sentence.
    Refused(String),
}

/// The real one.
#[derive(Clone)]
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Through this client.
    pub fn through(client: Client) -> Arc<dyn Cluster> {
        Arc::new(Self(client))
    }

    fn api<K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(
        &self,
        namespace: &str,
    ) -> Api<K> {
        Api::namespaced(self.0.clone(), namespace)
    }
}

const fn failed(what: &'static str) -> impl Fn(kube::Error) -> Unavailable {
    move |source| Unavailable { what, source }
}

impl Cluster for Kubernetes {
    fn allowed<'a>(&'a self, who: &'a Subject, ask: &'a Ask) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(async move {
            let attributes = ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(ask.resource.to_owned()),
                verb: Some(ask.verb.to_owned()),
                namespace: ask.namespace.clone(),
                name: ask.name.clone(),
                ..ResourceAttributes::default()
            };
            let spec = SubjectAccessReviewSpec {
                user: Some(who.user.clone()),
                groups: Some(who.groups.iter().map(ToString::to_string).collect()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = Api::<SubjectAccessReview>::all(self.0.clone())
                .create(&PostParams::default(), &review)
                .await
                .map_err(failed("ask who may do what"))?;
            Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
        })
    }

    fn service<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Service>>> {
        Box::pin(async move { self.api(namespace).get_opt(name).await.map_err(failed("read the Service")) })
    }

    fn deployment<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(
            async move { self.api(namespace).get_opt(name).await.map_err(failed("read the Deployment")) },
        )
    }

    fn create<'a>(
        &'a self,
        namespace: &'a str,
        deployment: &'a Deployment,
    ) -> BoxFuture<'a, Answer<Created>> {
        Box::pin(async move {
            let params = PostParams { field_manager: Some(API_SERVER.to_owned()), ..PostParams::default() };
            match self.api(namespace).create(&params, deployment).await {
                Ok(made) => Ok(Created::New(Box::new(made))),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
                // A rule of the custom resource, an admission policy, a quota: its sentence is for people.
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 422) => {
                    Ok(Created::Refused(status.message.clone()))
                }
                Err(source) => Err(Unavailable { what: "make the Deployment", source }),
            }
        })
    }

    fn cancel<'a>(
        &'a self,
        deployment: &'a Deployment,
        how: Cancel,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(async move {
            let metadata = &deployment.metadata;
            let (namespace, name) = (
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default(),
            );
            let patch = json!({
                // Not another one of that name.
                "metadata": { "uid": metadata.uid },
                "spec": { "cancel": how.as_str() },
            });
            let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
            match self.api(namespace).patch(name, &params, &Patch::Merge(patch)).await {
                Ok(written) => Ok(Some(written)),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
                Err(source) => Err(Unavailable { what: "stop the Deployment", source }),
            }
        })
    }
}
