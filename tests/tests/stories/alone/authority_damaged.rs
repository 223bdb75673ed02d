//! Somebody overwrote the certificate authority that pods trust: the API puts it right at its start.

use std::time::Duration;

use crds::Phase;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use tests::{Context, Outcome, Story, deployment, expect, installation, service, system::Program};

#[tokio::test]
async fn authority_damaged() -> Outcome {
    Story::tell_alone("authority-damaged", async |story| {
        let maps = Api::<ConfigMap>::namespaced(story.client.clone(), &installation());
        let good = maps.get("fastdeploy-ca").await?.data;
        let api = Program::new(&story.client, "api-server");
        api.scale(0).await?;
        let damaged = json!({"data": {"ca.crt": "damaged"}});
        maps.patch("fastdeploy-ca", &PatchParams::default(), &Patch::Merge(damaged)).await?;
        api.scale(1).await?;

        let same = |map: Option<&ConfigMap>| map.is_some_and(|map| map.data == good);
        let mended = await_condition(maps, "fastdeploy-ca", same);
        let late = "expected ConfigMap fastdeploy-ca to be as before within ten seconds";
        tokio::time::timeout(Duration::from_secs(10), mended).await.context(late)??;
        story.apply(&service("blog")).await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
