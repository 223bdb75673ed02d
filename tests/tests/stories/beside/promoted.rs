//! What is live at one Service is run at another one: exactly that commit, though the branch has newer ones; and a
//! Service that follows something else is told what to make equal.

use crds::{Deployment, Phase, Service};
use serde_json::{Value, json};
use tests::{
    Outcome, Result, Story, browser, browser::Browser, deployment, expect, holds, manifest::Manifest,
    repository::Repository, same,
};

fn playbook(words: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Say\n      ansible.builtin.debug: {{msg: '{words} for {{{{ audience }}}}'}}\n"
    )
}

fn environment(repository: &Repository, name: &str, branch: &str) -> Manifest {
    let git =
        json!({"url": repository.https(), "branch": branch, "interval": "10s", "caBundle": repository.ca()});
    Manifest(json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": name},
        "spec": {"source": {"git": git}, "playbook": "deploy.yml", "inventory": {"local": true},
            "inputs": [{"name": "audience", "type": "text", "required": true}]},
    }))
}

fn revision(run: &Deployment) -> Option<&str> {
    run.status.as_ref()?.revision.as_deref()
}

#[tokio::test]
async fn production_runs_what_staging_has_shown() -> Outcome {
    Story::tell("promoted", async |story| {
        let repository = Repository::public(story).await?;
        let shown = repository.commit("main", "deploy.yml", &playbook("shown"), None).await?;
        repository.commit("topic", "deploy.yml", &playbook("topic"), None).await?;
        for (name, branch) in [("staging", "main"), ("production", "main"), ("preview", "topic")] {
            story.apply(&environment(&repository, name, branch)).await?;
        }
        story.apply(&deployment("first", "staging").with("inputs: {audience: everybody}")).await?;
        expect::ended(&story.ends("first").await?, Phase::Succeeded, "Succeeded")?;
        let live = |service: &Service| service.status.as_ref().is_some_and(|status| status.live.is_some());
        story.service_until("staging", "something live", live).await?;

        // main goes on, and both see it.
        let newer = repository.commit("main", "deploy.yml", &playbook("newer"), None).await?;
        let moved = |service: &Service| {
            service.status.as_ref().and_then(|status| status.source.as_ref()?.commit.as_ref()) == Some(&newer)
        };
        for name in ["staging", "production"] {
            story.service_until(name, "the newer commit", moved).await?;
        }
        let admin = Browser::at_the_page().await?;
        let at = format!("/services/{}/staging", story.namespace);
        let looked = look(&admin, story, &at).await?;
        same("what would change", &looked["revision"]["commit"], &json!(shown))?;
        let wish = json!({"to": "production", "number": looked["number"], "reason": "Release"});
        let made = admin.ask("POST", &format!("{at}/promote"), Some(&wish)).await?;
        let name = made["deployment"]["name"].as_str().unwrap_or_default().to_owned();
        let run = story.ends(&name).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("revision", revision(&run), Some(format!("sha1:{shown}").as_str()))?;
        same("reason", run.spec.reason.as_deref(), Some("Release (promoted from staging #1)"))?;
        holds("the log", &story.log_of(&name).await?, "shown for everybody")?;
        refused_elsewhere(story, &admin, &at, &shown).await
    })
    .await
}

/// As soon as the mirror has what is live.
async fn look(admin: &Browser, story: &Story, at: &str) -> Result<Value> {
    for name in ["staging", "production", "preview"] {
        browser::known(admin, &format!("/services/{}/{name}", story.namespace)).await?;
    }
    for _ in 0..100 {
        let looked = admin.ask("GET", &format!("{at}/promotion?to=production"), None).await?;
        if looked.get("revision").is_some() {
            return Ok(looked);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    admin.ask("GET", &format!("{at}/promotion?to=production"), None).await
}

/// Neither by the API nor past it.
async fn refused_elsewhere(story: &Story, admin: &Browser, at: &str, shown: &str) -> Result<()> {
    let wish = json!({"to": "preview"});
    let (status, answer) = admin.try_ask("POST", &format!("{at}/promote"), Some(&wish)).await?;
    same("a promotion to another branch", (status, &answer["reason"]), (409, &json!("OtherSource")))?;
    let past = format!("{{revision: {shown}, inputs: {{audience: nobody}}}}");
    story.apply(&deployment("past", "preview").with(&past)).await?;
    let run = story.ends("past").await?;
    expect::ended(&run, Phase::Failed, "InvalidInput")?;
    let said =
        run.status.and_then(|status| status.failure).map(|failure| failure.message).unwrap_or_default();
    holds("failure.message", &said, "source.git.branch")?;
    holds("failure.message", &said, "preview has `topic`")
}
