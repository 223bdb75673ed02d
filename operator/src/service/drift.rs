//! Drift: whether the servers still are what was left there. Checks are Deployments in check mode that repeat
//! what is live, without a number, in a history of their own; they give way at once to any run that changes
//! something. The first one after such a run is the baseline: what would change even then is no drift. Pure.

use std::time::Duration;

use crds::{
    Deployment, DeploymentStatus, Phase, Reason, Service, ServiceStatus,
    deployment::{DeploymentSpec, Mode, NumberRef, StepStatus, Via},
    drift::{Checked, DriftResult, DriftStatus, DriftStep},
    service::Live,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{
    decide::{began, is_over, named, number_of, phase, reference, target},
    ends,
    triggers::{self, via},
};
use crate::{
    deployment::{
        approval,
        verdict::{Verdict, ended},
    },
    plan::Plan,
    world::Write,
};

/// How soon it is tried again where a check is due and cannot be made.
const PATIENCE: Duration = Duration::from_secs(30);
/// Steps that a status lists.
const LISTED: usize = 20;

/// It looks for drift.
pub fn is_check(service: &Service, deployment: &Deployment) -> bool {
    deployment.spec.mode == Mode::Check && via(service, deployment).0 == Via::Drift
}

/// It corrects drift.
pub fn is_correction(service: &Service, deployment: &Deployment) -> bool {
    deployment.spec.mode == Mode::Apply && via(service, deployment).0 == Via::Drift
}

/// Takes in what follows from Deployments that have ended.
pub fn record(new: &mut ServiceStatus, service: &Service, deployments: &[&Deployment]) {
    if service.spec.policy.drift.is_none() {
        new.drift = None;
        return;
    }
    let Some(live) = new.live.clone() else { return };
    follow(new, service, deployments);
    let Some(drift) = &mut new.drift else { return };
    let made_by = |trigger: &str| {
        let made = triggers::name(service, trigger);
        deployments.iter().copied().find(|d| d.name_any() == made)
    };
    // Each check is named after the one before: none counts twice, and none that saw other servers.
    if let Some(check) = made_by(&next(drift)).filter(|d| is_over(d)) {
        take_in(drift, check, &live);
    }
    if let Some(checked) = &drift.checked {
        let correction = made_by(&correction_of(checked));
        drift.correction = correction.map(reference).or(drift.correction.take());
    }
}

/// A run that touched the servers makes everything that was found before it void.
fn follow(new: &mut ServiceStatus, service: &Service, deployments: &[&Deployment]) {
    let last = if new.drift.is_some() {
        ends::in_its_turn(new, deployments).filter(|d| began(d))
    } else {
        let touched = deployments.iter().filter(|d| d.spec.mode == Mode::Apply && is_over(d) && began(d));
        touched.copied().max_by_key(|d| (ends::claimed(d), number_of(d)))
    };
    let Some((last, uid)) = last.and_then(|last| Some((last, last.uid()?))) else { return };
    let (Some(number), Some(ended)) = (number_of(last), phase(last)) else { return };
    if new.drift.as_ref().is_some_and(|drift| drift.after.uid == uid) {
        return;
    }
    let before = new.drift.take().filter(|_| is_correction(service, last));
    new.drift = Some(DriftStatus {
        after: reference(last),
        number,
        ended,
        checked: None,
        baseline: None,
        result: None,
        steps: Vec::new(),
        steps_total: 0,
        to_correct: before.map(|before| before.steps).unwrap_or_default(),
        correction: None,
    });
}

/// The trigger of the check after the one that was taken in last.
fn next(drift: &DriftStatus) -> String {
    let before = drift.checked.as_ref().map_or("none", |checked| &checked.deployment.uid);
    format!("drift:{}:{before}", drift.after.uid)
}

fn take_in(drift: &mut DriftStatus, check: &Deployment, live: &Live) {
    let status = check.status.clone().unwrap_or_default();
    let (Some(phase), Some(at)) = (status.phase, status.finished_at) else { return };
    let message = matches!(phase, Phase::Failed | Phase::NothingDone).then(|| {
        let failure = status.failure.as_ref();
        crds::conditions::shorten(
            &failure.map_or_else(String::new, |f| format!("{}: {}", f.reason, f.message)),
            300,
        )
    });
    drift.checked = Some(Checked { deployment: reference(check), at, phase, message });
    drift.correction = None;
    if phase != Phase::Succeeded || status.digest.as_ref() != Some(&live.digest) {
        return;
    }
    let found = changing(&status.steps);
    let beyond = match &drift.baseline {
        None => {
            let (still, usual): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|step| drift.to_correct.iter().any(|c| c.key == step.key));
            drift.baseline = Some(usual);
            drift.result =
                Some(if still.is_empty() { DriftResult::InSync } else { DriftResult::NotIdempotent });
            still
        }
        Some(usual) => {
            let usually = |key: &str| usual.iter().find(|step| step.key == key).map_or(0, |step| step.hosts);
            let beyond: Vec<_> = found.into_iter().filter(|step| step.hosts > usually(&step.key)).collect();
            drift.result = Some(match drift.result {
                _ if beyond.is_empty() => DriftResult::InSync,
                // Until somebody has done something about it.
                Some(DriftResult::NotIdempotent) => DriftResult::NotIdempotent,
                _ => DriftResult::Drifted,
            });
            beyond
        }
    };
    drift.steps_total = beyond.len() as u32;
    drift.steps = beyond.into_iter().take(LISTED).collect();
}

