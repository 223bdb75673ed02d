//! Two api-servers: signed in at one, deployed there, followed at the other, and the first is killed in
//! the middle. It makes no difference.

use crds::{Deployment, Phase};
use serde_json::json;
use tests::{
    Outcome, Servers, Story, browser,
    browser::Browser,
    expect,
    node::Node,
    reports::{self, Written},
    same, service,
    system::Program,
};

#[tokio::test]
async fn signed_in_at_one_replica_and_streamed_from_the_other() -> Outcome {
    let Some(node) = Node::here("replicas") else { return Ok(()) };
    Story::tell_alone("replicas", async |story| {
        let api = Program::new(&story.client, "api-server");
        api.scale(2).await?;
        let told = async {
            let replicas = browser::replicas().await?;
            same("replicas", replicas.len(), 2)?;
            let first = Browser::at(&replicas[0]).await?;
            let second = first.moved_to(&replicas[1])?;
            let servers = Servers::of(story).await?;
            let tasks = format!(
                "
- {{name: Prove, ansible.builtin.shell: '{}'}}
- {{name: Stay, ansible.builtin.command: sleep 6}}
- {{name: Then, ansible.builtin.debug: {{msg: 'and then'}}}}
",
                servers.prove()
            );
            story.apply(&service("blog").on(&servers).tasks(&tasks)).await?;
            let path = format!("/services/{}/blog", story.namespace);
            browser::known(&first, &path).await?;
            let started =
                first.ask("POST", &format!("{path}/deployments"), Some(&json!({"reason": "Both"}))).await?;
            let name = started["deployment"]["name"].as_str().unwrap_or_default().to_owned();
            // What one has made the other knows.
            let uid = started["deployment"]["uid"].as_str().unwrap_or_default();
            let there = second.ask("GET", &format!("/deployments/{uid}"), None).await?;
            same("who asked", &there["deployment"]["requestedBy"]["via"], &json!("Dashboard"))?;
            let followed = second.follow(&story.api::<Deployment>().get(&name).await?);
            story.says(&name, "TASK [Stay]").await?;
            let written = Written::of(story, &node, &name).await?;
            for pod in api.pods().await? {
                let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
                if ip.is_some_and(|ip| replicas[0].contains(ip)) {
                    node.kill_pod(&pod, "fastdeploy-api-server")?;
                }
            }
            let run = story.ends(&name).await?;
            expect::ended(&run, Phase::Succeeded, "Succeeded")?;
            let arrived = reports::arrived(story, &run, 1).await?;
            written.is(&arrived)?;
            followed.saw(&arrived.events, &arrived.lines).await?;
            same("times it began anew", followed.resets(), 0)?;
            same("runs of Ansible on the server", servers.proofs(0).await?, 1)
        };
        let told = told.await;
        api.scale(1).await?;
        told
    })
    .await
}
