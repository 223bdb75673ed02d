//! Reads what a pass over a Deployment needs. The Service is read live: its lock is what permits a start.

use crds::{Deployment, Service, names};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{build::Installation, decide::Observed};
use crate::{clock::Clock, frozen, service::observe::named};

/// Reads what a pass needs.
pub async fn observe(
    client: &Client,
    clock: &Clock,
    digest_key: &[u8],
    installation: &Installation,
    deployment: &Deployment,
) -> Result<Observed, kube::Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let service =
        Api::<Service>::namespaced(client.clone(), &namespace).get_opt(&deployment.spec.service).await?;
    let ended = status.phase.is_some_and(crds::Phase::is_terminal);
    let wanted = match &service {
        Some(service) if status.digest.is_none() && !ended => {
            Some(frozen::want(service, &named(client, service).await?, digest_key))
        }
        _ => None,
    };
    let (job, pods) = match status.attempt {
        // Of one that has ended, only as long as the end of its pod was not seen.
        Some(attempt) if !ended || (status.run.is_some() && !deployment.finalizers().is_empty()) => {
            let jobs = Api::<Job>::namespaced(client.clone(), &namespace);
            let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
            let name = names::job(&deployment.name_any(), attempt);
            let of_attempt = ListParams::default().labels(&format!(
                "{}={},{}={attempt}",
                names::LABEL_DEPLOYMENT,
                deployment.name_any(),
                names::LABEL_ATTEMPT
            ));
            let (job, pods) = tokio::try_join!(jobs.get_opt(&name), pods.list(&of_attempt))?;
            // A child is ours only if its owner's uid is.
            let uid = deployment.uid();
            let job = job.filter(|job| job.owner_references().iter().any(|o| Some(&o.uid) == uid.as_ref()));
            let job_uid = job.as_ref().and_then(ResourceExt::uid);
            let run_pod = status.run.as_ref().map(|run| run.pod_uid.as_str());
            let ours = |pod: &Pod| {
                (job_uid.is_some() && pod.owner_references().iter().any(|o| Some(&o.uid) == job_uid.as_ref()))
                    || (run_pod.is_some() && pod.uid().as_deref() == run_pod)
            };
            (job, pods.items.into_iter().filter(|pod| ours(pod)).collect())
        }
        _ => (None, Vec::new()),
    };
    Ok(Observed { now: clock.now(), service, wanted, job, pods, installation: installation.clone() })
}
