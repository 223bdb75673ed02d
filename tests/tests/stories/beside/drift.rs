//! Somebody changes a server by hand: that is found, told, and corrected where the policy says so.

use crds::{Deployment, Phase, Service, deployment::Via, drift::DriftResult};
use kube::ResourceExt;
use serde_json::json;
use tests::{Outcome, Result, Servers, Story, deployment, ensure, expect, holds, same, service};

/// Waits until the last check of a Service, after that run, has come to this.
async fn comes_to(story: &Story, number: i64, result: DriftResult) -> Result<Service> {
    let is = |service: &Service| {
        let drift = service.status.as_ref().and_then(|status| status.drift.as_ref());
        drift.is_some_and(|drift| drift.number == number && drift.result == Some(result))
    };
    story.service_until("blog", &format!("drift {result:?} after #{number}"), is).await
}

fn message(service: &Service) -> String {
    let conditions = service.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    crds::conditions::find(&conditions, "InSync").map(|c| c.message.clone()).unwrap_or_default()
}

fn is_check(run: &Deployment) -> bool {
    run.spec.mode == crds::deployment::Mode::Check
}

/// A file is changed by hand: found, and left alone; then corrected; and a step that no run brings to rest is
/// corrected once and no more. A step that changes something each time was never drift.
#[tokio::test]
async fn drift() -> Outcome {
    Story::tell("drift", async |story| {
        let servers = Servers::of(story).await?;
        let file = format!("/tmp/{}", story.namespace);
        let tasks = format!(
            "[{{name: Settings, ansible.builtin.copy: {{content: good, dest: {file}-settings}}}},
              {{name: Date, ansible.builtin.copy: {{content: '{{{{ now() }}}}', dest: {file}-date}}}},
              {{name: Look, ansible.builtin.stat: {{path: {file}-worn}}, register: worn}},
              {{name: Worn, ansible.builtin.copy: {{content: '{{{{ now() }}}}', dest: {file}-part}}, when: worn.stat.exists}}]"
        );
        let rule = "policy: {deploy: OnChange, drift: {every: 10s}}";
        story.apply(&service("blog").tasks(&tasks).on(&servers).with(rule)).await?;
        expect::ended(&story.numbered_ends("blog", 1).await?, Phase::Succeeded, "Succeeded")?;
        let blog = comes_to(story, 1, DriftResult::InSync).await?;
        let baseline = blog.status.and_then(|s| s.drift).and_then(|drift| drift.baseline).unwrap_or_default();
        let usual: Vec<_> = baseline.iter().map(|step| (step.name.as_str(), step.hosts)).collect();
        same("status.drift.baseline", usual, vec![("Date", 2)])?;

        servers.run(1, &format!("echo bad > {file}-settings")).await?;
        let blog = story.service_is("blog", "True", "False", "Drifted").await?;
        holds("the condition", &message(&blog), "1 step would change something: “Settings” on 1 server")?;
        let status = blog.status.unwrap_or_default();
        let numbers = (status.last_number, status.live.map(|live| live.number), status.last.and_then(|last| last.number));
        same("lastNumber, live, last", numbers, (Some(1), Some(1), Some(1)))?;
        same("the file", servers.run(1, &format!("cat {file}-settings")).await?.trim(), "bad")?;

        story.patch_service("blog", json!({"spec": {"policy": {"drift": {"correct": true}}}})).await?;
        let correction = story.numbered_ends("blog", 2).await?;
        expect::ended(&correction, Phase::Succeeded, "Succeeded")?;
        let by = correction.status.as_ref().and_then(|s| s.requested_by.as_ref()).map(|by| by.via);
        same("requestedBy.via", by, Some(Via::Drift))?;
        same("the file", servers.run(1, &format!("cat {file}-settings")).await?.trim(), "good")?;
        comes_to(story, 2, DriftResult::InSync).await?;
        story.service_is("blog", "True", "True", "Deployed").await?;

        // From now on, a step changes something each time.
        servers.run(0, &format!("touch {file}-worn")).await?;
        expect::ended(&story.numbered_ends("blog", 3).await?, Phase::Succeeded, "Succeeded")?;
        let blog = story.service_is("blog", "False", "False", "NotIdempotent").await?;
        holds("the condition", &message(&blog), "“Worn” on 1 server")?;
        // One more look, and no more run.
        let seen = blog.status.and_then(|s| s.drift).and_then(|drift| drift.checked).map(|c| c.deployment.uid);
        let again = |s: &Service| {
            let checked = s.status.as_ref().and_then(|s| s.drift.as_ref()?.checked.as_ref());
            checked.map(|c| &c.deployment.uid) != seen.as_ref()
        };
        let blog = story.service_until("blog", "another check", again).await?;
        same("lastNumber", blog.status.and_then(|status| status.last_number), Some(3))?;

        // Whoever deploys is not kept waiting by a check, and has it look anew.
        story.apply(&deployment("by-hand", "blog")).await?;
        expect::ended(&story.ends("by-hand").await?, Phase::Succeeded, "Succeeded")?;
        comes_to(story, 4, DriftResult::InSync).await?;
        story.patch_service("blog", json!({"spec": {"policy": {"drift": null}}})).await?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        let runs = story.listed().await?;
        ensure!(runs.iter().filter(|run| is_check(run)).all(|run| run.status.as_ref().is_none_or(|s| s.number.is_none())), "a check has a number");
        let kept = runs.iter().filter(|run| is_check(run) && tests::phase(run).is_some_and(Phase::is_terminal));
        let kept: Vec<_> = kept.map(ResourceExt::name_any).collect();
        ensure!(kept.len() <= 2, "expected the last check only, saw {kept:?}");
        Ok(())
    })
    .await
}
