//! A playbook in a Git repository: every way to sign in, every way to choose a commit, and what a
//! repository that is away does not stop.

use crds::{Phase, Service};
use serde_json::json;
use tests::{
    Outcome, Result, Story, deployment, ensure, expect, holds,
    manifest::Manifest,
    reports,
    repository::{self, Repository},
    same,
};

fn playbook(words: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Say\n      ansible.builtin.debug: {{msg: '{words}'}}\n"
    )
}

/// A Service from a repository.
fn from(url: &str, git: &serde_json::Value) -> Manifest {
    let mut source = json!({"url": url, "interval": "10s"});
    source.as_object_mut().expect("an object").extend(git.as_object().expect("an object").clone());
    Manifest(json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
        "spec": {"source": {"git": source}, "playbook": "deploy.yml", "inventory": {"local": true}},
    }))
}

async fn check_now(story: &Story, token: &str) -> Result<Service> {
    let ask = json!({"metadata": {"annotations": {"fastdeploy.dev/requestedAt": token}}});
    story.patch_service("blog", ask).await?;
    let answered = |service: &Service| {
        service.status.as_ref().and_then(|s| s.last_handled_reconcile_at.as_deref()) == Some(token)
    };
    story.service_until("blog", "an answer to requestedAt", answered).await
}

/// Only what is below `path` and `include` counts as a change, and `include` is there for the run.
#[tokio::test]
async fn a_branch_over_https() -> Outcome {
    Story::tell("git-branch", async |story| {
        let repository = Repository::public(story).await?;
        repository.commit("main", "README.md", "hello", None).await?;
        repository.commit("main", "shared/vars.yml", "who: the company", None).await?;
        let text = playbook("first for {{ who }}").replace("  tasks:", "  vars_files: [../../shared/vars.yml]\n  tasks:");
        let first = repository.commit("main", "sites/blog/deploy.yml", &text, None).await?;
        let git = json!({"branch": "main", "path": "sites/blog", "include": ["shared"], "caBundle": repository.ca()});
        story.apply(&from(&repository.https(), &git).on_change()).await?;
        let run = story.numbered_ends("blog", 1).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of(&run.metadata.name.unwrap_or_default()).await?, "first for the company")?;
        let service = story.service_is("blog", "True", "True", "Deployed").await?;
        let source = service.status.and_then(|status| status.source).unwrap_or_default();
        same("source.revision", source.revision, format!("main@sha1:{first}"))?;
        same("source.message", source.message.as_deref(), Some("Change sites/blog/deploy.yml"))?;

        follows_only_what_it_uses(story, &repository, &text).await
    })
    .await
}

async fn follows_only_what_it_uses(story: &Story, repository: &Repository, text: &str) -> Result<()> {
    // Another commit, but nothing that this Service is made of.
    let other = repository.commit("main", "README.md", "hello again", None).await?;
    let service = check_now(story, "1").await?;
    let moved = |service: &Service| {
        service.status.as_ref().and_then(|s| s.source.as_ref()?.commit.as_ref()) == Some(&other)
    };
    if !moved(&service) {
        story.service_until("blog", "the newer commit", moved).await?;
    }
    story.service_is("blog", "True", "True", "Deployed").await?;
    same("Deployments", story.listed().await?.len(), 1)?;

    let text = text.replace("first", "second");
    repository.commit("main", "sites/blog/deploy.yml", &text, None).await?;
    let run = story.numbered_ends("blog", 2).await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;
    holds("the log", &story.log_of(&run.metadata.name.unwrap_or_default()).await?, "second for the company")?;
    repository.commit("main", "shared/vars.yml", "who: everybody", None).await?;
    expect::ended(&story.numbered_ends("blog", 3).await?, Phase::Succeeded, "Succeeded")
}

