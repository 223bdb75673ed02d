//! Kubernetes as people's requests see it.

use std::sync::Arc;

use crds::deployment::{Approval, Cancel, Deployment};
use crds::names::{API_SERVER, GROUP};
use crds::service::Service;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::json;

use super::problem::FieldError;
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
    /// Writes `spec.approval`.
    fn decide<'a>(
        &'a self,
        deployment: &'a Deployment,
        approval: &'a Approval,
    ) -> BoxFuture<'a, Answer<Decided>>;
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// It is written.
    Written(Box<Deployment>),
    /// The Deployment is there no longer.
    Gone,
    /// Kubernetes says no.
    Refused(Refusal),
}

/// How Kubernetes says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence.
    pub message: String,
    /// Field by field, as far as it says so.
    pub errors: Vec<FieldError>,
}

impl Refusal {
    /// A rule of the custom resource, an admission policy, a quota: its sentences are for people.
    fn of(status: &Status) -> Self {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let errors = causes.filter(|cause| !cause.message.is_empty()).map(|cause| FieldError {
            // People know the fields of the API, and those are the ones of the spec.
            field: cause
                .field
                .strip_prefix("spec.")
                .unwrap_or(&cause.field)
                .trim_start_matches('<')
                .trim_end_matches('>')
                .to_owned(),
            message: cause.message.clone(),
        });
        Self { message: status.message.clone(), errors: errors.collect() }
    }
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there now.
    New(Box<Deployment>),
    /// One of that name was there.
    Exists,
    /// Kubernetes says no.
    Refused(Refusal),
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
            let (resource, group) = ask.resource.split_once('.').unwrap_or((ask.resource, GROUP));
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(ask.verb.to_owned()),
                namespace: ask.namespace.clone(),
                name: ask.name.clone(),
                ..ResourceAttributes::default()
            };
            let spec = SubjectAccessReviewSpec {
                user: Some(who.user.clone()),
                groups: Some(who.groups.clone()),
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
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 422) => {
                    Ok(Created::Refused(Refusal::of(&status)))
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
    fn decide<'a>(
        &'a self,
        deployment: &'a Deployment,
        approval: &'a Approval,
    ) -> BoxFuture<'a, Answer<Decided>> {
        Box::pin(async move {
            let metadata = &deployment.metadata;
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            let patch = json!({ "metadata": { "uid": metadata.uid }, "spec": { "approval": approval } });
            let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
            let name = metadata.name.as_deref().unwrap_or_default();
            match self.api(namespace).patch(name, &params, &Patch::Merge(patch)).await {
                Ok(written) => Ok(Decided::Written(Box::new(written))),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Decided::Gone),
                Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                    Ok(Decided::Refused(Refusal::of(&status)))
                }
                Err(source) => Err(Unavailable { what: "write the decision", source }),
            }
        })
    }
}
