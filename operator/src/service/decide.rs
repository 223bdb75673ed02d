//! What to do about a Service. Pure: the Service, what was observed, the time → a plan.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    Deployment, DeploymentStatus, Phase, Reason, Service, ServiceStatus,
    deployment::Mode,
    drift::DriftResult,
    names,
    service::{ObjectRef, SourceStatus},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;

use super::{
    conditions, drift, ends, history,
    triggers::{self, Automatic},
    turn,
};
use crate::{
    plan::Plan,
    world::{Target, Write},
};
use frozen::{Fault, WantedRun};

/// How often ConfigMaps and Secrets without the label `fastdeploy.dev/watch` are read again.
const REREAD: Duration = Duration::from_mins(5);

/// What was observed for one pass.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// All Deployments of this Service.
    pub deployments: Vec<Deployment>,
    /// All Jobs of this Service.
    pub jobs: Vec<Job>,
    /// The pods of the Deployment that holds the lock.
    pub pods: Vec<Pod>,
    /// What PostgreSQL has of what the history's limits would remove.
    pub archive: history::Archive,
    /// Why it may not start by itself yet: each Service that it depends on and that is not ready, in a sentence.
    pub dependencies: Vec<String>,
    /// The circle that it depends on itself by, if there is one: names.
    pub circle: Option<Vec<String>>,
    /// How many Deployments wait for their turn.
    pub waiting: usize,
    /// There is room for one more run in namespace and cluster.
    pub room: bool,
    /// A check for drift is due, and PostgreSQL does not answer.
    pub database_away: bool,
    /// A wish to look now was fulfilled, if there was one.
    pub answered: bool,
    /// What the Service wants now.
    pub wanted: Result<WantedRun, Fault>,
}

/// Decides.
pub fn decide(service: &Service, observed: &Observed) -> Plan {
    if service.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let old = service.status.clone().unwrap_or_default();
    let mut new = old.clone();
    let mut plan = Plan::default();
    let mut deployments: Vec<&Deployment> = observed.deployments.iter().collect();
    turn::sort(&mut deployments);

    ends::record(&mut new, &deployments);
    drift::record(&mut new, service, &deployments);
    let numbered = number(&mut new, &deployments);
    let numbers = numbers(&deployments, &numbered);
    ends::record_handled(&mut new, service, &deployments, &numbers, observed);
    let lost_until = turn::release(&mut new, &deployments, observed, &mut plan);
    let decided = circle(observed)
        .and_then(|()| triggers::decide(service, &mut new, &deployments, observed, &mut plan))
        .and_then(|automatic| {
            if automatic != Automatic::Coming {
                drift::check(service, &new, &deployments, observed.database_away, observed.now, &mut plan);
            }
            turn::take(&mut new, service, &deployments, &numbers, observed, &mut plan).map(|()| automatic)
        });
    let (automatic, fault) = match decided {
        Ok(automatic) => (automatic, None),
        Err(fault) => (Automatic::NotAsked, Some(fault)),
    };

    new.observed_generation = service.metadata.generation.unwrap_or_default();
    let requested = service.annotations().get(names::ANNOTATION_REQUESTED_AT).filter(|_| observed.answered);
    new.last_handled_reconcile_at = requested.cloned().or(new.last_handled_reconcile_at);
    if old.observed_generation != new.observed_generation && observed.wanted.is_err() {
        // What was found for another spec is not what this one falls back to.
        new.source = None;
    }
    if let Ok(wanted) = &observed.wanted {
        // The time stays as long as nothing else changes: it must not make news of its own.
        let same = |old: &SourceStatus| SourceStatus { checked_at: None, ..old.clone() } == wanted.source;
        if !new.source.as_ref().is_some_and(same) {
            new.source = Some(SourceStatus { checked_at: Some(observed.now), ..wanted.source.clone() });
        }
    }
    let seen = conditions::Seen {
        service,
        status: &new,
        deployments: &deployments,
        numbers: &numbers,
        automatic: &automatic,
        fault: fault.as_ref(),
        lost_until,
    };
    new.conditions = conditions::decide(&seen, observed);
    // The Deployment that is made now wakes us again at once; until then there is nothing to tell.
    if plan.writes.iter().any(|write| matches!(write, Write::CreateDeployment(_))) {
        plan.writes.retain(|write| matches!(write, Write::CreateDeployment(_)));
        return plan;
    }

    let event = news(&old, &new);
    // The Service's status first: numbers that were taken but not given are skipped, never given twice.
    if new != old {
        plan.writes.insert(0, Write::ServiceStatus { old: Box::new(old), new: Box::new(new.clone()) });
    }
    plan.writes.extend(event);
    for (deployment, number) in numbered {
        let old = deployment.status.clone().unwrap_or_default();
        let new = DeploymentStatus { number: Some(number), ..old.clone() };
        plan.writes.push(Write::DeploymentStatus {
            target: target(deployment),
            old: Box::new(old),
            new: Box::new(new),
        });
    }
    history::prune(service, &new, &deployments, &observed.jobs, &observed.archive, &mut plan);
    if observed.wanted.is_err() {
        plan.look_again_in(Duration::from_secs(15));
    } else if frozen::depends_on_others(service) {
        plan.look_again_in(REREAD);
    }
    plan
}