/// The password is right, wrong, and nowhere to be seen; the highest version in a range is taken.
#[tokio::test]
async fn a_range_of_versions_with_a_password() -> Outcome {
    Story::tell("git-semver", async |story| {
        let repository = Repository::private(story).await?;
        for (words, tag) in [("one", "v1.2.0"), ("ten", "v1.10.0"), ("two", "v2.0.0")] {
            repository.commit("main", "deploy.yml", &playbook(words), Some(tag)).await?;
        }
        let git = json!({"semver": "^1", "caBundle": repository.ca(), "secretRef": {"name": "git-password"}});
        let mut wrong = repository::password();
        wrong.0["stringData"]["password"] = "guessed-wrong".into();
        story.apply(&wrong).await?;
        story.apply(&from(&repository.https(), &git)).await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        let said = serde_json::to_string(&service.status).unwrap_or_default();
        holds("the condition", &said, "SourceUnavailable")?;
        ensure!(!said.contains("guessed-wrong"), "the password is in the status: {said}");

        story.apply(&repository::password()).await?;
        check_now(story, "1").await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        story.apply(&deployment("run", "blog")).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let revision = run.status.and_then(|status| status.revision).unwrap_or_default();
        holds("revision", &revision, "v1.10.0@sha1:")?;
        holds("the log", &story.log_of("run").await?, "ten")?;
        // Another one that the range permits; and one that it does not.
        story.apply(&deployment("older", "blog").with("revision: v1.2.0")).await?;
        expect::ended(&story.ends("older").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("older").await?, "one")?;
        story.apply(&deployment("newer", "blog").with("revision: v2.0.0")).await?;
        let run = story.ends("newer").await?;
        expect::ended(&run, Phase::Failed, "InvalidInput")?;
        let said = run.status.and_then(|status| status.failure).map(|failure| failure.message);
        holds("failure.message", &said.unwrap_or_default(), "it permits v1.10.0, v1.2.0")?;

        // What can be chosen from stands in PostgreSQL.
        let service = story.api::<Service>().get("blog").await?;
        let key = service.spec.source.git.map(|git| git.repository(&story.namespace)).unwrap_or_default();
        let refs = store::refs::of(&reports::database().await?, &key).await?;
        let mut names: Vec<&str> = refs.iter().map(|known| known.name.as_str()).collect();
        names.sort_unstable();
        same("refs that are known", names, vec!["main", "v1.10.0", "v1.2.0", "v2.0.0"])?;

        let tag = json!({"spec": {"source": {"git": {"semver": null, "tag": "v2.0.0"}}}});
        story.patch_service("blog", tag).await?;
        story.apply(&deployment("tagged", "blog")).await?;
        let run = story.ends("tagged").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let revision = run.status.and_then(|status| status.revision).unwrap_or_default();
        holds("revision", &revision, "v2.0.0@sha1:")?;
        holds("the log", &story.log_of("tagged").await?, "two")
    })
    .await
}

/// With a key and a known host; a commit by its id, and one that is not there.
#[tokio::test]
async fn a_commit_over_ssh() -> Outcome {
    Story::tell("git-ssh", async |story| {
        let repository = Repository::private(story).await?;
        let old = repository.commit("main", "deploy.yml", &playbook("old"), None).await?;
        repository.commit("main", "deploy.yml", &playbook("new"), None).await?;
        story.apply(&repository::key(story).await?).await?;
        let git = json!({"commit": old, "secretRef": {"name": "git-key"}});
        story.apply(&from(&repository.ssh(), &git)).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("run").await?, "old")?;

        story.patch_service("blog", json!({"spec": {"source": {"git": {"commit": "0".repeat(40)}}}})).await?;
        story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        // Whoever answers with another key is not believed.
        let mut stranger = repository::key(story).await?;
        stranger.0["stringData"]["known_hosts"] = "elsewhere ssh-ed25519 AAAA\n".into();
        story.apply(&stranger).await?;
        story
            .patch_service("blog", json!({"spec": {"source": {"git": {"commit": null, "branch": "main"}}}}))
            .await?;
        check_now(story, "1").await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        holds(
            "the condition",
            &serde_json::to_string(&service.status).unwrap_or_default(),
            "SourceUnavailable",
        )
    })
    .await
}

