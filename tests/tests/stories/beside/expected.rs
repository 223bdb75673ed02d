//! How long a run will take is learned from earlier ones, step by step; and what would wait for somebody
//! at a keyboard does not begin.

use crds::{Deployment, Phase};
use kube::ResourceExt;
use serde_json::Value;
use tests::{
    Outcome, Result, Story, browser::Browser, deployment, ensure, expect, holds, reports, same, service,
};

const TASKS: &str = "
- {name: Short, ansible.builtin.command: sleep 1}
- {name: Long, ansible.builtin.command: sleep 6}
- {name: Last, ansible.builtin.command: sleep 4}
";

#[tokio::test]
async fn what_is_expected_of_a_run() -> Outcome {
    Story::tell("expected", async |story| {
        story.apply(&service("blog").tasks(TASKS)).await?;
        story.apply(&deployment("first", "blog")).await?;
        let first = story.ends("first").await?;
        expect::ended(&first, Phase::Succeeded, "Succeeded")?;
        reports::mirrored(&first, "an end", |known| known.phase.as_deref() == Some("Succeeded")).await?;

        story.apply(&deployment("second", "blog")).await?;
        let progress = |run: &Deployment| run.status.as_ref()?.run.as_ref()?.progress.clone();
        let told = |run: &Deployment| progress(run).is_some_and(|progress| progress.expected_end.is_some());
        let second = story.run_until("second", "an expected end", told).await?;
        let said = progress(&second).unwrap_or_default();
        // Written after five seconds, in the second step: some of it and the third one are left.
        ensure!(
            said.expected_seconds.is_some_and(|seconds| (2..=9).contains(&seconds)),
            "expected 2 to 9 s to be left, saw {said:?}"
        );
        ensure!(said.long_after > said.expected_end.map(|at| at - std::time::Duration::from_secs(3)), "{said:?}");
        let answer = usual(&second).await?;
        let steps: Vec<(&str, f64)> = answer
            .as_array()
            .into_iter()
            .flatten()
            .map(|step| {
                (step["key"].as_str().unwrap_or_default(), step["seconds"].as_f64().unwrap_or_default().floor())
            })
            .collect();
        same("how many steps are known", steps.len(), 3)?;
        ensure!(steps[1].1 >= 6.0 && steps[1].1 < 9.0, "expected the long step to take 6 s, saw {steps:?}");
        expect::ended(&story.ends("second").await?, Phase::Succeeded, "Succeeded")?;

        let tasks = "[{name: Touch nothing, ansible.builtin.command: 'true'}, {name: Are you sure?, ansible.builtin.pause: {prompt: sure}}]";
        story.apply(&service("asks").tasks(tasks)).await?;
        story.apply(&deployment("asks", "asks")).await?;
        let asks = story.ends("asks").await?;
        expect::ended(&asks, Phase::Failed, "KeyboardNeeded")?;
        let failure = asks.status.unwrap_or_default().failure;
        holds("failure.message", &failure.map(|failure| failure.message).unwrap_or_default(), "Are you sure?")?;
        let log = story.log_of("asks").await?;
        same("a task in its log", log.contains("TASK ["), false)
    })
    .await
}

/// What the API says of the steps.
async fn usual(run: &Deployment) -> Result<Value> {
    let browser = Browser::at_the_page().await?;
    let answer = browser.ask("GET", &format!("/deployments/{}", run.uid().unwrap_or_default()), None).await?;
    Ok(answer["usual"].clone())
}
