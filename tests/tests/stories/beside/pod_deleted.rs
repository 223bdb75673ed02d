//! The pod goes away under a run, because its node is drained or by force: lost, said so, nothing of it is left
//! at work, and the next one has its turn.

use crds::Phase;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams},
};
use tests::{Outcome, Result, Servers, Story, deployment, expect, holds, node::Node, same, service};

/// As `kubectl drain` does it: the runner is asked to stop, and says so.
#[tokio::test]
async fn node_drained() -> Outcome {
    Story::tell("node-drained", async |story| goes(story, false).await).await
}

#[tokio::test]
async fn pod_deleted_by_force() -> Outcome {
    Story::tell("pod-deleted-by-force", async |story| goes(story, true).await).await
}

async fn goes(story: &Story, by_force: bool) -> Result<()> {
    let servers = Servers::of(story).await?;
    // Only the first run finds no line yet, and stays.
    let tasks = format!(
        "[{{name: Prove, ansible.builtin.shell: '{}'}}, {{name: Stay, ansible.builtin.command: 'sleep {{{{ seconds }}}}'}}]",
        servers.prove()
    );
    let form = "inputs: [{name: seconds, type: number, default: 0}]";
    story.apply(&service("blog").on(&servers).tasks(&tasks).with(form)).await?;
    story.apply(&deployment("first", "blog").with("inputs: {seconds: 300}")).await?;
    story.says("first", "TASK [Stay]").await?;

    let pod = story.pod_of("first", "any", |_| true).await?;
    let (pods, name) = (story.api::<Pod>(), pod.name_any());
    if by_force {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete(&name, &at_once).await?;
    } else {
        pods.evict(&name, &EvictParams::default()).await?;
    }
    let run = story.ends("first").await?;
    expect::ended(&run, Phase::Failed, "RunnerLost")?;
    if !by_force {
        let failure = run.status.and_then(|status| status.failure).map(|failure| failure.message);
        holds("failure.message", &failure.unwrap_or_default(), "the pod was asked to stop")?;
        if let Some(node) = Node::here("node-drained") {
            same("Ansible at work in the pod", node.is_at_work(&pod, "ansible"), false)?;
        }
    }

    story.apply(&deployment("second", "blog")).await?;
    expect::ended(&story.ends("second").await?, Phase::Succeeded, "Succeeded")?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 2)
}
