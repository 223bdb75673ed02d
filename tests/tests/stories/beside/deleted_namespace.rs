//! A namespace is deleted while a run is on: it is gone within a minute.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::DeleteParams,
    runtime::{conditions::is_deleted, wait::await_condition},
};
use tests::{Context, Outcome, Story, deployment, service};

#[tokio::test]
async fn namespace_deleted_during_a_run() -> Outcome {
    Story::tell("namespace-deleted", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;

        let namespaces = Api::<Namespace>::all(story.client.clone());
        let uid = namespaces.get(&story.namespace).await?.metadata.uid.unwrap_or_default();
        let began = Instant::now();
        namespaces.delete(&story.namespace, &DeleteParams::background()).await?;
        let gone = await_condition(namespaces, &story.namespace, is_deleted(&uid));
        let waited = tokio::time::timeout(Duration::from_mins(1), gone).await;
        waited.context("expected the namespace to be gone within a minute, but it is still there")??;
        eprintln!("the namespace was gone after {:.1?}", began.elapsed());
        Ok(())
    })
    .await
}
