//! A change of what is wanted makes exactly one run with `OnChange`, and none with `Manual`.

use crds::Phase;
use serde_json::json;
use tests::{Outcome, Result, Story, ensure, expect, holds, manifest::Manifest, same, service};

/// The playbook in a ConfigMap whose changes are noticed at once.
fn playbook(words: &str) -> Manifest {
    Manifest(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "playbook", "labels": {"fastdeploy.dev/watch": "true"}},
        "data": {"deploy.yml": format!("[{{hosts: all, gather_facts: false, tasks: [{{ansible.builtin.debug: {{msg: {words}}}}}]}}]")},
    }))
}

fn blog() -> Manifest {
    let mut blog = service("blog");
    blog.0["spec"]["source"] = json!({"configMap": {"name": "playbook"}});
    blog
}

#[tokio::test]
async fn a_change_makes_exactly_one_run() -> Outcome {
    Story::tell("change", async |story| {
        story.apply(&playbook("first")).await?;
        story.apply(&blog().on_change()).await?;
        expect::ended(&story.numbered_ends("blog", 1).await?, Phase::Succeeded, "Succeeded")?;
        let before = story.service_is("blog", "True", "True", "Deployed").await?;

        story.apply(&playbook("second")).await?;
        let run = story.numbered_ends("blog", 2).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let name = run.metadata.name.unwrap_or_default();
        holds("the log", &story.log_of(&name).await?, "second")?;
        let requested = run.status.and_then(|status| status.requested_by);
        holds(
            "requestedBy.trigger",
            &requested.and_then(|r| r.trigger).unwrap_or_default(),
            "change:v1:sha256:",
        )?;

        let is_second = |live: Option<crds::service::Live>| live.map(|live| live.number) == Some(2);
        let after = story
            .service_until("blog", "live #2", |s| is_second(s.status.as_ref().and_then(|s| s.live.clone())))
            .await?;
        let revision = |s: crds::Service| s.status.and_then(|s| s.source).map(|source| source.revision);
        ensure!(revision(before) != revision(after), "expected another source.revision after the change");

        // What is not a change of the content is no change.
        story.apply(&playbook("second").annotated("who", "somebody")).await?;
        story
            .patch_service(
                "blog",
                json!({"metadata": {"annotations": {"fastdeploy.dev/requestedAt": "now"}}}),
            )
            .await?;
        answers(story, "now").await?;
        same("Deployments", story.listed().await?.len(), 2)
    })
    .await
}

#[tokio::test]
async fn manual_makes_none() -> Outcome {
    Story::tell("manual", async |story| {
        story.apply(&playbook("first")).await?;
        story.apply(&blog()).await?;
        let before = story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        let revision = before.status.and_then(|status| status.source);
        story.apply(&playbook("second")).await?;
        story
            .service_until("blog", "another source.revision", |service| {
                service.status.as_ref().is_some_and(|status| status.source != revision)
            })
            .await?;
        story
            .patch_service("blog", json!({"metadata": {"annotations": {"fastdeploy.dev/requestedAt": "1"}}}))
            .await?;
        answers(story, "1").await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        same("Deployments", story.listed().await?.len(), 0)
    })
    .await
}

/// Flux's protocol: whoever asks for a check sees when it was made.
async fn answers(story: &Story, value: &str) -> Result<()> {
    let answered = |service: &crds::Service| {
        service.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref()) == Some(value)
    };
    story.service_until("blog", &format!("lastHandledReconcileAt {value}"), answered).await.map(drop)
}
