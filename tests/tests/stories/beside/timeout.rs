//! What takes too long is ended: Ansible, and what comes before it.

use std::time::Instant;

use crds::{Phase, deployment::StepState};
use tests::{Outcome, Servers, Story, deployment, ensure, expect, holds, same, service};

#[tokio::test]
async fn ansible_takes_too_long() -> Outcome {
    Story::tell("timeout", async |story| {
        let servers = Servers::of(story).await?;
        let tasks = "[{name: Hang, ansible.builtin.command: sleep 300}]";
        story.apply(&service("blog").on(&servers).tasks(tasks).with("policy: {timeout: 10s}")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.runs("run").await?;
        let began = Instant::now();
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Failed, "Timeout")?;
        ensure!(
            began.elapsed().as_secs() < 30,
            "expected an end within 30 s, saw it after {:?}",
            began.elapsed()
        );
        let status = run.status.unwrap_or_default();
        same(
            "the step that was on",
            status.steps.first().map(|step| step.state),
            Some(StepState::Cancelled),
        )?;
        holds("failure.message", &status.failure.map(|f| f.message).unwrap_or_default(), "10 seconds")
    })
    .await
}

#[tokio::test]
async fn preparing_takes_too_long() -> Outcome {
    Story::tell("prepare-timeout", async |story| {
        // The pod cannot find its node, and nobody waits for that as long as usual.
        let slow = "{policy: {prepareTimeout: 10s}, runner: {nodeSelector: {nosuch: node}}}";
        story.apply(&service("blog").with(slow)).await?;
        story.apply(&deployment("run", "blog")).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Failed, "Timeout")?;
        let failure = run.status.and_then(|status| status.failure);
        holds("failure.message", &failure.map(|f| f.message).unwrap_or_default(), "policy.prepareTimeout")?;
        // Its pod goes, and the next one has its turn.
        story
            .pods
            .find("no pod", std::time::Duration::from_secs(30), |pods| pods.is_empty().then_some(()))
            .await?;
        story.apply(&service("blog")).await?;
        story.apply(&deployment("next", "blog")).await?;
        expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
