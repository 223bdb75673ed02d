//! The kubelet is killed and started again while Ansible runs: the run does not notice.

use crds::Phase;
use tests::{Outcome, Servers, Story, deployment, expect, node::Node, same, service};

#[tokio::test]
async fn kubelet_restarted() -> Outcome {
    let Some(node) = Node::here("kubelet-restarted") else { return Ok(()) };
    Story::tell_alone("kubelet-restarted", async |story| {
        let servers = Servers::of(story).await?;
        let tasks = format!(
            "[{{ansible.builtin.shell: '{}'}}, {{name: Stay, ansible.builtin.command: sleep 8}}]",
            servers.prove()
        );
        story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;

        node.without("kubelet", async { Ok(()) }).await?;

        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
        same("pods", story.pods.ever().len(), 1)
    })
    .await
}
