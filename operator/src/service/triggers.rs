//! What asks for a run that nobody asked for, and what forbids it. Pure. The trigger makes the name, so
//! that each happens once, whoever tries and however often.

use crds::{
    Deployment, Phase, Service, ServiceStatus,
    deployment::{DeploymentSpec, Mode, NumberRef, SecretInputs, Via},
    inputs::asks_for,
    names,
    policy::{Cause, DeployPolicy},
    service::{Input, InputType, NameRef, Next},
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    decide::{Observed, began, is_over, number_of},
    drift, ends,
};
use crate::{
    calendar::{
        schedule::Ticks,
        windows::{self, Permit},
    },
    plan::Plan,
    world::Write,
};
use frozen::{Fault, WantedRun};

/// What becomes of a run that nobody asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Automatic {
    /// Nothing asks for one.
    NotAsked,
    /// It is on its way.
    Coming,
    /// This input has no answer.
    InputRequired(String),
    /// The windows forbid it; until then, if they ever allow it.
    Window(Option<Timestamp>),
    /// These Services are not ready for it.
    Dependency(String),
}

/// The trigger of the run that this wanted state asks for, after the one that acted last.
pub fn change(status: &ServiceStatus, wanted: &WantedRun) -> String {
    let after = status.handled.as_ref().map_or("none", |handled| &handled.deployment.uid);
    format!("change:{}:{after}", wanted.digest())
}

/// Name of the Deployment that a trigger makes.
pub fn name(service: &Service, trigger: &str) -> String {
    names::deployment(&service.name_any(), &service.uid().unwrap_or_default(), trigger)
}

/// By which way a Deployment came.
pub fn via(service: &Service, deployment: &Deployment) -> (Via, Option<String>) {
    let trigger = deployment.annotations().get(names::ANNOTATION_TRIGGER);
    match trigger {
        // Only the name that the trigger makes proves that we made it.
        Some(trigger) if name(service, trigger) == deployment.name_any() => {
            let via = match trigger.split_once(':').map(|(kind, _)| kind) {
                Some("schedule") => Via::Schedule,
                Some("rollback") => Via::Rollback,
                Some("drift" | "correct") => Via::Drift,
                _ => Via::Change,
            };
            (via, Some(trigger.clone()))
        }
        _ if names::requester(deployment.annotations()).is_some()
            && !names::came_by_kubectl(deployment.annotations()) =>
        {
            (Via::Dashboard, None)
        }
        _ => (Via::Kubectl, None),
    }
}

/// Nobody asked for it.
pub fn is_automatic(service: &Service, deployment: &Deployment) -> bool {
    matches!(via(service, deployment).0, Via::Change | Via::Schedule | Via::Rollback | Via::Drift)
}

struct Asked {
    cause: Cause,
    trigger: String,
    /// Repeats that number, instead of what is wanted now.
    repeat: Option<i64>,
    reason: Option<String>,
}

