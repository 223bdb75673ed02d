//! Reads what a pass over a Service needs. Live reads, not caches: a decision on old state costs
//! more than a read.

use std::{collections::BTreeSet, time::Duration};

use crds::{Deployment, Service, names};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{Api, Client, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};

use store::{PgPool, mirror::Known, sqlx::types::Uuid};

use super::{
    decide::Observed,
    dependencies, drift,
    history::{self, Archive},
    turn,
};
use crate::{eyes::Eyes, slots::Standing};

/// How long PostgreSQL is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads everything that a Service names. Repositories are not waited for: what is known of them counts.
pub async fn named(
    client: &Client,
    repository: frozen::Repository,
    service: &Service,
) -> Result<frozen::Named, kube::Error> {
    let namespace = service.namespace().unwrap_or_default();
    let (config_maps, secrets) = frozen::names(service);
    let mut named = frozen::Named { repository, ..frozen::Named::default() };
    let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    for name in config_maps {
        let config_map = crate::named::get(&api, &name).await?;
        named.config_maps.insert(name, config_map);
    }
    let api = Api::<Secret>::namespaced(client.clone(), &namespace);
    for (name, _) in secrets {
        let secret = crate::named::get(&api, &name).await?;
        named.secrets.insert(name, secret);
    }
    Ok(named)
}

/// Reads what a pass needs.
pub async fn observe(eyes: &Eyes, service: &Service) -> Result<Observed, kube::Error> {
    let Eyes { client, clock, digest_key, pool, sources, slots, services } = eyes;
    let seen = sources.look(service);
    let namespace = service.namespace().unwrap_or_default();
    let name = service.name_any();
    let deployments = Api::<Deployment>::namespaced(client.clone(), &namespace);
    let of_service = ListParams::default().fields(&format!("spec.service={name}"));
    let jobs = Api::<Job>::namespaced(client.clone(), &namespace);
    let labelled = ListParams::default().labels(&format!("{}={name}", names::LABEL_SERVICE));
    let (deployments, jobs, named) = tokio::try_join!(
        deployments.list(&of_service),
        jobs.list(&labelled),
        self::named(client, seen.repository, service)
    )?;

    let active = service.status.as_ref().and_then(|status| status.active.as_ref());
    let pods = match active {
        Some(active) => {
            let api = Api::<Pod>::namespaced(client.clone(), &namespace);
            let of_run = format!("{}={}", names::LABEL_DEPLOYMENT, active.name);
            api.list(&ListParams::default().labels(&of_run)).await?.items
        }
        None => Vec::new(),
    };
    let find = |name: &str| services.get(&ObjectRef::new(name).within(&namespace));
    let status = service.status.clone().unwrap_or_default();
    let all: Vec<_> = deployments.items.iter().collect();
    let waiting = turn::queue(service, &status, &all).len();
    let standing = match (&status.active, waiting) {
        (Some(_), _) => Standing::Active,
        (None, 0) => Standing::Idle,
        (None, _) => Standing::Waits,
    };
    let room = slots.note(&namespace, &name, standing);
    let archive = archive(pool.as_ref(), service, &deployments.items).await;
    let due = drift::is_due(service, &deployments.items, clock.now());
    let database_away = due && is_away(pool.as_ref()).await;
    Ok(Observed {
        now: clock.now(),
        archive,
        deployments: deployments.items,
        jobs: jobs.items,
        pods,
        dependencies: dependencies::missing(service, find),
        circle: dependencies::circle(&name, service, find),
        waiting,
        room,
        database_away,
        answered: seen.answered,
        wanted: frozen::want(service, &named, digest_key),
    })
}

/// Whether there is a database that does not answer.
async fn is_away(pool: Option<&PgPool>) -> bool {
    let Some(pool) = pool else { return false };
    !matches!(tokio::time::timeout(PATIENCE, store::mirror::epoch(pool)).await, Ok(Ok(_)))
}

/// Asks about the few that the history's limits would remove, and does not wait for long.
async fn archive(pool: Option<&PgPool>, service: &Service, deployments: &[Deployment]) -> Archive {
    let Some(pool) = pool else { return Archive::None };
    let all: Vec<_> = deployments.iter().collect();
    let past = history::past_the_limits(service, &all);
    let uids: Vec<Uuid> = past.iter().filter_map(|(d, _)| d.uid()?.parse().ok()).collect();
    if uids.is_empty() {
        return Archive::Has(BTreeSet::new());
    }
    match tokio::time::timeout(PATIENCE, store::mirror::deployments(pool, &uids)).await {
        Ok(Ok(known)) => {
            let ended = |known: &Known| {
                let phase = known.phase.as_deref();
                known.bundle
                    && past.iter().any(|(d, _)| {
                        d.uid() == Some(known.uid.to_string())
                            && super::decide::phase(d).map(crds::Phase::as_str) == phase
                    })
            };
            Archive::Has(
                known.iter().filter(|known| ended(known)).map(|known| known.uid.to_string()).collect(),
            )
        }
        Ok(Err(_)) | Err(_) => Archive::Away,
    }
}
