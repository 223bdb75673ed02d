//! What to do about a Service. Pure: the Service, what was observed, the time → a plan.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    Deployment, DeploymentStatus, Phase, Service, ServiceStatus,
    deployment::{DeploymentSpec, Via},
    names,
    service::{Active, DeployPolicy, Handled, Last, Live, ObjectRef},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;

use super::{conditions, history};
use crate::{
    frozen::{self, Fault, WantedRun},
    lock::{self, Over},
    plan::Plan,
    world::{Target, Write},
};

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
    /// What the Service wants now.
    pub wanted: Result<WantedRun, Fault>,
}

/// What an automatic run would need, if one is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Automatic {
    /// Nothing new is wanted, or nobody but people deploys.
    NotAsked,
    /// It is on its way.
    Coming,
    /// This input has no answer.
    InputRequired(String),
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
    deployments.sort_by_key(|d| (d.metadata.creation_timestamp.clone().map(|t| t.0), d.name_any()));

    record_ends(&mut new, &deployments);
    let numbered = number(&mut new, &deployments);
    let numbers = numbers(&deployments, &numbered);
    record_handled(&mut new, service, &deployments, &numbers, observed);
    let lost_until = release_lock(&mut new, &deployments, observed, &mut plan);
    let automatic = automatic_run(service, &new, &deployments, observed, &mut plan);
    take_turn(&mut new, service, &deployments, &numbers, observed.now);

    new.observed_generation = service.metadata.generation.unwrap_or_default();
    new.last_handled_reconcile_at =
        service.annotations().get(names::ANNOTATION_REQUESTED_AT).cloned().or(new.last_handled_reconcile_at);
    if let Ok(wanted) = &observed.wanted {
        new.source = Some(crds::service::SourceStatus { revision: wanted.revision.clone() });
    }
    let seen = conditions::Seen {
        service,
        status: &new,
        deployments: &deployments,
        numbers: &numbers,
        automatic: &automatic,
        lost_until,
    };
    new.conditions = conditions::decide(&seen, observed);
    // The Deployment that is made now wakes us again at once; until then there is nothing to tell.
    if plan.writes.iter().any(|write| matches!(write, Write::CreateDeployment(_))) {
        return plan;
    }

    // The Service's status first: numbers that were taken but not given are skipped, never given twice.
    if new != old {
        plan.writes.push(Write::ServiceStatus { old: Box::new(old), new: Box::new(new.clone()) });
    }
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

fn number_of(deployment: &Deployment) -> Option<i64> {
    deployment.status.as_ref().and_then(|status| status.number)
}

/// `last`, `live`, `previous`: from the Deployments that have ended.
fn record_ends(new: &mut ServiceStatus, deployments: &[&Deployment]) {
    let ended = deployments.iter().filter(|d| is_over(d) && number_of(d).is_some());
    let finished = |d: &Deployment| d.status.as_ref().and_then(|s| s.finished_at);
    if let Some(last) = ended.clone().max_by_key(|d| (finished(d), number_of(d))) {
        let known = new
            .last
            .as_ref()
            .and_then(|l| deployments.iter().find(|d| d.uid() == Some(l.deployment.uid.clone())));
        if known.is_none_or(|known| (finished(known), number_of(known)) < (finished(last), number_of(last))) {
            new.last =
                phase(last).map(|phase| Last { deployment: reference(last), number: number_of(last), phase });
        }
    }
    let succeeded = ended.filter(|d| phase(d) == Some(Phase::Succeeded)).max_by_key(|d| number_of(d));
    let Some((deployment, status)) = succeeded.and_then(|d| Some((*d, d.status.as_ref()?))) else { return };
    let number = status.number.unwrap_or_default();
    if new.live.as_ref().is_some_and(|live| live.number >= number) {
        return;
    }
    let live = Live {
        deployment: reference(deployment),
        number,
        digest: status.digest.clone().unwrap_or_default(),
        revision: status.revision.clone().unwrap_or_default(),
        inputs: deployment.spec.inputs.clone(),
        outputs: status.outputs.clone(),
        since: status.finished_at.unwrap_or(Timestamp::UNIX_EPOCH),
    };
    new.previous = new.live.replace(live).map(|live| live.deployment);
}

/// `handled`: a wanted state is acted on once a Deployment was made for it, or once one that people
/// asked for has run it.
fn record_handled(
    new: &mut ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    numbers: &BTreeMap<String, i64>,
    observed: &Observed,
) {
    if let Ok(wanted) = &observed.wanted {
        let number = |d: &Deployment| numbers.get(&d.uid().unwrap_or_default());
        let already = new.handled.as_ref().and_then(|handled| numbers.get(&handled.deployment.uid));
        let made_for_it = automatic_name(service, new, wanted);
        let acted = deployments
            .iter()
            .filter(|d| already.is_none_or(|already| number(d) > Some(already)))
            .filter(|d| {
                let digest = d.status.as_ref().and_then(|s| s.digest.as_deref());
                d.name_any() == made_for_it || (digest == Some(wanted.digest()) && is_over(d) && began(d))
            })
            .max_by_key(|d| number(d));
        if let Some(deployment) = acted {
            new.handled = Some(Handled {
                digest: wanted.digest().into(),
                deployment: reference(deployment),
                result: None,
                tries: 1,
                next_at: None,
            });
        }
    }
    if let Some(handled) = &mut new.handled {
        let deployment = deployments.iter().find(|d| d.uid().as_ref() == Some(&handled.deployment.uid));
        if let Some(phase) = deployment.and_then(|d| phase(d)).filter(|phase| phase.is_terminal()) {
            handled.result = Some(phase);
        }
    }
}

