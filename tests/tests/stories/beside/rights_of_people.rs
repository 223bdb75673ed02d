//! kubectl is held to the verbs `deploy` and `cancel`, and nobody says of himself who he is.

use tests::{Outcome, Result, Story, deployment, ensure, holds, kubectl, service};

/// What kubectl says when anna tries.
async fn tries(story: &Story, words: &[&str], input: &str) -> Result<kubectl::Said> {
    let who = ["--as=anna", "--namespace", &story.namespace];
    kubectl::ask(&[&who, words].concat(), input).await
}

#[tokio::test]
async fn kubectl_is_held_to_deploy_and_cancel() -> Outcome {
    Story::tell("rights-of-people", async |story| {
        story.apply(&service("blog").tasks("[{name: Stay, ansible.builtin.command: sleep 300}]")).await?;
        // As somebody's own role might be: all of Kubernetes' verbs, none of ours.
        let namespace = ["--namespace", &story.namespace];
        let role = [
            "create",
            "role",
            "careless",
            "--resource=deployments.fastdeploy.dev",
            "--verb=create,get,patch",
        ];
        kubectl::run(&[&namespace[..], &role].concat()).await?;
        kubectl::run(
            &[&namespace[..], &["create", "rolebinding", "careless", "--role=careless", "--user=anna"]]
                .concat(),
        )
        .await?;

        let run = serde_json::to_string(&deployment("by-anna", "blog").0).map_err(anyhow::Error::from)?;
        let said = tries(story, &["create", "--filename", "-"], &run).await?;
        ensure!(!said.ok, "expected anna to be refused, saw {}", said.out);
        holds("what anna reads", &said.err, "You may not deploy blog: that takes the verb \"deploy\"")?;

        story.apply(&deployment("run", "blog")).await?;
        story.runs("run").await?;
        let stop = ["patch", "fdep", "run", "--type=merge", "--patch", r#"{"spec":{"cancel":"Now"}}"#];
        let said = tries(story, &stop, "").await?;
        ensure!(!said.ok, "expected anna to be refused, saw {}", said.out);
        holds("what anna reads", &said.err, "You may not stop this run: that takes the verb \"cancel\"")?;

        // With the role for it she may; but not as somebody else.
        kubectl::run(
            &[
                &namespace[..],
                &["create", "rolebinding", "anna", "--clusterrole=fastdeploy-deployer", "--user=anna"],
            ]
            .concat(),
        )
        .await?;
        let forged = deployment("forged", "blog").annotated("fastdeploy.dev/requested-by", "bob");
        let forged = serde_json::to_string(&forged.0).map_err(anyhow::Error::from)?;
        let said = tries(story, &["create", "--filename", "-"], &forged).await?;
        ensure!(!said.ok, "expected a forged name to be refused, saw {}", said.out);
        holds("what anna reads", &said.err, "only fastDeploy writes who asked for a run")?;

        let said = tries(story, &["create", "--filename", "-"], &run).await?;
        ensure!(said.ok, "expected anna to be allowed: {}", said.err);
        let said = tries(story, &stop, "").await?;
        ensure!(said.ok, "expected anna to be allowed to stop it: {}", said.err);
        story.ends("run").await.map(drop)
    })
    .await
}
