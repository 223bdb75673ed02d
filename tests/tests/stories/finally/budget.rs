//! What one plain run costs the API server.

use crds::Phase;
use k8s_openapi::api::core::v1::Pod;
use tests::{
    Outcome, Result, Story,
    audit::{Audit, Use},
    deployment, ensure, expect, service,
    system::{self, Program},
};

const ACCOUNTS: [(&str, usize); 2] = [("fastdeploy-operator", 12), ("fastdeploy-api-server", 2)];

#[tokio::test]
async fn budget_of_one_run() -> Outcome {
    let Some(audit) = Audit::here("budget") else { return Ok(()) };
    Story::tell_alone("budget", async |story| {
        story.apply(&service("blog")).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        system::quiet(&story.client).await?;
        let operator = Program::new(&story.client, "operator");
        let earlier =
            ACCOUNTS.map(|(account, _)| writes(&audit, account, story).map_or(0, |list| list.len()));
        let before = operator.metric("fastdeploy_operator_reconciles_total").await?;
        let over = operator.metric("fastdeploy_operator_deployments_total").await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        let ended = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded");
        story.pod_of("run", "ended", ended).await?;
        let passes = operator.metric("fastdeploy_operator_reconciles_total").await? - before;

        eprintln!("{passes} passes");
        let over = operator.metric("fastdeploy_operator_deployments_total").await? - over;
        ensure!((over - 1.0).abs() < 0.1, "expected one more in fastdeploy_operator_deployments, saw {over}");
        for ((account, most), earlier) in ACCOUNTS.into_iter().zip(earlier) {
            let writes = writes(&audit, account, story)?.split_off(earlier);
            let list = writes.iter().map(Use::to_string).collect::<Vec<_>>().join("\n  ");
            let seen = format!("{account}: expected 1 to {most} writes, saw {}:\n  {list}", writes.len());
            ensure!((1..=most).contains(&writes.len()), "{seen}");
            eprintln!("{seen}");
        }
        ensure!(passes < 20.0, "expected fewer than 20 passes for one run, saw {passes}");
        Ok(())
    })
    .await
}

/// What an account wrote in the story's namespace, refused or not.
fn writes(audit: &Audit, account: &str, story: &Story) -> Result<Vec<Use>> {
    let mut writes = audit.uses(account)?;
    writes.retain(|used| used.namespace == story.namespace && used.is_write());
    Ok(writes)
}