/// Whoever waits for itself waits for ever.
fn circle(observed: &Observed) -> Result<(), Fault> {
    let Some(circle) = &observed.circle else { return Ok(()) };
    let message = format!("dependsOn: {} is a circle; take one of them out", circle.join(" → "));
    Err(Fault { reason: Reason::InvalidSpec, message })
}

/// Drift is worth a word when it is found, not with each check that finds it again.
fn news(old: &ServiceStatus, new: &ServiceStatus) -> Option<Write> {
    let result = |status: &ServiceStatus| status.drift.as_ref().and_then(|drift| drift.result);
    let reason = match result(new) {
        Some(DriftResult::Drifted) => Reason::Drifted,
        Some(DriftResult::NotIdempotent) => Reason::NotIdempotent,
        Some(DriftResult::InSync) | None => return None,
    };
    let note = new.drift.as_ref().map(drift::summary)?;
    (result(old) != result(new)).then_some(Write::Event { reason, note, warning: true })
}

/// As people call it.
pub(super) fn named(deployment: &Deployment) -> String {
    number_of(deployment).map_or_else(|| deployment.name_any(), |number| format!("#{number}"))
}

pub(super) fn target(deployment: &Deployment) -> Target {
    Target {
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
        resource_version: deployment.resource_version(),
    }
}

pub(super) fn reference(deployment: &Deployment) -> ObjectRef {
    ObjectRef { name: deployment.name_any(), uid: deployment.uid().unwrap_or_default() }
}

pub(super) fn phase(deployment: &Deployment) -> Option<Phase> {
    deployment.status.as_ref().and_then(|status| status.phase)
}

pub(super) fn is_over(deployment: &Deployment) -> bool {
    phase(deployment).is_some_and(Phase::is_terminal)
}

/// Ansible was allowed to start: only then may the servers be other than they were.
pub(super) fn began(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| status.run.is_some())
}

pub(super) fn number_of(deployment: &Deployment) -> Option<i64> {
    deployment.status.as_ref().and_then(|status| status.number)
}

/// Numbers those that have none, in the order of their creation. Previews have none.
fn number<'a>(new: &mut ServiceStatus, deployments: &[&'a Deployment]) -> Vec<(&'a Deployment, i64)> {
    let waiting = deployments
        .iter()
        .filter(|d| d.spec.mode == Mode::Apply && d.metadata.deletion_timestamp.is_none())
        .filter(|d| !is_over(d) && number_of(d).is_none());
    waiting
        .map(|d| {
            // A number that was given counts even if the Service's status was lost and restored.
            let highest = deployments.iter().filter_map(|d| number_of(d)).max().unwrap_or(0);
            let next = new.last_number.unwrap_or(0).max(highest) + 1;
            new.last_number = Some(next);
            (*d, next)
        })
        .collect()
}

/// The numbers that were given, and those that are given now, by uid.
fn numbers(deployments: &[&Deployment], numbered: &[(&Deployment, i64)]) -> BTreeMap<String, i64> {
    let given = deployments.iter().filter_map(|d| Some((d.uid()?, number_of(d)?)));
    given.chain(numbered.iter().filter_map(|(d, number)| Some((d.uid()?, *number)))).collect()
}
