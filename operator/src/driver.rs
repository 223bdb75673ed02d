//! Drives both kinds: watches, passes, back-off, reporting. A pass is observe → decide → act and
//! nothing else.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crds::{Deployment, Service, names};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        Config as ControllerConfig, Controller, WatchStreamExt,
        controller::{Action, Error as ControllerError},
        reflector,
        reflector::ObjectRef,
        utils::PredicateConfig,
        watcher,
    },
};

use store::PgPool;

use crate::{
    act::{Error as ActError, Hands, Subject},
    clock::Clock,
    config::Config,
    deployment::{self, build::Installation},
    installation, service,
};

/// What every pass needs.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// Carries plans out.
    pub hands: Hands,
    /// The installation's key for HMACs.
    pub digest_key: Vec<u8>,
    /// Configuration.
    pub config: Config,
    /// PostgreSQL, if there is one: asked before history is removed.
    pub pool: Option<PgPool>,
    /// Which Services read which ConfigMap: (namespace, ConfigMap) → Services.
    readers: Mutex<HashMap<(String, String), Vec<String>>>,
    /// How often an object has failed in a row.
    failures: Mutex<HashMap<String, u32>>,
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading.
    #[error("failed to read what the pass needs: {0}")]
    Observe(#[from] kube::Error),
    /// Writing.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The api-server has not come up for the first time yet.
    #[error("the api-server has not made its certificate authority yet (ConfigMap {0})")]
    NoAuthority(String),
}

impl Context {
    /// Makes one.
    pub fn new(
        client: Client,
        clock: Clock,
        hands: Hands,
        digest_key: Vec<u8>,
        config: Config,
        pool: Option<PgPool>,
    ) -> Self {
        let (readers, failures) = (Mutex::default(), Mutex::default());
        Self { client, clock, hands, digest_key, config, pool, readers, failures }
    }

    async fn service_pass(&self, service: Arc<Service>) -> Result<Option<Duration>, Error> {
        self.note_readers(&service);
        let observed = service::observe::observe(
            &self.client,
            &self.clock,
            &self.digest_key,
            self.pool.as_ref(),
            &service,
        )
        .await?;
        let plan = service::decide::decide(&service, &observed);
        self.hands.carry_out(Subject::Service(&service), plan.writes).await?;
        Ok(plan.look_again)
    }

    async fn deployment_pass(&self, deployment: Arc<Deployment>) -> Result<Option<Duration>, Error> {
        let installation = self.installation(&deployment).await?;
        let observed = deployment::observe::observe(
            &self.client,
            &self.clock,
            &self.digest_key,
            &installation,
            &deployment,
        )
        .await?;
        let plan = deployment::decide::decide(&deployment, &observed);
        self.hands.carry_out(Subject::Deployment(&deployment), plan.writes).await?;
        Ok(plan.look_again)
    }

    async fn installation(&self, deployment: &Deployment) -> Result<Installation, Error> {
        let status = deployment.status.as_ref();
        let may_make_a_job = status.is_some_and(|s| s.number.is_some() && s.run.is_none())
            && !status.and_then(|s| s.phase).is_some_and(crds::Phase::is_terminal);
        let ca = if may_make_a_job {
            let name = &self.config.ca_config_map;
            installation::authority(&self.client, &self.config.namespace, name)
                .await?
                .ok_or_else(|| Error::NoAuthority(name.clone()))?
        } else {
            String::new()
        };
        Ok(Installation {
            image: self.config.runner_image.clone(),
            image_pull_policy: self.config.runner_image_pull_policy.clone(),
            runs_url: self.config.runs_url.clone(),
            ca,
        })
    }

    fn note_readers(&self, service: &Service) {
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for config_map in crate::frozen::names(service).0 {
            let services = readers.entry((namespace.clone(), config_map)).or_default();
            if !services.contains(&name) {
                services.push(name.clone());
            }
        }
    }

