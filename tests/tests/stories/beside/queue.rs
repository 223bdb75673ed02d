//! Three Deployments at once: one after the other, in their order.

use crds::{Deployment, Phase};
use kube::ResourceExt;
use tests::{Outcome, Servers, Story, deployment, ensure, expect, same, service};

#[tokio::test]
async fn one_after_the_other() -> Outcome {
    Story::tell("queue", async |story| {
        let servers = Servers::of(story).await?;
        let tasks = format!(
            "[{{ansible.builtin.shell: '{}'}}, {{name: Stay, ansible.builtin.command: sleep 3}}]",
            servers.prove()
        );
        story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
        story.apply(&deployment("first", "blog")).await?;
        story.runs("first").await?;
        story.service_is("blog", "Unknown", "Unknown", "DeploymentRunning").await?;
        for name in ["second", "third"] {
            story.apply(&deployment(name, "blog")).await?;
            let first = |run: &Deployment| {
                let waiting = run.status.as_ref().and_then(|status| status.waiting_for.as_ref());
                waiting.and_then(|w| w.behind.as_ref()).is_some_and(|behind| behind.name == "first")
            };
            story.run_until(name, "waitingFor.behind first", first).await?;
        }
        for name in ["first", "second", "third"] {
            expect::ended(&story.ends(name).await?, Phase::Succeeded, "Succeeded")?;
        }
        let runs = story.listed().await?;
        let names: Vec<_> = runs.iter().map(ResourceExt::name_any).collect();
        same("Deployments by number", names, ["first", "second", "third"].map(String::from).to_vec())?;
        let status = |run: &Deployment| run.status.clone().unwrap_or_default();
        let numbers: Vec<_> = runs.iter().map(|run| status(run).number).collect();
        same("numbers", numbers, vec![Some(1), Some(2), Some(3)])?;
        for pair in runs.windows(2) {
            let (ended, began) = (status(&pair[0]).finished_at, status(&pair[1]).started_at);
            ensure!(
                ended <= began,
                "expected one run at a time, but one began at {began:?} before {ended:?}"
            );
        }
        same("runs of Ansible on the server", servers.proofs(0).await?, 3)
    })
    .await
}
