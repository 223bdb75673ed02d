//! Whose turn it is: releases the lock of a run that is over, gives it to the next, and makes room for
//! what is newer. Pure.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    Deployment, Phase, Reason, Service, ServiceStatus,
    deployment::{DeploymentStatus, Mode},
    policy::Concurrency,
    service::{Active, ObjectRef},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    decide::{Observed, is_over, named, number_of, reference, target},
    drift,
    triggers::is_automatic,
};
use crate::{
    calendar::windows::{self, Permit},
    deployment::{
        approval,
        verdict::{Verdict, ended},
    },
    lock::{self, Over},
    plan::Plan,
    world::Write,
};
use frozen::Fault;

/// Releases the lock of a run that is over. Answers until when it is kept for one that may not be.
pub fn release(
    new: &mut ServiceStatus,
    deployments: &[&Deployment],
    observed: &Observed,
    plan: &mut Plan,
) -> Option<Timestamp> {
    let active = new.active.as_ref()?;
    let holder = deployments.iter().find(|d| d.uid().as_ref() == Some(&active.uid)).copied();
    if holder.is_some_and(|d| !is_over(d)) {
        return None;
    }
    match lock::over(holder, active.until, &observed.pods, observed.now) {
        Over::Yes => {
            new.active = None;
            None
        }
        // Its result is there, its pod is about to end: that wakes us by way of the Deployment.
        Over::At(_) if holder.is_some_and(|holder| has_pod(holder, &observed.pods)) => {
            plan.look_again_in(Duration::from_secs(10));
            None
        }
        Over::At(end) => {
            // The Deployment may be deleted meanwhile: what the lock needs to know stands with it.
            new.active = Some(Active { until: Some(end), ..active.clone() });
            plan.look_again_at(end, observed.now);
            Some(end)
        }
        Over::NotYet => {
            plan.look_again_in(Duration::from_secs(10));
            None
        }
    }
}

/// The pod that claimed is there, whether or not it has ended.
fn has_pod(deployment: &Deployment, pods: &[Pod]) -> bool {
    let run = deployment.status.as_ref().and_then(|status| status.run.as_ref());
    run.is_some_and(|run| pods.iter().any(|pod| pod.uid().as_deref() == Some(&run.pod_uid)))
}

/// The first one first: by creation, and those that run by their numbers. A time of creation has whole seconds,
/// and is that of whichever API server took it: by itself it may put an older run behind a newer one.
pub fn sort(deployments: &mut [&Deployment]) {
    deployments.sort_by_key(|d| (d.metadata.creation_timestamp.clone().map(|t| t.0), d.name_any()));
    let runs = |d: &&Deployment| d.spec.mode == Mode::Apply;
    let mut in_turn: Vec<_> = deployments.iter().copied().filter(runs).collect();
    // Those without one get higher ones, in the order that they have.
    in_turn.sort_by_key(|d| number_of(d).unwrap_or(i64::MAX));
    for (place, run) in deployments.iter_mut().filter(|d| runs(d)).zip(in_turn) {
        *place = run;
    }
}

/// Those that wait for their turn, the first one first.
pub fn queue<'a>(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&'a Deployment],
) -> Vec<&'a Deployment> {
    let active = status.active.as_ref().map(|active| &active.uid);
    let waits = |d: &Deployment| {
        !is_over(d)
            && !approval::is_missing(service, d)
            && d.metadata.deletion_timestamp.is_none()
            && d.spec.cancel.is_none()
            && d.uid().as_ref() != active
    };
    deployments.iter().copied().filter(|d| waits(d)).collect()
}

/// Gives the lock to the first one that waits, if there is room for it in namespace and cluster.
pub fn take(
    new: &mut ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    numbers: &BTreeMap<String, i64>,
    observed: &Observed,
    plan: &mut Plan,
) -> Result<(), Fault> {
    let queue = queue(service, new, deployments);
    let queue = supersede(service, &queue, observed.now, plan);
    let queue = drift::give_way(new, service, deployments, queue, observed.now, plan);
    if new.active.is_some() {
        make_room(new, service, deployments, &queue, plan);
        return Ok(());
    }
    if service.spec.suspend || !observed.room {
        return Ok(());
    }
    for deployment in queue {
        let numbered = deployment.uid().is_some_and(|uid| numbers.contains_key(&uid));
        if deployment.spec.mode == Mode::Apply {
            if !numbered {
                continue;
            }
            let by_person = !is_automatic(service, deployment);
            if let Permit::At(at) = windows::permit(&service.spec.policy.windows, by_person, observed.now)? {
                plan.look_again_at(at, observed.now);
                continue;
            }
        }
        let ObjectRef { name, uid } = reference(deployment);
        let check = deployment.spec.mode == Mode::Check;
        new.active = Some(Active { name, uid, since: observed.now, check, until: None });
        return Ok(());
    }
    Ok(())
}