/// Decides on the run that nobody asked for; plans to make its Deployment.
pub fn decide(
    service: &Service,
    status: &mut ServiceStatus,
    deployments: &[&Deployment],
    observed: &Observed,
    plan: &mut Plan,
) -> Result<Automatic, Fault> {
    let policy = &service.spec.policy;
    let permit = windows::permit(&policy.windows, false, observed.now)?;
    let tick = schedule(service, status, deployments, observed, plan)?;
    if service.spec.suspend {
        return Ok(Automatic::NotAsked);
    }
    if let Some(asked) = rollback(service, status, deployments) {
        plan.writes.push(make(service, asked, std::collections::BTreeMap::new(), None));
        return Ok(Automatic::Coming);
    }
    let asked = match &observed.wanted {
        Ok(wanted) => match wish(service, status, wanted, deployments, observed.now, plan) {
            Wish::Coming => return Ok(Automatic::Coming),
            Wish::Run(asked) => Some(asked),
            Wish::None => tick,
        },
        Err(_) => None,
    };
    let Some(asked) = asked.or_else(|| corrected(service, status, deployments)) else {
        return Ok(Automatic::NotAsked);
    };
    match permit {
        Permit::Now => {}
        Permit::At(at) => {
            plan.look_again_at(at, observed.now);
            if policy.schedule.is_none() {
                status.next = Some(Next { at, because: Cause::Window });
            }
            return Ok(Automatic::Window(Some(at)));
        }
        Permit::Never => return Ok(Automatic::Window(None)),
    }
    if let Some(why) = observed.dependencies.first() {
        return Ok(Automatic::Dependency(why.clone()));
    }
    if asked.repeat.is_some() {
        // It has its inputs already.
        plan.writes.push(make(service, asked, std::collections::BTreeMap::new(), None));
        return Ok(Automatic::Coming);
    }
    let secret = status.live.as_ref().and_then(|live| live.secret_inputs.as_ref());
    let asks = |input: &&Input| input.type_ == InputType::Secret && input.required;
    if let (None, Some(input)) = (secret, service.spec.inputs.iter().find(asks)) {
        return Ok(Automatic::InputRequired(input.name.clone()));
    }
    let live = status.live.as_ref().map(|live| &live.inputs);
    match crds::inputs::automatic(&service.spec.inputs, live) {
        Err(input) => Ok(Automatic::InputRequired(input)),
        Ok(inputs) => {
            let secret = secret.filter(|_| asks_for(&service.spec.inputs, InputType::Secret));
            plan.writes.push(make(service, asked, inputs, secret.cloned()));
            Ok(Automatic::Coming)
        }
    }
}

enum Wish {
    None,
    Coming,
    Run(Asked),
}

/// A change of what is wanted, or another try of it.
fn wish(
    service: &Service,
    status: &mut ServiceStatus,
    wanted: &WantedRun,
    deployments: &[&Deployment],
    now: Timestamp,
    plan: &mut Plan,
) -> Wish {
    if service.spec.policy.deploy != DeployPolicy::OnChange {
        return Wish::None;
    }
    let handled = status.handled.as_ref().filter(|handled| handled.digest == wanted.digest());
    let cause = match handled.map(|handled| handled.next_at) {
        None => Cause::Change,
        Some(Some(at)) if at <= now => Cause::Retry,
        Some(Some(at)) => {
            plan.look_again_at(at, now);
            if service.spec.policy.schedule.is_none() {
                status.next = Some(Next { at, because: Cause::Retry });
            }
            return Wish::None;
        }
        Some(None) => return Wish::None,
    };
    let trigger = change(status, wanted);
    let made = name(service, &trigger);
    // One that has not frozen its input yet will freeze what is wanted then.
    let coming = |d: &Deployment| {
        let by_us = d.annotations().contains_key(names::ANNOTATION_TRIGGER);
        let frozen = d.status.as_ref().and_then(|status| status.digest.as_deref());
        let will_run_it = frozen.map_or(by_us, |digest| digest == wanted.digest());
        d.name_any() == made || (will_run_it && !is_over(d) && d.spec.is_whole() && d.spec.repeat.is_none())
    };
    if deployments.iter().any(|d| coming(d)) {
        return Wish::Coming;
    }
    Wish::Run(Asked { cause, trigger, repeat: None, reason: None })
}

/// The tick that is due, if one is; keeps `next` up to date. What a suspended Service misses is not caught
/// up; whatever else was missed runs once.
fn schedule(
    service: &Service,
    status: &mut ServiceStatus,
    deployments: &[&Deployment],
    observed: &Observed,
    plan: &mut Plan,
) -> Result<Option<Asked>, Fault> {
    let now = observed.now;
    let expected = status.next.take().filter(|next| next.because == Cause::Schedule).map(|next| next.at);
    let Some(schedule) = &service.spec.policy.schedule else { return Ok(None) };
    let ticks = Ticks::read(schedule)?;
    if service.spec.suspend {
        return Ok(None);
    }
    let expected = expected.filter(|at| ticks.has(*at));
    let due = expected.and_then(|next| ticks.due(next, now));
    let made = |tick: Timestamp| {
        let made = name(service, &format!("schedule:{tick}"));
        deployments.iter().any(|d| d.name_any() == made)
    };
    let open = due.filter(|tick| !made(*tick));
    let next = match (expected, open) {
        (Some(expected), None) if due.is_none() => Some(expected),
        // It stays due until its Deployment is there.
        (_, Some(tick)) => Some(tick),
        _ => ticks.after(now),
    };
    status.next = next.map(|at| Next { at, because: Cause::Schedule });
    if let Some(at) = next.filter(|at| *at > now) {
        plan.look_again_at(at, now);
    }
    Ok(open.map(|tick| Asked {
        cause: Cause::Schedule,
        trigger: format!("schedule:{tick}"),
        repeat: None,
        reason: None,
    }))
}

