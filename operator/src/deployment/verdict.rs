//! The verdict on a run: what the runner left behind decides; the pod's fate decides only where
//! there is nothing. Pure.

use std::collections::BTreeMap;

use crds::{
    DeploymentStatus, Phase, Reason,
    conditions::shorten,
    deployment::{FailureStatus, HostKey, HostsStatus, Run, StepHosts, StepState, StepStatus},
};
use jiff::Timestamp;
use protocol::verdict::{RunResult, Step, Verdict as Message};
use serde_json::Value;

use super::{
    conditions,
    fate::{EVICTED, End, Fate, NODE_LOST},
};

/// How a Deployment ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// A terminal phase.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// In which step it failed.
    pub step: Option<String>,
    /// On which server.
    pub host: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The key that a server shows which was not recognised.
    pub host_key: Option<HostKey>,
    /// The servers, where Ansible got so far.
    pub hosts: Option<HostsStatus>,
    /// The steps, where Ansible got so far.
    pub steps: Vec<StepStatus>,
    /// What the playbook reported.
    pub outputs: BTreeMap<String, Value>,
    /// Whether the site answered after it.
    pub site_up: Option<bool>,
    /// When it was over, if known.
    pub at: Option<Timestamp>,
}

impl Verdict {
    /// A verdict without a run.
    pub fn plain(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            phase,
            reason,
            step: None,
            host: None,
            message: if message.is_empty() { reason.meaning().into() } else { message },
            host_key: None,
            hosts: None,
            steps: Vec::new(),
            outputs: BTreeMap::new(),
            site_up: None,
            at: None,
        }
    }
}

impl Verdict {
    /// Where the runner only knows that its pod was to stop, Kubernetes may know why.
    #[must_use]
    pub fn explained_by(self, fate: Option<&Fate>) -> Self {
        match fate {
            Some(Fate::Ended(end)) if self.reason == Reason::RunnerLost && end.word == EVICTED => {
                Self { reason: Reason::Evicted, message: evicted(end), ..self }
            }
            _ => self,
        }
    }
}

fn evicted(end: &End) -> String {
    let because = if end.detail.is_empty() { String::new() } else { format!(": {}", end.detail) };
    format!("{}{because}", Reason::Evicted.meaning().trim_end_matches('.'))
}

/// The status of a Deployment that ends with this verdict, and the verdict in a sentence.
pub fn ended(
    mut new: DeploymentStatus,
    verdict: Verdict,
    generation: i64,
    now: Timestamp,
) -> (DeploymentStatus, String) {
    let Verdict { phase, reason, step, host, message, host_key, hosts, steps, outputs, site_up, at } =
        verdict;
    new.waiting_for = None;
    new.retry_at = None;
    new.steps = steps;
    new.hosts = hosts;
    new.outputs = outputs;
    new.site_up = site_up;
    new.started_at = new.started_at.or(new.run.as_ref().map(|run| run.claimed_at));
    new.finished_at = Some(at.unwrap_or(now));
    if phase != Phase::Succeeded {
        new.failure = Some(FailureStatus {
            reason: reason.as_str().into(),
            step: step.clone(),
            host: host.clone(),
            message: shorten(&message, 1_000),
            hint: reason.hint().into(),
            host_key,
        });
    }
    let place = match (&step, &host) {
        (Some(step), Some(host)) => format!("“{step}” on {host}: "),
        (Some(step), None) => format!("“{step}”: "),
        (None, Some(host)) => format!("{host}: "),
        (None, None) => String::new(),
    };
    let sentence = shorten(&format!("{place}{message}"), 500);
    conditions::set(&mut new, phase, reason, &sentence, generation, now);
    (new, sentence)
}

/// The verdict on a pod that has ended. `asked_to_stop`: somebody wanted it stopped.
pub fn of(end: &End, run: Option<&Run>, asked_to_stop: bool) -> Verdict {
    let message = serde_json::from_str::<Message>(&end.message).ok();
    match message {
        // Another process' word on this run counts for nothing.
        Some(message) if run.is_none_or(|run| run.instance == message.instance) => {
            reported(message, run.is_some()).explained_by(Some(&Fate::Ended(end.clone())))
        }
        _ => silent(end, run.is_some(), asked_to_stop),
    }
}

/// The verdict of the final report, if it has arrived and is this run's own.
pub fn of_report(run: &Run) -> Option<Verdict> {
    let message = serde_json::from_str::<Message>(run.result.as_deref()?).ok()?;
    (run.instance == message.instance).then(|| reported(message, true))
}

