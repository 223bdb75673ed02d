//! What a Deployment's trace says of it. Pure, but for the note when an attempt began, which stands in no status:
//! it is this process's, so a change of leaders between an attempt's begin and its claim costs that one span.
//!
//! The spans: `deploy NAME` from creation to verdict; in it `queued`, and for each attempt `prepare` (pod, until
//! the permission to start) and `run` with the steps in it; `verdict`, from Ansible's end to the status. The
//! api-server adds `request` and `claim`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crds::{
    Deployment, DeploymentStatus, Phase,
    deployment::{Mode, StepState, StepStatus},
};
use jiff::Timestamp;
use kube::ResourceExt;
use opentelemetry::SpanId;
use telemetry::{Span, Trace, Traces};

/// More attempts than can be on at once: notes of Deployments that went without a verdict are dropped.
const MOST_NOTES: usize = 10_000;

/// Follows Deployments from status to status.
#[derive(Clone, Default)]
pub struct Tracer {
    traces: Traces,
    /// When attempts began, by uid and number.
    begun: Arc<Mutex<HashMap<(String, u32), Timestamp>>>,
}

impl Tracer {
    /// One that sends spans there.
    pub fn new(traces: Traces) -> Self {
        Self { traces, begun: Arc::default() }
    }

    /// A status of this Deployment was written.
    pub fn moved(
        &self,
        deployment: &Deployment,
        old: &DeploymentStatus,
        new: &DeploymentStatus,
        now: Timestamp,
    ) {
        if !self.traces.is_on() {
            return;
        }
        let uid = deployment.uid().unwrap_or_default();
        let begun = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            if begun.len() > MOST_NOTES {
                begun.clear();
            }
            if let Some(attempt) = new.attempt.filter(|attempt| Some(*attempt) != old.attempt) {
                begun.insert((uid.clone(), attempt), now);
            }
            let of = old.attempt.and_then(|attempt| begun.get(&(uid.clone(), attempt)).copied());
            if is_over(new) {
                begun.retain(|(of, _), _| *of != uid);
            }
            of
        };
        let trace = Trace::of(deployment);
        self.traces.send(&trace, spans(&trace, deployment, old, new, begun, now));
    }
}

fn is_over(status: &DeploymentStatus) -> bool {
    status.phase.is_some_and(Phase::is_terminal)
}

