//! What a story waits for, by watching.

use std::{collections::BTreeMap, pin::pin, sync::PoisonError, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use crds::{Deployment, Phase, Service, conditions};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::LogParams};

use crate::{Story, Watched, rules::Ruled};

/// Nothing in a story takes longer than this without being wrong, on two busy cores.
const PATIENCE: Duration = Duration::from_mins(2);

impl Story {
    /// Waits until a Service is as wanted, in a status that speaks of what was applied last.
    pub async fn service_until(
        &self,
        name: &str,
        what: &str,
        mut enough: impl FnMut(&Service) -> bool,
    ) -> Result<Service> {
        let least = *self.applied.lock().unwrap_or_else(PoisonError::into_inner).get(name).unwrap_or(&0);
        let current = move |service: &Service| {
            let observed = service.status.as_ref().map_or(-1, |status| status.observed_generation);
            observed >= least && enough(service)
        };
        self.services.until(name, what, PATIENCE, current).await
    }

    /// Waits until a Service's Ready and InSync are as wanted, for this reason.
    pub async fn service_is(&self, name: &str, ready: &str, in_sync: &str, reason: &str) -> Result<Service> {
        let what = format!("Ready {ready}, InSync {in_sync}, reason {reason}");
        let is = |service: &Service| {
            let status = service.status.clone().unwrap_or_default();
            let has = |type_, state: &str| {
                conditions::find(&status.conditions, type_)
                    .is_some_and(|c| c.status == state && c.reason == reason)
            };
            has(conditions::READY, ready) && has(conditions::IN_SYNC, in_sync)
        };
        self.service_until(name, &what, is).await
    }

    /// Waits until a Deployment is as wanted; fails at once if it has ended otherwise.
    pub async fn run_until(
        &self,
        name: &str,
        what: &str,
        mut enough: impl FnMut(&Deployment) -> bool,
    ) -> Result<Deployment> {
        let mut good = false;
        let judge = |run: &Deployment| {
            good = enough(run);
            good || is_over(run)
        };
        let run = self.deployments.until(name, what, PATIENCE, judge).await?;
        ensure!(good, "Deployment {name}: expected {what}, but it ended: {}", short(&run));
        Ok(run)
    }

    /// Waits until Ansible runs.
    pub async fn runs(&self, name: &str) -> Result<Deployment> {
        self.run_until(name, "phase Running", |run| phase(run) == Some(Phase::Running)).await
    }

    /// Waits until a Deployment has ended.
    pub async fn ends(&self, name: &str) -> Result<Deployment> {
        self.run_until(name, "an end", is_over).await
    }

    /// Waits until there is a Deployment with that number, however it is called.
    pub async fn numbered(&self, service: &str, number: i64) -> Result<Deployment> {
        let is = |run: &&Deployment| {
            run.spec.service == service && run.status.as_ref().and_then(|s| s.number) == Some(number)
        };
        let what = format!("a Deployment #{number} of {service}");
        self.deployments.find(&what, PATIENCE, |now| now.values().find(is).cloned()).await
    }

    /// Waits until the Deployment with that number has ended.
    pub async fn numbered_ends(&self, service: &str, number: i64) -> Result<Deployment> {
        let run = self.numbered(service, number).await?;
        self.ends(&run.name_any()).await
    }

    /// Waits for the pod of a Deployment.
    pub async fn pod_of(&self, run: &str, what: &str, mut enough: impl FnMut(&Pod) -> bool) -> Result<Pod> {
        let is = |pod: &&Pod| pod.labels().get(crds::names::LABEL_DEPLOYMENT).is_some_and(|name| name == run);
        let what = format!("a pod of {run}: {what}");
        self.pods.find(&what, PATIENCE, |now| now.values().filter(is).find(|pod| enough(pod)).cloned()).await
    }

    /// Waits until a run's task has said this on the pod's log.
    pub async fn says(&self, run: &str, text: &str) -> Result<()> {
        let pod = self.pod_of(run, "started", started).await?.name_any();
        let follow = LogParams { follow: true, ..Default::default() };
        let api = self.api::<Pod>();
        let said = async {
            let log = pin!(api.log_stream(&pod, &follow).await?);
            let mut lines = log.lines();
            while let Some(line) = lines.try_next().await? {
                if line.contains(text) {
                    return Ok(());
                }
            }
            bail!("expected “{text}” in the log of {pod}, but it has ended without")
        };
        let late = || format!("expected “{text}” in the log of {pod} within {PATIENCE:?}, saw none");
        tokio::time::timeout(PATIENCE, said).await.with_context(late)?
    }

    /// Waits until there is no object of a kind any more.
    pub async fn gone<K>(&self, labels: &str) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Ruled
            + Send
            + 'static,
    {
        let watched = Watched::<K>::start(&self.client, &self.namespace, labels);
        let none = |now: &BTreeMap<String, K>| now.is_empty().then_some(());
        watched.find(&format!("no {}", K::kind(&())), PATIENCE, none).await
    }
}

/// Where a Deployment stands.
pub fn phase(run: &Deployment) -> Option<Phase> {
    run.status.as_ref().and_then(|status| status.phase)
}

fn is_over(run: &Deployment) -> bool {
    phase(run).is_some_and(Phase::is_terminal)
}

fn short(run: &Deployment) -> String {
    let status = run.status.clone().unwrap_or_default();
    let message = status.failure.map(|f| f.message).unwrap_or_default();
    format!("{:?}, {}: {message}", status.phase, status.reason.unwrap_or_default())
}

fn started(pod: &Pod) -> bool {
    let states = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .filter_map(|c| c.state.as_ref());
    states.into_iter().any(|state| state.running.is_some() || state.terminated.is_some())
}
