//! Suspended: nothing starts, whoever asks, until it is resumed.

use crds::{Phase, deployment::Cancel};
use serde_json::json;
use tests::{Outcome, Story, deployment, expect, same, service};

#[tokio::test]
async fn suspended_until_resumed() -> Outcome {
    Story::tell("suspend", async |story| {
        story.apply(&service("blog").on_change().with("suspend: true")).await?;
        story.service_is("blog", "True", "False", "Suspended").await?;
        same("Deployments", story.listed().await?.len(), 0)?;

        for name in ["by-hand", "unwanted"] {
            story.apply(&deployment(name, "blog")).await?;
            let waits = |run: &crds::Deployment| {
                let waiting = run.status.as_ref().and_then(|status| status.waiting_for.as_ref());
                waiting.is_some_and(|waiting| waiting.reason == "Suspended")
            };
            story.run_until(name, "waitingFor Suspended", waits).await?;
        }
        // Cancel works all the same.
        story.cancel("unwanted", Cancel::AfterStep).await?;
        expect::ended(&story.ends("unwanted").await?, Phase::Cancelled, "Cancelled")?;

        story.patch_service("blog", json!({"spec": {"suspend": false}})).await?;
        expect::ended(&story.ends("by-hand").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        same("Deployments", story.listed().await?.len(), 2)
    })
    .await
}
