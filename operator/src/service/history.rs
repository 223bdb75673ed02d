//! Which ended Deployments stay in the cluster, and whose Jobs. Pure.

use crds::{Deployment, Phase, Service, ServiceStatus};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::decide::{is_over, phase, target};
use crate::{
    plan::Plan,
    world::{Target, Write},
};

/// Plans to delete what is past the limits. The live one, the one before, the last one and the one
/// that acted on what is wanted always stay. The Job of the last one stays, so that
/// `kubectl logs` still shows what Ansible printed.
pub fn prune(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&Deployment],
    jobs: &[Job],
    plan: &mut Plan,
) {
    let last = status.last.as_ref().map(|last| last.deployment.uid.as_str());
    let active = status.active.as_ref().map(|active| active.uid.as_str());
    let referenced = [
        last,
        active,
        status.live.as_ref().map(|live| live.deployment.uid.as_str()),
        status.previous.as_ref().map(|previous| previous.uid.as_str()),
        status.handled.as_ref().map(|handled| handled.deployment.uid.as_str()),
    ];
    for job in jobs {
        let owner = job.owner_references().iter().find(|owner| owner.kind == "Deployment");
        let Some(owner) = owner.and_then(|o| deployments.iter().find(|d| d.uid().as_ref() == Some(&o.uid)))
        else {
            continue;
        };
        let uid = owner.uid();
        let kept = [last, active].contains(&uid.as_deref());
        if is_over(owner) && !kept && job.metadata.deletion_timestamp.is_none() {
            plan.writes.push(Write::DeleteJob(Target {
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                resource_version: None,
            }));
        }
    }

    let mut ended: Vec<_> = deployments.iter().copied().filter(|d| is_over(d)).collect();
    ended.sort_by_key(|d| {
        let number = d.status.as_ref().and_then(|status| status.number);
        std::cmp::Reverse((number, d.metadata.creation_timestamp.clone().map(|t| t.0)))
    });
    let (succeeded, failed): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|d| phase(d) == Some(Phase::Succeeded));
    let limits = &service.spec.history;
    for (list, limit) in [(succeeded, limits.succeeded), (failed, limits.failed)] {
        for deployment in list.into_iter().skip(limit as usize) {
            let uid = deployment.uid();
            let kept = referenced.contains(&uid.as_deref());
            if !kept && deployment.metadata.deletion_timestamp.is_none() {
                plan.writes
                    .push(Write::DeleteDeployment(Target { resource_version: None, ..target(deployment) }));
            }
        }
    }
}