/// The spans that ended when `old` became `new`. `begun`: when `old`'s attempt did.
fn spans(
    trace: &Trace,
    deployment: &Deployment,
    old: &DeploymentStatus,
    new: &DeploymentStatus,
    begun: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Span> {
    let mut spans = Vec::new();
    if is_over(old) {
        return spans;
    }
    let whole = trace.whole().span_id();
    let created = deployment.creation_timestamp().map_or(now, |time| time.0);
    let ends = is_over(new);
    let span = |name: &str, words: &[&str], parent: SpanId, began: Timestamp, ended: Timestamp| Span {
        context: trace.span(words),
        parent: Some(parent),
        name: name.into(),
        is_server: false,
        began,
        ended,
        error: None,
        attributes: Vec::new(),
    };
    if old.attempt.is_none() && (new.attempt.is_some() || ends) {
        spans.push(span("queued", &["queued"], whole, created, now));
    }
    if let Some(attempt) = old.attempt {
        let number = attempt.to_string();
        let run = new.run.as_ref().or(old.run.as_ref()).filter(|run| run.attempt == attempt);
        let given_up = old.retry_at.is_none() && new.retry_at.is_some();
        let prepared = old.phase == Some(Phase::Preparing) && old.retry_at.is_none();
        let leaves = prepared && (given_up || new.phase != Some(Phase::Preparing));
        if let Some(begun) = begun.filter(|_| leaves) {
            let until = run.map_or(now, |run| run.claimed_at);
            let words = ["prepare", &number];
            let attributes = vec![("fastdeploy.attempt", number.clone())];
            spans.push(Span { attributes, ..span("prepare", &words, whole, begun, until) });
        }
        // Ended for good, or for another attempt.
        if let Some(run) = run.filter(|_| (ends && old.retry_at.is_none()) || given_up) {
            let until = new.finished_at.unwrap_or(now);
            let mut attributes = vec![("fastdeploy.attempt", number.clone())];
            if let Some(hosts) = &new.hosts {
                attributes.push(("fastdeploy.hosts.total", hosts.total.to_string()));
                attributes.push(("fastdeploy.hosts.failed", (hosts.failed + hosts.unreachable).to_string()));
            }
            let around = Span { attributes, ..span("run", &["run", &number], whole, run.claimed_at, until) };
            let parent = around.context.span_id();
            spans.push(Span { error: error(new), ..around });
            spans.extend(new.steps.iter().filter_map(|step| self::step(trace, step, &number, parent)));
        }
    }
    if ends {
        let ended = new.finished_at.unwrap_or(now);
        spans.push(span("verdict", &["verdict"], whole, ended, now));
        spans.push(Span {
            context: trace.whole(),
            parent: trace.parent(),
            error: error(new),
            attributes: attributes(deployment, new),
            ..span(&format!("deploy {}", deployment.spec.service), &[], whole, created, now)
        });
    }
    spans
}

/// Only what has begun and ended has a place in time.
fn step(trace: &Trace, step: &StepStatus, attempt: &str, run: SpanId) -> Option<Span> {
    let mut attributes = vec![("fastdeploy.step.key", step.key.clone())];
    if let Some(hosts) = &step.hosts {
        attributes.push(("fastdeploy.hosts.ok", hosts.ok.to_string()));
        attributes.push(("fastdeploy.hosts.changed", hosts.changed.to_string()));
    }
    let failed = matches!(step.state, StepState::Failed | StepState::Unreachable | StepState::Cancelled);
    Some(Span {
        context: trace.span(&["step", attempt, &step.key]),
        parent: Some(run),
        name: step.name.clone(),
        is_server: false,
        began: step.started_at?,
        ended: step.finished_at?,
        error: failed.then(|| step.message.clone().unwrap_or_default()),
        attributes,
    })
}

/// What stands in the status as well, and no more: it is masked.
fn error(status: &DeploymentStatus) -> Option<String> {
    status.failure.as_ref().map(|failure| format!("{}: {}", failure.reason, failure.message))
}

fn attributes(deployment: &Deployment, status: &DeploymentStatus) -> Vec<(&'static str, String)> {
    let mode = if deployment.spec.mode == Mode::Check { "Check" } else { "Apply" };
    [
        ("k8s.namespace.name", deployment.namespace()),
        ("fastdeploy.service", Some(deployment.spec.service.clone())),
        ("fastdeploy.deployment", Some(deployment.name_any())),
        ("fastdeploy.uid", deployment.uid()),
        ("fastdeploy.number", status.number.map(|number| number.to_string())),
        ("fastdeploy.mode", Some(mode.into())),
        ("fastdeploy.phase", status.phase.map(|phase| phase.as_str().into())),
        ("fastdeploy.reason", status.reason.clone()),
        ("fastdeploy.revision", status.revision.clone()),
        ("fastdeploy.requested_by", status.requested_by.as_ref().map(|by| by.name.clone())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment() -> Deployment {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "spec": {"service": "blog"},
            "metadata": {"name": "run", "namespace": "team", "uid": "0192e4a0-7c1e-4b1a-9f0e-0123456789ab",
                "creationTimestamp": "2026-11-26T12:00:00Z"},
        }))
        .expect("a Deployment")
    }

    fn status(value: Value) -> DeploymentStatus {
        serde_json::from_value(value).expect("a status")
    }

    fn at(second: u8) -> Timestamp {
        format!("2026-11-26T12:00:{second:02}Z").parse().expect("a time")
    }

    fn run(attempt: u32, second: u8) -> Value {
        json!({"attempt": attempt, "instance": "i", "podUid": "p", "claimedAt": at(second)})
    }

    /// Name, parent's name, seconds of begin and end, error.
    type Line = (String, Option<String>, i64, i64, Option<String>);

    /// What a history of (second, status) comes to, in the order of sending.
    fn told(history: &[(u8, Value)]) -> Vec<Line> {
        let (deployment, mut old, mut begun, mut all) =
            (deployment(), DeploymentStatus::default(), HashMap::new(), Vec::new());
        let trace = Trace::of(&deployment);
        for (second, new) in history {
            let new = status(new.clone());
            if new.attempt != old.attempt {
                begun.insert(new.attempt, at(*second));
            }
            let begun = old.attempt.and_then(|attempt| begun.get(&Some(attempt)).copied());
            all.extend(spans(&trace, &deployment, &old, &new, begun, at(*second)));
            old = new;
        }
        let names: HashMap<_, _> = all.iter().map(|s| (s.context.span_id(), s.name.clone())).collect();
        assert_eq!(names.len(), all.len(), "each span has an id of its own");
        let second = |time: Timestamp| time.as_second() - at(0).as_second();
        let line = |span: &Span| {
            let parent = span.parent.map(|id| names[&id].clone());
            (span.name.clone(), parent, second(span.began), second(span.ended), span.error.clone())
        };
        all.iter().map(line).collect()
    }

    fn line(name: &str, parent: Option<&str>, began: i64, ended: i64, error: Option<&str>) -> Line {
        (name.into(), parent.map(Into::into), began, ended, error.map(Into::into))
    }

    #[test]
    fn from_request_to_last_step() {
        let steps = json!([
            {"key": "a:1#0", "name": "Copy", "state": "Succeeded", "startedAt": at(6), "finishedAt": at(7)},
            {"key": "a:2#0", "name": "Never", "state": "Pending"},
        ]);
        let all = told(&[
            (1, json!({"phase": "Queued"})),
            (2, json!({"phase": "Preparing", "attempt": 1})),
            (5, json!({"phase": "Running", "attempt": 1, "run": run(1, 4)})),
            (
                9,
                json!({"phase": "Succeeded", "attempt": 1, "run": run(1, 4), "finishedAt": at(8), "steps": steps}),
            ),
            (
                10,
                json!({"phase": "Succeeded", "attempt": 1, "run": run(1, 4), "finishedAt": at(8), "steps": steps}),
            ),
        ]);
        let whole = Some("deploy blog");
        assert_eq!(
            all,
            [
                line("queued", whole, 0, 2, None),
                line("prepare", whole, 2, 4, None),
                line("run", whole, 4, 8, None),
                line("Copy", Some("run"), 6, 7, None),
                line("verdict", whole, 8, 9, None),
                line("deploy blog", None, 0, 9, None),
            ]
        );
    }

    #[test]
    fn each_attempt_has_its_own() {
        let failure = json!({"reason": "TaskFailed", "message": "no", "hint": ""});
        let all = told(&[
            (1, json!({"phase": "Preparing", "attempt": 1})),
            (2, json!({"phase": "Running", "attempt": 1, "run": run(1, 2)})),
            (4, json!({"phase": "Preparing", "attempt": 1, "run": run(1, 2), "retryAt": at(6)})),
            (6, json!({"phase": "Preparing", "attempt": 2, "run": run(1, 2)})),
            (
                9,
                json!({"phase": "Failed", "attempt": 2, "run": run(2, 7), "finishedAt": at(9), "failure": failure}),
            ),
        ]);
        let (whole, error) = (Some("deploy blog"), Some("TaskFailed: no"));
        assert_eq!(
            all,
            [
                line("queued", whole, 0, 1, None),
                line("prepare", whole, 1, 2, None),
                line("run", whole, 2, 4, None),
                line("prepare", whole, 6, 7, None),
                line("run", whole, 7, 9, error),
                line("verdict", whole, 9, 9, None),
                line("deploy blog", None, 0, 9, error),
            ]
        );
    }

    #[test]
    fn what_never_ran_has_no_run() {
        let all = told(&[(1, json!({"phase": "Queued"})), (3, json!({"phase": "Cancelled"}))]);
        let names: Vec<_> = all.into_iter().map(|line| line.0).collect();
        assert_eq!(names, ["queued", "verdict", "deploy blog"]);
    }
}