/// Releases the lock of a run that is over. Answers until when it is kept for one that may not be.
fn release_lock(
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

/// The trigger of the run that this wanted state asks for.
fn trigger(status: &ServiceStatus, wanted: &WantedRun) -> String {
    let after = status.handled.as_ref().map_or("none", |handled| &handled.deployment.uid);
    format!("change:{}:{after}", wanted.digest())
}

fn automatic_name(service: &Service, status: &ServiceStatus, wanted: &WantedRun) -> String {
    names::deployment(&service.name_any(), &service.uid().unwrap_or_default(), &trigger(status, wanted))
}

fn automatic_run(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&Deployment],
    observed: &Observed,
    plan: &mut Plan,
) -> Automatic {
    let Ok(wanted) = &observed.wanted else { return Automatic::NotAsked };
    let handled = status.handled.as_ref().is_some_and(|handled| handled.digest == wanted.digest());
    if service.spec.policy.deploy != DeployPolicy::OnChange || service.spec.suspend || handled {
        return Automatic::NotAsked;
    }
    let name = automatic_name(service, status, wanted);
    // One that has not frozen its input yet will freeze what is wanted then.
    let coming = |d: &Deployment| {
        let by_change = d.annotations().contains_key(names::ANNOTATION_TRIGGER);
        let frozen = d.status.as_ref().and_then(|status| status.digest.as_deref());
        let will_run_it = frozen.map_or(by_change, |digest| digest == wanted.digest());
        d.name_any() == name || (will_run_it && !is_over(d))
    };
    if deployments.iter().any(|d| coming(d)) {
        return Automatic::Coming;
    }
    let live = status.live.as_ref().map(|live| &live.inputs);
    match crds::inputs::automatic(&service.spec.inputs, live) {
        Err(input) => Automatic::InputRequired(input),
        Ok(inputs) => {
            let mut deployment = Deployment::new(
                &name,
                DeploymentSpec { service: service.name_any(), reason: None, inputs, cancel: None },
            );
            deployment.metadata.namespace = service.namespace();
            deployment.metadata.labels = Some([(names::LABEL_SERVICE.into(), service.name_any())].into());
            deployment.metadata.annotations =
                Some([(names::ANNOTATION_TRIGGER.into(), trigger(status, wanted))].into());
            deployment.metadata.finalizers = Some(vec![names::FINALIZER_RUN.into()]);
            deployment.metadata.owner_references =
                Some(vec![crate::deployment::build::owner_reference::<Service>(
                    &service.name_any(),
                    &service.uid().unwrap_or_default(),
                    true,
                )]);
            plan.writes.push(Write::CreateDeployment(Box::new(deployment)));
            Automatic::Coming
        }
    }
}

/// Numbers those that have none, in the order of their creation.
fn number<'a>(new: &mut ServiceStatus, deployments: &[&'a Deployment]) -> Vec<(&'a Deployment, i64)> {
    let waiting = deployments
        .iter()
        .filter(|d| !is_over(d) && number_of(d).is_none() && d.metadata.deletion_timestamp.is_none());
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

/// Gives the lock to the first one that waits.
fn take_turn(
    new: &mut ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    numbers: &BTreeMap<String, i64>,
    now: Timestamp,
) {
    if new.active.is_some() || service.spec.suspend {
        return;
    }
    let next = deployments
        .iter()
        .filter(|d| !is_over(d) && d.metadata.deletion_timestamp.is_none() && d.spec.cancel.is_none())
        .filter_map(|d| Some((numbers.get(&d.uid()?)?, *d)))
        .min_by_key(|(number, _)| *number);
    if let Some((_, deployment)) = next {
        let ObjectRef { name, uid } = reference(deployment);
        new.active = Some(Active { name, uid, since: now, until: None });
    }
}

/// By which way a Deployment came.
pub fn via(service: &Service, deployment: &Deployment) -> (Via, Option<String>) {
    let trigger = deployment.annotations().get(names::ANNOTATION_TRIGGER);
    match trigger {
        // Only the name that the trigger makes proves that we made it.
        Some(trigger)
            if names::deployment(&service.name_any(), &service.uid().unwrap_or_default(), trigger)
                == deployment.name_any() =>
        {
            (Via::Change, Some(trigger.clone()))
        }
        _ if names::requester(deployment.annotations()).is_some() => (Via::Dashboard, None),
        _ => (Via::Kubectl, None),
    }
}
