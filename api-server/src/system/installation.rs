//! What Kubernetes knows of the installation itself: our two Deployments, who leads, its own version.

use std::sync::Arc;
use std::time::Duration;

use crds::names::{API_SERVER, OPERATOR};
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt};

use super::said;
use crate::claim::cluster::{Answer, Unavailable};

/// For each look: the page is not kept waiting by one part.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many there are of a program, and of which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// How many there are to be.
    pub wanted: i32,
    /// How many are ready.
    pub ready: i32,
    /// Of fastDeploy, as it was installed.
    pub version: Option<String>,
    /// Of the chart that it was installed with.
    pub chart: Option<String>,
    /// The image that it runs.
    pub image: Option<String>,
}

/// Who leads among the operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leader {
    /// Its pod. None: it gave the lease back.
    pub pod: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it last said so.
    pub renewed_at: Option<Timestamp>,
}

/// Where that is asked. Tests have one in memory.
pub trait Installation: Send + Sync + 'static {
    /// Of Kubernetes, for example `v1.34.1`.
    fn kubernetes(&self) -> BoxFuture<'_, Answer<String>>;
    /// One of our two programs.
    fn workload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Option<Workload>>>;
    /// The operators' lease.
    fn leader(&self) -> BoxFuture<'_, Answer<Option<Leader>>>;
}

/// All of it, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Version of Kubernetes.
    pub kubernetes: Option<String>,
    /// The api-server; none: it cannot be known.
    pub api_server: Option<Workload>,
    /// The operator; none: it cannot be known.
    pub operator: Option<Workload>,
    /// Who leads; none: it cannot be known.
    pub leader: Option<Leader>,
}

/// Looks at everything at once. A lease that nobody made yet has no holder.
pub async fn look(at: Option<&dyn Installation>) -> Parts {
    let Some(at) = at else { return Parts::default() };
    let (kubernetes, api_server, operator, leader) = tokio::join!(
        in_time(at.kubernetes()),
        in_time(at.workload(API_SERVER)),
        in_time(at.workload(OPERATOR)),
        in_time(at.leader()),
    );
    Parts {
        kubernetes,
        api_server: api_server.flatten(),
        operator: operator.flatten(),
        leader: leader.map(Option::unwrap_or_default),
    }
}

async fn in_time<T>(answer: BoxFuture<'_, Answer<T>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.inspect_err(|error| said("Kubernetes", error)).ok(),
        Err(late) => {
            said("Kubernetes", &late);
            None
        }
    }
}

/// The real one.
pub struct Kubernetes {
    client: Client,
    namespace: String,
}

impl Kubernetes {
    /// In this namespace, through this client.
    pub fn through(client: Client, namespace: &str) -> Arc<dyn Installation> {
        Arc::new(Self { client, namespace: namespace.to_owned() })
    }
}

impl Installation for Kubernetes {
    fn kubernetes(&self) -> BoxFuture<'_, Answer<String>> {
        Box::pin(async move {
            let version = self.client.apiserver_version().await;
            let version = version.map_err(|source| Unavailable { what: "ask for its version", source })?;
            Ok(version.git_version)
        })
    }

    fn workload<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Option<Workload>>> {
        Box::pin(async move {
            let api = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace);
            let found = api.get_opt(name).await;
            let found = found.map_err(|source| Unavailable { what: "read how a program fares", source })?;
            Ok(found.as_ref().map(workload))
        })
    }

    fn leader(&self) -> BoxFuture<'_, Answer<Option<Leader>>> {
        Box::pin(async move {
            let api = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
            let found = api.get_opt(OPERATOR).await;
            let found = found.map_err(|source| Unavailable { what: "read who leads", source })?;
            Ok(found.map(leader))
        })
    }
}

fn workload(found: &Deployment) -> Workload {
    let spec = found.spec.as_ref();
    let containers = spec.and_then(|spec| spec.template.spec.as_ref()).map(|pod| &pod.containers);
    Workload {
        wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        ready: found.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0),
        version: found.labels().get("app.kubernetes.io/version").cloned(),
        chart: found.labels().get("helm.sh/chart").map(|chart| chart.replacen("fastdeploy-", "", 1)),
        image: containers.and_then(|containers| containers.first()).and_then(|first| first.image.clone()),
    }
}

fn leader(lease: Lease) -> Leader {
    let Some(spec) = lease.spec else { return Leader::default() };
    Leader {
        pod: spec.holder_identity.filter(|pod| !pod.is_empty()),
        since: spec.acquire_time.map(|time| time.0),
        renewed_at: spec.renew_time.map(|time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_knows_is_read() {
        let found: Deployment = serde_yaml::from_str(
            "metadata: {labels: {app.kubernetes.io/version: 0.1.0, helm.sh/chart: fastdeploy-0.2.0}}
spec: {replicas: 2, selector: {}, template: {spec: {containers: [{name: x, image: 'r/operator:1'}]}}}
status: {readyReplicas: 1}",
        )
        .unwrap();
        let expected = Workload {
            wanted: 2,
            ready: 1,
            version: Some("0.1.0".into()),
            chart: Some("0.2.0".into()),
            image: Some("r/operator:1".into()),
        };
        assert_eq!(workload(&found), expected);
        assert_eq!(workload(&Deployment::default()), Workload { wanted: 1, ..Workload::default() });

        let lease: Lease = serde_yaml::from_str(
            "spec: {holderIdentity: op-1, acquireTime: '2027-01-15T08:00:00.000000Z', renewTime: '2027-01-15T08:00:05.000000Z'}",
        )
        .unwrap();
        let at = |time: &str| Some(time.parse().unwrap());
        let expected = Leader {
            pod: Some("op-1".into()),
            since: at("2027-01-15T08:00:00Z"),
            renewed_at: at("2027-01-15T08:00:05Z"),
        };
        assert_eq!(leader(lease), expected);
        let given_back: Lease = serde_yaml::from_str("spec: {holderIdentity: ''}").unwrap();
        assert_eq!(leader(given_back), Leader::default());
    }
}
