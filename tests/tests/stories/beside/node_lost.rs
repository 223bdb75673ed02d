//! A run's pod stands on a node that never answers, and the node is given up: the run has failed, says so, and the
//! next one has its turn elsewhere.

use crds::Phase;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tests::{Outcome, Result, Story, deployment, expect, service};

/// Only who wants to comes here: other stories' pods do not.
const KEPT_FREE: &str = "fastdeploy.dev/kept-free";
const LOST: &str = "fastdeploy.dev/lost";

#[tokio::test]
async fn node_lost() -> Outcome {
    Story::tell("node-lost", async |story| {
        let nodes = Api::<Node>::all(story.client.clone());
        let name = format!("{}-node", story.namespace);
        let told = is_lost(story, &nodes, &name).await;
        nodes.delete(&name, &DeleteParams::default()).await?;
        told
    })
    .await
}

async fn is_lost(story: &Story, nodes: &Api<Node>, name: &str) -> Result<()> {
    // A node as its kubelet would have announced it; no kubelet will ever take a pod there.
    let node = json!({"metadata": {"name": name, "labels": {KEPT_FREE: name}},
        "spec": {"taints": [{"key": KEPT_FREE, "effect": "NoSchedule"}]}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    let room = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
    let ready = json!({"status": {"capacity": room, "allocatable": room,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await?;

    let there = json!({"runner": {"nodeSelector": {KEPT_FREE: name},
        "tolerations": [{"key": KEPT_FREE, "operator": "Exists", "effect": "NoSchedule"}]}});
    story.apply(&service("blog").with(&there.to_string())).await?;
    story.apply(&deployment("run", "blog")).await?;
    let on_node =
        |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|on| on == name);
    let pod = story.pod_of("run", "on the node", on_node).await?;

    // Whoever runs the cluster gives the node up.
    let taints = json!([{"key": KEPT_FREE, "effect": "NoSchedule"}, {"key": LOST, "effect": "NoExecute"}]);
    let given_up = json!({"spec": {"taints": taints}});
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(given_up)).await?;
    expect::ended(&story.ends("run").await?, Phase::Failed, "NodeLost")?;

    story.apply(&service("blog")).await?;
    story.apply(&deployment("next", "blog")).await?;
    expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")?;
    // Nobody there will ever report its end.
    let by_force = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
    story.api::<Pod>().delete(&pod.name_any(), &by_force).await?;
    Ok(())
}
