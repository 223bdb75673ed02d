//! Causes that have a name of their own, each told within a minute.

use std::time::{Duration, Instant};

use crds::Phase;
use tests::{Outcome, Result, Story, deployment, ensure, expect, holds, manifest::Manifest, same, service};

const MINUTE: Duration = Duration::from_mins(1);

/// A run of this Service fails like this, with this in its message.
async fn fails(story: &Story, service: &Manifest, reason: &str, word: &str) -> Result<()> {
    story.apply(service).await?;
    let began = Instant::now();
    story.apply(&deployment("run", "blog")).await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Failed, reason)?;
    ensure!(
        began.elapsed() < MINUTE,
        "expected {reason} within a minute, saw it after {:?}",
        began.elapsed()
    );
    let failure = run.status.and_then(|status| status.failure);
    holds("failure.message", &failure.map(|f| f.message).unwrap_or_default(), word)?;
    // Nothing stays behind that would stand in the way of the next one.
    let unlocked =
        |service: &crds::Service| service.status.as_ref().is_some_and(|status| status.active.is_none());
    story.service_until("blog", "no active Deployment", unlocked).await.map(drop)
}

#[tokio::test]
async fn secret_missing() -> Outcome {
    Story::tell("secret-missing", async |story| {
        let blog = service("blog").with("variablesFrom: [{secretRef: {name: passwords}}]");
        fails(story, &blog, "SecretMissing", "Secret passwords is not in this namespace").await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        let ready = service.status.unwrap_or_default().conditions;
        holds(
            "Ready",
            &crds::conditions::find(&ready, "Ready").map(|c| c.message.clone()).unwrap_or_default(),
            "passwords",
        )?;
        same("pods", story.pods.ever().len(), 0)
    })
    .await
}

#[tokio::test]
async fn image_pull() -> Outcome {
    Story::tell("image-pull", async |story| {
        let blog = service("blog").with("runner: {image: 'registry.invalid/no/such:image'}");
        fails(story, &blog, "ImagePull", "registry.invalid").await
    })
    .await
}

#[tokio::test]
async fn unschedulable() -> Outcome {
    Story::tell("unschedulable", async |story| {
        let blog = service("blog").with("runner: {resources: {requests: {cpu: '9000'}}}");
        fails(story, &blog, "Unschedulable", "Insufficient cpu").await
    })
    .await
}

#[tokio::test]
async fn out_of_memory() -> Outcome {
    Story::tell("out-of-memory", async |story| {
        let blog = service("blog")
            .tasks("[{name: Eat, ansible.builtin.command: \"python3 -c 'print(len(bytearray(10**9)))'\"}]")
            .with("runner: {resources: {requests: {memory: 64Mi}, limits: {memory: 128Mi}}}");
        fails(story, &blog, "OutOfMemory", "memory").await
    })
    .await
}

#[tokio::test]
async fn syntax_error() -> Outcome {
    Story::tell("syntax-error", async |story| {
        let blog = service("blog").playbook("- hosts: all\n  tasks:\n    - name: [unclosed\n");
        fails(story, &blog, "SyntaxError", "deploy.yml").await
    })
    .await
}

#[tokio::test]
async fn invalid_spec() -> Outcome {
    Story::tell("invalid-spec", async |story| {
        let blog = service("blog").with("playbook: site.yml");
        fails(story, &blog, "InvalidSpec", "site.yml is not in the source; it has deploy.yml").await?;
        story.service_is("blog", "False", "Unknown", "InvalidSpec").await?;
        same("pods", story.pods.ever().len(), 0)
    })
    .await
}

#[tokio::test]
async fn service_not_found() -> Outcome {
    Story::tell("service-not-found", async |story| {
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Failed, "ServiceNotFound")
    })
    .await
}