/// Whoever names a commit comes by a ref that reaches it; one that none reaches any more is not there.
#[tokio::test]
async fn a_server_that_gives_no_commit_by_its_id() -> Outcome {
    Story::tell("git-by-ref", async |story| {
        let repository = Repository::private(story).await?;
        let first = repository.commit("main", "deploy.yml", &playbook("first"), None).await?;
        let old = repository.commit("main", "deploy.yml", &playbook("old"), None).await?;
        story.apply(&repository::key(story).await?).await?;
        story
            .apply(&from(&repository.ssh(), &json!({"branch": "main", "secretRef": {"name": "git-key"}})))
            .await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        let newer = repository.commit("main", "deploy.yml", &playbook("newer"), None).await?;
        repository.refuses(&old).await?;
        let source =
            |service: &Service| service.status.clone().and_then(|status| status.source).unwrap_or_default();
        story
            .service_until("blog", "the newer commit", |service| {
                source(service).commit.as_ref() == Some(&newer)
            })
            .await?;

        for (name, spec) in
            [("back", "repeat: {number: 1}".to_owned()), ("chosen", format!("revision: {old}"))]
        {
            story.apply(&deployment(name, "blog").with(&spec)).await?;
            expect::ended(&story.ends(name).await?, Phase::Succeeded, "Succeeded")?;
            holds("the log", &story.log_of(name).await?, "\"msg\": \"old\"")?;
        }
        story
            .patch_service("blog", json!({"spec": {"source": {"git": {"branch": null, "commit": old}}}}))
            .await?;
        let named = format!("sha1:{old}");
        story
            .service_until("blog", "the commit that it names", |service| source(service).revision == named)
            .await?;

        // Somebody pushes by force: only the server's disk has it still.
        repository.rewind("main", &first).await?;
        check_now(story, "1").await?;
        story.apply(&deployment("gone", "blog")).await?;
        let run = story.ends("gone").await?;
        expect::ended(&run, Phase::Failed, "SourceNotFound")?;
        let said = run.status.and_then(|status| status.failure).map(|failure| failure.message);
        holds("failure.message", &said.unwrap_or_default(), &format!("has no commit {old} any more"))
    })
    .await
}

/// What was found last stays usable, the Service says that it is not of now, and comes back by itself.
#[tokio::test]
async fn a_repository_that_is_away() -> Outcome {
    Story::tell("git-away", async |story| {
        let repository = Repository::public(story).await?;
        repository.commit("main", "deploy.yml", &playbook("{{ inventory_hostname }}"), None).await?;
        story.apply(&from(&repository.https(), &json!({"caBundle": repository.ca()}))).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        repository.there(false).await?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        let said = serde_json::to_string(&service.status).unwrap_or_default();
        holds("the condition", &said, "SourceUnavailable")?;
        holds("the condition", &said, "stays until then")?;
        // A run fetches by itself, and says what is wrong.
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Failed, "SourceUnavailable")?;
        repository.there(true).await?;
        story
            .service_until("blog", "another status", |s| {
                s.status
                    .as_ref()
                    .is_some_and(|s| s.conditions.iter().all(|c| !c.message.contains("stays until")))
            })
            .await?;
        story.apply(&deployment("again", "blog")).await?;
        expect::ended(&story.ends("again").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}

/// Twenty Services of one repository make one check, not twenty.
#[tokio::test]
async fn one_check_for_many_services() -> Outcome {
    Story::tell("git-many", async |story| {
        let repository = Repository::public(story).await?;
        repository.commit("main", "deploy.yml", &playbook("x"), None).await?;
        let git = json!({"caBundle": repository.ca(), "interval": "1h"});
        for n in 0..20 {
            let mut service = from(&repository.https(), &git);
            service.0["metadata"]["name"] = format!("blog-{n}").into();
            story.apply(&service).await?;
        }
        for n in 0..20 {
            story.service_is(&format!("blog-{n}"), "True", "False", "WaitingForPerson").await?;
        }
        // One for the refs, one for the trees. Nobody asks for a commit, so the last ones are not read.
        let checks = repository.checks().await?;
        ensure!((1..=2).contains(&checks), "expected one look at the repository, saw {checks}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() -> Outcome {
    Story::tell("git-refused", async |story| {
        for (url, git, words) in [
            ("file:///etc", json!({}), "source.git.url"),
            ("ext::sh -c x", json!({}), "source.git.url"),
            ("https://user:password@example.com/a.git", json!({}), "secretRef"),
            ("https://example.com/a.git", json!({"branch": "a", "tag": "b"}), "at most one of"),
            ("https://example.com/a.git", json!({"path": "../x"}), "source.git.path"),
            ("https://example.com/a.git", json!({"interval": "1s"}), "source.git.interval"),
        ] {
            let text = from(url, &git).0.to_string();
            let namespace = story.namespace.clone();
            let said =
                tests::kubectl::ask(&["apply", "--namespace", &namespace, "--filename", "-"], &text).await?;
            ensure!(!said.ok, "{url} was taken");
            holds("kubectl", &said.err, words)?;
        }
        story.apply(&from("https://example.com/a.git", &json!({"semver": "newest"}))).await.map(drop)
    })
    .await
}
