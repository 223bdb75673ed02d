//! The operator is killed while Ansible runs: the next one finds the run as it is.

use crds::Phase;
use tests::{Outcome, Servers, Story, bail, deployment, expect, node::Node, same, service, system::Program};

#[tokio::test]
async fn operator_killed() -> Outcome {
    let Some(node) = Node::here("operator-killed") else { return Ok(()) };
    Story::tell_alone("operator-killed", async |story| {
        let servers = Servers::of(story).await?;
        let tasks = format!(
            "[{{ansible.builtin.shell: '{}'}}, {{name: Stay, ansible.builtin.command: sleep 8}}]",
            servers.prove()
        );
        story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;

        let operator = Program::new(&story.client, "operator");
        let Some(pod) = operator.pods().await?.pop() else {
            bail!("expected a pod of the operator, saw none")
        };
        node.kill_pod(&pod, "fastdeploy-operator")?;

        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
        same("pods", story.pods.ever().len(), 1)?;
        operator.ready().await
    })
    .await
}
