//! The table of the design, section 5: which conditions a Service has. Pure.

use std::collections::BTreeMap;

use crds::{
    Deployment, Phase, Reason, Service, ServiceStatus,
    conditions::{IN_SYNC, READY, RECONCILING, STALLED, State, Wanted, merge},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::decide::{Automatic, Observed, began, is_over};

/// What the table is looked up with.
pub struct Seen<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Its next status, but for conditions.
    pub status: &'a ServiceStatus,
    /// Its Deployments.
    pub deployments: &'a [&'a Deployment],
    /// Their numbers, by uid.
    pub numbers: &'a BTreeMap<String, i64>,
    /// Whether an automatic run is on its way.
    pub automatic: &'a Automatic,
    /// Until when the lock is kept for a run that may not be over.
    pub lost_until: Option<Timestamp>,
}

/// A row of the table.
struct Row {
    ready: State,
    also: Option<&'static str>,
    in_sync: State,
    reason: Reason,
    message: String,
}

/// Looks the conditions up.
pub fn decide(seen: &Seen<'_>, observed: &Observed) -> Vec<Condition> {
    let Row { ready, also, in_sync, reason, message } = row(seen, observed);
    let condition = |type_, state| Wanted { type_, state, reason, message: message.clone() };
    let mut wanted = vec![condition(READY, ready), condition(IN_SYNC, in_sync)];
    wanted.extend(also.map(|type_| condition(type_, State::True)));
    let generation = seen.service.metadata.generation.unwrap_or_default();
    merge(&seen.status.conditions, &wanted, generation, observed.now)
}

fn row(seen: &Seen<'_>, observed: &Observed) -> Row {
    let Seen { service, status, deployments, numbers, automatic, lost_until } = *seen;
    let reconciling = |reason, message| Row {
        ready: State::Unknown,
        also: Some(RECONCILING),
        in_sync: State::Unknown,
        reason,
        message,
    };
    let stalled =
        |in_sync, reason, message| Row { ready: State::False, also: Some(STALLED), in_sync, reason, message };
    let waiting = |reason: Reason, message| Row {
        ready: State::True,
        also: None,
        in_sync: State::False,
        reason,
        message,
    };
    let numbered = |uid: &str, fallback: &str| {
        let number = numbers.get(uid);
        number.map_or_else(|| format!("Deployment {fallback}"), |number| format!("Deployment #{number}"))
    };

    if let Some(active) = &status.active {
        let name = numbered(&active.uid, &active.name);
        return match lost_until {
            Some(until) => reconciling(
                Reason::WaitingForLostRunner,
                format!(
                    "{name} may still be at work somewhere; nothing new starts until {}",
                    until.strftime("%H:%M UTC")
                ),
            ),
            None => reconciling(Reason::DeploymentRunning, format!("{name} is running")),
        };
    }
    let wanted = match &observed.wanted {
        Ok(wanted) => wanted,
        Err(fault) if fault.reason == Reason::InvalidSpec => {
            return stalled(State::Unknown, fault.reason, fault.message.clone());
        }
        Err(fault) => {
            return Row {
                ready: State::False,
                also: Some(RECONCILING),
                in_sync: State::Unknown,
                reason: Reason::ProgressingWithRetry,
                message: format!("{}: {}", fault.reason.as_str(), fault.message),
            };
        }
    };
    let coming = *automatic == Automatic::Coming
        || deployments
            .iter()
            .any(|d| !is_over(d) && d.metadata.deletion_timestamp.is_none() && d.spec.cancel.is_none());
    if coming && !service.spec.suspend {
        return reconciling(Reason::DeploymentRunning, "A Deployment is starting".into());
    }
    let handled = status.handled.as_ref().filter(|handled| handled.digest == wanted.digest());
    let uid = handled.map_or("", |h| &h.deployment.uid);
    let by = deployments.iter().find(|d| d.uid().as_deref() == Some(uid));
    // One that was stopped before it began has harmed nothing; it only leaves the wish open.
    let harmless = |result| result == Phase::Cancelled && by.is_some_and(|d| !began(d));
    let bad = |result: &Phase| *result != Phase::Succeeded && !harmless(*result);
    if let Some(result) = handled.and_then(|h| h.result).filter(bad) {
        let ended = by.and_then(|d| d.status.as_ref());
        let reason = ended.and_then(|s| Reason::parse(s.reason.as_deref()?)).unwrap_or(match result {
            Phase::NothingDone => Reason::NothingDone,
            Phase::Cancelled => Reason::Cancelled,
            _ => Reason::AnsibleFailed,
        });
        let what = ended
            .and_then(|s| crds::conditions::find(&s.conditions, READY))
            .map_or_else(|| reason.meaning().to_owned(), |condition| condition.message.clone());
        return stalled(State::False, reason, format!("{}: {what}", numbered(uid, "")));
    }
    if let Some(live) = status.live.as_ref().filter(|live| live.digest == wanted.digest()) {
        return Row {
            ready: State::True,
            also: None,
            in_sync: State::True,
            reason: Reason::Deployed,
            message: format!("Deployment #{} is live", live.number),
        };
    }
    let live = status.live.as_ref().map_or_else(
        || "Nothing was deployed yet".to_owned(),
        |live| format!("Deployment #{} is live, but something else is wanted", live.number),
    );
    if service.spec.suspend {
        return waiting(Reason::Suspended, format!("{live}; suspended"));
    }
    if let Automatic::InputRequired(input) = automatic {
        return waiting(Reason::InputRequired, format!("{live}; a person must answer inputs.{input} first"));
    }
    // With OnChange as well: whoever went back stays back until something new is wanted.
    waiting(Reason::WaitingForPerson, format!("{live}; waiting for a person"))
}
