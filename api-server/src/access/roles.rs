//! Watches the objects that say who may do what, without keeping them: any change of them makes
//! remembered answers void.

use futures::StreamExt;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};

use super::Access;

/// Seconds that a watch lasts: it ends by itself, and is taken up where it was, before the client takes it for dead.
const WATCH_SECONDS: u32 = 60;

/// Watches until the process ends.
pub async fn watch(client: Client, access: Access) {
    let roles = every::<Role>(client.clone(), &access);
    let role_bindings = every::<RoleBinding>(client.clone(), &access);
    let cluster_roles = every::<ClusterRole>(client.clone(), &access);
    let cluster_role_bindings = every::<ClusterRoleBinding>(client, &access);
    tokio::join!(roles, role_bindings, cluster_roles, cluster_role_bindings);
}

async fn every<K>(client: Client, access: &Access)
where
    K: Resource<DynamicType = ()> + Clone + Send + std::fmt::Debug + 'static,
    PartialObjectMeta<K>: serde::de::DeserializeOwned,
{
    let events =
        watcher(Api::<PartialObjectMeta<K>>::all(client), watcher::Config::default().timeout(WATCH_SECONDS))
            .default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            // A list after an interruption: anything may have been missed.
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => access.forget(),
            Ok(Event::Init | Event::InitApply(_)) => {}
            Err(error) => {
                let (kind, error) = (K::kind(&()), error.to_string());
                tracing::warn!(error, "watching {kind} objects failed, it is tried again: {error}");
            }
        }
    }
}
