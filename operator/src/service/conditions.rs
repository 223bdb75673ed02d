//! The table of the design, section 5: which conditions a Service has. Pure.

use std::collections::BTreeMap;

use crds::{
    Deployment, Phase, Reason, Service, ServiceStatus,
    conditions::{IN_SYNC, READY, RECONCILING, STALLED, State, Wanted, merge},
    deployment::{Mode, Via},
    drift::DriftResult,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{
    decide::{Observed, began, is_over, phase},
    drift,
    triggers::{Automatic, via},
};
use frozen::Fault;

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
    /// What of the rules makes no sense.
    pub fault: Option<&'a Fault>,
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
    let Seen { service, status, deployments, numbers, automatic, fault, lost_until } = *seen;
    let reconciling = |reason, message| Row {
        ready: State::Unknown,
        also: Some(RECONCILING),
        in_sync: State::Unknown,
        reason,
        message,
    };
    let stalled =
        |in_sync, reason, message| Row { ready: State::False, also: Some(STALLED), in_sync, reason, message };
    let retrying = |message| Row {
        ready: State::False,
        also: Some(RECONCILING),
        in_sync: State::Unknown,
        reason: Reason::ProgressingWithRetry,
        message,
    };
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

    // What changes nothing is no news of the Service, unless its end cannot be seen.
    if let Some(active) = status.active.as_ref().filter(|active| !active.check || lost_until.is_some()) {
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
    if let Some(fault) = fault {
        return stalled(State::Unknown, fault.reason, fault.message.clone());
    }
    let wanted = match &observed.wanted {
        Ok(wanted) => wanted,
        Err(fault) if fault.reason == Reason::InvalidSpec => {
            return stalled(State::Unknown, fault.reason, fault.message.clone());
        }
        Err(fault) if fault.reason == Reason::Progressing => {
            return reconciling(fault.reason, fault.message.clone());
        }
        Err(fault) => return retrying(format!("{}: {}", fault.reason.as_str(), fault.message)),
    };
    if let Some(fault) = &wanted.outdated {
        let last = &wanted.source.revision;
        return retrying(format!("{}: {}; {last} stays until then", fault.reason.as_str(), fault.message));
    }
    let coming = *automatic == Automatic::Coming
        || deployments
            .iter()
            .filter(|d| d.spec.mode == Mode::Apply && phase(d) != Some(Phase::AwaitingApproval))
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
        let what = format!("{}: {what}", numbered(uid, ""));
        if let Some(at) = handled.and_then(|handled| handled.next_at) {
            return retrying(format!("{what}; tried again at {}", clock(at)));
        }
        // What was live before is live again: that is how it was left.
        let back = status.live.as_ref().filter(|live| {
            let run = deployments.iter().find(|d| d.uid().as_deref() == Some(&live.deployment.uid));
            let trigger = format!("rollback:{uid}");
            run.is_some_and(|run| via(service, run) == (Via::Rollback, Some(trigger)))
        });
        if let Some(live) = back {
            let message = format!("{what}; #{} brought back what was live before", live.number);
            return stalled(State::False, Reason::RolledBack, message);
        }
        return stalled(State::False, reason, what);
    }
    if let Some(live) = status.live.as_ref().filter(|live| live.digest == wanted.digest()) {
        let found = status.drift.as_ref();
        let message = match found.map(|found| (found, found.result)) {
            Some((found, Some(DriftResult::Drifted))) => {
                let message = format!(
                    "Deployment #{} is live, and the servers have changed since: {}",
                    live.number,
                    drift::summary(found)
                );
                return waiting(Reason::Drifted, message);
            }
            Some((found, Some(DriftResult::NotIdempotent))) => {
                let message = format!(
                    "Deployment #{} was to correct drift, and still {}; no further run is made for it",
                    live.number,
                    drift::summary(found)
                );
                return stalled(State::False, Reason::NotIdempotent, message);
            }
            Some((found, _)) if let Some(why) = found.checked.as_ref().and_then(|c| c.message.as_ref()) => {
                format!(
                    "Deployment #{} is live; whether its servers have changed since is not known: {why}",
                    live.number
                )
            }
            _ => format!("Deployment #{} is live", live.number),
        };
        return Row {
            ready: State::True,
            also: None,
            in_sync: State::True,
            reason: Reason::Deployed,
            message,
        };
    }
    let waits = deployments.iter().find(|d| !is_over(d) && phase(d) == Some(Phase::AwaitingApproval));
    if let Some(waits) = waits {
        let name = numbered(&waits.uid().unwrap_or_default(), &waits.name_any());
        return waiting(Reason::WaitingForApproval, format!("{name} waits until somebody agrees"));
    }
    let live = status.live.as_ref().map_or_else(
        || "Nothing was deployed yet".to_owned(),
        |live| format!("Deployment #{} is live, but something else is wanted", live.number),
    );
    if service.spec.suspend {
        return waiting(Reason::Suspended, format!("{live}; suspended"));
    }
    match automatic {
        Automatic::InputRequired(input) => {
            waiting(Reason::InputRequired, format!("{live}; a person must answer inputs.{input} first"))
        }
        Automatic::Window(Some(at)) => {
            waiting(Reason::WaitingForWindow, format!("{live}; runs by itself from {}", clock(*at)))
        }
        Automatic::Window(None) => {
            waiting(Reason::WaitingForWindow, format!("{live}; its windows never let a run start by itself"))
        }
        Automatic::Dependency(why) => Row {
            ready: State::False,
            also: Some(RECONCILING),
            in_sync: State::False,
            reason: Reason::DependencyNotReady,
            message: format!("{live}; {why}"),
        },
        // With OnChange as well: whoever went back stays back until something new is wanted.
        Automatic::NotAsked | Automatic::Coming => {
            waiting(Reason::WaitingForPerson, format!("{live}; waiting for a person"))
        }
    }
}

/// A day and a time, for people.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
