//! A Service is deleted while a run of it is on: the run stops after its step, and nothing is left.

use std::time::Duration;

use crds::{Deployment, Phase, Service};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::api::DeleteParams;
use tests::{Outcome, Servers, Story, deployment, expect, same, service};

#[tokio::test]
async fn service_deleted_during_a_run() -> Outcome {
    Story::tell("service-deleted", async |story| {
        let servers = Servers::of(story).await?;
        let tasks = format!(
            "[{{name: Stay, ansible.builtin.command: sleep 5}}, {{name: After, ansible.builtin.shell: '{}'}}]",
            servers.prove()
        );
        story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;
        story.delete::<Service>("blog").await?;

        let minute = Duration::from_mins(1);
        story.services.until_gone("blog", minute).await?;
        story.deployments.until_gone("run", minute).await?;
        story.pods.find("no pod", minute, |pods| pods.is_empty().then_some(())).await?;
        same("steps after the one that was on", servers.proofs(0).await?, 0)?;
        story.gone::<Job>("fastdeploy.dev/service=blog").await?;
        story.gone::<ConfigMap>("fastdeploy.dev/service=blog").await
    })
    .await
}

/// `kubectl delete --cascade=orphan`: what runs goes on to its end, and whatever was left can be deleted.
#[tokio::test]
async fn service_orphans_its_run() -> Outcome {
    Story::tell("service-orphaned", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 3}]")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;
        story.api::<Service>().delete("blog", &DeleteParams::orphan()).await?;
        let minute = Duration::from_mins(1);
        story.services.until_gone("blog", minute).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.delete::<Deployment>("run").await?;
        story.deployments.until_gone("run", minute).await?;
        story.gone::<Job>("fastdeploy.dev/service=blog").await?;
        story.gone::<ConfigMap>("fastdeploy.dev/service=blog").await
    })
    .await
}
