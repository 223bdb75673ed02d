//! fastDeploy's own two programs in the cluster: to be looked at, taken away and brought back.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{installation, kubectl};

/// One of the two programs.
#[derive(Clone)]
pub struct Program {
    client: Client,
    component: &'static str,
}

impl Program {
    /// `operator` or `api-server`.
    pub fn new(client: &Client, component: &'static str) -> Self {
        Self { client: client.clone(), component }
    }

    fn name(&self) -> String {
        format!("fastdeploy-{}", self.component)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &installation())
    }

    /// Its pods, but for those that are being taken away.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let mut pods = self.all_pods().await?;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    async fn all_pods(&self) -> Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io/component={}", self.component);
        Ok(self.pods_api().list(&ListParams::default().labels(&selector)).await?.items)
    }

    fn pods_api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &installation())
    }

    /// As many as that, and they are ready; or none, and they are gone.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.deployments().patch_scale(&self.name(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        if replicas > 0 {
            return self.ready().await;
        }
        gone(&self.pods_api(), self.all_pods().await?, Duration::from_mins(1)).await
    }

    /// Waits until all replicas that are wanted are ready.
    pub async fn ready(&self) -> Result<()> {
        let ready = |deployment: Option<&Deployment>| {
            deployment.is_some_and(|d| {
                let wanted = d.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let status = d.status.clone().unwrap_or_default();
                status.observed_generation == d.metadata.generation
                    && status.ready_replicas.unwrap_or(0) == wanted
                    // Not one of before.
                    && status.updated_replicas.unwrap_or(0) == wanted
                    && status.replicas.unwrap_or(0) == wanted
            })
        };
        let name = self.name();
        let waited = await_condition(self.deployments(), &name, ready);
        let late = || format!("expected {name} to be ready within a minute");
        tokio::time::timeout(Duration::from_mins(1), waited).await.with_context(late)??;
        Ok(())
    }

    /// Sets a variable of its environment, or takes it away, and waits until it is at work again.
    pub async fn set(&self, name: &str, value: Option<&str>) -> Result<()> {
        let variable = value.map_or_else(|| format!("{name}-"), |value| format!("{name}={value}"));
        let deployment = format!("deployment/{}", self.name());
        kubectl::run(&["--namespace", &installation(), "set", "env", &deployment, &variable]).await?;
        self.ready().await?;
        // An operator that is ready does not lead before the one that goes lets it.
        let mut going = self.all_pods().await?;
        going.retain(|pod| pod.metadata.deletion_timestamp.is_some());
        gone(&self.pods_api(), going, Duration::from_mins(1)).await
    }

    /// The environment that the chart gives to it.
    pub async fn environment(&self) -> Result<Vec<(String, String)>> {
        let pod = self.deployments().get(&self.name()).await?.spec.and_then(|spec| spec.template.spec);
        let container = pod.and_then(|pod| pod.containers.into_iter().next());
        let env = container.and_then(|container| container.env).unwrap_or_default();
        Ok(env.into_iter().filter_map(|variable| Some((variable.name, variable.value?))).collect())
    }

    /// The sum of a metric over all its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let url =
            format!("/api/v1/namespaces/{}/services/{}:metrics/proxy/metrics", installation(), self.name());
        let text = kubectl::run(&["get", "--raw", &url]).await?;
        let of_metric = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']);
        Ok(text
            .lines()
            .filter(of_metric)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }
}

/// Waits until no story's namespace is being taken away any more: what is counted from now on has
/// one cause.
pub async fn quiet(client: &Client) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let of_stories = ListParams::default().labels("fastdeploy.dev/test");
    let mut going = namespaces.list(&of_stories).await?.items;
    going.retain(|namespace| namespace.metadata.deletion_timestamp.is_some());
    gone(&namespaces, going, Duration::from_mins(2)).await
}

/// Waits until these are gone; others of the same names may be there.
async fn gone<K>(api: &Api<K>, objects: Vec<K>, within: Duration) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    for object in objects {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let gone = await_condition(api.clone(), &name, kube::runtime::conditions::is_deleted(&uid));
        let late = || format!("expected {} {name} to be gone within {within:?}", K::kind(&()));
        tokio::time::timeout(within, gone).await.with_context(late)??;
    }
    Ok(())
}
