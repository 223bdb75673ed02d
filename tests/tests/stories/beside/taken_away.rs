//! What a run needs is taken away while it is on: it has all of it already, and ends well. The next one says what is
//! missing, and nothing is left over.

use crds::Phase;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Secret, ServiceAccount},
};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tests::{Outcome, Story, deployment, expect, holds, same, service};

const SECRET: &str =
    "{apiVersion: v1, kind: Secret, metadata: {name: passwords}, stringData: {word: open-sesame}}";
const ACCOUNT: &str = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot}}";
/// Only the first run stays.
const STAYS: &str = "[{name: Stay, ansible.builtin.command: 'sleep {{ seconds }}'}, {name: Use it, ansible.builtin.assert: {that: 'word == \"open-sesame\"'}}]";
const FORM: &str = "inputs: [{name: seconds, type: number, default: 0}]";

#[tokio::test]
async fn secret_and_account_taken_away() -> Outcome {
    Story::tell("taken-away", async |story| {
        story.apply_yaml(SECRET).await?;
        story.apply_yaml(ACCOUNT).await?;
        let blog = service("blog")
            .tasks(STAYS)
            .with(FORM)
            .with("{variablesFrom: [{secretRef: {name: passwords}}], runner: {serviceAccountName: robot}}");
        story.apply(&blog).await?;
        story.apply(&deployment("first", "blog").with("inputs: {seconds: 5}")).await?;
        story.says("first", "TASK [Stay]").await?;
        story.delete::<Secret>("passwords").await?;
        story.delete::<ServiceAccount>("robot").await?;
        expect::ended(&story.ends("first").await?, Phase::Succeeded, "Succeeded")?;

        story.apply(&deployment("second", "blog")).await?;
        expect::ended(&story.ends("second").await?, Phase::Failed, "SecretMissing")?;
        story.apply_yaml(SECRET).await?;
        story.apply(&deployment("third", "blog")).await?;
        let third = story.ends("third").await?;
        expect::ended(&third, Phase::Failed, "PodRefused")?;
        let failure = third.status.and_then(|status| status.failure).map(|failure| failure.message);
        holds("failure.message", &failure.unwrap_or_default(), "robot")?;
        story.apply_yaml(ACCOUNT).await?;
        story.apply(&deployment("fourth", "blog")).await?;
        expect::ended(&story.ends("fourth").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn owner_reference_taken_off() -> Outcome {
    Story::tell("owner-taken-off", async |story| {
        let tasks = "[{name: Stay, ansible.builtin.command: 'sleep {{ seconds }}'}]";
        story.apply(&service("blog").tasks(tasks).with(FORM)).await?;
        story.apply(&deployment("first", "blog").with("inputs: {seconds: 5}")).await?;
        story.says("first", "TASK [Stay]").await?;
        let without = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
        story.api::<Job>().patch("first-a1", &PatchParams::default(), &without).await?;
        story.api::<crds::Deployment>().patch("first", &PatchParams::default(), &without).await?;

        expect::ended(&story.ends("first").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        story.gone::<Job>("").await?;
        same("pods", story.pods.ever().len(), 1)?;
        story.apply(&deployment("second", "blog")).await?;
        expect::ended(&story.ends("second").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
