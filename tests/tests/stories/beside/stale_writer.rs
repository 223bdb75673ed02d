//! The API server itself holds the invariants: whoever writes what was true once gets a refusal.

use crds::{Deployment, Phase, Service};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tests::{Outcome, Result, Story, deployment, expect, holds, same, service};

#[tokio::test]
async fn stale_writer() -> Outcome {
    Story::tell("stale-writer", async |story| {
        story.apply(&service("blog").with("inputs: [{name: words, type: text}]")).await?;
        story.apply(&deployment("run", "blog").with("{inputs: {words: hello}, reason: Because}")).await?;
        expect::ended(&story.ends("run").await?, Phase::Succeeded, "Succeeded")?;
        story.service_is("blog", "True", "True", "Deployed").await?;
        story.cancel("run", crds::deployment::Cancel::AfterStep).await?;

        let ended = "a Deployment that has ended stays as it ended";
        let number = "a number that was given stays";
        let run = "within an attempt the instance stays and seq never falls";
        let frozen = "what a Deployment runs is frozen";
        let cancel = "AfterStep may be raised to Now, never taken back";
        let immutable = "Make a new Deployment instead";
        let of_deployment = [
            (json!({"status": {"phase": "Running"}}), ended),
            (json!({"status": {"phase": "Failed"}}), ended),
            (json!({"status": {"phase": null}}), ended),
            (json!({"status": null}), ended),
            (json!({"status": {"number": 7}}), number),
            (json!({"status": {"number": null}}), number),
            (json!({"status": {"attempt": 0}}), "status.attempt never falls"),
            (json!({"status": {"attempt": null}}), "status.attempt never falls"),
            (json!({"status": {"run": {"instance": "another"}}}), run),
            (json!({"status": {"run": {"seq": -1}}}), run),
            (json!({"status": {"run": {"attempt": 0}}}), run),
            (json!({"status": {"run": null}}), run),
            (json!({"status": {"digest": "v1:sha256:00"}}), frozen),
            (json!({"status": {"digest": null}}), frozen),
            (json!({"spec": {"cancel": null}}), cancel),
            (json!({"spec": {"service": "other"}}), "make a new Deployment instead"),
            (json!({"spec": {"reason": "Another"}}), immutable),
            (json!({"spec": {"reason": null}}), immutable),
            (json!({"spec": {"inputs": {"words": "bye"}}}), immutable),
            (json!({"spec": {"inputs": {"more": 1}}}), immutable),
            (json!({"spec": {"inputs": null}}), immutable),
        ];
        let mut wrong = Vec::new();
        for (patch, sentence) in of_deployment {
            wrong.extend(refused(&story.api::<Deployment>(), "run", &patch, sentence).await.err());
        }
        story.cancel("run", crds::deployment::Cancel::Now).await?;
        let lowered = json!({"spec": {"cancel": "AfterStep"}});
        wrong.extend(refused(&story.api::<Deployment>(), "run", &lowered, cancel).await.err());
        for (patch, sentence) in [
            (json!({"status": {"lastNumber": 0}}), "status.lastNumber never falls"),
            (json!({"status": {"lastNumber": null}}), "status.lastNumber never falls"),
        ] {
            wrong.extend(refused(&story.api::<Service>(), "blog", &patch, sentence).await.err());
        }
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        same("refusals that were not as expected", wrong, Vec::<String>::new())
    })
    .await
}

async fn refused<K>(api: &kube::Api<K>, name: &str, patch: &Value, sentence: &str) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = PatchParams::default();
    let written = if patch.get("status").is_some() {
        api.patch_status(name, &params, &Patch::Merge(patch)).await
    } else {
        api.patch(name, &params, &Patch::Merge(patch)).await
    };
    match written {
        Err(kube::Error::Api(status)) => {
            same(&format!("HTTP status of the answer to {patch} ({})", status.message), status.code, 422)?;
            holds(&format!("the answer to {patch}"), &status.message, sentence)
        }
        Err(other) => Err(other.into()),
        Ok(_) => tests::bail!("{patch}: expected a refusal (“{sentence}”), but it was accepted"),
    }
}
