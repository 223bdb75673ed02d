//! A story: a namespace of its own, everything in it watched, and taken away at the end.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use crds::{Deployment, Service};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use tokio::sync::{RwLock, Semaphore};

use crate::{dump, orphans, watched::Watched};

const WHOLE_STORY: Duration = Duration::from_mins(8);
/// Runs of Ansible at a time that leave the timings of others alone.
const SIDE_BY_SIDE: usize = 4;

/// Stories that break something shared are alone; all others run side by side.
static SHARED: RwLock<()> = RwLock::const_new(());
static ROOM: Semaphore = Semaphore::const_new(SIDE_BY_SIDE);

/// How a story ends: well, or with words for people instead of a backtrace.
pub type Outcome = Result<(), Failure>;

/// What was expected, and what was seen.
pub struct Failure(String);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// A node takes pods, or does so within a minute. Where one story found none, no other waits for it.
async fn a_node_is_ready(client: &Client) -> Result<()> {
    static NONE: AtomicBool = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_mins(1);
    let is_ready = |node: &Node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    loop {
        ensure!(!NONE.load(Ordering::Relaxed), "no node is ready: make up, and look at `make logs`");
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        if nodes.iter().any(is_ready) {
            return Ok(());
        }
        NONE.store(Instant::now() > until, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A story's world.
pub struct Story {
    /// Kubernetes.
    pub client: Client,
    /// Its own namespace.
    pub namespace: String,
    /// The Services in it.
    pub services: Watched<Service>,
    /// The Deployments in it.
    pub deployments: Watched<Deployment>,
    /// The pods in it.
    pub pods: Watched<Pod>,
    /// The generation of each Service as it was last applied.
    pub(crate) applied: Mutex<BTreeMap<String, i64>>,
}

impl Story {
    /// Tells a story, beside others.
    pub async fn tell(name: &str, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        let _shared = SHARED.read().await;
        let _room = ROOM.acquire().await.context("never closed")?;
        Self::told(name, WHOLE_STORY, story).await
    }

    /// Tells a story that breaks what others need, alone.
    pub async fn tell_alone(name: &str, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        Self::tell_alone_within(WHOLE_STORY, name, story).await
    }

    /// Tells a long story that breaks what others need, alone.
    pub async fn tell_alone_within(
        limit: Duration,
        name: &str,
        story: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Outcome {
        let _alone = SHARED.write().await;
        Self::told(name, limit, story).await
    }

    async fn told(name: &str, limit: Duration, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        let began = Instant::now();
        let told = Self::begin(name).await?;
        let whole = AssertUnwindSafe(tokio::time::timeout(limit, Box::pin(story(&told)))).catch_unwind();
        let outcome = match whole.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(anyhow!("expected the story to end within {limit:?}; it has not")),
            Err(_) => Err(anyhow!("the story panicked, see above")),
        };
        let outcome = outcome.and_then(|()| {
            let broken = dump::broken(&told.services, &told.deployments);
            ensure!(broken.is_empty(), "states were seen that must never be:\n  {}", broken.join("\n  "));
            Ok(())
        });
        let outcome = match outcome {
            Ok(()) => orphans::left_over(&told.client, &told.namespace).await.and_then(|left| {
                ensure!(left.is_empty(), "this is left over:\n  {}", left.join("\n  "));
                Ok(())
            }),
            failed => failed,
        };
        if outcome.is_err() {
            eprintln!("{}", dump::dump(&told.client, &told.namespace, &told.pods).await);
        }
        eprintln!(
            "story {name}: {} after {:.1?}",
            if outcome.is_ok() { "told" } else { "FAILED" },
            began.elapsed()
        );
        if std::env::var_os("KEEP").is_none() {
            let namespaces = Api::<Namespace>::all(told.client.clone());
            let _ = namespaces.delete(&told.namespace, &DeleteParams::background()).await;
        }
        outcome.map_err(Into::into)
    }

    async fn begin(name: &str) -> Result<Self> {
        // Two TLS back-ends may be compiled in by dependencies; say which one is meant.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_default().await.context("no cluster: eval \"$(make -s env)\"")?;
        a_node_is_ready(&client).await?;
        // The pods of runs fit into the strictest namespaces.
        let namespace = serde_json::from_value(json!({"metadata": {
            "generateName": format!("story-{name}-"),
            "labels": {"fastdeploy.dev/test": name, "pod-security.kubernetes.io/enforce": "restricted"},
        }}))?;
        let created =
            Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let namespace = created.name_any();
        Ok(Self {
            services: Watched::start(&client, &namespace, ""),
            deployments: Watched::start(&client, &namespace, ""),
            pods: Watched::start(&client, &namespace, ""),
            applied: Mutex::default(),
            client,
            namespace,
        })
    }

    /// An API in the story's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