    fn readers_of(&self, namespace: &str, config_map: &str) -> Vec<ObjectRef<Service>> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let services = readers.get(&(namespace.to_owned(), config_map.to_owned()));
        services.into_iter().flatten().map(|name| ObjectRef::new(name).within(namespace)).collect()
    }

    /// Reports a pass and says when to look again.
    fn settle<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        began: Instant,
        result: Result<Option<Duration>, Error>,
    ) -> Action {
        let kind: &'static str = if K::kind(&()) == "Service" { "Service" } else { "Deployment" };
        let name = format!("{kind}/{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, action) = match result {
            Ok(look_again) => {
                failures.remove(&name);
                ("ok", look_again.map_or_else(Action::await_change, Action::requeue))
            }
            // What changed wakes us by itself; this is for a watch that lags.
            Err(Error::Act(ActError::Stale)) => ("stale", Action::requeue(Duration::from_millis(50))),
            Err(error) => {
                let times = failures.entry(name.clone()).and_modify(|n| *n += 1).or_insert(1);
                let wait = Duration::from_secs(1 << (*times).min(6));
                tracing::warn!(object = %name, error = %error, again_in = ?wait, "{name}: {error}");
                ("error", Action::requeue(wait))
            }
        };
        drop(failures);
        self.hands.metrics.pass(kind, word, began.elapsed());
        action
    }
}

/// Both controllers, until the process ends.
pub async fn drive(context: Arc<Context>) {
    let client = context.client.clone();
    let services = {
        let (context, index) = (context.clone(), context.clone());
        // Its own status is no news to a controller: only what others write wakes it.
        let asked = |service: &Service| {
            let requested = service.annotations().get(names::ANNOTATION_REQUESTED_AT);
            Some(hash(&(service.metadata.generation, requested)))
        };
        let (reader, objects) = watched(Api::<Service>::all(client.clone()), asked);
        Controller::for_stream(objects, reader)
            .with_config(ControllerConfig::default().concurrency(16))
            .watches(Api::<Deployment>::all(client.clone()), watcher::Config::default(), |deployment| {
                let namespace = deployment.namespace()?;
                Some(ObjectRef::new(&deployment.spec.service).within(&namespace))
            })
            .watches(
                Api::<ConfigMap>::all(client.clone()),
                watcher::Config::default().labels(&format!("{}=true", names::LABEL_WATCH)),
                move |map| index.readers_of(&map.namespace().unwrap_or_default(), &map.name_any()),
            )
            .run(
                |service, context: Arc<Context>| async move {
                    let began = Instant::now();
                    let result = context.service_pass(service.clone()).await;
                    Ok::<_, std::convert::Infallible>(context.settle(&*service, began, result))
                },
                |_, never, _| match *never {},
                context,
            )
            .for_each(|outcome| async { report(outcome.err()) })
    };
    let told = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        let number = status.and_then(|status| status.number);
        // Not how far it is: that changes every few seconds, and nothing follows from it.
        let run = status.and_then(|status| status.run.as_ref()).map(|run| (&run.instance, &run.result));
        Some(hash(&(deployment.metadata.generation, number, run)))
    };
    let (reader, objects) = watched(Api::<Deployment>::all(client.clone()), told);
    let pods =
        watcher(Api::<Pod>::all(client.clone()), watcher::Config::default().labels(names::LABEL_DEPLOYMENT))
            .default_backoff()
            .touched_objects()
            .predicate_filter(|pod: &Pod| Some(deployment::fate::news(pod)), PredicateConfig::default());
    let deployments = Controller::for_stream(objects, reader)
        .with_config(ControllerConfig::default().concurrency(16))
        .watches_stream(pods, |pod| {
            let name = pod.labels().get(names::LABEL_DEPLOYMENT)?;
            Some(ObjectRef::new(name).within(&pod.namespace()?))
        })
        // A lock that was given wakes the one whose turn it is.
        .watches(Api::<Service>::all(client.clone()), watcher::Config::default(), |service| {
            let active = service.status.as_ref()?.active.as_ref()?;
            Some(ObjectRef::new(&active.name).within(&service.namespace()?))
        })
        .run(
            |deployment, context: Arc<Context>| async move {
                let began = Instant::now();
                let result = context.deployment_pass(deployment.clone()).await;
                Ok::<_, std::convert::Infallible>(context.settle(&*deployment, began, result))
            },
            |_, never, _| match *never {},
            context,
        )
        .for_each(|outcome| async { report(outcome.err()) });
    futures::join!(services, deployments);
}

/// A cache of all objects, without what only the API server needs, and a stream of those in which
/// something changed that `news` looks at.
fn watched<K>(
    api: Api<K>,
    news: impl Fn(&K) -> Option<u64> + Send + 'static,
) -> (reflector::Store<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(news, PredicateConfig::default());
    (reader, stream)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What goes wrong around passes: watches that break, objects that are gone when their turn comes.
fn report<E: std::error::Error + 'static>(error: Option<ControllerError<E, watcher::Error>>) {
    match error {
        None | Some(ControllerError::ObjectNotFound(_)) => {}
        Some(error) => tracing::warn!(error = %error, "a watch broke and is taken up again"),
    }
}
