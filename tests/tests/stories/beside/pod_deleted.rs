//! The pod is deleted under a run: lost, said so, and the next one has its turn.

use crds::Phase;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use tests::{Outcome, Result, Servers, Story, deployment, expect, same, service};

#[tokio::test]
async fn pod_deleted() -> Outcome {
    Story::tell("pod-deleted", async |story| deletes(story, DeleteParams::default()).await).await
}

#[tokio::test]
async fn pod_deleted_by_force() -> Outcome {
    Story::tell("pod-deleted-by-force", async |story| {
        deletes(story, DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await
    })
    .await
}

async fn deletes(story: &Story, how: DeleteParams) -> Result<()> {
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
    story.api::<Pod>().delete(&pod.name_any(), &how).await?;
    let run = story.ends("first").await?;
    expect::ended(&run, Phase::Failed, "RunnerLost")?;

    story.apply(&deployment("second", "blog")).await?;
    expect::ended(&story.ends("second").await?, Phase::Succeeded, "Succeeded")?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 2)
}
