//! When the lock of a Service may be released: only once it is certain that its run is over.
//! Silence proves nothing. Pure.

use crds::{Deployment, deployment::Run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;

/// Seconds after the deadline in which a runner surely has stopped: it enforces the deadline itself.
pub const GRACE: SignedDuration = SignedDuration::from_secs(120);

/// Whether the run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is: proven.
    Yes,
    /// Not proven yet; certain by then.
    At(Timestamp),
    /// Not proven yet; something will tell.
    NotYet,
}

/// The kubelet has reported that the pod's containers ended.
pub fn pod_ended(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let phase = status.phase.as_deref().unwrap_or_default();
    let terminated = status
        .container_statuses
        .iter()
        .flatten()
        .all(|c| c.state.as_ref().is_some_and(|state| state.terminated.is_some()));
    matches!(phase, "Succeeded" | "Failed") && terminated
}

/// Nothing of this run is at work any more: its pod has ended; or its pod is gone, as with a drained node, and its final
/// report had come before, which a runner sends once Ansible has ended. `pod`: the run's own, if it is there.
pub fn run_ended(run: &Run, pod: Option<&Pod>) -> bool {
    pod.map_or(run.result.is_some(), pod_ended)
}

/// The Job has counted a pod as ended: that outlives the pod itself.
pub fn job_counted_end(job: &Job) -> bool {
    job.status.as_ref().is_some_and(|status| {
        status.failed.unwrap_or(0) + status.succeeded.unwrap_or(0) > 0
            && status.active.unwrap_or(0) == 0
            && status.terminating.unwrap_or(0) == 0
    })
}

/// When a claimed run is over at the latest.
pub fn certain_end(run: &Run) -> Timestamp {
    let deadline = run.deadline.unwrap_or(run.claimed_at);
    deadline.saturating_add(GRACE).unwrap_or(Timestamp::MAX)
}

/// Whether the run of this Deployment, whose verdict is known or which is gone, is over. `pods`
/// are those of its current attempt; `until` was noted with the lock when the run was lost. What the
/// Job counted is no proof: it may be the end of another pod, or a pod that was only given up.
pub fn over(deployment: Option<&Deployment>, until: Option<Timestamp>, pods: &[Pod], now: Timestamp) -> Over {
    let Some(deployment) = deployment else {
        // A Deployment that claimed is only let go once its end was seen or `until` was noted.
        return match until {
            Some(until) if now < until => Over::At(until),
            None if !pods.iter().all(pod_ended) => Over::NotYet,
            _ => Over::Yes,
        };
    };
    let status = deployment.status.clone().unwrap_or_default();
    if !status.phase.is_some_and(crds::Phase::is_terminal) {
        return Over::NotYet;
    }
    // Whoever has not claimed before the verdict never will: the claim needs a phase that is not terminal.
    let Some(run) = status.run_of_attempt() else { return Over::Yes };
    let pod = pods.iter().find(|pod| pod.uid().as_deref() == Some(&run.pod_uid));
    if run_ended(run, pod) {
        return Over::Yes;
    }
    let end = certain_end(run);
    if now >= end { Over::Yes } else { Over::At(end) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("an object")
    }

    fn deployment(status: &Value) -> Deployment {
        from(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": "run"}, "spec": {"service": "blog"}, "status": status,
        }))
    }

    fn pod(uid: &str, ended: bool) -> Pod {
        let state = if ended { json!({"terminated": {"exitCode": 0}}) } else { json!({"running": {}}) };
        from(json!({"metadata": {"uid": uid}, "status": {
            "phase": if ended { "Failed" } else { "Running" },
            "containerStatuses": [{"name": "run", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}],
        }}))
    }

    #[test]
    fn only_proof_or_the_deadline_releases_the_lock_of_a_claimed_run() {
        let claimed = json!({"phase": "Failed", "run": {
            "attempt": 1, "instance": "i", "podUid": "p", "seq": 0,
            "claimedAt": "2026-11-23T12:00:00Z", "deadline": "2026-11-23T12:30:00Z",
        }});
        let run = deployment(&claimed);
        let (before, end): (Timestamp, Timestamp) =
            ("2026-11-23T12:31:59Z".parse().unwrap(), "2026-11-23T12:32:00Z".parse().unwrap());

        assert_eq!(over(Some(&run), None, &[pod("p", true)], before), Over::Yes);
        // Silence and another pod's end prove nothing.
        assert_eq!(over(Some(&run), None, &[], before), Over::At(end));
        assert_eq!(over(Some(&run), None, &[pod("q", true)], before), Over::At(end));
        assert_eq!(over(Some(&run), None, &[pod("p", false)], before), Over::At(end));
        assert_eq!(over(Some(&run), None, &[], end), Over::Yes);
    }

    /// Whoever asks a pod to stop takes it away as soon as it has: then nobody may see its end.
    #[test]
    fn a_final_report_is_proof_once_its_pod_is_gone() {
        let reported = deployment(&json!({"phase": "Failed", "run": {
            "attempt": 1, "instance": "i", "podUid": "p", "seq": 9, "result": "{}",
            "claimedAt": "2026-11-23T12:00:00Z", "deadline": "2026-11-23T12:30:00Z",
        }}));
        let now = "2026-11-23T12:01:00Z".parse().unwrap();
        assert_eq!(over(Some(&reported), None, &[], now), Over::Yes);
        assert!(matches!(over(Some(&reported), None, &[pod("p", false)], now), Over::At(_)));
    }

    #[test]
    fn a_run_that_never_claimed_is_over_with_its_verdict_and_not_before() {
        let now = Timestamp::UNIX_EPOCH;
        let ended = deployment(&json!({"phase": "Cancelled"}));
        assert_eq!(over(Some(&ended), None, &[pod("p", false)], now), Over::Yes);
        let waiting = deployment(&json!({"phase": "Preparing"}));
        assert_eq!(over(Some(&waiting), None, &[], now), Over::NotYet);
        assert_eq!(over(None, None, &[pod("p", false)], now), Over::NotYet);
        assert_eq!(over(None, None, &[], now), Over::Yes);
    }

    #[test]
    fn the_lock_of_a_lost_run_outlives_its_deployment() {
        let (before, end): (Timestamp, Timestamp) =
            ("2026-11-23T12:31:59Z".parse().unwrap(), "2026-11-23T12:32:00Z".parse().unwrap());
        assert_eq!(over(None, Some(end), &[], before), Over::At(end));
        assert_eq!(over(None, Some(end), &[pod("p", true)], before), Over::At(end));
        assert_eq!(over(None, Some(end), &[], end), Over::Yes);
    }
}
