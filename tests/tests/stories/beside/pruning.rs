//! What is past the history's limits goes, with all that belonged to it; what is referred to stays.

use std::{collections::BTreeSet, time::Duration};

use crds::Phase;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::ResourceExt;
use tests::{Outcome, Story, deployment, expect, same, service};

#[tokio::test]
async fn pruning() -> Outcome {
    Story::tell("pruning", async |story| {
        let form =
            "{history: {succeeded: 1, failed: 1}, inputs: [{name: fail, type: boolean, default: false}]}";
        let tasks = "[{ansible.builtin.assert: {that: not fail}}]";
        story.apply(&service("blog").with(form).tasks(tasks)).await?;
        for (name, fails) in [("s1", false), ("s2", false), ("s3", false), ("f1", true), ("f2", true)] {
            let inputs = format!("inputs: {{fail: {fails}}}");
            story.apply(&deployment(name, "blog").with(&inputs)).await?;
            let phase = if fails { Phase::Failed } else { Phase::Succeeded };
            same(&format!("phase of {name}"), tests::phase(&story.ends(name).await?), Some(phase))?;
        }
        // Live is s3, the one before is s2, the last one is f2.
        let wanted: BTreeSet<_> = ["f2", "s2", "s3"].map(String::from).into();
        let kept = |now: &std::collections::BTreeMap<String, crds::Deployment>| {
            (now.keys().cloned().collect::<BTreeSet<_>>() == wanted).then_some(())
        };
        story.deployments.find("only s2, s3 and f2", Duration::from_secs(30), kept).await?;
        let service = story.service_is("blog", "False", "False", "TaskFailed").await?;
        let live = service.status.and_then(|status| status.live).map(|live| live.deployment.name);
        same("live", live.as_deref(), Some("s3"))?;

        // Garbage collection takes a moment after the owners are gone; pods tell when it is done.
        let of_last = |pods: &std::collections::BTreeMap<String, k8s_openapi::api::core::v1::Pod>| {
            pods.values().all(|pod| pod.name_any().starts_with("f2-")).then_some(())
        };
        story.pods.find("only the pod of f2", Duration::from_mins(1), of_last).await?;
        same("Jobs", story.count::<Job>("fastdeploy.dev/service=blog").await?, 1)?;
        // The runs that succeeded have one bundle in common, those that failed another.
        same("bundles", story.count::<ConfigMap>("fastdeploy.dev/service=blog").await?, 2)?;
        // And all of it still works.
        story.apply(&deployment("s4", "blog")).await?;
        expect::ended(&story.ends("s4").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
