//! What nobody owns any more, after every story: Jobs and bundles without a Deployment, pods without a Job.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use crds::{Deployment, names};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use tokio::time::Instant;

/// Kubernetes collects garbage by its own clock.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(500);

/// What is left over although Kubernetes had time to collect it.
pub async fn left_over(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = orphans(client, namespace).await?;
        if found.is_empty() || Instant::now() > until {
            return Ok(found);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn orphans(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let of = |label: &str| ListParams::default().labels(label);
    // Children first: an owner that is made meanwhile is seen.
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&of(names::LABEL_DEPLOYMENT)).await?;
    let jobs = Api::<Job>::namespaced(client.clone(), namespace).list(&of(names::LABEL_DEPLOYMENT)).await?;
    let ours = format!("app.kubernetes.io/managed-by={}", names::OPERATOR);
    let bundles = Api::<ConfigMap>::namespaced(client.clone(), namespace).list(&of(&ours)).await?;
    let runs = Api::<Deployment>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
    let uids: BTreeSet<_> = runs.items.iter().filter_map(ResourceExt::uid).collect();
    let job_uids: BTreeSet<_> = jobs.items.iter().filter_map(ResourceExt::uid).collect();
    let mut found = Vec::new();
    for job in &jobs.items {
        if job.owner_references().iter().all(|owner| !uids.contains(&owner.uid)) {
            found.push(format!("Job {} has no Deployment", job.name_any()));
        }
    }
    for bundle in &bundles.items {
        if bundle.owner_references().iter().all(|owner| !uids.contains(&owner.uid)) {
            found.push(format!("ConfigMap {} has no Deployment", bundle.name_any()));
        }
    }
    for pod in &pods.items {
        if pod.owner_references().iter().all(|owner| !job_uids.contains(&owner.uid)) {
            found.push(format!("pod {} has no Job", pod.name_any()));
        }
    }
    Ok(found)
}
