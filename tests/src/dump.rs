//! What a story leaves for whoever has to find out why it failed: objects with their conditions,
//! Events, pods and what these printed.

use std::fmt::Write;

use kube::{Client, ResourceExt};

use crate::{kubectl, rules, watched::Watched};

/// Everything worth reading in a namespace, as text. Best effort.
pub async fn dump(
    client: &Client,
    namespace: &str,
    pods: &Watched<k8s_openapi::api::core::v1::Pod>,
) -> String {
    let mut text = format!("\n──── {namespace} ────\n");
    let mut show = |title: &str, what: String| {
        let _ = writeln!(text, "── {title}\n{what}");
    };
    for kind in ["services.fastdeploy.dev", "deployments.fastdeploy.dev"] {
        let words = ["--namespace", namespace, "get", kind, "--output", "json"];
        show(kind, kubectl::run(&words).await.map_or_else(|e| e.to_string(), |json| statuses(&json)));
    }
    for words in [
        ["get", "jobs,pods,configmaps", "-o=wide"],
        ["get", "events", "--sort-by=.metadata.creationTimestamp"],
    ] {
        let words = [["--namespace", namespace].as_slice(), words.as_slice()].concat();
        show(words[3], kubectl::run(&words).await.unwrap_or_else(|e| e.to_string()));
    }
    let api = kube::Api::<k8s_openapi::api::core::v1::Pod>::namespaced(client.clone(), namespace);
    for pod in pods.ever() {
        let name = pod.name_any();
        let tail = kube::api::LogParams { tail_lines: Some(40), ..Default::default() };
        let state =
            pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()?.state.clone());
        show(&format!("pod {name}"), serde_json::to_string(&state).unwrap_or_default());
        show(&format!("log of {name}"), api.logs(&name, &tail).await.unwrap_or_else(|e| e.to_string()));
    }
    text
}

/// Name, spec without the source, and status of each object.
fn statuses(json: &str) -> String {
    let list: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let of = |item: &serde_json::Value| {
        let status = serde_yaml::to_string(&item["status"]).unwrap_or_default();
        format!("{} {}\n{status}", item["metadata"]["name"], item["metadata"]["annotations"])
    };
    items.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// Rules that any state of any object broke.
pub fn broken(services: &Watched<crds::Service>, deployments: &Watched<crds::Deployment>) -> Vec<String> {
    let mut broken = services.broken();
    broken.extend(deployments.broken());
    broken.extend(rules::repeated_numbers(&deployments.ever()));
    broken.extend(rules::at_once(&deployments.ever()));
    broken
}
