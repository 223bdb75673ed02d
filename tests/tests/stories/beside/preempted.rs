//! Somebody more important needs the room that a run's pod has: the run is stopped like one whose node is drained,
//! says so, and the next one begins when there is room again.

use crds::Phase;
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    scheduling::v1::PriorityClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tests::{Context, Outcome, Result, Story, deployment, expect, holds, manifest::Manifest, service};

#[tokio::test]
async fn preempted() -> Outcome {
    Story::tell("preempted", async |story| {
        let classes = Api::<PriorityClass>::all(story.client.clone());
        let class = json!({"metadata": {"name": story.namespace}, "value": 1_000});
        classes.create(&PostParams::default(), &serde_json::from_value(class)?).await?;
        // One seat that only this story's pods ask for: nobody else is in the way, and nobody else has to go.
        let nodes = Api::<Node>::all(story.client.clone());
        let all = nodes.list(&ListParams::default()).await?.items;
        let free = all.iter().find(|node| node.spec.as_ref().is_some_and(|spec| spec.taints.is_none()));
        let node = free.context("a node without taints")?.name_any();
        let seat = format!("fastdeploy.dev/{}", story.namespace);
        let seats = async |number: Value| {
            let patch = json!({"status": {"capacity": {&seat: number}, "allocatable": {&seat: number}}});
            nodes.patch_status(&node, &PatchParams::default(), &Patch::Merge(patch)).await
        };
        seats("1".into()).await?;
        let told = gives_way(story, &seat).await;
        seats(Value::Null).await?;
        classes.delete(&story.namespace, &DeleteParams::default()).await?;
        told
    })
    .await
}

async fn gives_way(story: &Story, seat: &str) -> Result<()> {
    let resources = json!({"requests": {"cpu": "10m", "memory": "64Mi", seat: "1"}, "limits": {seat: "1"}});
    let blog = service("blog").with(&json!({"runner": {"resources": resources}}).to_string());
    let form = "inputs: [{name: seconds, type: number, default: 0}]";
    let tasks = "[{name: Stay, ansible.builtin.command: 'sleep {{ seconds }}'}]";
    story.apply(&blog.tasks(tasks).with(form)).await?;
    story.apply(&deployment("run", "blog").with("inputs: {seconds: 300}")).await?;
    story.says("run", "TASK [Stay]").await?;

    let image =
        std::env::var("FASTDEPLOY_RUNNER_IMAGE").context("set FASTDEPLOY_RUNNER_IMAGE (make env does)")?;
    let urgent = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"},
        "spec": {
            "priorityClassName": story.namespace, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "urgent", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"],
                "resources": {"requests": {seat: "1"}, "limits": {seat: "1"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    story.apply(&Manifest(urgent)).await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Failed, "RunnerLost")?;
    let failure = run.status.and_then(|status| status.failure).map(|failure| failure.message);
    holds("failure.message", &failure.unwrap_or_default(), "the pod was asked to stop")?;

    story.delete::<Pod>("urgent").await?;
    story.apply(&deployment("next", "blog")).await?;
    expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")
}