fn changing(steps: &[StepStatus]) -> Vec<DriftStep> {
    let changed = |step: &StepStatus| step.hosts.as_ref().map_or(0, |hosts| hosts.changed);
    let changing = steps.iter().filter(|step| changed(step) > 0);
    changing
        .map(|step| DriftStep { key: step.key.clone(), name: step.name.clone(), hosts: changed(step) })
        .collect()
}

/// What was found, for people: which steps would change something, on how many servers.
pub fn summary(drift: &DriftStatus) -> String {
    let on = |hosts: u32| if hosts == 1 { "1 server".to_owned() } else { format!("{hosts} servers") };
    let named: Vec<_> =
        drift.steps.iter().take(3).map(|step| format!("“{}” on {}", step.name, on(step.hosts))).collect();
    let rest = (drift.steps_total as usize).saturating_sub(named.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let steps =
        if drift.steps_total == 1 { "1 step".to_owned() } else { format!("{} steps", drift.steps_total) };
    format!("{steps} would change something: {}{more}", named.join(", "))
}

/// The check that is due now, by its trigger; or when the next one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// None is: nothing is live, the servers are half changed, nobody wants it.
    Never,
    /// Then.
    At(Timestamp),
    /// Now.
    Now(String),
}

/// Whether a check is due. `status`: with everything recorded.
pub fn due(service: &Service, status: &ServiceStatus, now: Timestamp) -> Due {
    let (Some(policy), Some(drift), Some(live)) = (&service.spec.policy.drift, &status.drift, &status.live)
    else {
        return Due::Never;
    };
    let whole = drift.ended == Phase::Succeeded || drift.after.uid == live.deployment.uid;
    if service.spec.suspend || !whole {
        return Due::Never;
    }
    let Some(checked) = &drift.checked else { return Due::Now(next(drift)) };
    let every =
        crds::duration::parse(&policy.every).ok().and_then(|every| SignedDuration::try_from(every).ok());
    let at =
        checked.at.saturating_add(every.unwrap_or(SignedDuration::from_hours(1))).unwrap_or(Timestamp::MAX);
    if now < at { Due::At(at) } else { Due::Now(next(drift)) }
}