fn reported(message: Message, claimed: bool) -> Verdict {
    let failure = message.failure.unwrap_or_default();
    let hosts = HostsStatus {
        total: message.hosts.total,
        ok: message.hosts.ok,
        failed: message.hosts.failed,
        unreachable: message.hosts.unreachable,
        failed_names: message.hosts.failed_names.iter().take(20).map(|name| shorten(name, 253)).collect(),
    };
    let (phase, reason) = match message.result {
        // Success is proven by a claim and by statistics, or it is none.
        RunResult::Succeeded if claimed && hosts.total > 0 && hosts.failed + hosts.unreachable == 0 => {
            (Phase::Succeeded, Reason::Succeeded)
        }
        RunResult::Succeeded => (Phase::Failed, Reason::AnsibleFailed),
        RunResult::NothingDone => (Phase::NothingDone, Reason::NothingDone),
        RunResult::Cancelled => (Phase::Cancelled, Reason::Cancelled),
        RunResult::Failed => (Phase::Failed, Reason::parse(&failure.reason).unwrap_or(Reason::AnsibleFailed)),
    };
    let sentence = match phase {
        Phase::Succeeded => {
            let servers = if hosts.total == 1 { "server" } else { "servers" };
            let changed = if message.steps_total == 1 { "step" } else { "steps" };
            format!("{} {changed} on {} {servers}", message.steps_total, hosts.total)
        }
        _ if failure.message.is_empty() => reason.meaning().into(),
        _ => shorten(&failure.message, 500),
    };
    let steps = protocol::verdict::unpack_steps(&message.steps).unwrap_or_default();
    Verdict {
        phase,
        reason,
        step: failure.step.map(|step| shorten(&step, 200)),
        host: failure.host.map(|host| shorten(&host, 253)),
        message: sentence,
        host_key: failure.host_key.map(|key| HostKey {
            fingerprint: shorten(&key.fingerprint, 100),
            known_hosts: shorten(&key.line, 1_000),
            known: key.known.map(|known| shorten(&known, 100)),
        }),
        hosts: (message.started_at.is_some()).then_some(hosts),
        steps: unique(steps),
        outputs: message.outputs,
        site_up: message.site_up,
        at: message.finished_at,
    }
}

fn silent(end: &End, claimed: bool, asked_to_stop: bool) -> Verdict {
    let said = |sentence: String| {
        if end.detail.is_empty() { sentence } else { format!("{sentence}: {}", end.detail) }
    };
    let verdict = match end.word.as_str() {
        "OOMKilled" => Verdict::plain(Phase::Failed, Reason::OutOfMemory, ""),
        EVICTED => Verdict::plain(Phase::Failed, Reason::Evicted, evicted(end)),
        NODE_LOST => Verdict::plain(Phase::Failed, Reason::NodeLost, said(Reason::NodeLost.meaning().into())),
        "DeadlineExceeded" => Verdict::plain(Phase::Failed, Reason::Timeout, ""),
        _ if asked_to_stop => Verdict::plain(Phase::Cancelled, Reason::Cancelled, ""),
        // Nothing of ours ran, so what stands there instead of a verdict is the container runtime's own word.
        "StartError" | "ContainerCannotRun" => {
            let why = shorten(&end.message, 900);
            let sentence = format!("The container could not start: {why}");
            Verdict::plain(Phase::Failed, Reason::RunnerFailed, said(sentence))
        }
        word => {
            let when = if claimed { "while Ansible was running" } else { "before Ansible was started" };
            let how = match (end.exit_code, word) {
                (Some(code), _) if code > 128 => format!("signal {}", code - 128),
                (Some(code), _) => format!("exit code {code}"),
                (None, "") => "no word from Kubernetes why".into(),
                (None, word) => word.into(),
            };
            Verdict::plain(
                Phase::Failed,
                Reason::RunnerLost,
                said(format!("The run's pod ended {when} and left no result ({how})")),
            )
        }
    };
    Verdict { at: end.at, ..verdict }
}

/// As the status holds them: at most 100, each key once, everything within its bounds.
fn unique(mut steps: Vec<Step>) -> Vec<StepStatus> {
    // As it happened: handlers stand last in a plan, but run in between. What never began comes last.
    steps.sort_by_key(|step| (step.started_at.is_none(), step.started_at));
    let mut seen = std::collections::HashSet::new();
    steps
        .into_iter()
        .filter(|step| seen.insert(step.key.clone()))
        .take(100)
        .map(|step| StepStatus {
            key: shorten(&step.key, 300),
            name: shorten(&step.name, 200),
            state: state(step.state),
            started_at: step.started_at,
            finished_at: step.finished_at,
            hosts: (step.ok > 0 || step.changed > 0)
                .then_some(StepHosts { ok: step.ok, changed: step.changed }),
            message: (!step.message.is_empty()).then(|| shorten(&step.message, 200)),
        })
        .collect()
}

