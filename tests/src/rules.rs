//! What holds for every status that anybody sees, in whatever story: the rules of kstatus, and that
//! what was said once is not taken back.

use crds::{
    Deployment, Phase, Service,
    kstatus::{Seen, check},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::ResourceExt;

/// An object whose every state can be judged, by itself and against the one before.
pub trait Ruled: Sized {
    /// The rules that are broken, as sentences.
    fn broken(_before: Option<&Self>, _now: &Self) -> Vec<String> {
        Vec::new()
    }
}

impl Ruled for Service {
    fn broken(before: Option<&Self>, now: &Self) -> Vec<String> {
        let status = now.status.clone().unwrap_or_default();
        let mut broken = check(Seen {
            generation: now.metadata.generation.unwrap_or_default(),
            deleted: now.metadata.deletion_timestamp.is_some(),
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
        });
        let before = before.and_then(|before| before.status.clone()).unwrap_or_default();
        if status.last_number < before.last_number {
            broken.push(format!("lastNumber fell from {:?} to {:?}", before.last_number, status.last_number));
        }
        let since = |live: Option<&crds::service::Live>| live.map(|live| live.since);
        if since(status.live.as_ref()) < since(before.live.as_ref()) {
            broken.push(format!("live went back from {:?} to {:?}", before.live, status.live));
        }
        broken
    }
}

impl Ruled for Deployment {
    fn broken(before: Option<&Self>, now: &Self) -> Vec<String> {
        let status = now.status.clone().unwrap_or_default();
        let mut broken = check(Seen {
            generation: now.metadata.generation.unwrap_or_default(),
            deleted: now.metadata.deletion_timestamp.is_some(),
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
        });
        let before = before.and_then(|before| before.status.clone()).unwrap_or_default();
        if before.phase.is_some_and(Phase::is_terminal) && before.phase != status.phase {
            broken.push(format!("phase changed from {:?} to {:?} after its end", before.phase, status.phase));
        }
        if before.number.is_some() && before.number != status.number {
            broken.push(format!("number changed from {:?} to {:?}", before.number, status.number));
        }
        let failed = status.phase.is_some_and(|phase| phase.is_terminal() && phase != Phase::Succeeded);
        if failed != status.failure.is_some() {
            broken.push(format!("failure is {:?} with phase {:?}", status.failure, status.phase));
        }
        broken
    }
}

/// Kubernetes' own keep rules of their own.
impl Ruled for Pod {}
impl Ruled for Job {}
impl Ruled for ConfigMap {}

/// No number was given twice. `all`: every Deployment that was ever seen.
pub fn repeated_numbers(all: &[Deployment]) -> Vec<String> {
    let mut given = std::collections::HashMap::new();
    all.iter()
        .filter_map(|run| {
            let number = run.status.as_ref()?.number?;
            let owner = run.owner_references().first().map(|owner| owner.uid.clone());
            let other = given.insert((owner, run.spec.service.clone(), number), run.name_any())?;
            Some(format!("#{number} was given to both {other} and {}", run.name_any()))
        })
        .collect()
}

/// Runs of one Service that were on at the same time. `all`: every Deployment that was ever seen.
pub fn at_once(all: &[Deployment]) -> Vec<String> {
    let mut spans: Vec<_> = all
        .iter()
        .filter_map(|run| {
            let status = run.status.as_ref()?;
            let began = status.run.as_ref()?.claimed_at;
            let ended = status.finished_at.unwrap_or(began);
            Some((run.spec.service.clone(), began, ended, run.name_any()))
        })
        .collect();
    spans.sort();
    let pairs = spans.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2);
    pairs.map(|pair| format!("{} and {} of {} ran at once", pair[0].3, pair[1].3, pair[0].0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, claimed: &str, finished: &str) -> Deployment {
        let at = |time: &str| format!("2026-11-26T12:{time}Z");
        serde_json::from_value(serde_json::json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"service": "blog"}, "status": {"finishedAt": at(finished), "run":
                {"attempt": 1, "instance": "i", "podUid": "p", "claimedAt": at(claimed)}},
        }))
        .expect("a Deployment")
    }

    #[test]
    fn runs_that_overlap_are_noticed() {
        let (a, b) = (run("a", "00:00", "00:10"), run("b", "00:10", "00:20"));
        assert_eq!(at_once(&[b.clone(), a.clone()]), Vec::<String>::new());
        assert_eq!(at_once(&[b, run("c", "00:15", "00:16"), a]), ["b and c of blog ran at once"]);
    }
}