/// As [`due`], of a Service as it was read.
pub fn is_due(service: &Service, deployments: &[Deployment], now: Timestamp) -> bool {
    let mut status = service.status.clone().unwrap_or_default();
    let all: Vec<_> = deployments.iter().collect();
    ends::record(&mut status, &all);
    record(&mut status, service, &all);
    matches!(due(service, &status, now), Due::Now(_))
}

/// Plans the check that is due, unless something is on or waits, or the database is away.
pub fn check(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&Deployment],
    database_away: bool,
    now: Timestamp,
    plan: &mut Plan,
) {
    let trigger = match due(service, status, now) {
        Due::Never => return,
        Due::At(at) => return plan.look_again_at(at, now),
        Due::Now(trigger) => trigger,
    };
    let Some(live) = &status.live else { return };
    let comes_first = |d: &Deployment| {
        d.spec.mode == Mode::Check || !approval::is_missing(service, d) || is_correction(service, d)
    };
    if status.active.is_some() || deployments.iter().any(|d| !is_over(d) && comes_first(d)) {
        return; // Its end wakes us.
    }
    if database_away {
        return plan.look_again_in(PATIENCE);
    }
    let spec = DeploymentSpec {
        mode: Mode::Check,
        repeat: Some(NumberRef { number: live.number }),
        reason: Some(format!("Looks whether the servers still are as #{} left them", live.number)),
        ..DeploymentSpec::of(service.name_any())
    };
    plan.writes.push(triggers::create(service, trigger, spec));
}

fn correction_of(checked: &Checked) -> String {
    format!("correct:{}", checked.deployment.uid)
}

/// The trigger, the number to repeat and the reason of the run that corrects what was found, once.
pub fn correction(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&Deployment],
) -> Option<(String, i64, String)> {
    let (drift, live) = (status.drift.as_ref()?, status.live.as_ref()?);
    let wanted = service.spec.policy.drift.as_ref().is_some_and(|policy| policy.correct);
    let open = drift.result == Some(DriftResult::Drifted)
        && drift.correction.is_none()
        && deployments.iter().all(|d| is_over(d) || d.spec.mode == Mode::Check);
    let checked = drift.checked.as_ref().filter(|_| wanted && open)?;
    let reason = crds::conditions::shorten(&format!("Corrects drift: {}", summary(drift)), 500);
    Some((correction_of(checked), live.number, reason))
}

