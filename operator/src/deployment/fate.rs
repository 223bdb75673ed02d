//! What became of a run's pod, from what Kubernetes says of it. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crds::Reason;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, Pod, PodStatus};

use crate::lock;

/// A pod that finds no node for this long is reported as unschedulable.
pub const UNSCHEDULABLE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Kubernetes' word for a pod that the kubelet took away to save its node.
pub const EVICTED: &str = "Evicted";
/// The word for a pod whose node went away under it.
pub const NODE_LOST: &str = "NodeLost";

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way, or at work.
    Alive,
    /// It finds no node; given up at that time.
    Unscheduled(Timestamp, String),
    /// It will never start.
    Hopeless(Reason, String),
    /// The kubelet has reported its end.
    Ended(End),
}

/// How a pod ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// What the runner left behind.
    pub message: String,
    /// Exit code of the runner.
    pub exit_code: Option<i32>,
    /// Kubernetes' own word: OOMKilled, Evicted, DeadlineExceeded, …
    pub word: String,
    /// A sentence of Kubernetes'.
    pub detail: String,
    /// When the container ended.
    pub at: Option<Timestamp>,
}

/// A hash over what may change a fate; everything else that Kubernetes notes on a pod is no news. A
/// pod that is removed has lost its finalizers, so that is seen too.
pub fn news(pod: &Pod) -> u64 {
    let mut hasher = DefaultHasher::new();
    let started = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .any(|c| c.state.as_ref().is_some_and(|state| state.running.is_some()));
    format!("{:?}", of(pod)).hash(&mut hasher);
    (started, &pod.metadata.deletion_timestamp.is_some(), &pod.metadata.finalizers).hash(&mut hasher);
    hasher.finish()
}

/// Reads it from the pod's status.
pub fn of(pod: &Pod) -> Fate {
    let Some(status) = &pod.status else { return Fate::Alive };
    let state = status
        .container_statuses
        .iter()
        .flatten()
        .find(|c| c.name == super::build::CONTAINER)
        .and_then(|c| c.state.as_ref());
    if lock::pod_ended(pod) {
        return Fate::Ended(end(pod, state));
    }
    // An image of the user's gets the runner from an init container first.
    let bringing =
        status.init_container_statuses.iter().flatten().find_map(|c| c.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = bringing.or_else(|| state.and_then(|state| state.waiting.as_ref())) {
        let message = waiting.message.clone().unwrap_or_default();
        match waiting.reason.as_deref() {
            Some("ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError") => {
                return Fate::Hopeless(Reason::ImagePull, message);
            }
            Some("CreateContainerConfigError") => return Fate::Hopeless(Reason::SecretMissing, message),
            Some("CreateContainerError" | "RunContainerError") => {
                return Fate::Hopeless(Reason::RunnerFailed, message);
            }
            _ => {}
        }
    }
    if pod.metadata.deletion_timestamp.is_some()
        && let Some(given_up) = given_up(status)
    {
        return Fate::Hopeless(Reason::NodeLost, given_up);
    }
    let scheduled = status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled");
    match scheduled {
        Some(c) if c.status == "False" && c.reason.as_deref() == Some("Unschedulable") => {
            let since = c.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            let until = since.saturating_add(UNSCHEDULABLE_AFTER).unwrap_or(Timestamp::MAX);
            Fate::Unscheduled(until, c.message.clone().unwrap_or_default())
        }
        _ => Fate::Alive,
    }
}

/// What Kubernetes says where it takes a pod from a node that nothing may be on any more: one that does not
/// answer, is declared to be out of service, or is gone. The kubelet there may never report anything.
fn given_up(status: &PodStatus) -> Option<String> {
    let disrupted = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget")?;
    let by_node = matches!(disrupted.reason.as_deref(), Some("DeletionByTaintManager" | "DeletionByPodGC"));
    (disrupted.status == "True" && by_node).then(|| disrupted.message.clone().unwrap_or_default())
}

fn end(pod: &Pod, state: Option<&ContainerState>) -> End {
    let status = pod.status.clone().unwrap_or_default();
    let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) else {
        if let Some(detail) = given_up(&status) {
            return End { word: NODE_LOST.into(), detail, ..End::default() };
        }
        return End {
            word: status.reason.unwrap_or_default(),
            detail: status.message.unwrap_or_default(),
            ..End::default()
        };
    };
    // The pod's own word (Evicted) says more than the container's (Error).
    let word = status.reason.or_else(|| terminated.reason.clone()).unwrap_or_default();
    End {
        message: terminated.message.clone().unwrap_or_default(),
        exit_code: Some(terminated.exit_code),
        word,
        detail: status.message.unwrap_or_default(),
        at: terminated.finished_at.as_ref().map(|time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fate(metadata: &Value, status: &Value) -> Fate {
        of(&serde_json::from_value(json!({"metadata": metadata, "status": status})).expect("a pod"))
    }

    #[test]
    fn a_pod_that_is_taken_from_a_lost_node_is_not_waited_for() {
        let because = |reason: &str| json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "gone"}]);
        let (here, going) = (json!({}), json!({"deletionTimestamp": "2026-11-26T12:00:00Z"}));
        let taken = json!({"phase": "Pending", "conditions": because("DeletionByTaintManager")});
        assert_eq!(fate(&going, &taken), Fate::Hopeless(Reason::NodeLost, "gone".into()));
        assert_eq!(fate(&here, &taken), Fate::Alive);
        // Its node is there, and somebody more important wants the room: the kubelet reports how that ends.
        let preempted = json!({"phase": "Pending", "conditions": because("PreemptionByScheduler")});
        assert_eq!(fate(&going, &preempted), Fate::Alive);
        let collected = json!({"phase": "Failed", "conditions": because("DeletionByPodGC")});
        let lost = End { word: NODE_LOST.into(), detail: "gone".into(), ..End::default() };
        assert_eq!(fate(&going, &collected), Fate::Ended(lost));
    }

    #[test]
    fn a_container_that_cannot_start_says_why() {
        let state =
            json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "not a directory"}});
        let containers = json!([{"name": "run", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
        let Fate::Ended(end) = fate(&json!({}), &json!({"phase": "Failed", "containerStatuses": containers}))
        else {
            panic!("it has ended")
        };
        let verdict = super::super::verdict::of(&end, None, false);
        assert_eq!(verdict.reason, Reason::RunnerFailed);
        assert!(verdict.message.contains("not a directory"), "{}", verdict.message);
    }
}
