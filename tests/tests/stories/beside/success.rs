//! The sample: a Service is applied, and a site answers.

use crds::{Phase, deployment::StepState, service::Service};
use tests::{Outcome, Result, Servers, Story, ensure, expect, holds, manifest::Manifest, same};

#[tokio::test]
async fn success() -> Outcome {
    Story::tell("success", async |story| {
        let servers = Servers::of(story).await?;
        let blog = blog(&servers);
        story.apply(&blog).await?;

        let run = story.numbered_ends("blog", 1).await?;
        expect::ended(&run, Phase::Succeeded, "Succeeded")?;
        let status = run.status.unwrap_or_default();
        let hosts = status.hosts.unwrap_or_default();
        same(
            "hosts (total, ok, failed, unreachable)",
            (hosts.total, hosts.ok, hosts.failed, hosts.unreachable),
            (2, 2, 0, 0),
        )?;
        ensure!(status.steps.len() >= 10, "expected the steps of the role, saw {:?}", status.steps);
        for step in &status.steps {
            same(&format!("state of step {}", step.name), step.state, StepState::Succeeded)?;
        }
        holds("first step", &status.steps[0].name, "Create the blog's own user")?;
        same("outputs", status.outputs.get("greeting"), Some(&"from the playbook".into()))?;

        let service = story.service_is("blog", "True", "True", "Deployed").await?;
        let live = service.status.unwrap_or_default().live;
        same("live.number", live.as_ref().map(|live| live.number), Some(1))?;
        same("live.outputs", live.map(|live| live.outputs), Some(status.outputs))?;

        for server in [0, 1] {
            let answer = servers.site(server, "/version").await?;
            holds("the site's answer", &answer, "1.0.0")?;
            holds("the site's answer", &answer, &format!("server-{server}"))?;
        }
        let events = story.events_about(&run.metadata.name.unwrap_or_default()).await?;
        let succeeded = events.iter().filter(|(type_, reason, _)| type_ == "Normal" && reason == "Succeeded");
        same(&format!("Events that tell of the success in {events:?}"), succeeded.count(), 1)?;

        applying_the_same_again_makes_no_run(story, &blog).await
    })
    .await
}

async fn applying_the_same_again_makes_no_run(story: &Story, blog: &Manifest) -> Result<()> {
    // A title is for people: the spec changes, what is deployed does not.
    story.apply(&blog.clone().with("title: The same blog")).await?;
    let service: Service = story.service_is("blog", "True", "True", "Deployed").await?;
    same("live.number", service.status.and_then(|status| status.live).map(|live| live.number), Some(1))?;
    same("Deployments", story.listed().await?.len(), 1)
}

/// `manifests/samples/blog.yaml` on the servers of the tests, and with an output.
fn blog(servers: &Servers) -> Manifest {
    let mut blog = Manifest::yaml(include_str!("../../../../manifests/samples/blog.yaml"));
    blog.0["metadata"]["namespace"] = serde_json::Value::Null;
    let files = &mut blog.0["spec"]["source"]["inline"];
    let playbook = files["deploy.yml"].as_str().unwrap_or_default().replace("hosts: web", "hosts: all");
    let output = "    - name: Tell what was done\n      run_once: true\n      ansible.builtin.set_stats: {data: {greeting: from the playbook}}\n";
    files["deploy.yml"] = (playbook + output).into();
    blog.on(servers)
}