/// What failed is undone: once, and never what was itself a rollback. Something newer that waits already
/// comes first.
fn rollback(service: &Service, status: &ServiceStatus, deployments: &[&Deployment]) -> Option<Asked> {
    let (last, live) = (status.last.as_ref()?, status.live.as_ref()?);
    let uid = &last.deployment.uid;
    let failed = deployments.iter().find(|d| d.uid().as_ref() == Some(uid))?;
    // What is live but does not work gives way to what was live before.
    let (good, is_later) = if live.deployment.uid == *uid {
        let before = status.previous.as_ref()?;
        (number_of(deployments.iter().find(|d| d.uid().as_ref() == Some(&before.uid))?)?, true)
    } else {
        // Numbers do not say it: one that had to be approved may have waited behind a later one.
        let began = deployments.iter().find(|d| d.uid().as_ref() == Some(&live.deployment.uid));
        let began = began.copied().and_then(ends::claimed).unwrap_or(live.since);
        (live.number, ends::claimed(failed) > Some(began))
    };
    let trigger = format!("rollback:{uid}");
    let made = name(service, &trigger);
    let asked = service.spec.policy.rollback_on_failure
        && last.phase == Phase::Failed
        && began(failed)
        && failed.spec.mode == Mode::Apply
        // What would be brought back is what it ran.
        && !matches!(via(service, failed).0, Via::Rollback | Via::Drift)
        && is_later
        && deployments.iter().all(|d| d.name_any() != made && (is_over(d) || d.spec.mode == Mode::Check));
    asked.then(|| Asked {
        cause: Cause::Rollback,
        trigger,
        repeat: Some(good),
        reason: Some(format!(
            "Brings #{good} back, because #{} failed",
            number_of(failed).unwrap_or_default()
        )),
    })
}

/// The run that corrects drift.
fn corrected(service: &Service, status: &ServiceStatus, deployments: &[&Deployment]) -> Option<Asked> {
    let (trigger, number, reason) = drift::correction(service, status, deployments)?;
    Some(Asked { cause: Cause::Drift, trigger, repeat: Some(number), reason: Some(reason) })
}

fn make(
    service: &Service,
    asked: Asked,
    inputs: std::collections::BTreeMap<String, serde_json::Value>,
    secret: Option<NameRef>,
) -> Write {
    let Asked { cause, trigger, repeat, reason } = asked;
    tracing::debug!(service = service.name_any(), ?cause, "a run that nobody asked for");
    let spec = DeploymentSpec {
        inputs,
        secret_inputs: secret.map(|secret_ref| SecretInputs { secret_ref }),
        reason,
        repeat: repeat.map(|number| NumberRef { number }),
        ..DeploymentSpec::of(service.name_any())
    };
    create(service, trigger, spec)
}

/// Plans to make the Deployment of a trigger.
pub fn create(service: &Service, trigger: String, spec: DeploymentSpec) -> Write {
    let mut deployment = Deployment::new(&name(service, &trigger), spec);
    deployment.metadata.namespace = service.namespace();
    deployment.metadata.labels = Some([(names::LABEL_SERVICE.into(), service.name_any())].into());
    deployment.metadata.annotations = Some([(names::ANNOTATION_TRIGGER.into(), trigger)].into());
    deployment.metadata.finalizers = Some(vec![names::FINALIZER_RUN.into()]);
    deployment.metadata.owner_references = Some(vec![crate::deployment::build::owner_reference::<Service>(
        &service.name_any(),
        &service.uid().unwrap_or_default(),
        true,
    )]);
    Write::CreateDeployment(Box::new(deployment))
}
