//! Small programs in Python that a story needs beside what is deployed, such as a proxy: a pod of the runner's image
//! with a name in the cluster's DNS.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};
use serde_json::{Value, json};

use crate::{Story, manifest::Manifest};

const READY_WITHIN: Duration = Duration::from_mins(1);
const SAID_WITHIN: Duration = Duration::from_mins(1);

/// One of them.
pub struct Python<'a> {
    story: &'a Story,
    name: String,
    port: u16,
}

impl<'a> Python<'a> {
    /// Starts one that listens on this port, and waits until it does.
    pub async fn start(story: &'a Story, name: &str, port: u16, script: &str) -> Result<Self> {
        let image = std::env::var("FASTDEPLOY_RUNNER_IMAGE")
            .context("no image with Python: set FASTDEPLOY_RUNNER_IMAGE (make env does)")?;
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port}]}});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-u", "-c", script],
                    "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        story.apply(&Manifest(service)).await?;
        story.apply(&Manifest(pod)).await?;
        ready(story, name).await?;
        Ok(Self { story, name: name.to_owned(), port })
    }

    /// Where it listens, for everybody in the cluster.
    pub fn url(&self) -> String {
        format!("http://{}.{}.svc.cluster.local:{}", self.name, self.story.namespace, self.port)
    }

    /// What it has printed.
    pub async fn log(&self) -> Result<String> {
        Ok(self.story.api::<Pod>().logs(&self.name, &LogParams::default()).await?)
    }
}

/// A pod of the story, once it is ready.
pub(crate) async fn ready(story: &Story, name: &str) -> Result<Pod> {
    story.pods.until(name, "ready", READY_WITHIN, is_ready).await
}

/// Its probes say so.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What a pod has said on its log, an object a line, once it is so many.
pub(crate) async fn said(pods: &Api<Pod>, name: &str, enough: usize) -> Result<Vec<Value>> {
    let began = Instant::now();
    loop {
        let log = pods.logs(name, &LogParams::default()).await?;
        let said: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if said.len() >= enough {
            return Ok(said);
        }
        ensure!(began.elapsed() < SAID_WITHIN, "expected {enough} of what {name} receives, saw {log}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The address of a run's pod.
pub async fn address_of(story: &Story, run: &str) -> Result<String> {
    let ip = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let pod = story.pod_of(run, "with an address", |pod| ip(pod).is_some()).await?;
    ip(&pod).with_context(|| format!("{} has no address", pod.name_any()))
}
