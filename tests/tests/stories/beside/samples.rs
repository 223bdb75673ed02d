//! The samples besides the blog: one that fails on purpose and is mended, one that people create.

use crds::Phase;
use serde_json::{Value, json};
use tests::{Outcome, Servers, Story, expect, holds, manifest::Manifest, same, service};

#[tokio::test]
async fn broken_and_mended() -> Outcome {
    Story::tell("broken", async |story| {
        let servers = Servers::of(story).await?;
        story.apply(&sample(include_str!("../../../../manifests/samples/broken.yaml")).on(&servers)).await?;
        let run = story.numbered_ends("broken", 1).await?;
        expect::ended(&run, Phase::Failed, "TaskFailed")?;
        let failure = run.status.and_then(|status| status.failure);
        same("failure.step", failure.as_ref().and_then(|f| f.step.as_deref()), Some("Check the licence"))?;
        holds("failure.message", failure.as_ref().map_or("", |f| &f.message), "DEMO-1234")?;
        // A change is deployed at once; until then it is tried again.
        story.service_is("broken", "False", "Unknown", "ProgressingWithRetry").await?;

        story.patch_service("broken", json!({"spec": {"variables": {"licence": "DEMO-1234"}}})).await?;
        expect::ended(&story.numbered_ends("broken", 2).await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("broken", "True", "True", "Deployed").await?;
        same("Deployments", story.listed().await?.len(), 2)
    })
    .await
}

#[tokio::test]
async fn by_hand() -> Outcome {
    Story::tell("by-hand", async |story| {
        let tasks = "[{name: Tell, ansible.builtin.debug: {msg: '{{ headline }} in {{ color }}'}}]";
        let form =
            "inputs: [{name: headline, type: text, default: none}, {name: color, type: choice, choices: [blue, green], default: blue}]";
        story.apply(&service("blog").tasks(tasks).with(form)).await?;
        let by_hand = sample(include_str!("../../../../manifests/samples/by-hand/deploy-blog.yaml"));
        // Whoever creates it twice gets two runs.
        for number in [1, 2] {
            let name = story.create(&by_hand).await?;
            expect::ended(&story.numbered_ends("blog", number).await?, Phase::Succeeded, "Succeeded")?;
            holds("the log", &story.log_of(&name).await?, "Good news from the company in green")?;
        }
        let preview = sample(include_str!("../../../../manifests/samples/by-hand/preview-blog.yaml"));
        let name = story.create(&preview).await?;
        expect::ended(&story.ends(&name).await?, Phase::Succeeded, "Succeeded")
    })
    .await
}

/// In the story's namespace instead of the sample's.
fn sample(text: &str) -> Manifest {
    let mut sample = Manifest::yaml(text);
    sample.0["metadata"]["namespace"] = Value::Null;
    // The samples' servers are a group of their inventory; ours are in none.
    if let Some(Value::String(playbook)) = sample.0.pointer_mut("/spec/source/inline/deploy.yml") {
        *playbook = playbook.replace("hosts: web", "hosts: all");
    }
    sample
}
