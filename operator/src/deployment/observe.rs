//! Reads what a pass over a Deployment needs. The Service is read live: its lock is what permits a start.

use std::time::Duration;

use crds::{Deployment, Reason, Service, deployment::NumberRef, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Event, Pod, Secret},
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use store::PgPool;

use super::{
    answers::{self, Known, Secrets},
    build::Installation,
    decide::{Observed, Repeated},
    refusal::{self, Refusal},
};
use crate::{eyes::Eyes, lock, service::observe::named};
use frozen::Fault;

/// How long PostgreSQL is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after a Deployment was made another Service may be about to be live: two watches are not equally fast.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(5);

/// Reads what a pass needs.
pub async fn observe(
    eyes: &Eyes,
    installation: &Installation,
    deployment: &Deployment,
) -> Result<Observed, kube::Error> {
    let Eyes { client, clock, digest_key, pool, sources, slots, .. } = eyes;
    let namespace = deployment.namespace().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let service =
        Api::<Service>::namespaced(client.clone(), &namespace).get_opt(&deployment.spec.service).await?;
    let ended = status.phase.is_some_and(crds::Phase::is_terminal);
    let wanted = match &service {
        Some(service) if status.digest.is_none() && !ended => {
            let repository = match &deployment.spec.revision {
                Some(revision) => {
                    let lived = lived(client, &namespace, &deployment.spec.service).await?;
                    let made =
                        deployment.metadata.creation_timestamp.as_ref().map_or(clock.now(), |time| time.0);
                    let patient = clock.now().duration_since(made) < JUST_NOW;
                    sources.choose(service, revision, &lived, patient)
                }
                None => sources.look(service).repository,
            };
            Some(frozen::want(service, &named(client, repository, service).await?, digest_key))
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
    let spec = &deployment.spec;
    let number = spec.repeat.or(spec.failed_of).filter(|_| status.digest.is_none() && !ended);
    let repeated = match number {
        Some(NumberRef { number }) => {
            Some(earlier(client, pool.as_ref(), deployment, number, spec.failed_of.is_some()).await?)
        }
        None => None,
    };
    let open = status.digest.is_none() && !ended;
    let from = answers::named(spec).map(ToOwned::to_owned);
    let from = from.or_else(|| repeated.as_ref()?.as_ref().ok()?.secret.clone()).filter(|_| open);
    let secrets = secrets(client, &namespace, from).await?;
    let refs = match &service {
        Some(service) if open && number.is_none() && answers::asks_for_refs(&service.spec.inputs) => {
            sources.refs(service)
        }
        _ => Known::Nothing,
    };
    let room = slots.may(&namespace, &spec.service);
    let (now, installation) = (clock.now(), installation.clone());
    let refused = match &job {
        Some(job) if pods.is_empty() && status.run_of_attempt().is_none() => {
            refused(client, job, now).await?
        }
        _ => None,
    };
    Ok(Observed { now, service, wanted, job, pods, installation, repeated, secrets, refs, room, refused })
}

/// Why a Job has no pod yet, if that takes suspiciously long: the Job controller says so in Events only.
async fn refused(client: &Client, job: &Job, now: Timestamp) -> Result<Option<Refusal>, kube::Error> {
    let made = job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    if now.duration_since(made) < refusal::SUSPICIOUS_AFTER || lock::job_counted_end(job) {
        return Ok(None);
    }
    let events = Api::<Event>::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let of_job = format!("involvedObject.uid={},reason=FailedCreate", job.uid().unwrap_or_default());
    Ok(refusal::told(&events.list(&ListParams::default().fields(&of_job)).await?.items))
}

/// Which keys the Secret with the secret answers has. Its values are not kept.
async fn secrets(client: &Client, namespace: &str, name: Option<String>) -> Result<Secrets, kube::Error> {
    let Some(name) = name else { return Ok(Secrets::None) };
    let found = crate::named::get(&Api::<Secret>::namespaced(client.clone(), namespace), &name).await?;
    Ok(match found {
        None => Secrets::Missing(name),
        Some(secret) => {
            let keys =
                secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, !value.0.is_empty()));
            Secrets::There(name, keys.collect())
        }
    })
}

/// Commits that were live, of the Deployments that are in the cluster.
async fn lived(client: &Client, namespace: &str, service: &str) -> Result<Vec<String>, kube::Error> {
    let all = Api::<Deployment>::namespaced(client.clone(), namespace);
    let listed = all.list(&ListParams::default().fields(&format!("spec.service={service}"))).await?;
    let was_live = |d: &&Deployment| {
        d.spec.is_whole() && d.status.as_ref().and_then(|s| s.phase) == Some(crds::Phase::Succeeded)
    };
    let commit = |d: &Deployment| {
        let revision = d.status.as_ref()?.revision.clone()?;
        revision.rsplit_once("sha1:").map(|(_, commit)| commit.to_owned())
    };
    Ok(listed.items.iter().filter(was_live).filter_map(commit).collect())
}

/// What an earlier Deployment of the Service ran: from the cluster, else from the archive.
async fn earlier(
    client: &Client,
    pool: Option<&PgPool>,
    deployment: &Deployment,
    number: i64,
    only_failed: bool,
) -> Result<Result<Repeated, Fault>, kube::Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let service = &deployment.spec.service;
    let lost = |message: String| Fault { reason: Reason::BundleNotFound, message };
    let all = Api::<Deployment>::namespaced(client.clone(), &namespace);
    let listed = all.list(&ListParams::default().fields(&format!("spec.service={service}"))).await?;
    let has_number = |d: &&Deployment| d.status.as_ref().and_then(|status| status.number) == Some(number);
    let there = listed.items.iter().find(has_number);
    let mut found = None;
    if let Some(status) = there.and_then(|there| there.status.clone())
        && let Some(name) = &status.bundle
    {
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let content = maps.get_opt(name).await?.and_then(|map| map.data?.remove(protocol::pod::BUNDLE_KEY));
        let limited = there.is_some_and(|there| there.spec.limit.is_some());
        found = content.map(|content| (status, content, limited));
    }
    if found.is_none()
        && let Some(pool) = pool
    {
        let asked =
            tokio::time::timeout(PATIENCE, store::bundles::of_number(pool, &namespace, service, number));
        match asked.await {
            Ok(Ok(archived)) => {
                found = archived.and_then(|archived| {
                    let status = archived.object.get("status")?.clone();
                    let limited = archived.object.pointer("/spec/limit").is_some();
                    Some((serde_json::from_value(status).ok()?, archived.content, limited))
                });
            }
            Ok(Err(_)) | Err(_) => {
                return Ok(Err(lost(format!("#{number} is in the archive, and PostgreSQL does not answer"))));
            }
        }
    }
    let Some((status, content, limited)) = found else {
        return Ok(Err(lost(format!("this Service has no Deployment #{number} whose input is known"))));
    };
    let Ok(bundle) = serde_json::from_str(&content) else {
        return Ok(Err(lost(format!("what #{number} ran cannot be read any more"))));
    };
    Ok(super::decide::repeated(number, &status, bundle, only_failed, limited))
}
