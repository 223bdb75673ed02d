//! The leader freezes just before it makes a Job, another one takes over and deploys, and when all
//! is over the first one wakes up and goes on where it froze: Ansible has run once.

use crds::Phase;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use tests::{
    Outcome, Result, Servers, Story, deployment, ensure, expect,
    operators::{self, Operator},
    same, service,
    system::Program,
};

#[tokio::test]
async fn two_operators() -> Outcome {
    let program = operators::build().await?;
    Story::tell_alone("two-operators", async |story| {
        let servers = Servers::of(story).await?;
        let installed = Program::new(&story.client, "operator");
        installed.scale(0).await?;
        let outcome = one_freezes(story, &servers, &program).await;
        installed.scale(1).await?;
        outcome
    })
    .await
}

async fn one_freezes(story: &Story, servers: &Servers, program: &str) -> Result<()> {
    let mut first = Operator::start(&story.client, program, "first", 18_091, Some("CreateJob")).await?;
    first.leads().await?;
    let task = format!("[{{ansible.builtin.shell: '{}'}}]", servers.prove());
    story.apply(&service("blog").on(servers).tasks(&task)).await?;
    story.apply(&deployment("run", "blog")).await?;
    first.freezes().await?;
    let run = story.run_until("run", "Preparing", |run| tests::phase(run) == Some(Phase::Preparing)).await?;
    same("Jobs before the second operator leads", story.count::<Job>("").await?, 0)?;

    let second = Operator::start(&story.client, program, "second", 18_092, None).await?;
    second.leads().await?;
    expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
    story.service_is("blog", "True", "True", "Deployed").await?;

    // Nothing of the run is left that could stand in the way of a second one, but its claim.
    story.delete::<Job>(&format!("{}-a1", run.name_any())).await?;
    story
        .pods
        .find("no pod", std::time::Duration::from_mins(1), |pods| pods.is_empty().then_some(()))
        .await?;
    first.wake()?;
    first.ends().await?;

    // Whether its late write got through or not: what came of it was not allowed to start Ansible.
    if story.count::<Job>("").await? > 0 {
        eprintln!("the late write got through; its pod must be refused");
        let ended = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Failed");
        story.pod_of("run", "refused and ended", ended).await?;
        let log = story.log_of("run").await?;
        ensure!(!log.contains("PLAY"), "expected the late pod not to start Ansible, but it printed:\n{log}");
    }
    same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
    let phase = story.listed().await?.first().and_then(tests::phase);
    same("the phase in the end", phase, Some(Phase::Succeeded))
}
