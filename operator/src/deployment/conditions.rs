//! Which conditions a Deployment has. Pure.

use crds::{
    DeploymentStatus, Phase, Reason,
    conditions::{READY, RECONCILING, STALLED, SUCCEEDED, State, Wanted, merge},
};
use jiff::Timestamp;

/// Sets phase, reason and conditions; a terminal phase makes them final.
pub fn set(
    status: &mut DeploymentStatus,
    phase: Phase,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let (state, also) = match phase {
        Phase::Succeeded => (State::True, None),
        Phase::Failed | Phase::NothingDone | Phase::Cancelled => (State::False, Some(STALLED)),
        Phase::Pending | Phase::AwaitingApproval | Phase::Queued | Phase::Preparing | Phase::Running => {
            (State::Unknown, Some(RECONCILING))
        }
    };
    let condition = |type_, state| Wanted { type_, state, reason, message: message.to_owned() };
    let mut wanted = vec![condition(SUCCEEDED, state), condition(READY, state)];
    wanted.extend(also.map(|type_| condition(type_, State::True)));
    status.conditions = merge(&status.conditions, &wanted, generation, now);
    status.phase = Some(phase);
    status.reason = Some(reason.as_str().into());
    status.observed_generation = generation;
}
