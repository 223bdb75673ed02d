//! Which ended Deployments stay in the cluster, and whose Jobs. Pure.

use std::{collections::BTreeSet, time::Duration};

use crds::{Deployment, Phase, Reason, Service, ServiceStatus, deployment::Mode, names};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{
    decide::{is_over, phase, target},
    drift,
};
use crate::{
    plan::Plan,
    world::{Target, Write},
};

/// How soon the mirror is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plans to delete what is past the limits. The live one, the one before, the last one and the one
/// that acted on what is wanted always stay, and the last preview and check for drift. The Job of the last attempt of the last one
/// stays, so that `kubectl logs` still shows what Ansible printed.
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
    // Whose own Secret a run takes its answers from that may be repeated.
    let gives_secrets = |name: &str| {
        let uses = |d: &&Deployment| {
            let secret = d.status.as_ref().and_then(|status| status.secret_inputs.as_ref());
            secret.is_some_and(|secret| secret.name == names::secret_inputs(name))
        };
        deployments.iter().copied().filter(uses).any(|d| referenced.contains(&d.uid().as_deref()))
    };
    let preview = previews(service, deployments, false).into_iter().next();
    // What has drifted can be read in its output.
    let drifted = status.drift.as_ref().filter(|drift| !drift.steps.is_empty());
    let check =
        drifted.and_then(|drift| drift.checked.as_ref()).map(|checked| checked.deployment.uid.as_str());
    for job in jobs {
        let Some((owner, says_so)) = owner_of(job, deployments) else { continue };
        let uid = owner.uid();
        let current = owner.status.as_ref().and_then(|status| status.attempt);
        let attempt = job.labels().get(names::LABEL_ATTEMPT).and_then(|attempt| attempt.parse::<u32>().ok());
        // An attempt that was followed by another one has ended: that was the condition. A Job that is ahead
        // of what was read of its Deployment is a new one.
        let followed = attempt.is_some_and(|attempt| current.is_some_and(|current| attempt < current));
        // One that was taken off its Deployment would stay for ever when that goes.
        let shown = says_so
            && (last == uid.as_deref()
                || (check.is_some() && check == uid.as_deref())
                || preview.is_some_and(|p| p.uid() == uid));
        let kept = !followed && (shown || active == uid.as_deref());
        if (is_over(owner) || followed) && !kept && job.metadata.deletion_timestamp.is_none() {
            plan.writes.push(Write::DeleteJob(Target {
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                resource_version: None,
            }));
        }
    }

    let (mut unarchived, begin) = (Vec::new(), plan.writes.len());
    for (deployment, beyond) in past_the_limits(service, deployments) {
        let uid = deployment.uid().unwrap_or_default();
        if referenced.contains(&Some(uid.as_str()))
            || gives_secrets(&deployment.name_any())
            || deployment.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        match archive {
            Archive::None => {}
            Archive::Has(uids) if uids.contains(&uid) => {}
            Archive::Away if beyond == Beyond::FiveTimes => unarchived.push(deployment.name_any()),
            // The mirror is on its way, or will come back.
            Archive::Has(_) | Archive::Away => {
                plan.look_again_in(PATIENCE);
                continue;
            }
        }
        plan.writes.push(Write::DeleteDeployment(Target { resource_version: None, ..target(deployment) }));
    }
    // One Event for all of them, as those of one reason are counted, not told one by one; said before it is done.
    if !unarchived.is_empty() {
        let note = format!("removed without an end in PostgreSQL, which was away: {}", unarchived.join(", "));
        let note = crds::conditions::shorten(&note, 1000);
        plan.writes.insert(begin, Write::Event { reason: Reason::HistoryLost, note, warning: true });
    }
}

