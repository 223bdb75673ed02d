//! Stopping a run: after its step, at once, before it began, and too late.

use std::time::Instant;

use crds::{
    Phase,
    deployment::{Cancel, StepState},
};
use nix::sys::signal::Signal;
use tests::{Outcome, Story, deployment, ensure, expect, node::Node, same, service};

const THREE: &str = "
- {name: One, ansible.builtin.command: sleep 5}
- {name: Two, ansible.builtin.command: sleep 300}
- {name: Three, ansible.builtin.debug: {msg: 3}}
";

fn states(run: &crds::Deployment) -> Vec<(String, StepState)> {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    steps.map(|step| (step.name.clone(), step.state)).collect()
}

#[tokio::test]
async fn cancel_after_the_step() -> Outcome {
    Story::tell("cancel-after-step", async |story| {
        story.apply(&service("blog").tasks(THREE)).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [One]").await?;
        story.cancel("run", Cancel::AfterStep).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Cancelled, "Cancelled")?;
        let states = states(&run);
        same("the step that was on", states.first().map(|(_, state)| *state), Some(StepState::Succeeded))?;
        ensure!(
            states.iter().skip(1).all(|(_, state)| *state == StepState::Pending),
            "expected the other steps not to have begun, saw {states:?}"
        );
        story.service_is("blog", "False", "False", "Cancelled").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn cancel_now() -> Outcome {
    Story::tell("cancel-now", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;
        let began = Instant::now();
        // First gently, which would take five minutes; then harder.
        story.cancel("run", Cancel::AfterStep).await?;
        story.cancel("run", Cancel::Now).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Cancelled, "Cancelled")?;
        same("the step that was on", states(&run), vec![("Stay".to_owned(), StepState::Cancelled)])?;
        ensure!(
            began.elapsed().as_secs() < 20,
            "expected an end within 20 s, saw it after {:?}",
            began.elapsed()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn cancel_before_it_began() -> Outcome {
    Story::tell("cancel-queued", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        story.apply(&deployment("first", "blog")).await?;
        story.runs("first").await?;
        story.apply(&deployment("second", "blog")).await?;
        story.run_until("second", "Queued", |run| tests::phase(run) == Some(Phase::Queued)).await?;
        story.cancel("second", Cancel::AfterStep).await?;
        let second = story.ends("second").await?;
        expect::ended(&second, Phase::Cancelled, "Cancelled")?;
        same("startedAt of what never began", second.status.and_then(|status| status.started_at), None)?;

        // One that is born cancelled.
        story.apply(&deployment("third", "blog").with("cancel: Now")).await?;
        expect::ended(&story.ends("third").await?, Phase::Cancelled, "Cancelled")?;
        story.cancel("first", Cancel::Now).await?;
        expect::ended(&story.ends("first").await?, Phase::Cancelled, "Cancelled")?;
        same("pods", story.pods.ever().len(), 1)
    })
    .await
}

#[tokio::test]
async fn a_result_that_is_there_beats_a_cancel() -> Outcome {
    Story::tell("cancel-too-late", async |story| {
        story.apply(&service("blog")).await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.cancel("run", Cancel::Now).await?;
        // The last step is on: nothing comes after it that could be left out.
        story.apply(&service("blog").tasks("[{name: Last, ansible.builtin.command: sleep 5}]")).await?;
        story.apply(&deployment("late", "blog")).await?;
        story.says("late", "TASK [Last]").await?;
        story.cancel("late", Cancel::AfterStep).await?;
        expect::ended(&story.ends("late").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        let listed = story.listed().await?;
        same("phases", listed.iter().map(tests::phase).collect(), vec![Some(Phase::Succeeded); 2])
    })
    .await
}

#[tokio::test]
async fn a_runner_that_hangs_is_stopped_all_the_same() -> Outcome {
    let Some(node) = Node::here("cancel-hanging") else { return Ok(()) };
    Story::tell("cancel-hanging", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;
        let pod = story.pod_of("run", "any", |_| true).await?;
        node.signal_pod(&pod, "fastdeploy-runner", Signal::SIGSTOP)?;

        story.cancel("run", Cancel::Now).await?;
        // Half a minute of patience, then the pod is deleted, which gives it another half.
        expect::ended(&story.ends("run").await?, Phase::Cancelled, "Cancelled")?;
        story.service_is("blog", "False", "False", "Cancelled").await.map(drop)
    })
    .await
}
