//! What Kubernetes says where it does not let a run's Job or pod be made: a quota, a limit range, pod security, a
//! ServiceAccount that is not there, a field that makes no sense. Pure.

use crds::Reason;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Event;
use kube::core::Status;

/// A Job has a pod within a moment. One that has none for this long is asked why.
pub const SUSPICIOUS_AFTER: SignedDuration = SignedDuration::from_secs(4);
/// What nobody mends for this long is a failure. A quota is no fault: others may leave room.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// A no, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `QuotaExceeded`, `PodRefused` or `InvalidSpec`.
    pub reason: Reason,
    /// Kubernetes' own words.
    pub message: String,
}

impl Refusal {
    /// How long it is waited for that somebody mends it; none: as long as the run may prepare.
    pub fn patience(&self) -> Option<SignedDuration> {
        match self.reason {
            Reason::QuotaExceeded => None,
            Reason::InvalidSpec => Some(SignedDuration::ZERO),
            _ => Some(PATIENCE),
        }
    }
}

/// Of an answer to our own request. Not of a namespace that is going away, and not of what is no answer to it.
pub fn answered(status: &Status) -> Option<Refusal> {
    match status.code {
        400 | 422 => Some(Refusal { reason: Reason::InvalidSpec, message: status.message.clone() }),
        403 if !status.message.contains("being terminated") => Some(forbidden(&status.message)),
        _ => None,
    }
}

/// Of what the Job controller tells of a Job without a pod: the latest word.
pub fn told(events: &[Event]) -> Option<Refusal> {
    let at = |event: &Event| {
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|t| t.0);
        series.or(event.last_timestamp.as_ref().map(|t| t.0)).or(event.event_time.as_ref().map(|t| t.0))
    };
    let failed = events.iter().filter(|event| event.reason.as_deref() == Some("FailedCreate"));
    failed.max_by_key(|event| at(event)).map(|event| forbidden(event.message.as_deref().unwrap_or_default()))
}

fn forbidden(message: &str) -> Refusal {
    let quota =
        ["exceeded quota", "failed quota", "unknown for quota"].iter().any(|word| message.contains(word));
    let reason = if quota { Reason::QuotaExceeded } else { Reason::PodRefused };
    Refusal { reason, message: message.trim_start_matches("Error creating: ").to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(reason: Reason, message: &str) -> Refusal {
        Refusal { reason, message: message.into() }
    }

    #[test]
    fn what_kubernetes_answers_has_a_reason() {
        let see = |code: u16, message: &str| {
            answered(&Status { code, message: message.into(), ..Status::failure("", "") })
        };
        let quota = "jobs.batch \"run-a1\" is forbidden: exceeded quota: team, requested: count/jobs.batch=1";
        assert_eq!(see(403, quota), Some(refusal(Reason::QuotaExceeded, quota)));
        assert_eq!(see(403, "no"), Some(refusal(Reason::PodRefused, "no")));
        assert_eq!(see(422, "spec.x: no"), Some(refusal(Reason::InvalidSpec, "spec.x: no")));
        assert_eq!(
            see(403, "unable to create new content in namespace team because it is being terminated"),
            None
        );
        assert_eq!(see(500, quota), None);
        assert_eq!(see(409, quota), None);
    }

    #[test]
    fn the_latest_word_on_a_job_without_a_pod_counts() {
        let event = |reason: &str, at: &str, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": message, "lastTimestamp": at,
            }))
            .expect("an Event")
        };
        let quota = event("FailedCreate", "2026-11-26T12:00:00Z", "Error creating: exceeded quota: team");
        let account =
            event("FailedCreate", "2026-11-26T12:00:09Z", "Error creating: serviceaccount \"x\" not found");
        let other = event("SuccessfulCreate", "2026-11-26T12:00:10Z", "Created pod: x");
        let events = [account.clone(), quota.clone(), other.clone()];
        assert_eq!(told(&events), Some(refusal(Reason::PodRefused, "serviceaccount \"x\" not found")));
        assert_eq!(told(&[quota]), Some(refusal(Reason::QuotaExceeded, "exceeded quota: team")));
        assert_eq!(told(&[other]), None);
    }
}
