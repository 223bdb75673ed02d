//! The fourth task fails: which one, where, why and what to do stand in the custom resources.

use crds::{Phase, deployment::StepState};
use tests::{Outcome, Servers, Story, expect, holds, same, service};

const FOUR: &str = "
- {name: One, ansible.builtin.debug: {msg: 1}}
- {name: Two, ansible.builtin.debug: {msg: 2}}
- {name: Three, ansible.builtin.debug: {msg: 3}}
- {name: Check the licence, ansible.builtin.fail: {msg: The video library has no licence.}}
- {name: Never, ansible.builtin.debug: {msg: 5}}
";

#[tokio::test]
async fn failing_playbook() -> Outcome {
    Story::tell("failing-playbook", async |story| {
        let servers = Servers::of(story).await?;
        story.apply(&service("videos").on(&servers).tasks(FOUR)).await?;

        story.apply(&tests::deployment("run", "videos")).await?;
        let run = story.numbered_ends("videos", 1).await?;
        expect::ended(&run, Phase::Failed, "TaskFailed")?;
        let status = run.status.unwrap_or_default();
        let failure = status.failure.unwrap_or_else(|| unreachable!("expect::ended saw it"));
        same("failure.step", failure.step.as_deref(), Some("Check the licence"))?;
        holds("failure.host", &failure.host.unwrap_or_default(), "server-")?;
        holds("failure.message", &failure.message, "The video library has no licence.")?;
        let steps: Vec<_> = status.steps.iter().map(|step| (step.name.as_str(), step.state)).collect();
        let expected = [
            ("One", StepState::Succeeded),
            ("Two", StepState::Succeeded),
            ("Three", StepState::Succeeded),
            ("Check the licence", StepState::Failed),
            ("Never", StepState::Pending),
        ];
        same("steps", steps, expected.to_vec())?;
        let hosts = status.hosts.unwrap_or_default();
        same("hosts (total, failed)", (hosts.total, hosts.failed), (2, 2))?;

        let service = story.service_is("videos", "False", "False", "TaskFailed").await?;
        let status = service.status.unwrap_or_default();
        same("Stalled", crds::conditions::is_true(&status.conditions, "Stalled"), true)?;
        same("live", status.live.map(|live| live.number), None)?;
        let events = story.events_about(&run.metadata.name.unwrap_or_default()).await?;
        let told =
            events.iter().filter(|(type_, reason, _)| type_ == "Warning" && reason == "TaskFailed").count();
        same(&format!("Events that tell of the failure in {events:?}"), told, 1)
    })
    .await
}
