//! A story: a namespace of its own, everything in it watched, and taken away at the end.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crds::{Deployment, Phase, Service, conditions, deployment::Cancel};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, ValidationDirective},
};
use serde_json::{Value, json};
use tokio::sync::{RwLock, Semaphore};

use crate::{dump, kubectl, manifest::Manifest, rules::Ruled, watched::Watched};

/// Nothing in a story takes longer than this without being wrong, on two busy cores.
const PATIENCE: Duration = Duration::from_mins(2);
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
    applied: Mutex<BTreeMap<String, i64>>,
}

impl Story {
    /// Tells a story, beside others.
    pub async fn tell(name: &str, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        let _shared = SHARED.read().await;
        let _room = ROOM.acquire().await.context("never closed")?;
        Self::told(name, story).await
    }

    /// Tells a story that breaks what others need, alone.
    pub async fn tell_alone(name: &str, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        let _alone = SHARED.write().await;
        Self::told(name, story).await
    }

    async fn told(name: &str, story: impl AsyncFnOnce(&Self) -> Result<()>) -> Outcome {
        let began = Instant::now();
        let told = Self::begin(name).await?;
        let whole = AssertUnwindSafe(tokio::time::timeout(WHOLE_STORY, story(&told))).catch_unwind();
        let outcome = match whole.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(anyhow!("expected the story to end within {WHOLE_STORY:?}; it has not")),
            Err(_) => Err(anyhow!("the story panicked, see above")),
        };
        let outcome = outcome.and_then(|()| {
            let broken = dump::broken(&told.services, &told.deployments);
            ensure!(broken.is_empty(), "states were seen that must never be:\n  {}", broken.join("\n  "));
            Ok(())
        });
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

