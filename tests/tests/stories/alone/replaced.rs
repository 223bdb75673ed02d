//! Operator and api-server are replaced while Ansible runs, by ones that are set up otherwise, and then by such as
//! before, as with an upgrade and its way back: the run does not notice, and nothing of it is missing.

use crds::Phase;
use tests::{
    Outcome, Result, Servers, Story, deployment, expect,
    reports::{self, Arrived},
    same, service,
    system::Program,
};

/// Any will do: what counts is that the pods are other ones.
const VARIABLE: &str = "FASTDEPLOY_STORY";

#[tokio::test]
async fn replaced() -> Outcome {
    Story::tell_alone("replaced", async |story| {
        let programs = ["operator", "api-server"].map(|name| Program::new(&story.client, name));
        let told = Box::pin(goes_on(story, &programs)).await;
        for program in &programs {
            program.set(VARIABLE, None).await?;
        }
        told
    })
    .await
}

async fn goes_on(story: &Story, [operator, api]: &[Program; 2]) -> Result<()> {
    let servers = Servers::of(story).await?;
    let gate = format!("/tmp/{}-go", story.namespace);
    let tasks = format!(
        "
- {{name: Prove, ansible.builtin.shell: '{}'}}
- {{name: Stay, ansible.builtin.shell: 'until test -e {gate}; do sleep 0.2; done'}}
- {{name: Then, ansible.builtin.debug: {{msg: 'and then'}}}}
",
        servers.prove()
    );
    let blog = service("blog").on(&servers).tasks(&tasks);
    story.apply(&blog).await?;
    story.apply(&deployment("run", "blog")).await?;
    story.says("run", "TASK [Stay]").await?;
    for value in [Some("another"), None] {
        tokio::try_join!(operator.set(VARIABLE, value), api.set(VARIABLE, value))?;
    }
    for server in [0, 1] {
        servers.run(server, &format!("touch {gate}")).await?;
    }
    let run = story.ends("run").await?;
    expect::ended(&run, Phase::Succeeded, "Succeeded")?;
    story.service_is("blog", "True", "True", "Deployed").await?;
    same("runs of Ansible on the server", servers.proofs(0).await?, 1)?;
    same("pods", story.pods.ever().len(), 1)?;
    let Arrived { lines, .. } = reports::arrived(story, &run, 1).await?;
    expect::holds("the output that is stored", &lines.join("\n"), "and then")
}
