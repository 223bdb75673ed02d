//! What became of a run's pod, from what Kubernetes says of it. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crds::Reason;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, Pod};

use crate::lock;

/// A pod that finds no node for this long is reported as unschedulable.
pub const UNSCHEDULABLE_AFTER: SignedDuration = SignedDuration::from_secs(30);

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

fn end(pod: &Pod, state: Option<&ContainerState>) -> End {
    let status = pod.status.clone().unwrap_or_default();
    let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) else {
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
