//! By which rules a run starts: the clock, windows, dependencies, another try, a rollback, room.

use crds::{Deployment, Phase, Service, deployment::Via, policy::Cause};
use serde_json::json;
use tests::{Outcome, Result, Story, deployment, ensure, expect, holds, same, service};

/// Fails until the ConfigMap-less file of a server says otherwise: a variable decides.
const MAY_FAIL: &str = "[{name: Work, ansible.builtin.command: 'test {{ good }} = yes'}]";

async fn message(story: &Story, name: &str) -> Result<String> {
    let service = story.service_until(name, "conditions", |_| true).await?;
    let status = service.status.unwrap_or_default();
    Ok(crds::conditions::find(&status.conditions, "Ready").map(|c| c.message.clone()).unwrap_or_default())
}

fn via(run: &Deployment) -> Option<Via> {
    run.status.as_ref()?.requested_by.as_ref().map(|by| by.via)
}

/// What failed for a reason that may pass is tried again; the Service says when, and what helps in between.
#[tokio::test]
async fn a_failed_state_is_tried_again() -> Outcome {
    Story::tell("retry", async |story| {
        let blog = service("blog").tasks(MAY_FAIL).with("variables: {good: 'no'}").on_change();
        story.apply(&blog).await?;
        expect::ended(&story.numbered_ends("blog", 1).await?, Phase::Failed, "TaskFailed")?;
        let service = story.service_is("blog", "False", "Unknown", "ProgressingWithRetry").await?;
        holds("the condition", &message(story, "blog").await?, "tried again at")?;
        let status = service.status.unwrap_or_default();
        let handled = status.handled.clone();
        same("handled.tries", handled.as_ref().map(|h| h.tries), Some(1))?;
        ensure!(handled.is_some_and(|h| h.next_at.is_some()), "expected handled.nextAt, saw none");
        same("next.because", status.next.map(|next| next.because), Some(Cause::Retry))?;
        // Half a minute later, by itself.
        expect::ended(&story.numbered_ends("blog", 2).await?, Phase::Failed, "TaskFailed")?;
        let tries =
            |service: &Service| service.status.as_ref().and_then(|s| s.handled.as_ref().map(|h| h.tries));
        story.service_until("blog", "two tries", |service| tries(service) == Some(2)).await?;
        // A change is tried at once.
        story.patch_service("blog", json!({"spec": {"variables": {"good": "yes"}}})).await?;
        expect::ended(&story.numbered_ends("blog", 3).await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await.map(drop)
    })
    .await
}

/// Another attempt of the same Deployment, on the same input, with a pod of its own.
#[tokio::test]
async fn another_attempt() -> Outcome {
    Story::tell("attempts", async |story| {
        let servers = tests::Servers::of(story).await?;
        let tasks = format!(
            "[{{name: Count, ansible.builtin.shell: '{}'}}, {{name: Work, ansible.builtin.shell: 'test $(wc -l < /tmp/{}) -ge 3'}}]",
            servers.prove(),
            story.namespace
        );
        let rule = "policy: {retries: {limit: 2, backoff: 1s}}";
        story.apply(&service("blog").tasks(&tasks).on(&servers).with(rule)).await?;
        story.apply(&deployment("run", "blog")).await?;
        let retrying = |run: &Deployment| run.status.as_ref().is_some_and(|s| s.reason.as_deref() == Some("Retrying"));
        story.run_until("run", "Retrying", retrying).await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("attempt", run.status.and_then(|status| status.attempt), Some(3))?;
        same("runs of Ansible", servers.proofs(0).await?, 3)
    })
    .await
}

/// Ansible's word is not the site's: asked from the run's pod. What does not work gives way to what did.
#[tokio::test]
async fn the_site_is_asked() -> Outcome {
    Story::tell("health", async |story| {
        let url = format!("http://fastdeploy-operator.{}.svc:8080/healthz", tests::installation());
        let check = |status: u16| json!({"http": {"url": url, "status": status, "timeout": "2s"}});
        let mut blog = service("blog").with("policy: {rollbackOnFailure: true}").on_change();
        blog.0["spec"]["healthCheck"] = check(200);
        story.apply(&blog).await?;
        let run = story.numbered_ends("blog", 1).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("siteUp", run.status.and_then(|status| status.site_up), Some(true))?;

        let change = json!({"spec": {"variables": {"n": 1}, "healthCheck": check(418)}});
        story.patch_service("blog", change).await?;
        let run = story.numbered_ends("blog", 2).await?;
        expect::ended(&run, Phase::Failed, "HealthCheckFailed")?;
        let status = run.status.unwrap_or_default();
        same("siteUp", status.site_up, Some(false))?;
        let said = status.failure.map(|failure| failure.message).unwrap_or_default();
        holds("failure.message", &said, "answers 200, wanted 418")?;
        let back = story.numbered_ends("blog", 3).await?;
        expect::ended(&back, Phase::Succeeded, "Succeeded")?;
        same("spec.repeat", back.spec.repeat.map(|repeat| repeat.number), Some(1))?;
        let service = story.service_is("blog", "False", "False", "RolledBack").await?;
        let live = service.status.and_then(|status| status.live);
        same("live", live.map(|live| (live.number, live.healthy)), Some((3, Some(true))))
    })
    .await
}

/// What failed is undone by a run of what was live, once.
#[tokio::test]
async fn a_rollback() -> Outcome {
    Story::tell("rollback", async |story| {
        let tasks = "[{name: Say, ansible.builtin.debug: {msg: 'for {{ who }}'}}, {name: Work, ansible.builtin.command: 'test {{ good }} = yes'}]";
        let rules = "{variables: {good: 'yes', who: everybody}, policy: {rollbackOnFailure: true}}";
        story.apply(&service("blog").tasks(tasks).with(rules).on_change()).await?;
        expect::ended(&story.numbered_ends("blog", 1).await?, Phase::Succeeded, "Succeeded")?;
        story.patch_service("blog", json!({"spec": {"variables": {"good": "no", "who": "nobody"}}})).await?;
        expect::ended(&story.numbered_ends("blog", 2).await?, Phase::Failed, "TaskFailed")?;
        let back = story.numbered_ends("blog", 3).await?;
        expect::ended(&back, Phase::Succeeded, "Succeeded")?;
        same("requestedBy.via", via(&back), Some(Via::Rollback))?;
        holds("the log", &story.log_of(&back.metadata.name.unwrap_or_default()).await?, "for everybody")?;
        let service = story.service_is("blog", "False", "False", "RolledBack").await?;
        same("live.number", service.status.and_then(|s| s.live).map(|live| live.number), Some(3))?;
        same("Deployments", story.listed().await?.len(), 3)
    })
    .await
}

/// Going back by hand, also to what the cluster holds no longer; and only to where it failed.
#[tokio::test]
async fn repeating() -> Outcome {
    Story::tell("repeat", async |story| {
        let form = "{inputs: [{name: word, type: text, default: none}], history: {succeeded: 0, failed: 0}}";
        let tasks = "[{name: Say, ansible.builtin.debug: {msg: 'the word is {{ word }}'}}]";
        story.apply(&service("blog").tasks(tasks).with(form)).await?;
        for (name, word) in [("one", "first"), ("two", "second"), ("three", "third"), ("four", "fourth")] {
            story.apply(&deployment(name, "blog").with(&format!("inputs: {{word: {word}}}"))).await?;
            expect::ended(&story.ends(name).await?, Phase::Succeeded, "Succeeded")?;
        }
        // The first is gone from the cluster, and in the archive.
        story
            .deployments
            .find("no Deployment one", std::time::Duration::from_mins(1), |now| {
                (!now.contains_key("one")).then_some(())
            })
            .await?;
        story.apply(&deployment("back", "blog").with("repeat: {number: 1}")).await?;
        let run = story.ends("back").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        holds("the log", &story.log_of("back").await?, "the word is first")?;
        let is_five = |s: &Service| {
            s.status.as_ref().and_then(|s| s.live.as_ref()).is_some_and(|live| live.number == 5)
        };
        let service = story.service_until("blog", "live #5", is_five).await?;
        let live = service.status.and_then(|status| status.live);
        same("live.inputs", live.map(|live| json!(live.inputs)), Some(json!({"word": "first"})))?;

        story.apply(&deployment("nowhere", "blog").with("repeat: {number: 99}")).await?;
        expect::ended(&story.ends("nowhere").await?, Phase::Failed, "BundleNotFound")
    })
    .await
}

/// Only where it failed; then the whole of it is live. A limited run and a preview are not.
#[tokio::test]
async fn parts_of_the_servers() -> Outcome {
    Story::tell("parts", async |story| {
        let servers = tests::Servers::of(story).await?;
        let flag = format!("/tmp/{}-good", story.namespace);
        let tasks = format!(
            "[{{name: Count, ansible.builtin.shell: '{}'}}, {{name: Write, ansible.builtin.copy: {{content: x, dest: /tmp/{}-x}}}}, {{name: Work, ansible.builtin.shell: 'test $(hostname) = server-0 || test -e {flag}'}}]",
            servers.prove(),
            story.namespace
        );
        story.apply(&service("blog").tasks(&tasks).on(&servers)).await?;
        // A preview changes nothing, has no number and is not live.
        story.apply(&deployment("preview", "blog").with("mode: Check")).await?;
        let preview = story.ends("preview").await?;
        expect::ended(&preview, Phase::Succeeded, "Succeeded")?;
        let ready = preview.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == "Ready");
        holds("the preview", ready.map_or("", |c| &c.message), "Would change something in 1 of 3 steps on 2 servers")?;
        same("number", preview.status.and_then(|status| status.number), None)?;
        same("proofs", servers.proofs(0).await?, 0)?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;

        story.apply(&deployment("limited", "blog").with("limit: server-0")).await?;
        expect::ended(&story.ends("limited").await?, Phase::Succeeded, "Succeeded")?;
        same("proofs", (servers.proofs(0).await?, servers.proofs(1).await?), (1, 0))?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;

        story.apply(&deployment("whole", "blog")).await?;
        expect::ended(&story.ends("whole").await?, Phase::Failed, "TaskFailed")?;
        servers.run(1, &format!("touch {flag}")).await?;
        story.apply(&deployment("rest", "blog").with("failedOf: {number: 2}")).await?;
        expect::ended(&story.ends("rest").await?, Phase::Succeeded, "Succeeded")?;
        same("proofs", (servers.proofs(0).await?, servers.proofs(1).await?), (2, 2))?;
        let is_three = |s: &Service| s.status.as_ref().and_then(|s| s.live.as_ref()).is_some_and(|live| live.number == 3);
        story.service_until("blog", "live #3", is_three).await?;
        story.service_is("blog", "True", "True", "Deployed").await?;

        // The rest of a part is not the whole.
        story.apply(&deployment("part", "blog").with("failedOf: {number: 1}")).await?;
        expect::ended(&story.ends("part").await?, Phase::Failed, "InvalidInput")?;
        story.apply(&deployment("nobody", "blog").with("failedOf: {number: 3}")).await?;
        expect::ended(&story.ends("nobody").await?, Phase::Failed, "InvalidInput")
    })
    .await
}

