//! Only one run may be on in a namespace: the others wait, say for what, and begin one after the other.

use crds::Phase;
use tests::{Outcome, Result, Story, deployment, expect, same, service, system::Program};

const LIMIT: &str = "FASTDEPLOY_MAX_RUNS_PER_NAMESPACE";

#[tokio::test]
async fn a_full_namespace_waits() -> Outcome {
    Story::tell_alone("slots", async |story| {
        let operator = Program::new(&story.client, "operator");
        let before = operator.environment().await?.into_iter().find(|(name, _)| name == LIMIT);
        operator.set(LIMIT, Some("1")).await?;
        let outcome = one_at_a_time(story).await;
        operator.set(LIMIT, before.map(|(_, value)| value).as_deref()).await?;
        outcome
    })
    .await
}

async fn one_at_a_time(story: &Story) -> Result<()> {
    // The first one stays until both others wait, also on a busy machine.
    for (n, seconds) in [20, 1, 1].into_iter().enumerate() {
        let tasks = format!("[{{name: Stay, ansible.builtin.pause: {{seconds: {seconds}}}}}]");
        story.apply(&service(&format!("blog-{n}")).tasks(&tasks)).await?;
        story.service_is(&format!("blog-{n}"), "True", "False", "WaitingForPerson").await?;
    }
    story.apply(&deployment("run-0", "blog-0")).await?;
    story.runs("run-0").await?;
    let waits = |run: &crds::Deployment| {
        run.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("WaitingForSlot")
    };
    for n in [1, 2] {
        story.apply(&deployment(&format!("run-{n}"), &format!("blog-{n}"))).await?;
        story.run_until(&format!("run-{n}"), "WaitingForSlot", waits).await?;
    }
    let mut spans = Vec::new();
    for n in 0..3 {
        let run = story.ends(&format!("run-{n}")).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let status = run.status.unwrap_or_default();
        spans.push((status.run.map(|run| run.claimed_at), status.finished_at));
    }
    spans.sort();
    let at_once = spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count();
    same("runs of the namespace that were on at once", at_once, 0)
}
