//! Secrets stay where they are: a value that a task prints is in no status, Event, bundle or log.

use crds::Phase;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::api::ListParams;
use serde::Serialize;
use tests::{Outcome, Result, Story, deployment, ensure, expect, holds, same, service};

const CANARY: &str = "c4n4ry-Very+Secret/Value=";

#[tokio::test]
async fn secrets_stay_where_they_are() -> Outcome {
    Story::tell("secrets", async |story| {
        story
            .apply_yaml(&format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: passwords}}, stringData: {{password: '{CANARY}'}}}}"
            ))
            .await?;
        let tasks = "
- {name: Tell, ansible.builtin.debug: {msg: 'the password is <{{ password }}>'}}
- {name: In base64, ansible.builtin.debug: {msg: 'encoded <{{ password | b64encode }}>'}}
- {name: As output, ansible.builtin.set_stats: {data: {leak: '{{ password }}'}}}
- {name: 'Named {{ password }}', ansible.builtin.command: 'echo {{ password }}'}
- {name: Fail, ansible.builtin.fail: {msg: 'failed with <{{ password }}>'}}
";
        let from = "variablesFrom: [{secretRef: {name: passwords}}]";
        story.apply(&service("blog").with(from).tasks(tasks)).await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Failed, "TaskFailed")?;
        story.service_is("blog", "False", "False", "TaskFailed").await?;

        let log = story.log_of("run").await?;
        // The value arrived, or there would be nothing to hide.
        holds("the log", &log, "the password is <")?;
        holds("the log", &log, "failed with <")?;
        same("undefined in the log", log.contains("undefined"), false)?;
        hidden("the log", &log)?;
        hidden("a Deployment", &text(&story.deployments.ever()))?;
        hidden("a Service", &text(&story.services.ever()))?;
        let all = ListParams::default();
        hidden("a pod", &text(&story.pods.ever()))?;
        hidden("an Event", &text(&story.api::<Event>().list(&all).await?))?;
        hidden("a bundle", &text(&story.api::<ConfigMap>().list(&all).await?))
    })
    .await
}

fn text(what: &impl Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}

fn hidden(place: &str, text: &str) -> Result<()> {
    // The value itself, and base64 of it.
    for form in [CANARY, "YzRuNHJ5LVZlcnkrU2VjcmV0L1ZhbHVlPQ"] {
        let at = text.find(form).map(|at| text.get(at.saturating_sub(60)..at).unwrap_or_default());
        ensure!(at.is_none(), "expected no secret in {place}, saw one after “{}”", at.unwrap_or_default());
    }
    Ok(())
}