/// Who depends waits; a circle is named.
#[tokio::test]
async fn one_after_another() -> Outcome {
    Story::tell("depends", async |story| {
        let app = service("app").on_change().with("dependsOn: [{name: database}]");
        story.apply(&app).await?;
        story.service_is("app", "False", "False", "DependencyNotReady").await?;
        holds("the condition", &message(story, "app").await?, "database, which is not there")?;
        let slow = "[{name: Slow, ansible.builtin.command: sleep 2}]";
        story.apply(&service("database").tasks(slow).on_change()).await?;
        let database = story.numbered_ends("database", 1).await?;
        let app = story.numbered_ends("app", 1).await?;
        expect::ended(&app, Phase::Succeeded, "Succeeded")?;
        let (ended, created) =
            (database.status.and_then(|s| s.finished_at), app.metadata.creation_timestamp.map(|t| t.0));
        ensure!(
            ended <= created.map(|t| t + jiff_second()),
            "app was made at {created:?}, before database had ended at {ended:?}"
        );

        story.patch_service("database", json!({"spec": {"dependsOn": [{"name": "app"}]}})).await?;
        story.service_is("database", "False", "Unknown", "InvalidSpec").await?;
        holds("the condition", &message(story, "database").await?, "database → app → database is a circle")?;
        story.service_is("app", "False", "Unknown", "InvalidSpec").await?;
        // Reverted, it heals by itself.
        story.patch_service("database", json!({"spec": {"dependsOn": null}})).await?;
        story.service_is("database", "True", "True", "Deployed").await?;
        story.service_is("app", "True", "True", "Deployed").await.map(drop)
    })
    .await
}