/// Checks give way to whatever changes something: those that wait end, the one that is on is stopped. Answers
/// the queue without them.
pub fn give_way<'a>(
    status: &ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    queue: Vec<&'a Deployment>,
    now: Timestamp,
    plan: &mut Plan,
) -> Vec<&'a Deployment> {
    let Some(next) = queue.iter().find(|d| d.spec.mode == Mode::Apply).copied() else { return queue };
    let write = |deployment: &Deployment, old: DeploymentStatus, new: DeploymentStatus| {
        Write::DeploymentStatus { target: target(deployment), old: Box::new(old), new: Box::new(new) }
    };
    let active = status.active.as_ref().map(|active| active.uid.as_str());
    let on = deployments.iter().find(|d| d.uid().as_deref() == active && active.is_some());
    if let Some(on) = on.filter(|d| is_check(service, d) && !is_over(d)) {
        let old = on.status.clone().unwrap_or_default();
        if old.replaced_by.is_none() {
            let new = DeploymentStatus { replaced_by: Some(reference(next)), ..old.clone() };
            plan.writes.push(write(on, old, new));
        }
    }
    let mut left = Vec::new();
    for deployment in queue {
        let old = deployment.status.clone().unwrap_or_default();
        if !is_check(service, deployment) || old.attempt.is_some() {
            left.push(deployment);
            continue;
        }
        let verdict =
            Verdict::plain(Phase::Cancelled, Reason::Replaced, format!("Gave way to {}", named(next)));
        let new = DeploymentStatus { replaced_by: Some(reference(next)), ..old.clone() };
        let generation = deployment.metadata.generation.unwrap_or_default();
        plan.writes.push(write(deployment, old, ended(new, verdict, generation, now).0));
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(drift: &Value) -> Service {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog", "uid": "u"},
            "spec": {"source": {"inline": {}}, "playbook": "p", "inventory": {"local": true}, "policy": {"drift": drift}},
        }))
        .expect("a Service")
    }

    fn deployment(name: &str, spec: &Value, status: &Value) -> Deployment {
        let mut deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {"service": "blog"}, "status": status,
        }))
        .expect("a Deployment");
        deployment.spec = serde_json::from_value(spec.clone()).expect("a spec");
        deployment
    }

    fn run(number: i64, phase: &str) -> Deployment {
        let claim =
            json!({"attempt": 1, "instance": "i", "podUid": "p", "claimedAt": "2026-11-23T12:00:00Z"});
        deployment(
            &format!("run-{number}"),
            &json!({"service": "blog"}),
            &json!({"number": number, "phase": phase, "digest": "d", "run": claim, "finishedAt": "2026-11-23T12:00:10Z"}),
        )
    }

    /// The check that is due, as it ended: each step's name and on how many servers it would change something.
    fn checked(service: &Service, status: &ServiceStatus, phase: &str, steps: &[(&str, u32)]) -> Deployment {
        let drift = status.drift.as_ref().expect("something to compare with");
        let trigger = next(drift);
        let steps: Vec<Value> = steps
            .iter()
            .map(|(name, hosts)| json!({"key": name, "name": name, "state": "Succeeded", "hosts": {"ok": 3, "changed": hosts}}))
            .collect();
        let at = drift.checked.as_ref().map_or("2026-11-23T12:00:20Z".parse().expect("a time"), |c| c.at);
        let mut check = deployment(
            &triggers::name(service, &trigger),
            &json!({"service": "blog", "mode": "Check", "repeat": {"number": 1}}),
            &json!({"phase": phase, "digest": "d", "steps": steps, "finishedAt": at + SignedDuration::from_hours(1),
                "failure": {"reason": "HostUnreachable", "message": "web1 is off", "hint": ""}}),
        );
        check.annotations_mut().insert(crds::names::ANNOTATION_TRIGGER.into(), trigger);
        check
    }

    fn turn_of(number: i64) -> crds::service::Active {
        let (name, uid) = (format!("run-{number}"), format!("uid-run-{number}"));
        crds::service::Active { name, uid, since: Timestamp::UNIX_EPOCH, check: false, until: None }
    }

    fn live() -> ServiceStatus {
        let mut status = ServiceStatus::default();
        ends::record(&mut status, &[&run(1, "Succeeded")]);
        status
    }

    /// Result and summary after these checks, one after the other.
    fn after(checks: &[(&str, &[(&str, u32)])]) -> (Option<DriftResult>, Vec<(String, u32)>) {
        let service = service(&json!({"every": "1h"}));
        let mut status = live();
        let mut all = vec![run(1, "Succeeded")];
        record(&mut status, &service, &all.iter().collect::<Vec<_>>());
        for (phase, steps) in checks {
            all.push(checked(&service, &status, phase, steps));
            record(&mut status, &service, &all.iter().collect::<Vec<_>>());
            let again = status.clone();
            record(&mut status, &service, &all.iter().collect::<Vec<_>>());
            assert_eq!(again, status, "what was taken in counts once");
        }
        let drift = status.drift.expect("something to compare with");
        (drift.result, drift.steps.into_iter().map(|step| (step.name, step.hosts)).collect())
    }

    #[test]
    fn only_what_goes_beyond_the_first_check_is_drift() {
        type Case<'a> = (&'a [(&'a str, &'a [(&'a str, u32)])], Option<DriftResult>, &'a [(&'a str, u32)]);
        let usual: (&str, &[(&str, u32)]) = ("Succeeded", &[("date", 2)]);
        let cases: &[Case<'_>] = &[
            (&[], None, &[]),
            (&[usual], Some(DriftResult::InSync), &[]),
            (&[usual, usual], Some(DriftResult::InSync), &[]),
            (&[usual, ("Succeeded", &[("date", 3)])], Some(DriftResult::Drifted), &[("date", 3)]),
            (
                &[usual, ("Succeeded", &[("date", 2), ("file", 1)])],
                Some(DriftResult::Drifted),
                &[("file", 1)],
            ),
            (&[usual, ("Succeeded", &[("file", 1)]), usual], Some(DriftResult::InSync), &[]),
            // What could not look says nothing.
            (&[("Failed", &[("date", 2)])], None, &[]),
            (&[("Failed", &[]), usual], Some(DriftResult::InSync), &[]),
            (
                &[usual, ("Succeeded", &[("file", 1)]), ("Failed", &[])],
                Some(DriftResult::Drifted),
                &[("file", 1)],
            ),
            (&[usual, ("Cancelled", &[("file", 1)])], Some(DriftResult::InSync), &[]),
        ];
        for (checks, result, steps) in cases {
            let steps: Vec<_> = steps.iter().map(|(name, hosts)| ((*name).to_owned(), *hosts)).collect();
            assert_eq!(after(checks), (*result, steps), "{checks:?}");
        }
    }

    #[test]
    fn a_check_is_due_after_each_run_and_then_by_the_clock() {
        let hourly = service(&json!({"every": "1h"}));
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let now = at("2026-11-23T12:00:20Z");
        let mut status = live();
        assert_eq!(due(&hourly, &status, now), Due::Never, "nothing to compare with yet");
        let mut all = vec![run(1, "Succeeded")];
        record(&mut status, &hourly, &all.iter().collect::<Vec<_>>());
        assert_eq!(due(&hourly, &status, now), Due::Now("drift:uid-run-1:none".into()));
        assert_eq!(due(&service(&Value::Null), &status, now), Due::Never);
        all.push(checked(&hourly, &status, "Succeeded", &[]));
        record(&mut status, &hourly, &all.iter().collect::<Vec<_>>());
        let ended = at("2026-11-23T13:00:20Z");
        assert_eq!(due(&hourly, &status, ended), Due::At(at("2026-11-23T14:00:20Z")));
        assert!(matches!(due(&hourly, &status, at("2026-11-23T14:00:20Z")), Due::Now(_)));
        // Half changed: there is nothing to compare with.
        all.push(run(2, "Failed"));
        status.active = Some(turn_of(2));
        record(&mut status, &hourly, &all.iter().collect::<Vec<_>>());
        assert_eq!(due(&hourly, &status, at("2026-11-24T12:00:00Z")), Due::Never);
        all.push(run(3, "Succeeded"));
        status.active = Some(turn_of(3));
        record(&mut status, &hourly, &all.iter().collect::<Vec<_>>());
        assert_eq!(due(&hourly, &status, now), Due::Now("drift:uid-run-3:none".into()));
        // Nobody wants it any more.
        record(&mut status, &service(&Value::Null), &all.iter().collect::<Vec<_>>());
        assert_eq!(status.drift, None);
    }

    #[test]
    fn the_summary_counts_steps_and_servers() {
        let step = |n: u32| DriftStep { key: n.to_string(), name: format!("Step {n}"), hosts: n };
        let mut drift: DriftStatus = serde_json::from_value(json!({
            "after": {"name": "a", "uid": "b"}, "number": 1, "ended": "Succeeded",
        }))
        .expect("a status");
        (drift.steps, drift.steps_total) = (vec![step(1)], 1);
        assert_eq!(summary(&drift), "1 step would change something: “Step 1” on 1 server");
        (drift.steps, drift.steps_total) = ((1..=20).map(step).collect(), 25);
        assert_eq!(
            summary(&drift),
            "25 steps would change something: “Step 1” on 1 server, “Step 2” on 2 servers, “Step 3” on 3 servers and 22 more"
        );
    }
}
