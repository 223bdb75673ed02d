//! fastDeploy's API is away: nothing starts and nothing fails, and when it is back the run goes on.

use crds::{Deployment, Phase};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tests::{Outcome, Result, Servers, Story, deployment, expect, holds, same, service, system::Program};

#[tokio::test]
async fn api_away_at_the_claim() -> Outcome {
    Story::tell_alone("api-away", async |story| {
        let servers = Servers::of(story).await?;
        let task = format!("[{{ansible.builtin.shell: '{}'}}]", servers.prove());
        story.apply(&service("blog").on(&servers).tasks(&task)).await?;

        let api = Program::new(&story.client, "api-server");
        api.scale(0).await?;
        let waited = waits(story, &servers).await;
        let given_up = given_up(story).await;
        let changed = changed(story).await;
        api.scale(1).await?;
        waited?;
        given_up?;
        changed?;
        refused(story).await?;

        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
        let of_run = |pod: &&k8s_openapi::api::core::v1::Pod| {
            pod.metadata
                .labels
                .as_ref()
                .is_some_and(|l| l.get(crds::names::LABEL_DEPLOYMENT).is_some_and(|n| n == "run"))
        };
        same("pods", story.pods.ever().iter().filter(of_run).count(), 1)
    })
    .await
}

/// Nobody waits longer than the Service says, and the reason names who did not answer.
async fn given_up(story: &Story) -> Result<()> {
    story.apply(&service("hasty").with("policy: {prepareTimeout: 12s}")).await?;
    story.apply(&deployment("hasty-run", "hasty")).await?;
    expect::ended(&story.ends("hasty-run").await?, Phase::Failed, "ApiUnreachable")
}

/// While it waits, somebody takes away what says how long the run may last.
async fn changed(story: &Story) -> Result<()> {
    story.apply(&service("changed")).await?;
    story.apply(&deployment("changed-run", "changed")).await?;
    let pod = story.pod_of("changed-run", "any", |_| true).await?;
    let without = json!({"metadata": {"annotations": {crds::names::ANNOTATION_TIMEOUT: null}}});
    let pods = story.api::<k8s_openapi::api::core::v1::Pod>();
    pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(without)).await?;
    Ok(())
}

/// Then it is told no, with a reason, and the next one is not in its way.
async fn refused(story: &Story) -> Result<()> {
    let run = story.ends("changed-run").await?;
    expect::ended(&run, Phase::Failed, "ClaimRefused")?;
    let failure = run.status.and_then(|status| status.failure).map(|failure| failure.message);
    holds("failure.message", &failure.unwrap_or_default(), crds::names::ANNOTATION_TIMEOUT)?;
    story.apply(&deployment("next", "changed")).await?;
    expect::ended(&story.ends("next").await?, Phase::Succeeded, "Succeeded")
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
