//! The wire between the operator and Kubernetes is slow and loses answers, and later goes dead without a word: each
//! run is made once, all of them end, and what happened meanwhile is noticed.

use std::time::Duration;

use crds::Phase;
use tests::{
    Outcome, Result, Servers, Story, deployment, ensure, expect,
    manifest::Manifest,
    operators::{self, Operator},
    same, service,
    system::Program,
    wire::Wire,
};

const RUNS: usize = 6;
/// Pieces of answers that do not arrive, of some hundreds.
const LOST: u64 = 40;
/// Instead of the 75 s of an installation, so that the story need not wait for them.
const PATIENCE: &str = "5s";

#[tokio::test]
async fn half_away() -> Outcome {
    let program = operators::build().await?;
    Story::tell_alone("half-away", async |story| {
        let installed = Program::new(&story.client, "operator");
        installed.scale(0).await?;
        let outcome = Box::pin(told(story, &program)).await;
        installed.scale(1).await?;
        outcome
    })
    .await
}

async fn told(story: &Story, program: &str) -> Result<()> {
    let wire = Wire::lay(1).await?;
    let kubeconfig = wire.kubeconfig();
    let besides = [("KUBECONFIG", kubeconfig.as_str()), ("FASTDEPLOY_KUBERNETES_PATIENCE", PATIENCE)];
    let start = || Operator::start_with(&story.client, program, "half-away", 18_093, &besides);
    let mut operator = start().await?;
    operator.leads().await?;
    let mut begun_again = 0;
    // As the kubelet does with one that has lost its lease, and ends.
    let kept = async {
        loop {
            operator.over().await?;
            begun_again += 1;
            operator = start().await?;
        }
    };
    let outcome: Result<()> = tokio::select! {
        outcome = disturbed(story, &wire) => outcome,
        outcome = kept => outcome,
    };
    eprintln!("the operator was started again {begun_again} times");
    outcome
}

async fn disturbed(story: &Story, wire: &Wire) -> Result<()> {
    let servers = Servers::of(story).await?;
    let counted = |name: &str| -> Manifest {
        service(name).on(&servers).tasks(&format!("[{{ansible.builtin.shell: '{}'}}]", servers.prove()))
    };
    wire.disturb(Duration::from_millis(100), 8, LOST);
    for n in 0..RUNS {
        story.apply(&counted(&format!("blog-{n}"))).await?;
        story.apply(&deployment(&format!("run-{n}"), &format!("blog-{n}"))).await?;
    }
    for n in 0..RUNS {
        expect::ended(&story.ends(&format!("run-{n}")).await?, Phase::Succeeded, "Succeeded")?;
    }
    ensure!(
        wire.cuts_left() < LOST / 2,
        "expected many answers to be lost, {} of {LOST} were not",
        wire.cuts_left()
    );
    same("runs of Ansible on the server", servers.proofs(0).await?, RUNS)?;

    wire.disturb(Duration::ZERO, 0, 0);
    for n in 0..RUNS {
        story.service_is(&format!("blog-{n}"), "True", "True", "Deployed").await?;
    }
    // Every watch is dead: nobody will ever say that there is another run.
    wire.go_dead();
    story.apply(&deployment("after", "blog-0")).await?;
    expect::ended(&story.ends("after").await?, Phase::Succeeded, "Succeeded")?;
    same("runs of Ansible on the server", servers.proofs(0).await?, RUNS + 1)
}
