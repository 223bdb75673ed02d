//! PostgreSQL is away while history is past its limit: five times as much is kept, what is beyond goes and an
//! Event says so. Once it is back and knows the rest, the limit holds again.

use std::{collections::BTreeSet, time::Duration};

use crds::Phase;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use tests::{Outcome, Result, Story, database, deployment, expect, same, service};

const RUNS: usize = 8;

#[tokio::test]
async fn history_lost() -> Outcome {
    Story::tell_alone("history-lost", async |story| {
        story.apply(&service("blog").with("history: {failed: 20}")).await?;
        // They end without a pod: what they answer is not asked.
        for n in 1..=RUNS {
            let name = format!("f{n}");
            story.apply(&deployment(&name, "blog").with("inputs: {unasked: true}")).await?;
            expect::ended(&story.ends(&name).await?, Phase::Failed, "InvalidInput")?;
        }
        database::scale(0).await?;
        let while_away = past_the_limit(story).await;
        database::scale(1).await?;
        while_away?;
        only(story, &[8]).await
    })
    .await
}

async fn past_the_limit(story: &Story) -> Result<()> {
    story.apply(&service("blog").with("history: {failed: 1}")).await?;
    only(story, &[4, 5, 6, 7, 8]).await?;
    let events = Api::<Event>::namespaced(story.client.clone(), &story.namespace);
    let lost = events.list(&ListParams::default().fields("reason=HistoryLost")).await?;
    let said: Vec<_> = lost.items.into_iter().filter_map(|event| event.note).collect();
    let wanted = "removed without an end in PostgreSQL, which was away: f3, f2, f1".to_owned();
    same("HistoryLost says", said, vec![wanted])
}

async fn only(story: &Story, numbers: &[usize]) -> Result<()> {
    let wanted: BTreeSet<_> = numbers.iter().map(|n| format!("f{n}")).collect();
    let what = format!("only {wanted:?}");
    let kept = |now: &std::collections::BTreeMap<String, crds::Deployment>| {
        (now.keys().cloned().collect::<BTreeSet<_>>() == wanted).then_some(())
    };
    story.deployments.find(&what, Duration::from_mins(1), kept).await
}
