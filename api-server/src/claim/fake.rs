//! For tests: a cluster in memory with the two things that count, resourceVersions and the guard
//! on a write; and one run in it whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use crds::deployment::{Deployment, Run};
use crds::service::Service;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::caller::Caller;
use super::cluster::{Answer, Cluster, Unavailable, Written};
use super::request::Ask;

pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

pub(crate) fn ask() -> Ask {
    Ask { uid: "uid-1".into(), attempt: 1, instance: "i-1".into() }
}

pub(crate) fn caller() -> Caller {
    Caller { namespace: "team-web".into(), pod_name: "blog-1-a1-x".into(), pod_uid: "pod-1".into() }
}

pub(crate) fn pod() -> Pod {
    let yaml = r#"
        metadata:
          name: blog-1-a1-x
          namespace: team-web
          uid: pod-1
          labels: {fastdeploy.dev/deployment: blog-1, fastdeploy.dev/attempt: "1"}
          annotations: {fastdeploy.dev/timeout-seconds: "1800"}
          ownerReferences: [{apiVersion: batch/v1, kind: Job, name: blog-1-a1, uid: job-1, controller: true}]
    "#;
    serde_yaml::from_str(yaml).unwrap()
}

pub(crate) fn deployment() -> Deployment {
    let yaml = r#"
        apiVersion: fastdeploy.dev/v1alpha1
        kind: Deployment
        metadata: {name: blog-1, namespace: team-web, uid: uid-1, resourceVersion: "1"}
        spec: {service: blog}
        status: {observedGeneration: 1, number: 1, phase: Preparing, attempt: 1}
    "#;
    serde_yaml::from_str(yaml).unwrap()
}

pub(crate) fn service() -> Service {
    let yaml = r#"
        apiVersion: fastdeploy.dev/v1alpha1
        kind: Service
        metadata: {name: blog, namespace: team-web, uid: service-1}
        spec:
          source: {inline: {deploy.yml: "- hosts: all"}}
          playbook: deploy.yml
          inventory: {local: true}
        status: {observedGeneration: 1, active: {name: blog-1, uid: uid-1, since: "2027-01-15T08:00:00Z"}}
    "#;
    serde_yaml::from_str(yaml).unwrap()
}

/// What is there.
pub(crate) struct World {
    /// Token → audience and pod.
    pub tokens: BTreeMap<String, (String, Caller)>,
    pub pods: BTreeMap<String, Pod>,
    pub deployment: Option<Deployment>,
    pub service: Option<Service>,
    /// One is taken before each write: what somebody else does between our read and our write.
    pub meanwhile: VecDeque<fn(&mut World)>,
    /// Every guarded write that was made.
    pub written: Vec<Run>,
    /// The Kubernetes API does not answer.
    pub away: bool,
    version: u64,
}

impl World {
    /// Change the Deployment, as any writer would: its resourceVersion moves on.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Deployment)) {
        self.version += 1;
        let version = self.version.to_string();
        if let Some(deployment) = &mut self.deployment {
            change(deployment);
            deployment.metadata.resource_version = Some(version);
        }
    }
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<World>>);

impl Default for Fake {
    fn default() -> Self {
        let audience = "fastdeploy.dev/run/uid-1/1".to_owned();
        Self(Arc::new(Mutex::new(World {
            tokens: [("pod-token".to_owned(), (audience, caller()))].into(),
            pods: [("blog-1-a1-x".to_owned(), pod())].into(),
            deployment: Some(deployment()),
            service: Some(service()),
            meanwhile: VecDeque::new(),
            written: Vec::new(),
            away: false,
            version: 1,
        })))
    }
}

impl Fake {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn ask<T>(&self, what: &'static str, answer: impl FnOnce(&mut World) -> T) -> Answer<T> {
        let mut world = self.world();
        if world.away {
            let source = kube::Error::ReadEvents(std::io::Error::other("connection refused"));
            return Err(Unavailable { what, source });
        }
        Ok(answer(&mut world))
    }
}

impl Cluster for Fake {
    async fn review(&self, token: &str, audience: &str) -> Answer<TokenReviewStatus> {
        tokio::task::yield_now().await;
        self.ask("review a token", |world| {
            let Some((_, caller)) = world.tokens.get(token).filter(|(wanted, _)| wanted == audience) else {
                return TokenReviewStatus {
                    error: Some("invalid bearer token".into()),
                    ..Default::default()
                };
            };
            let status = json!({
                "authenticated": true,
                "audiences": [audience],
                "user": {
                    "username": format!("system:serviceaccount:{}:default", caller.namespace),
                    "extra": {
                        "authentication.kubernetes.io/pod-name": [caller.pod_name],
                        "authentication.kubernetes.io/pod-uid": [caller.pod_uid],
                    },
                },
            });
            serde_json::from_value(status).unwrap()
        })
    }

    async fn pod(&self, _: &str, name: &str) -> Answer<Option<Pod>> {
        tokio::task::yield_now().await;
        self.ask("read the pod", |world| world.pods.get(name).cloned())
    }

    async fn deployment(&self, _: &str, name: &str) -> Answer<Option<Deployment>> {
        tokio::task::yield_now().await;
        self.ask("read the Deployment", |world| {
            world.deployment.clone().filter(|found| found.metadata.name.as_deref() == Some(name))
        })
    }

    async fn service(&self, _: &str, name: &str) -> Answer<Option<Service>> {
        tokio::task::yield_now().await;
        self.ask("read the Service", |world| {
            world.service.clone().filter(|found| found.metadata.name.as_deref() == Some(name))
        })
    }

    async fn write_run(&self, _: &str, _: &str, version: &str, run: &Run) -> Answer<Written> {
        tokio::task::yield_now().await;
        self.ask("write the claim", |world| {
            if let Some(meanwhile) = world.meanwhile.pop_front() {
                meanwhile(world);
            }
            let current = world.deployment.as_ref().and_then(|d| d.metadata.resource_version.as_deref());
            if current != Some(version) {
                return Written::Moved;
            }
            world.change(|deployment| deployment.status.as_mut().unwrap().run = Some(run.clone()));
            world.written.push(run.clone());
            Written::Yes
        })
    }
}