/// Of those that nobody asked for, only the newest is worth running. Never one that a person asked for,
/// and none that has begun.
fn supersede<'a>(
    service: &Service,
    queue: &[&'a Deployment],
    now: Timestamp,
    plan: &mut Plan,
) -> Vec<&'a Deployment> {
    let automatic = |d: &&&Deployment| is_automatic(service, d) && number_of(d).is_some();
    let Some(newest) = queue.iter().rfind(automatic).copied() else { return queue.to_vec() };
    let mut left = Vec::new();
    for deployment in queue.iter().copied() {
        let status = deployment.status.clone().unwrap_or_default();
        let old = is_automatic(service, deployment)
            && number_of(deployment).is_some_and(|number| Some(number) < number_of(newest))
            && status.attempt.is_none();
        if !old {
            left.push(deployment);
            continue;
        }
        let message = format!("{} came before it began", named(newest));
        let verdict = Verdict::plain(Phase::Cancelled, Reason::Superseded, message);
        let new = DeploymentStatus { replaced_by: Some(reference(newest)), ..status.clone() };
        let generation = deployment.metadata.generation.unwrap_or_default();
        plan.writes.push(Write::DeploymentStatus {
            target: target(deployment),
            old: Box::new(status),
            new: Box::new(ended(new, verdict, generation, now).0),
        });
    }
    left
}

/// With `Replace`, the one that is on stops after its step as soon as another one waits.
fn make_room(
    status: &ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    queue: &[&Deployment],
    plan: &mut Plan,
) {
    let Some(active) = &status.active else { return };
    let on = deployments.iter().find(|d| d.uid().as_ref() == Some(&active.uid));
    let Some(on) = on.filter(|d| !is_over(d) && d.spec.mode == Mode::Apply) else { return };
    let next = queue.iter().find(|d| number_of(d).is_some_and(|number| Some(number) > number_of(on)));
    let old = on.status.clone().unwrap_or_default();
    if service.spec.policy.concurrency != Concurrency::Replace || old.replaced_by.is_some() {
        return;
    }
    if let Some(next) = next {
        let new = DeploymentStatus { replaced_by: Some(reference(next)), ..old.clone() };
        plan.writes.push(Write::DeploymentStatus {
            target: target(on),
            old: Box::new(old),
            new: Box::new(new),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::triggers, *};

    fn deployment(name: &str, second: u8, mode: &str, number: Option<i64>) -> Deployment {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": name, "uid": name, "creationTimestamp": format!("2026-12-01T04:44:{second:02}Z")},
            "spec": {"service": "blog", "mode": mode}, "status": {"number": number, "phase": "Queued"},
        }))
        .expect("a Deployment")
    }

    fn sorted(all: &[Deployment]) -> Vec<String> {
        let mut deployments: Vec<&Deployment> = all.iter().collect();
        sort(&mut deployments);
        deployments.iter().map(|d| d.name_any()).collect()
    }

    #[test]
    fn runs_have_their_turn_by_number() {
        let in_one_second = [
            deployment("a", 1, "Apply", Some(4)),
            deployment("b", 1, "Apply", None),
            deployment("c", 1, "Apply", Some(3)),
            deployment("d", 0, "Apply", Some(2)),
        ];
        assert_eq!(sorted(&in_one_second), ["d", "c", "a", "b"]);
        let clocks_apart = [deployment("new", 7, "Apply", Some(2)), deployment("old", 8, "Apply", Some(1))];
        assert_eq!(sorted(&clocks_apart), ["old", "new"]);
        let previews_have_none = [
            deployment("first", 1, "Apply", Some(1)),
            deployment("preview", 2, "Check", None),
            deployment("second", 3, "Apply", Some(2)),
        ];
        assert_eq!(sorted(&previews_have_none), ["first", "preview", "second"]);
    }

    /// Both were made within one second, and the newer one's name comes first.
    #[test]
    fn the_older_one_gives_way_however_they_are_named() {
        let service: Service = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog", "uid": "u"},
            "spec": {"source": {"inline": {}}, "playbook": "p", "inventory": {"local": true}},
        }))
        .expect("a Service");
        let mut names =
            ["change:v1:a:", "change:v1:b:"].map(|trigger| (triggers::name(&service, trigger), trigger));
        names.sort();
        let all: Vec<Deployment> = names
            .into_iter()
            .zip([4, 3])
            .map(|((name, trigger), number)| {
                let mut deployment = deployment(&name, 1, "Apply", Some(number));
                deployment.annotations_mut().insert(crds::names::ANNOTATION_TRIGGER.into(), trigger.into());
                deployment
            })
            .collect();
        let mut deployments: Vec<&Deployment> = all.iter().collect();
        sort(&mut deployments);
        let mut plan = Plan::default();
        let left =
            supersede(&service, &deployments, "2026-12-01T04:44:02Z".parse().expect("a time"), &mut plan);
        assert_eq!(left.iter().map(|d| number_of(d)).collect::<Vec<_>>(), [Some(4)]);
        let [Write::DeploymentStatus { new, .. }] = plan.writes.as_slice() else {
            panic!("{:?}", plan.writes)
        };
        assert_eq!(new.reason.as_deref(), Some("Superseded"));
    }
}