    /// Applies a manifest, strictly.
    pub async fn apply(&self, manifest: &Manifest) -> Result<DynamicObject> {
        let api =
            Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &manifest.resource());
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply("tests").force()
        };
        let name = manifest.name();
        let applied = api
            .patch(&name, &params, &Patch::Apply(&without_nulls(manifest.0.clone())))
            .await
            .with_context(|| format!("expected {name} to be accepted"))?;
        if manifest.is::<Service>() {
            let mut generations = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
            generations.insert(name, applied.metadata.generation.unwrap_or_default());
        }
        Ok(applied)
    }

    /// Applies YAML: ConfigMaps, Secrets.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<()> {
        self.apply(&Manifest::yaml(yaml)).await.map(drop)
    }

    /// `kubectl apply`, which is expected to refuse: answers with what it said.
    pub async fn refused(&self, manifest: &Manifest) -> Result<String> {
        self.refused_by("apply", manifest).await
    }

    /// The same for `kubectl create` and others.
    pub async fn refused_by(&self, verb: &str, manifest: &Manifest) -> Result<String> {
        let words = ["--namespace", &self.namespace, verb, "--filename", "-"];
        let said = kubectl::ask(&words, &without_nulls(manifest.0.clone()).to_string()).await?;
        ensure!(
            !said.ok,
            "expected kubectl {verb} to refuse this, but it said {}:\n{}",
            said.out,
            manifest.0
        );
        Ok(said.err)
    }

    /// Waits until a Service is as wanted, in a status that speaks of what was applied last.
    pub async fn service_until(
        &self,
        name: &str,
        what: &str,
        mut enough: impl FnMut(&Service) -> bool,
    ) -> Result<Service> {
        let least = *self.applied.lock().unwrap_or_else(PoisonError::into_inner).get(name).unwrap_or(&0);
        let current = move |service: &Service| {
            let observed = service.status.as_ref().map_or(-1, |status| status.observed_generation);
            observed >= least && enough(service)
        };
        self.services.until(name, what, PATIENCE, current).await
    }

    /// Waits until a Service's Ready and InSync are as wanted, for this reason.
    pub async fn service_is(&self, name: &str, ready: &str, in_sync: &str, reason: &str) -> Result<Service> {
        let what = format!("Ready {ready}, InSync {in_sync}, reason {reason}");
        let is = |service: &Service| {
            let status = service.status.clone().unwrap_or_default();
            let has = |type_, state: &str| {
                conditions::find(&status.conditions, type_)
                    .is_some_and(|c| c.status == state && c.reason == reason)
            };
            has(conditions::READY, ready) && has(conditions::IN_SYNC, in_sync)
        };
        self.service_until(name, &what, is).await
    }

    /// Waits until a Deployment is as wanted; fails at once if it has ended otherwise.
    pub async fn run_until(
        &self,
        name: &str,
        what: &str,
        mut enough: impl FnMut(&Deployment) -> bool,
    ) -> Result<Deployment> {
        let mut good = false;
        let judge = |run: &Deployment| {
            good = enough(run);
            good || is_over(run)
        };
        let run = self.deployments.until(name, what, PATIENCE, judge).await?;
        ensure!(good, "Deployment {name}: expected {what}, but it ended: {}", short(&run));
        Ok(run)
    }

    /// Waits until Ansible runs.
    pub async fn runs(&self, name: &str) -> Result<Deployment> {
        self.run_until(name, "phase Running", |run| phase(run) == Some(Phase::Running)).await
    }

    /// Waits until a Deployment has ended.
    pub async fn ends(&self, name: &str) -> Result<Deployment> {
        self.run_until(name, "an end", is_over).await
    }

    /// Waits until there is a Deployment with that number, however it is called.
    pub async fn numbered(&self, service: &str, number: i64) -> Result<Deployment> {
        let is = |run: &&Deployment| {
            run.spec.service == service && run.status.as_ref().and_then(|s| s.number) == Some(number)
        };
        let what = format!("a Deployment #{number} of {service}");
        self.deployments.find(&what, PATIENCE, |now| now.values().find(is).cloned()).await
    }

    /// Waits until the Deployment with that number has ended.
    pub async fn numbered_ends(&self, service: &str, number: i64) -> Result<Deployment> {
        let run = self.numbered(service, number).await?;
        self.ends(&run.name_any()).await
    }

    /// Waits for the pod of a Deployment.
    pub async fn pod_of(&self, run: &str, what: &str, mut enough: impl FnMut(&Pod) -> bool) -> Result<Pod> {
        let is = |pod: &&Pod| pod.labels().get(crds::names::LABEL_DEPLOYMENT).is_some_and(|name| name == run);
        let what = format!("a pod of {run}: {what}");
        self.pods.find(&what, PATIENCE, |now| now.values().filter(is).find(|pod| enough(pod)).cloned()).await
    }

    /// Waits until a run's task has said this on the pod's log.
    pub async fn says(&self, run: &str, text: &str) -> Result<()> {
        use futures::{AsyncBufReadExt, TryStreamExt};
        let pod = self.pod_of(run, "started", started).await?.name_any();
        let follow = kube::api::LogParams { follow: true, ..Default::default() };
        let api = self.api::<Pod>();
        let said = async {
            let log = std::pin::pin!(api.log_stream(&pod, &follow).await?);
            let mut lines = log.lines();
            while let Some(line) = lines.try_next().await? {
                if line.contains(text) {
                    return Ok(());
                }
            }
            bail!("expected “{text}” in the log of {pod}, but it has ended without")
        };
        let late = || format!("expected “{text}” in the log of {pod} within {PATIENCE:?}, saw none");
        tokio::time::timeout(PATIENCE, said).await.with_context(late)?
    }

    /// Everything that the pods of a run printed.
    pub async fn log_of(&self, run: &str) -> Result<String> {
        let pod = self.pod_of(run, "any", |_| true).await?;
        Ok(self.api::<Pod>().logs(&pod.name_any(), &kube::api::LogParams::default()).await?)
    }

    /// The Deployments as the API server has them now, by number.
    pub async fn listed(&self) -> Result<Vec<Deployment>> {
        let mut runs = self.api::<Deployment>().list(&ListParams::default()).await?.items;
        runs.sort_by_key(|run| run.status.as_ref().and_then(|status| status.number));
        Ok(runs)
    }

    /// How many objects of a kind there are now.
    pub async fn count<K>(&self, labels: &str) -> Result<usize>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        Ok(self.api::<K>().list(&ListParams::default().labels(labels)).await?.items.len())
    }

    /// Waits until there is no object of a kind any more.
    pub async fn gone<K>(&self, labels: &str) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Ruled
            + Send
            + 'static,
    {
        let watched = Watched::<K>::start(&self.client, &self.namespace, labels);
        let none = |now: &BTreeMap<String, K>| now.is_empty().then_some(());
        watched.find(&format!("no {}", K::kind(&())), PATIENCE, none).await
    }

    /// Asks a run to stop.
    pub async fn cancel(&self, run: &str, how: Cancel) -> Result<()> {
        let patch = json!({"spec": {"cancel": how}});
        self.api::<Deployment>().patch(run, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Changes a Service as `kubectl patch` does.
    pub async fn patch_service(&self, name: &str, patch: Value) -> Result<()> {
        let patched =
            self.api::<Service>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let mut generations = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        generations.insert(name.to_owned(), patched.metadata.generation.unwrap_or_default());
        Ok(())
    }

    /// Deletes an object, as `kubectl delete` does, without waiting.
    pub async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::background()).await.map(drop).map_err(Into::into)
    }

    /// The Events about a Deployment or Service, as `(type, reason, note)`.
    pub async fn events_about(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let api = self.api::<k8s_openapi::api::events::v1::Event>();
        let all = api.list(&ListParams::default()).await?.items;
        let about =
            all.into_iter().filter(|e| e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name));
        Ok(about
            .map(|e| (e.type_.unwrap_or_default(), e.reason.unwrap_or_default(), e.note.unwrap_or_default()))
            .collect())
    }
}

/// Where a Deployment stands.
pub fn phase(run: &Deployment) -> Option<Phase> {
    run.status.as_ref().and_then(|status| status.phase)
}

fn is_over(run: &Deployment) -> bool {
    phase(run).is_some_and(Phase::is_terminal)
}

fn short(run: &Deployment) -> String {
    let status = run.status.clone().unwrap_or_default();
    let message = status.failure.map(|f| f.message).unwrap_or_default();
    format!("{:?}, {}: {message}", status.phase, status.reason.unwrap_or_default())
}

fn started(pod: &Pod) -> bool {
    let states = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .filter_map(|c| c.state.as_ref());
    states.into_iter().any(|state| state.running.is_some() || state.terminated.is_some())
}

/// What is null was never meant to be there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}
