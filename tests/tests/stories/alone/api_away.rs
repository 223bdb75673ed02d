//! fastDeploy's API is away: nothing starts and nothing fails, and when it is back the run goes on.

use crds::{Deployment, Phase};
use tests::{Outcome, Result, Servers, Story, deployment, expect, same, service, system::Program};

#[tokio::test]
async fn api_away_at_the_claim() -> Outcome {
    Story::tell_alone("api-away", async |story| {
        let servers = Servers::of(story).await?;
        let task = format!("[{{ansible.builtin.shell: '{}'}}]", servers.prove());
        story.apply(&service("blog").on(&servers).tasks(&task)).await?;

        let api = Program::new(&story.client, "api-server");
        api.scale(0).await?;
        let waited = waits(story, &servers).await;
        api.scale(1).await?;
        waited?;

        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
        same("pods", story.pods.ever().len(), 1)
    })
    .await
}

async fn waits(story: &Story, servers: &Servers) -> Result<()> {
    story.apply(&deployment("run", "blog")).await?;
    let waits = |run: &Deployment| {
        let reason = run.status.as_ref().and_then(|status| status.reason.as_deref());
        tests::phase(run) == Some(Phase::Preparing) && reason == Some("WaitingForClaim")
    };
    story.run_until("run", "Preparing, WaitingForClaim", waits).await?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 0)
}
