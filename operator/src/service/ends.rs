//! What follows from Deployments that have ended: `last`, `live`, `previous`, `handled`. Pure.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    Deployment, Phase, Reason, Service, ServiceStatus,
    deployment::Mode,
    policy::DeployPolicy,
    service::{Handled, Last, Live},
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{
    decide::{Observed, began, is_over, number_of, phase, reference},
    triggers,
};

/// How often a wanted state is tried, all in all.
pub const TRIES: i32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The run that changes something and whose turn it was, once it is over. Runs of a Service take turns, so what
/// ended in its turn is what the servers have seen last, whatever the numbers and the clocks of their pods say.
pub fn in_its_turn<'a>(status: &ServiceStatus, deployments: &[&'a Deployment]) -> Option<&'a Deployment> {
    let active = status.active.as_ref()?;
    let holder = deployments.iter().copied().find(|d| d.uid().as_ref() == Some(&active.uid))?;
    (holder.spec.mode == Mode::Apply && is_over(holder)).then_some(holder)
}

/// When it was allowed to start Ansible, by the clock of our API: runs that began can be told apart by it.
pub fn claimed(deployment: &Deployment) -> Option<Timestamp> {
    Some(deployment.status.as_ref()?.run.as_ref()?.claimed_at)
}

/// `last`, `live`, `previous`. Previews and runs on some servers only are neither.
pub fn record(new: &mut ServiceStatus, deployments: &[&Deployment]) {
    let ended =
        deployments.iter().filter(|d| is_over(d) && number_of(d).is_some() && d.spec.mode == Mode::Apply);
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
    let is_good = |d: &Deployment| {
        d.spec.is_whole() && (phase(d) == Some(Phase::Succeeded) || only_the_site_is_down(d))
    };
    let succeeded = match &new.live {
        Some(_) => in_its_turn(new, deployments).filter(|d| is_good(d)),
        // Nothing was live, or the status was lost: what is known best.
        None => ended.copied().filter(|d| is_good(d)).max_by_key(|d| (claimed(d), number_of(d))),
    };
    let Some((deployment, status)) = succeeded.and_then(|d| Some((d, d.status.as_ref()?))) else { return };
    if new.live.as_ref().is_some_and(|live| Some(&live.deployment.uid) == deployment.uid().as_ref()) {
        return;
    }
    let live = Live {
        deployment: reference(deployment),
        number: status.number.unwrap_or_default(),
        digest: status.digest.clone().unwrap_or_default(),
        revision: status.revision.clone().unwrap_or_default(),
        inputs: status.inputs.clone().unwrap_or_else(|| deployment.spec.inputs.clone()),
        secret_inputs: status.secret_inputs.clone(),
        outputs: status.outputs.clone(),
        since: status.finished_at.unwrap_or(Timestamp::UNIX_EPOCH),
        healthy: status.site_up,
    };
    new.previous = new.live.replace(live).map(|live| live.deployment);
}

/// Ansible ended well, so that is what is on the servers, though it does not work.
pub fn only_the_site_is_down(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    phase(deployment) == Some(Phase::Failed)
        && status.and_then(|s| s.reason.as_deref()) == Some(Reason::HealthCheckFailed.as_str())
}

/// `handled`: a wanted state is acted on once a Deployment was made for it, or once one that people
/// asked for has run it on all servers.
pub fn record_handled(
    new: &mut ServiceStatus,
    service: &Service,
    deployments: &[&Deployment],
    numbers: &BTreeMap<String, i64>,
    observed: &Observed,
) {
    if let Ok(wanted) = &observed.wanted {
        let number = |d: &Deployment| numbers.get(&d.uid().unwrap_or_default());
        let before = new.handled.clone();
        let already = before.as_ref().and_then(|handled| numbers.get(&handled.deployment.uid));
        let made_for_it = triggers::name(service, &triggers::change(new, wanted));
        let acted = deployments
            .iter()
            .filter(|d| already.is_none_or(|already| number(d) > Some(already)))
            .filter(|d| {
                let digest = d.status.as_ref().and_then(|s| s.digest.as_deref());
                let has_run = digest == Some(wanted.digest()) && is_over(d) && began(d) && d.spec.is_whole();
                d.name_any() == made_for_it || has_run
            })
            .max_by_key(|d| number(d));
        if let Some(deployment) = acted {
            let again = before
                .filter(|before| before.digest == wanted.digest() && before.result != Some(Phase::Succeeded));
            new.handled = Some(Handled {
                digest: wanted.digest().into(),
                deployment: reference(deployment),
                result: None,
                tries: again.map_or(1, |before| before.tries.saturating_add(1)),
                next_at: None,
            });
        }
    }
    if let Some(handled) = &mut new.handled {
        let deployment = deployments.iter().find(|d| d.uid().as_ref() == Some(&handled.deployment.uid));
        let Some(deployment) = deployment.filter(|d| is_over(d)) else { return };
        handled.result = phase(deployment);
        handled.next_at = next_try(service, deployment, handled.tries);
    }
}

/// When a wanted state that failed is tried again. What only a change can mend is not; nor is what was
/// stopped, and what a rollback undoes.
fn next_try(service: &Service, deployment: &Deployment, tries: i32) -> Option<Timestamp> {
    let status = deployment.status.as_ref()?;
    let reason = status.reason.as_deref().and_then(Reason::parse);
    let undone = service.spec.policy.rollback_on_failure && began(deployment);
    let again = status.phase == Some(Phase::Failed)
        && service.spec.policy.deploy == DeployPolicy::OnChange
        && !reason.is_some_and(Reason::needs_a_change)
        && !undone
        && tries < TRIES;
    let pause = FIRST_PAUSE * 4_u32.pow(tries.saturating_sub(1).clamp(0, 5).cast_unsigned());
    again.then_some(status.finished_at?.saturating_add(SignedDuration::try_from(pause).ok()?).ok()?)
}
