//! Reports, whatever is taken away meanwhile: no run is disturbed, nothing is lost, nothing is there twice.

use std::time::Duration;

use crds::{Deployment, Phase};
use kube::api::DeleteParams;
use protocol::event::Kind;
use store::mirror::Known;
use tests::{
    Outcome, Result, Servers, Story, browser::Browser, deployment, ensure, expect, installation, kubectl,
    node::Node, reports, reports::Arrived, same, service, system::Program,
};

/// Some steps before, much output, one step that takes its time, some steps after.
fn tasks(prove: &str) -> String {
    format!(
        "
- {{name: Prove, ansible.builtin.shell: '{prove}'}}
- {{name: Much, ansible.builtin.debug: {{msg: \"{{{{ range(0, 3000) | list }}}}\"}}}}
- {{name: Stay, ansible.builtin.command: 'sleep {{{{ seconds }}}}'}}
- {{name: Then, ansible.builtin.debug: {{msg: 'and then'}}}}
"
    )
}

/// Tells it with something happening in the middle.
async fn told(story: &Story, seconds: u32, meanwhile: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let servers = Servers::of(story).await?;
    let with = format!("variables: {{seconds: {seconds}}}");
    story.apply(&service("blog").on(&servers).tasks(&tasks(&servers.prove())).with(&with)).await?;
    story.apply(&deployment("run", "blog")).await?;
    let followed = Browser::at_the_page().await?.follow(&story.api().get("run").await?);
    story.says("run", "TASK [Stay]").await?;
    meanwhile().await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;
    let phase = |known: &Known| known.phase.as_deref() == Some("Succeeded") && known.number == Some(1);
    reports::mirrored(&run, "#1 Succeeded", phase).await?;
    let Arrived { events, lines } = reports::arrived(story, &run, 1).await?;
    followed.saw(&events, &lines).await?;
    let began = events.iter().filter(|event| matches!(event.kind, Kind::StepStarted { .. })).count();
    same("steps that began", began, 4)?;
    story.service_is("blog", "True", "True", "Deployed").await?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
    same("pods", story.pods.ever().len(), 1)
}

#[tokio::test]
async fn undisturbed_reports() -> Outcome {
    Story::tell("reports", async |story| {
        told(story, 0, async || Ok(())).await?;
        let run = story.ends("run").await?;
        let run = run.status.and_then(|status| status.run);
        ensure!(
            run.as_ref().is_some_and(|run| run.result.is_some() && run.seq > 0),
            "expected the final report in status.run, saw {run:?}"
        );
        let run = story.ends("run").await?;
        story.api::<Deployment>().delete("run", &DeleteParams::background()).await?;
        reports::mirrored(&run, "gone, and still known", |known| known.gone).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn api_server_killed_during_a_run() -> Outcome {
    let Some(node) = Node::here("api-killed") else { return Ok(()) };
    Story::tell_alone("api-killed", async |story| {
        let api = Program::new(&story.client, "api-server");
        told(story, 8, async || {
            for pod in api.pods().await? {
                node.kill_pod(&pod, "fastdeploy-api-server")?;
            }
            api.ready().await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn operator_killed_during_a_run() -> Outcome {
    let Some(node) = Node::here("operator-killed-reports") else { return Ok(()) };
    Story::tell_alone("operator-killed-reports", async |story| {
        let operator = Program::new(&story.client, "operator");
        told(story, 8, async || {
            for pod in operator.pods().await? {
                node.kill_pod(&pod, "fastdeploy-operator")?;
            }
            operator.ready().await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn database_away_for_30_seconds_and_wiped_during_a_run() -> Outcome {
    Story::tell_alone("database-wiped", async |story| {
        let told = told(story, 20, async || {
            psql("drop schema public cascade; create schema public").await?;
            scale(0).await?;
            tokio::time::sleep(Duration::from_secs(30)).await;
            scale(1).await
        })
        .await;
        scale(1).await?;
        told
    })
    .await
}

async fn scale(replicas: u32) -> Result<()> {
    let installation = installation();
    let words = ["--namespace", &installation, "scale", "statefulset/fastdeploy-postgresql"];
    kubectl::run(&[&words[..], &[&format!("--replicas={replicas}")]].concat()).await?;
    let wait = [
        "--namespace",
        &installation,
        "rollout",
        "status",
        "statefulset/fastdeploy-postgresql",
        "--timeout=1m",
    ];
    kubectl::run(&wait).await.map(drop)
}

async fn psql(statement: &str) -> Result<()> {
    let installation = installation();
    let command = "exec /usr/lib/postgresql/*/bin/psql --host /tmp --username fastdeploy --quiet fastdeploy";
    let words = [
        "--namespace",
        &installation,
        "exec",
        "--stdin",
        "statefulset/fastdeploy-postgresql",
        "--",
        "sh",
        "-c",
        command,
    ];
    let said = kubectl::ask(&words, statement).await?;
    ensure!(said.ok, "psql: {}", said.err);
    Ok(())
}