/// The Deployment that a Job is of, and whether the Job still says so. Somebody may have taken the owner reference off: then
/// its name and our labels tell.
fn owner_of<'a>(job: &Job, deployments: &[&'a Deployment]) -> Option<(&'a Deployment, bool)> {
    let owners = job.owner_references();
    if let Some(owner) = owners.iter().find(|owner| owner.kind == "Deployment") {
        return Some((deployments.iter().find(|d| d.uid().as_ref() == Some(&owner.uid))?, true));
    }
    let label = |name: &str| job.labels().get(name).map(String::as_str);
    let name = label(names::LABEL_DEPLOYMENT)?;
    let attempt = label(names::LABEL_ATTEMPT)?.parse().ok()?;
    let ours = owners.is_empty()
        && label("app.kubernetes.io/managed-by") == Some(names::OPERATOR)
        && job.name_any() == names::job(name, attempt);
    let of_that_name = deployments.iter().find(|d| d.name_any() == name)?;
    ours.then_some((*of_that_name, false))
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

/// Previews, or checks for drift, that have ended, the newest first.
fn previews<'a>(service: &Service, deployments: &[&'a Deployment], drift: bool) -> Vec<&'a Deployment> {
    let of_that_kind = |d: &Deployment| d.spec.mode == Mode::Check && drift::is_check(service, d) == drift;
    let mut ended: Vec<_> = deployments.iter().copied().filter(|d| is_over(d) && of_that_kind(d)).collect();
    ended.sort_by_key(|d| std::cmp::Reverse(d.metadata.creation_timestamp.clone().map(|t| t.0)));
    ended
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
    ended.retain(|d| d.spec.mode == Mode::Apply);
    let (succeeded, failed): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|d| phase(d) == Some(Phase::Succeeded));
    let limits = &service.spec.history;
    let lists = [
        (succeeded, limits.succeeded as usize),
        (failed, limits.failed as usize),
        (previews(service, deployments, false), 1),
        (previews(service, deployments, true), 1),
    ];
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

    /// Lists are read one after the other: a Job may be newer than what was read of its Deployment.
    #[test]
    fn only_the_jobs_of_earlier_attempts_go_while_a_run_is_on() {
        let removed = |attempt: Option<u32>| {
            let on: Deployment = serde_json::from_value(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
                "metadata": {"name": "run", "uid": "1"}, "spec": {"service": "blog"},
                "status": {"number": 1, "phase": "Preparing", "attempt": attempt},
            }))
            .expect("a Deployment");
            let jobs: Vec<Job> = (1..=2)
                .map(|n| {
                    serde_json::from_value(json!({"metadata": {
                        "name": format!("run-a{n}"), "uid": format!("job-{n}"), "labels": {names::LABEL_ATTEMPT: n.to_string()},
                        "ownerReferences": [{"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "name": "run", "uid": "1"}],
                    }}))
                    .expect("a Job")
                })
                .collect();
            let mut plan = Plan::default();
            prune(&service(), &ServiceStatus::default(), &[&on], &jobs, &Archive::None, &mut plan);
            plan.writes.len()
        };
        assert_eq!([None, Some(1), Some(2)].map(removed), [0, 0, 1]);
    }

    #[test]
    fn a_job_that_nobody_owns_any_more_does_not_stay() {
        let ended = deployments(1);
        let status =
            json!({"last": {"deployment": {"name": "run-1", "uid": "1"}, "number": 1, "phase": "Succeeded"}});
        let status: ServiceStatus = serde_json::from_value(status).expect("a status");
        let removed = |name: &str, managed_by: &str, owners: serde_json::Value| {
            let job: Job = serde_json::from_value(json!({"metadata": {"name": name, "uid": "job", "ownerReferences": owners, "labels": {
                names::LABEL_DEPLOYMENT: "run-1", names::LABEL_ATTEMPT: "1", "app.kubernetes.io/managed-by": managed_by,
            }}}))
            .expect("a Job");
            let mut plan = Plan::default();
            prune(&service(), &status, &[&ended[0]], &[job], &Archive::None, &mut plan);
            plan.writes.len()
        };
        let owner = |kind: &str| json!([{"apiVersion": "v1", "kind": kind, "name": "run-1", "uid": "1"}]);
        assert_eq!(removed("run-1-a1", names::OPERATOR, owner("Deployment")), 0, "the last one's is kept");
        assert_eq!(removed("run-1-a1", names::OPERATOR, json!([])), 1);
        // Somebody else's.
        assert_eq!(removed("run-1-a1", names::OPERATOR, owner("CronJob")), 0);
        assert_eq!(removed("run-1-a1", "helm", json!([])), 0);
        assert_eq!(removed("backup", names::OPERATOR, json!([])), 0);
    }

    /// Names that are removed, in the order of their numbers, and how many Events (HistoryLost) that makes.
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
    fn a_deployment_whose_secret_is_needed_stays() {
        let mut all = deployments(5);
        let secret = crds::service::NameRef { name: "run-1-inputs".into() };
        for number in [0, 4] {
            all[number].status.as_mut().expect("a status").secret_inputs = Some(secret.clone());
        }
        let mut plan = Plan::default();
        let live = json!({"live": {"deployment": {"name": "run-5", "uid": "5"}, "number": 5, "digest": "d",
            "revision": "r", "since": "2026-11-23T12:00:00Z"}});
        let status: ServiceStatus = serde_json::from_value(live).expect("a status");
        prune(&service(), &status, &all.iter().collect::<Vec<_>>(), &[], &Archive::None, &mut plan);
        let removed = plan.writes.iter().filter_map(|write| match write {
            Write::DeleteDeployment(target) => Some(target.name.as_str()),
            _ => None,
        });
        assert_eq!(removed.collect::<Vec<_>>(), ["run-3", "run-2"]);
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
        assert_eq!(pruned(&Archive::Away, 12), (vec!["run-1".into(), "run-2".into()], 1));
    }
}
