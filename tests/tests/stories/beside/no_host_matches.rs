//! Nothing was done is no success.

use crds::Phase;
use tests::{Outcome, Result, Story, expect, holds, manifest::Manifest, same, service};

async fn does_nothing(story: &Story, service: &Manifest, word: &str) -> Result<()> {
    story.apply(&service.clone().on_change()).await?;
    let run = story.numbered_ends("blog", 1).await?;
    expect::ended(&run, Phase::NothingDone, "NothingDone")?;
    let failure = run.status.and_then(|status| status.failure);
    holds("failure.message", &failure.map(|f| f.message).unwrap_or_default(), word)?;
    let service = story.service_is("blog", "False", "False", "NothingDone").await?;
    same("live", service.status.and_then(|status| status.live).map(|live| live.number), None)
}

#[tokio::test]
async fn no_host_matches() -> Outcome {
    Story::tell("no-host-matches", async |story| {
        let playbook = "[{hosts: databases, gather_facts: false, tasks: [{ansible.builtin.ping: {}}]}]";
        does_nothing(story, &service("blog").playbook(playbook), "no server").await
    })
    .await
}

#[tokio::test]
async fn no_task_has_the_tags() -> Outcome {
    Story::tell("no-task-has-the-tags", async |story| {
        does_nothing(story, &service("blog").with("options: {tags: [nosuchtag]}"), "tags").await
    })
    .await
}