fn state(state: protocol::verdict::StepState) -> StepState {
    use protocol::verdict::StepState as Theirs;
    match state {
        Theirs::Pending => StepState::Pending,
        Theirs::Running => StepState::Running,
        Theirs::Succeeded => StepState::Succeeded,
        Theirs::Failed => StepState::Failed,
        Theirs::Skipped => StepState::Skipped,
        Theirs::Rescued => StepState::Rescued,
        Theirs::Unreachable => StepState::Unreachable,
        Theirs::Cancelled => StepState::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(message: &str) -> End {
        End { message: message.into(), exit_code: Some(1), word: "Error".into(), ..End::default() }
    }

    fn run() -> Run {
        Run {
            attempt: 1,
            instance: "me".into(),
            pod_uid: "pod".into(),
            claimed_at: Timestamp::UNIX_EPOCH,
            deadline: None,
            seq: 0,
            progress: None,
            step: None,
            result: None,
        }
    }

    const GOOD: &str = r#"{"protocol":1,"instance":"me","result":"Succeeded","hosts":{"total":2,"ok":2,"failed":0,"unreachable":0},"startedAt":"2026-11-23T12:00:00Z"}"#;

    #[test]
    fn success_needs_a_claim_of_the_same_process_and_statistics() {
        assert_eq!(of(&end(GOOD), Some(&run()), false).phase, Phase::Succeeded);
        let cases = [
            (GOOD.replace("\"me\"", "\"other\""), Some(run()), Reason::RunnerLost),
            (GOOD.replace("\"total\":2", "\"total\":0"), Some(run()), Reason::AnsibleFailed),
            (GOOD.replace("\"failed\":0", "\"failed\":1"), Some(run()), Reason::AnsibleFailed),
            (GOOD.to_owned(), None, Reason::AnsibleFailed),
            (String::new(), Some(run()), Reason::RunnerLost),
            ("{}".to_owned(), Some(run()), Reason::RunnerLost),
        ];
        for (message, run, reason) in cases {
            let verdict = of(&end(&message), run.as_ref(), false);
            assert_eq!((verdict.phase, verdict.reason), (Phase::Failed, reason), "{message}");
        }
    }

    #[test]
    fn where_nothing_was_left_behind_the_pods_fate_decides() {
        for (word, exit_code, stop, phase, reason) in [
            ("OOMKilled", Some(137), false, Phase::Failed, Reason::OutOfMemory),
            ("DeadlineExceeded", None, false, Phase::Failed, Reason::Timeout),
            ("Error", Some(137), false, Phase::Failed, Reason::RunnerLost),
            ("Error", Some(137), true, Phase::Cancelled, Reason::Cancelled),
            ("Evicted", None, false, Phase::Failed, Reason::Evicted),
            ("NodeLost", None, false, Phase::Failed, Reason::NodeLost),
            ("StartError", Some(128), false, Phase::Failed, Reason::RunnerFailed),
        ] {
            let end = End { exit_code, word: word.into(), ..End::default() };
            let verdict = of(&end, Some(&run()), stop);
            assert_eq!((verdict.phase, verdict.reason), (phase, reason), "{word}");
        }
    }

    /// It had a second to say anything, and does not know why.
    #[test]
    fn kubernetes_says_why_a_pod_was_asked_to_stop() {
        let asked = GOOD.replace(
            "\"result\":\"Succeeded\"",
            r#""result":"Failed","failure":{"reason":"RunnerLost","message":"the pod was asked to stop"}"#,
        );
        let evicted = End { word: EVICTED.into(), detail: "too much disk".into(), ..end(&asked) };
        let verdict = of(&evicted, Some(&run()), false);
        assert_eq!(verdict.reason, Reason::Evicted);
        assert!(verdict.message.ends_with("to save its node: too much disk"), "{}", verdict.message);
        let drained = of(&end(&asked), Some(&run()), false);
        assert_eq!(
            (drained.reason, drained.message.as_str()),
            (Reason::RunnerLost, "the pod was asked to stop")
        );
        // What came of the run is said, whatever became of its pod after it.
        assert_eq!(of(&End { message: GOOD.into(), ..evicted }, Some(&run()), false).phase, Phase::Succeeded);
    }

    #[test]
    fn a_result_that_is_there_beats_a_cancel() {
        assert_eq!(of(&end(GOOD), Some(&run()), true).phase, Phase::Succeeded);
    }
}
