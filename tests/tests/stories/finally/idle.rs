//! A thousand Services that nothing happens to cost the API server next to nothing.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tests::{
    Outcome, Result, Story,
    audit::{Audit, Use},
    ensure,
    manifest::Manifest,
    repository::Repository,
    service, system,
    system::Program,
};

const SERVICES: usize = 1_000;
const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_thousand_idle_services() -> Outcome {
    let Some(audit) = Audit::here("idle") else { return Ok(()) };
    Story::tell_alone("idle", async |story| {
        system::quiet(&story.client).await?;
        let repository = Repository::public(story).await?;
        repository.commit("main", "deploy.yml", "[{hosts: all}]", None).await?;
        let all: Vec<Manifest> = (0..SERVICES).map(|n| one(n, &repository)).collect();
        let applied: Vec<()> = stream::iter(&all)
            .map(|service| story.apply(service))
            .buffer_unordered(8)
            .map_ok(drop)
            .try_collect()
            .await?;
        ensure!(applied.len() == SERVICES, "not all were applied");
        let settled = |service: &crds::Service| {
            let status = service.status.as_ref();
            status.is_some_and(|status| crds::conditions::is_true(&status.conditions, "Ready"))
        };
        let patience = Duration::from_mins(3);
        story
            .services
            .find("a thousand that are Ready", patience, |now| {
                (now.values().filter(|service| settled(service)).count() == SERVICES).then_some(())
            })
            .await?;

        let operator = Program::new(&story.client, "operator");
        let passes = async || operator.metric("fastdeploy_operator_reconciles_total").await;
        let (before, earlier) = (passes().await?, used(&audit)?);
        // This is the measurement, not a wait for something.
        tokio::time::sleep(MINUTE).await;
        let later = used(&audit)?;
        let passes = passes().await? - before;
        let mut new = BTreeMap::<String, usize>::new();
        for (what, count) in later {
            let more = count - earlier.get(&what).copied().unwrap_or(0);
            if more > 0 {
                new.insert(what, more);
            }
        }
        let requests: usize = new.values().sum();
        eprintln!("{requests} requests and {passes} passes in a minute with {SERVICES} Services: {new:?}");
        ensure!(
            requests < 60,
            "expected less than one request a second, saw {requests} in a minute: {new:?}"
        );
        Ok(())
    })
    .await
}

/// Most by hand, some from a repository, some by the clock.
fn one(n: usize, repository: &Repository) -> Manifest {
    let mut service = service(&format!("blog-{n}"));
    match n % 10 {
        0 => {
            let git = json!({"url": repository.https(), "caBundle": repository.ca()});
            service.0["spec"]["source"] = json!({ "git": git });
            service
        }
        1 => service.with("policy: {schedule: {cron: '0 4 1 1 *'}}"),
        _ => service,
    }
}

/// What both programs asked for, but for watches and the write by which the lease is renewed each second.
fn used(audit: &Audit) -> Result<BTreeMap<String, usize>> {
    let mut used = BTreeMap::new();
    for account in ["fastdeploy-operator", "fastdeploy-api-server"] {
        let counts = |used: &Use| used.verb != "watch" && (used.resource != "leases" || used.verb != "patch");
        for one in audit.uses(account)?.into_iter().filter(counts) {
            *used.entry(format!("{account}: {} {}", one.verb, one.resource)).or_default() += 1;
        }
    }
    Ok(used)
}
