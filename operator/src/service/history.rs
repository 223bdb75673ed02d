//! Which ended Deployments stay in the cluster, and whose Jobs. Pure.

use std::{collections::BTreeSet, time::Duration};

use crds::{Deployment, Phase, Reason, Service, ServiceStatus};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::decide::{is_over, phase, target};
use crate::{
    plan::Plan,
    world::{Target, Write},
};

/// How soon the mirror is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plans to delete what is past the limits. The live one, the one before, the last one and the one
/// that acted on what is wanted always stay. The Job of the last one stays, so that
/// `kubectl logs` still shows what Ansible printed.
pub fn prune(
    service: &Service,
    status: &ServiceStatus,
    deployments: &[&Deployment],
    jobs: &[Job],
    archive: &Archive,
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

    for (deployment, beyond) in past_the_limits(service, deployments) {
        let uid = deployment.uid().unwrap_or_default();
        if referenced.contains(&Some(uid.as_str())) || deployment.metadata.deletion_timestamp.is_some() {
            continue;
        }
        match archive {
            Archive::None => {}
            Archive::Has(uids) if uids.contains(&uid) => {}
            Archive::Away if beyond == Beyond::FiveTimes => plan.writes.push(Write::Event {
                reason: Reason::HistoryLost,
                note: format!(
                    "{} was removed; PostgreSQL was away and does not know how it ended",
                    deployment.name_any()
                ),
                warning: true,
            }),
            // The mirror is on its way, or will come back.
            Archive::Has(_) | Archive::Away => {
                plan.look_again_in(PATIENCE);
                continue;
            }
        }
        plan.writes.push(Write::DeleteDeployment(Target { resource_version: None, ..target(deployment) }));
    }
}

/// What PostgreSQL has of Deployments that may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archive {
    /// There is no database: the limits alone decide.
    None,
    /// It does not answer.
    Away,
    /// It knows the end, and the frozen input, of these (uids).
    Has(BTreeSet<String>),
}

/// How far past its limit a Deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Past it.
    Limit,
    /// Past five times of it: that much is kept for a database that is away, and no more.
    FiveTimes,
}

/// Ended Deployments that the limits would remove, the oldest last in each list.
pub fn past_the_limits<'a>(
    service: &Service,
    deployments: &[&'a Deployment],
) -> Vec<(&'a Deployment, Beyond)> {
    let mut ended: Vec<_> = deployments.iter().copied().filter(|d| is_over(d)).collect();
    ended.sort_by_key(|d| {
        let number = d.status.as_ref().and_then(|status| status.number);
        std::cmp::Reverse((number, d.metadata.creation_timestamp.clone().map(|t| t.0)))
    });
    let (succeeded, failed): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|d| phase(d) == Some(Phase::Succeeded));
    let limits = &service.spec.history;
    let lists = [(succeeded, limits.succeeded as usize), (failed, limits.failed as usize)];
    let past = lists.into_iter().flat_map(|(list, limit)| {
        let five_times = limit.max(1) * 5;
        list.into_iter().enumerate().skip(limit).map(move |(place, deployment)| {
            (deployment, if place >= five_times { Beyond::FiveTimes } else { Beyond::Limit })
        })
    });
    past.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "blog"},
            "spec": {"source": {"inline": {}}, "playbook": "d.yml", "inventory": {"local": true},
                "history": {"succeeded": 2, "failed": 1}},
        }))
        .expect("a Service")
    }

    fn deployments(succeeded: i64) -> Vec<Deployment> {
        let made = (1..=succeeded).map(|number| {
            serde_json::from_value(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
                "metadata": {"name": format!("run-{number}"), "uid": number.to_string()},
                "spec": {"service": "blog"}, "status": {"number": number, "phase": "Succeeded"},
            }))
            .expect("a Deployment")
        });
        made.collect()
    }

    /// Names that are removed, in the order of their numbers, and how many Events that makes.
    fn pruned(archive: &Archive, succeeded: i64) -> (Vec<String>, usize) {
        let deployments = deployments(succeeded);
        let mut plan = Plan::default();
        let all: Vec<_> = deployments.iter().collect();
        prune(&service(), &ServiceStatus::default(), &all, &[], archive, &mut plan);
        let mut names: Vec<_> = plan
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::DeleteDeployment(target) => Some(target.name.clone()),
                _ => None,
            })
            .collect();
        names.sort();
        let events = plan.writes.len() - names.len();
        (names, events)
    }

    #[test]
    fn only_what_is_archived_is_removed() {
        assert_eq!(pruned(&Archive::None, 4).0, ["run-1", "run-2"]);
        assert_eq!(pruned(&Archive::Has(BTreeSet::from(["1".into(), "4".into()])), 4).0, ["run-1"]);
        assert_eq!(pruned(&Archive::Has(BTreeSet::new()), 4), (vec![], 0));
    }

    #[test]
    fn a_database_that_is_away_is_waited_for_up_to_five_times_the_limit() {
        assert_eq!(pruned(&Archive::Away, 10), (vec![], 0));
        assert_eq!(pruned(&Archive::Away, 12), (vec!["run-1".into(), "run-2".into()], 2));
    }
}
