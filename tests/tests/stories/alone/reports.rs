//! Reports, whatever is taken away meanwhile: no run is disturbed, nothing is lost, nothing is there twice.

use std::time::Duration;

use crds::{Deployment, Phase};
use kube::api::DeleteParams;
use protocol::event::Kind;
use store::mirror::Known;
use tests::{
    Outcome, Result, Servers, Story,
    browser::Browser,
    database, deployment, ensure, expect,
    node::Node,
    reports,
    reports::{Arrived, Written},
    same, service,
    system::Program,
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
    let written = match Node::here("what-the-callback-wrote") {
        Some(node) => Some(Written::of(story, &node, "run").await?),
        None => None,
    };
    meanwhile().await?;
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;
    let phase = |known: &Known| known.phase.as_deref() == Some("Succeeded") && known.number == Some(1);
    reports::mirrored(&run, "#1 Succeeded", phase).await?;
    let arrived = reports::arrived(story, &run, 1).await?;
    written.map_or(Ok(()), |written| written.is(&arrived))?;
    let Arrived { events, lines } = arrived;
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
        told(story, 2, async || Ok(())).await?;
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
async fn a_browser_that_was_away() -> Outcome {
    let Some(node) = Node::here("browser-away") else { return Ok(()) };
    Story::tell("browser-away", async |story| {
        let servers = Servers::of(story).await?;
        let service = service("blog").on(&servers).tasks(&tasks(&servers.prove()));
        story.apply(&service.with("variables: {seconds: 8}")).await?;
        story.apply(&deployment("run", "blog")).await?;
        let left = Browser::at_the_page().await?.follow(&story.api().get("run").await?).leave().await?;
        story.says("run", "TASK [Stay]").await?;
        let written = Written::of(story, &node, "run").await?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let arrived = reports::arrived(story, &run, 1).await?;
        written.is(&arrived)?;
        let (seen, all) = (left.lines(), arrived.lines.len());
        ensure!(seen < all, "it had seen all {all} lines when it left");
        let back = left.back();
        back.saw(&arrived.events, &arrived.lines).await?;
        same("times it began anew", back.resets(), 0)
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

/// As long as the runner's pod stays to deliver what is left. `FASTDEPLOY_API_AWAY`: other seconds than 600.
#[tokio::test]
#[ignore = "long: `make test-all` tells it"]
async fn api_away_for_ten_minutes_during_a_run() -> Outcome {
    let seconds = std::env::var("FASTDEPLOY_API_AWAY").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let limit = Duration::from_secs(seconds) + Duration::from_mins(5);
    Story::tell_alone_within(limit, "api-away-long", async |story| {
        let servers = Servers::of(story).await?;
        let with = format!("variables: {{seconds: {}}}", seconds / 2);
        story.apply(&service("blog").on(&servers).tasks(&tasks(&servers.prove())).with(&with)).await?;
        story.apply(&deployment("run", "blog")).await?;
        story.says("run", "TASK [Stay]").await?;
        let api = Program::new(&story.client, "api-server");
        api.scale(0).await?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let kept = story.run_until("run", "Running", |run| tests::phase(run) == Some(Phase::Running)).await;
        api.scale(1).await?;
        // Ansible has ended meanwhile; that its pod waits to deliver disturbs nobody.
        kept?;
        let run = story.ends("run").await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let Arrived { events, .. } = reports::arrived(story, &run, 1).await?;
        let began = events.iter().filter(|event| matches!(event.kind, Kind::StepStarted { .. })).count();
        same("steps that began", began, 4)?;
        same("runs of Ansible on the server", servers.proofs(0).await?, 1)
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
            database::psql("drop schema public cascade; create schema public").await?;
            database::scale(0).await?;
            tokio::time::sleep(Duration::from_secs(30)).await;
            database::scale(1).await
        })
        .await;
        database::scale(1).await?;
        told
    })
    .await
}