/// Kubernetes counts creation in whole seconds.
fn jiff_second() -> std::time::Duration {
    std::time::Duration::from_secs(1)
}

/// By the clock; and not when the windows forbid it, which say when.
#[tokio::test]
async fn the_clock() -> Outcome {
    Story::tell("clock", async |story| {
        story
            .apply(&service("blog").with("policy: {schedule: {cron: '* * * * *', timeZone: Europe/Berlin}}"))
            .await?;
        let service = story
            .service_until("blog", "a next tick", |s| s.status.as_ref().is_some_and(|s| s.next.is_some()))
            .await?;
        let next = service.status.and_then(|status| status.next);
        same("next.because", next.as_ref().map(|next| next.because), Some(Cause::Schedule))?;
        let run = story.numbered_ends("blog", 1).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        same("requestedBy.via", via(&run), Some(Via::Schedule))?;
        let after = |s: &Service| {
            s.status.as_ref().and_then(|s| s.next.as_ref()).map(|n| n.at) > next.as_ref().map(|n| n.at)
        };
        story.service_until("blog", "the tick after", after).await?;
        story
            .patch_service("blog", json!({"spec": {"policy": {"schedule": {"cron": "0 0 31 2 *"}}}}))
            .await?;
        story.service_is("blog", "False", "Unknown", "InvalidSpec").await?;

        let closed = "policy: {windows: [{from: '00:00', to: '24:00', effect: Deny}]}";
        story.apply(&tests::service("later").on_change().with(closed)).await?;
        story.service_is("later", "True", "False", "WaitingForWindow").await?;
        // People may.
        story.apply(&deployment("by-hand", "later")).await?;
        expect::ended(&story.ends("by-hand").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("later", "True", "True", "Deployed").await.map(drop)
    })
    .await
}

/// A newer run that nobody asked for takes the place of one that waits; a person's run waits all the same;
/// with Replace, the one that is on gives way.
#[tokio::test]
async fn newer_ones() -> Outcome {
    Story::tell("newer", async |story| {
        let tasks = "[{name: First, ansible.builtin.command: sleep 4}, {name: Second, ansible.builtin.debug: {msg: '{{ n }}'}}]";
        story.apply(&service("blog").tasks(tasks).with("variables: {n: 0}")).await?;
        story.apply(&deployment("on", "blog")).await?;
        story.runs("on").await?;
        story.apply(&deployment("waits", "blog")).await?;
        story.run_until("waits", "Queued", |run| tests::phase(run) == Some(Phase::Queued)).await?;
        story.patch_service("blog", json!({"spec": {"variables": {"n": 1}, "policy": {"deploy": "OnChange"}}})).await?;
        let first = story.numbered("blog", 3).await?;
        let name = first.metadata.name.clone().unwrap_or_default();
        story.run_until(&name, "Queued", |run| tests::phase(run) == Some(Phase::Queued)).await?;
        story.patch_service("blog", json!({"spec": {"variables": {"n": 2}}})).await?;
        expect::ended(&story.ends(&name).await?, Phase::Cancelled, "Superseded")?;
        expect::ended(&story.ends("waits").await?, Phase::Succeeded, "Succeeded")?;
        let last = story.numbered_ends("blog", 4).await?;
        expect::ended(&last, Phase::Succeeded, "Succeeded")?;

        story.patch_service("blog", json!({"spec": {"policy": {"concurrency": "Replace", "deploy": "Manual"}}})).await?;
        story.apply(&deployment("old", "blog")).await?;
        story.runs("old").await?;
        story.apply(&deployment("new", "blog")).await?;
        expect::ended(&story.ends("old").await?, Phase::Cancelled, "Replaced")?;
        expect::ended(&story.ends("new").await?, Phase::Succeeded, "Succeeded")
    })
    .await
}
