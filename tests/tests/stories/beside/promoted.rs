//! What is live at one Service is run at another one: exactly that commit, though the branch has newer ones; and a
//! Service that follows something else is told what to make equal.

use crds::{Deployment, Phase, Service, conditions};
use kube::ResourceExt;
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

/// Waits until a Service has looked, and found this commit.
async fn sees(story: &Story, service: &str, commit: &str) -> Result<()> {
    let found = |service: &Service| {
        let source = service.status.as_ref().and_then(|status| status.source.as_ref());
        source.and_then(|source| source.commit.as_deref()) == Some(commit)
    };
    story.service_until(service, "the newer commit", found).await.map(drop)
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
        for name in ["staging", "production"] {
            sees(story, name, &newer).await?;
        }
        let admin = Browser::at_the_page().await?;
        let at = format!("/services/{}/staging", story.namespace);
        browser::known(&admin, &format!("/services/{}/preview", story.namespace)).await?;
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

/// Where every change is deployed by itself, too: what is promoted there stays, though the branch is ahead of it, until
/// the branch changes again.
#[tokio::test]
async fn a_promotion_stays_where_changes_are_deployed_by_themselves() -> Outcome {
    Story::tell("promoted-on-change", async |story| {
        let repository = Repository::public(story).await?;
        let shown = repository.commit("main", "deploy.yml", &playbook("shown"), None).await?;
        let environment = |name: &str| {
            environment(&repository, name, "main")
                .with("inputs: [{name: audience, type: text, default: nobody}]")
        };
        story.apply(&environment("staging")).await?;
        story.apply(&deployment("first", "staging").with("inputs: {audience: everybody}")).await?;
        expect::ended(&story.ends("first").await?, Phase::Succeeded, "Succeeded")?;
        let live = |service: &Service| service.status.as_ref().is_some_and(|status| status.live.is_some());
        story.service_until("staging", "something live", live).await?;

        let newer = repository.commit("main", "deploy.yml", &playbook("newer"), None).await?;
        sees(story, "staging", &newer).await?;
        story.apply(&environment("production").on_change()).await?;
        let by_itself = story.numbered_ends("production", 1).await?;
        expect::ended(&by_itself, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of(&by_itself.name_any()).await?, "newer for nobody")?;
        story.service_is("production", "True", "True", "Deployed").await?;

        let admin = Browser::at_the_page().await?;
        let at = format!("/services/{}/staging", story.namespace);
        let looked = look(&admin, story, &at).await?;
        let wish = json!({"to": "production", "number": looked["number"]});
        let made = admin.ask("POST", &format!("{at}/promote"), Some(&wish)).await?;
        let name = made["deployment"]["name"].as_str().unwrap_or_default().to_owned();
        let run = story.ends(&name).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("revision", revision(&run), Some(format!("sha1:{shown}").as_str()))?;
        holds("the log", &story.log_of(&name).await?, "shown for everybody")?;
        let production = story.service_is("production", "True", "False", "WaitingForPerson").await?;
        let status = production.status.unwrap_or_default();
        same("live.number", status.live.map(|live| live.number), Some(2))?;
        let ready =
            conditions::find(&status.conditions, conditions::READY).map(|ready| ready.message.clone());
        holds("Ready", &ready.unwrap_or_default(), "Deployment #2 is live, but something else is wanted")?;

        let newest = repository.commit("main", "deploy.yml", &playbook("newest"), None).await?;
        let next = story.numbered_ends("production", 3).await?;
        expect::ended(&next, Phase::Succeeded, "Succeeded")?;
        same("revision", revision(&next), Some(format!("main@sha1:{newest}").as_str()))?;
        holds("the log", &story.log_of(&next.name_any()).await?, "newest for everybody")?;
        story.service_is("production", "True", "True", "Deployed").await?;
        same("Deployments", story.listed().await?.len(), 4)
    })
    .await
}

/// As soon as the mirror has what is live.
async fn look(admin: &Browser, story: &Story, at: &str) -> Result<Value> {
    for name in ["staging", "production"] {
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
