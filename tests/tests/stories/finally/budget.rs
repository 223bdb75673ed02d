//! What one plain run costs the API server.

use crds::Phase;
use k8s_openapi::api::core::v1::Pod;
use tests::{
    Outcome, Story,
    audit::{Audit, Use},
    deployment, ensure, expect, service,
    system::{self, Program},
};

#[tokio::test]
async fn budget_of_one_run() -> Outcome {
    let Some(audit) = Audit::here("budget") else { return Ok(()) };
    Story::tell_alone("budget", async |story| {
        story.apply(&service("blog")).await?;
        story.service_is("blog", "True", "False", "WaitingForPerson").await?;
        system::quiet(&story.client).await?;
        let operator = Program::new(&story.client, "operator");
        let before = operator.metric("fastdeploy_operator_reconciles_total").await?;
        story.apply(&deployment("run", "blog")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        let ended = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded");
        story.pod_of("run", "ended", ended).await?;
        let passes = operator.metric("fastdeploy_operator_reconciles_total").await? - before;

        eprintln!("{passes} passes");
        for (account, most) in [("fastdeploy-operator", 12), ("fastdeploy-api-server", 2)] {
            let mut writes = audit.uses(account)?;
            writes.retain(|used| used.namespace == story.namespace && used.is_write());
            let list = writes.iter().map(Use::to_string).collect::<Vec<_>>().join("\n  ");
            eprintln!("{account}: {} writes:\n  {list}", writes.len());
            ensure!(
                writes.len() <= most,
                "{account}: expected at most {most} writes, saw {}:\n  {list}",
                writes.len()
            );
            ensure!(!writes.is_empty(), "{account}: expected a write in the audit log, saw none");
        }
        ensure!(passes < 20.0, "expected fewer than 20 passes for one run, saw {passes}");
        Ok(())
    })
    .await
}
