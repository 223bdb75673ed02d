//! The Kubernetes API as a claim sees it: four reads, all live, and one guarded write.

use std::future::Future;

use crds::deployment::{Deployment, Run};
use crds::names::API_SERVER;
use crds::service::Service;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

/// What a claim needs of Kubernetes. Tests have one in memory.
pub trait Cluster: Send + Sync + 'static {
    /// Whose token is this, if it was made for this audience?
    fn review(&self, token: &str, audience: &str) -> impl Future<Output = Answer<TokenReviewStatus>> + Send;
    /// The pod as it is now.
    fn pod(&self, namespace: &str, name: &str) -> impl Future<Output = Answer<Option<Pod>>> + Send;
    /// The Deployment as it is now.
    fn deployment(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<Deployment>>> + Send;
    /// The Service as it is now.
    fn service(&self, namespace: &str, name: &str) -> impl Future<Output = Answer<Option<Service>>> + Send;
    /// Write `status.run`, if the Deployment still is at this resourceVersion.
    fn write_run(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
        run: &Run,
    ) -> impl Future<Output = Answer<Written>> + Send;
}

/// Whether a guarded write was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was.
    Yes,
    /// Something else was written, or the object went away: read again, decide again.
    Moved,
}

/// What the Kubernetes API says, if it says anything.
pub type Answer<T> = Result<T, Unavailable>;

/// The Kubernetes API does not answer, or says no to us.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what}")]
pub struct Unavailable {
    /// What was tried.
    pub what: &'static str,
    /// What was said.
    pub source: kube::Error,
}

/// The real one.
#[derive(Clone)]
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Through this client.
    pub const fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Cluster for Kubernetes {
    async fn review(&self, token: &str, audience: &str) -> Answer<TokenReviewStatus> {
        let spec =
            TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![audience.to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = Api::all(self.0.clone()).create(&PostParams::default(), &review).await;
        let answer: TokenReview = answer.map_err(|source| Unavailable { what: "review a token", source })?;
        Ok(answer.status.unwrap_or_default())
    }

    async fn pod(&self, namespace: &str, name: &str) -> Answer<Option<Pod>> {
        let found = Api::namespaced(self.0.clone(), namespace).get_opt(name).await;
        found.map_err(|source| Unavailable { what: "read the pod", source })
    }

    async fn deployment(&self, namespace: &str, name: &str) -> Answer<Option<Deployment>> {
        let found = Api::namespaced(self.0.clone(), namespace).get_opt(name).await;
        found.map_err(|source| Unavailable { what: "read the Deployment", source })
    }

    async fn service(&self, namespace: &str, name: &str) -> Answer<Option<Service>> {
        let found = Api::namespaced(self.0.clone(), namespace).get_opt(name).await;
        found.map_err(|source| Unavailable { what: "read the Service", source })
    }

    async fn write_run(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
        run: &Run,
    ) -> Answer<Written> {
        // What this run does not have goes away: it would be an earlier attempt's.
        let mut run_patch = json!({ "progress": null, "step": null, "result": null });
        if let (Some(patch), Ok(serde_json::Value::Object(run))) =
            (run_patch.as_object_mut(), serde_json::to_value(run))
        {
            patch.extend(run);
        }
        let patch =
            json!({ "metadata": { "resourceVersion": resource_version }, "status": { "run": run_patch } });
        let params = PatchParams { field_manager: Some(API_SERVER.to_owned()), ..PatchParams::default() };
        let api = Api::<Deployment>::namespaced(self.0.clone(), namespace);
        match api.patch_status(name, &params, &Patch::Merge(patch)).await {
            Ok(_) => Ok(Written::Yes),
            // 422: a rule of the custom resource holds what our guard should have held already.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(Written::Moved),
            Err(source) => Err(Unavailable { what: "write the claim", source }),
        }
    }
}
