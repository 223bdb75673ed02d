//! Somebody has to agree: somebody else, who may, to this very run, in time.

use crds::{Deployment, Phase, deployment::Decision};
use serde_json::json;
use tests::{Outcome, Result, Story, deployment, ensure, expect, holds, kubectl, same, service};

async fn decides(story: &Story, who: &str, run: &str, decision: &str, by: &str) -> Result<kubectl::Said> {
    let run_now = story.run_until(run, "AwaitingApproval", awaits).await?;
    let digest = run_now.status.and_then(|status| status.digest).unwrap_or_default();
    let patch = json!({"spec": {"approval": {"decision": decision, "digest": digest, "by": by}}}).to_string();
    let who = format!("--as={who}");
    let words =
        ["--namespace", &story.namespace, &who, "patch", "fdep", run, "--type=merge", "--patch", &patch];
    kubectl::ask(&words, "").await
}

fn awaits(run: &Deployment) -> bool {
    tests::phase(run) == Some(Phase::AwaitingApproval)
}

#[tokio::test]
async fn somebody_else_has_to_agree() -> Outcome {
    Story::tell("approval", async |story| {
        let namespace = ["--namespace", &story.namespace];
        let roles = [
            ("bob", "fastdeploy-approver"),
            ("bob", "fastdeploy-deployer"),
            ("mallory", "fastdeploy-deployer"),
        ];
        for (who, role) in roles {
            let (name, role, user) =
                (format!("{who}-{role}"), format!("--clusterrole={role}"), format!("--user={who}"));
            kubectl::run(&[&namespace[..], &["create", "rolebinding", &name, &role, &user]].concat()).await?;
        }
        let blog = service("blog").on_change().with("policy: {approval: {required: true}}");
        story.apply(&blog).await?;
        story.service_is("blog", "True", "False", "WaitingForApproval").await?;
        let run = story.numbered("blog", 1).await?.metadata.name.unwrap_or_default();

        let said = decides(story, "mallory", &run, "Approved", "mallory").await?;
        ensure!(!said.ok, "mallory agreed without the verb: {}", said.out);
        holds("what mallory reads", &said.err, "verb \"approve\"")?;
        let said = decides(story, "bob", &run, "Approved", "carol").await?;
        ensure!(!said.ok, "bob agreed as carol: {}", said.out);
        holds("what bob reads", &said.err, "write your own name, bob")?;
        let said = decides(story, "bob", &run, "Approved", "bob").await?;
        ensure!(said.ok, "bob was refused: {}", said.err);
        let ended = story.ends(&run).await?;
        expect::ended(&ended, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;

        // Refused; and given for something else.
        story.patch_service("blog", json!({"spec": {"variables": {"n": 1}}})).await?;
        let run = story.numbered("blog", 2).await?.metadata.name.unwrap_or_default();
        let said = decides(story, "bob", &run, "Rejected", "bob").await?;
        ensure!(said.ok, "bob was refused: {}", said.err);
        let run = story.ends(&run).await?;
        expect::ended(&run, Phase::Cancelled, "ApprovalRejected")?;
        let decided = run.status.and_then(|status| status.approval).map(|said| (said.by, said.decision));
        same("status.approval", decided, Some(("bob".to_owned(), Decision::Rejected)))?;
        // Who makes a run with kubectl is known as well: bob cannot agree to his own.
        for (name, who, phase, reason) in [
            ("bobs-own", "bob", Phase::Cancelled, "ApprovalVoid"),
            ("mallorys", "mallory", Phase::Succeeded, "Succeeded"),
        ] {
            let run = serde_json::to_string(&deployment(name, "blog").0)?;
            let who = format!("--as={who}");
            let words = ["--namespace", &story.namespace, &who, "create", "--filename", "-"];
            let said = kubectl::ask(&words, &run).await?;
            ensure!(said.ok, "it was refused: {}", said.err);
            let said = decides(story, "bob", name, "Approved", "bob").await?;
            ensure!(said.ok, "bob was refused: {}", said.err);
            expect::ended(&story.ends(name).await?, phase, reason)?;
        }
        // Nobody answers.
        story
            .patch_service("blog", json!({"spec": {"policy": {"approval": {"expiresAfter": "10s"}}}}))
            .await?;
        story.apply(&deployment("forgotten", "blog")).await?;
        expect::ended(&story.ends("forgotten").await?, Phase::Cancelled, "ApprovalExpired")
    })
    .await
}
