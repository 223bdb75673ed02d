//! A node falls silent in the middle of a run, and somebody forces the run's pod, Job and Deployment
//! away. Ansible is still at work there: nothing else of this Service may start.

use std::{collections::BTreeMap, time::Duration};

use crds::{Deployment, Phase};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::DeleteParams};
use tests::{Outcome, Result, Story, deployment, ensure, node::Node, service};

#[tokio::test]
async fn run_lost() -> Outcome {
    let Some(node) = Node::here("run-lost") else { return Ok(()) };
    Story::tell_alone("run-lost", async |story| {
        let tasks = "[{name: Stay, ansible.builtin.command: sleep 300}]";
        story.apply(&service("blog").tasks(tasks)).await?;
        story.apply(&deployment("first", "blog")).await?;
        story.says("first", "TASK [Stay]").await?;
        let pod = story.pod_of("first", "any", |_| true).await?;

        node.without("kubelet", forces_it_away(story, &node, &pod)).await
    })
    .await
}

async fn forces_it_away(story: &Story, node: &Node, pod: &Pod) -> Result<()> {
    story.apply(&deployment("second", "blog")).await?;
    story.api::<Deployment>().delete("first", &DeleteParams::background()).await?;
    let by_force = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
    story.api::<Job>().delete("first-a1", &by_force).await?;
    story.api::<Pod>().delete(&pod.name_any(), &by_force).await?;

    // The Deployment may go; what the lock needs to know stands with it.
    let until = |service: &crds::Service| service.status.as_ref()?.active.as_ref()?.until;
    let service =
        story.service_until("blog", "a lock with an end", |service| until(service).is_some()).await?;
    story.service_is("blog", "Unknown", "Unknown", "WaitingForLostRunner").await?;
    let gone =
        |now: &BTreeMap<String, Deployment>| now.values().all(|run| run.name_any() != "first").then_some(());
    story.deployments.find("no Deployment first", Duration::from_secs(30), gone).await?;
    ensure!(
        node.is_at_work(pod, "ansible-playbook"),
        "expected Ansible to be still at work, as on a node that is out of reach"
    );
    let second = story.api::<Deployment>().get("second").await?;
    ensure!(
        tests::phase(&second) == Some(Phase::Queued) && second.status.is_some_and(|s| s.attempt.is_none()),
        "expected the second run to wait, saw it begin though the lock is held until {:?}",
        until(&service)
    );
    Ok(())
}
