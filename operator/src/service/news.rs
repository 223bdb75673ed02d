//! Which changes of its Deployments a Service's controller is woken by. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crds::{Deployment, Phase, deployment::DeploymentStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::watcher::Event;

use super::decide::{is_over, phase};

/// A hash over what a pass looks at in a Deployment that has not ended: how far it has come matters to its own
/// controller only. None where every change counts: its end, and what is done after it.
pub fn of(deployment: &Deployment) -> Option<u64> {
    if is_over(deployment) || deployment.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = deployment.status.clone().unwrap_or_default();
    let rest = DeploymentStatus {
        conditions: Vec::new(),
        observed_generation: 0,
        phase: phase(deployment).filter(|phase| *phase == Phase::AwaitingApproval),
        reason: None,
        requested_by: None,
        waiting_for: None,
        bundle: None,
        run: None,
        started_at: None,
        ..status
    };
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?} {rest:?}", deployment.metadata.generation, deployment.metadata.annotations)
        .hash(&mut hasher);
    Some(hasher.finish())
}

/// The event of one that is gone says so in its object, too: it may look as it did before.
pub fn marked(event: Event<Deployment>) -> Event<Deployment> {
    match event {
        Event::Delete(mut deployment) => {
            deployment.metadata.deletion_timestamp.get_or_insert(Time(Timestamp::UNIX_EPOCH));
            Event::Delete(deployment)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: &Value) -> Deployment {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": "run", "namespace": "team", "uid": "1", "generation": 1},
            "spec": {"service": "blog"}, "status": status,
        }))
        .expect("a Deployment")
    }

    #[test]
    fn how_far_a_run_is_is_no_news_to_its_service() {
        let queued = run(&json!({"number": 3, "phase": "Queued", "digest": "v1:a", "attempt": 1}));
        let running = run(&json!({
            "number": 3, "phase": "Running", "digest": "v1:a", "attempt": 1, "reason": "Running", "bundle": "b",
            "startedAt": "2026-11-30T10:00:00Z",
            "run": {"attempt": 1, "instance": "i", "podUid": "p", "claimedAt": "2026-11-30T10:00:00Z", "seq": 7},
        }));
        assert!(of(&queued).is_some());
        assert_eq!(of(&queued), of(&running));
    }

    #[test]
    fn what_decides_about_its_turn_and_every_end_is() {
        let queued = json!({"number": 3, "phase": "Queued", "digest": "v1:a"});
        for (field, value) in [
            ("number", json!(4)),
            ("digest", json!("v1:b")),
            ("attempt", json!(2)),
            ("phase", json!("AwaitingApproval")),
            ("replacedBy", json!({"name": "next", "uid": "2"})),
            ("retryAt", json!("2026-11-30T10:00:00Z")),
        ] {
            let mut other = queued.clone();
            other[field] = value;
            assert_ne!(of(&run(&other)), of(&run(&queued)), "{field}");
        }
        assert_eq!(of(&run(&json!({"number": 3, "phase": "Failed"}))), None);
        let mut asked = run(&queued);
        asked.metadata.generation = Some(2);
        assert_ne!(of(&asked), of(&run(&queued)), "cancel and approval stand in the spec");
    }

    #[test]
    fn one_that_goes_as_it_was_is_news() {
        let Event::Delete(gone) = marked(Event::Delete(run(&json!({"phase": "Queued"})))) else {
            unreachable!("it stays what it was")
        };
        assert_eq!(of(&gone), None);
        let Event::Apply(there) = marked(Event::Apply(run(&json!({"phase": "Queued"})))) else {
            unreachable!("it stays what it was")
        };
        assert!(of(&there).is_some());
    }
}
