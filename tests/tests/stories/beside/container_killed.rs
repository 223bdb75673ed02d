//! The container of a run is killed from outside (out of memory, a careless admin): lost, said so.

use crds::Phase;
use tests::{Outcome, Story, deployment, expect, holds, node::Node, service};

#[tokio::test]
async fn container_killed() -> Outcome {
    let Some(node) = Node::here("container-killed") else { return Ok(()) };
    Story::tell("container-killed", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;

        let pod = story.pod_of("run", "any", |_| true).await?;
        node.kill_pod(&pod, "fastdeploy-runner")?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Failed, "RunnerLost")?;
        let failure = run.status.and_then(|status| status.failure);
        holds("failure.message", &failure.map(|f| f.message).unwrap_or_default(), "signal 9")?;

        story.apply(&service("blog")).await?;
        story.apply(&deployment("next", "blog")).await?;
        expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
