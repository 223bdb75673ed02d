//! What a story looks up once, when it is known to be there.

use anyhow::Result;
use crds::Deployment;
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    ResourceExt,
    api::{ListParams, LogParams},
};

use crate::Story;

impl Story {
    /// Everything that the pods of a run printed.
    pub async fn log_of(&self, run: &str) -> Result<String> {
        let pod = self.pod_of(run, "any", |_| true).await?;
        Ok(self.api::<Pod>().logs(&pod.name_any(), &LogParams::default()).await?)
    }

    /// The Deployments as the API server has them now, by number.
    pub async fn listed(&self) -> Result<Vec<Deployment>> {
        let mut runs = self.api::<Deployment>().list(&ListParams::default()).await?.items;
        runs.sort_by_key(|run| run.status.as_ref().and_then(|status| status.number));
        Ok(runs)
    }

    /// How many objects of a kind there are now.
    pub async fn count<K>(&self, labels: &str) -> Result<usize>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        Ok(self.api::<K>().list(&ListParams::default().labels(labels)).await?.items.len())
    }

    /// The Events about a Deployment or Service, as `(type, reason, note)`.
    pub async fn events_about(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let api = self.api::<Event>();
        let all = api.list(&ListParams::default()).await?.items;
        let about =
            all.into_iter().filter(|e| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name));
        Ok(about
            .map(|e| (e.type_.unwrap_or_default(), e.reason.unwrap_or_default(), e.note.unwrap_or_default()))
            .collect())
    }
}
