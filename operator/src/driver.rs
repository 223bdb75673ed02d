//! Drives both kinds: watches, passes, back-off, reporting. A pass is observe → decide → act and
//! nothing else.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crds::{Deployment, Service, names};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Config as ControllerConfig, Controller, WatchStreamExt,
        controller::{Action, Error as ControllerError},
        reflector,
        reflector::{ObjectRef, store::Writer},
        utils::PredicateConfig,
        watcher,
    },
};

use store::PgPool;
use tokio::sync::mpsc;

use crate::{
    act::{Error as ActError, Hands, Subject},
    clock::Clock,
    config::Config,
    deployment::{self, build::Installation},
    eyes::Eyes,
    guarded, installation, service,
    slots::{Limits, Slots, Standing},
    sources::Sources,
    world::Write,
};

/// What every pass needs.
pub struct Context {
    /// Looks at the world.
    pub eyes: Eyes,
    /// Carries plans out.
    pub hands: Hands,
    /// Configuration.
    pub config: Config,
    /// Services that something new concerns which is no object of Kubernetes.
    woken: Mutex<Option<Woken>>,
    wake: mpsc::UnboundedSender<ObjectRef<Service>>,
    /// Which Services depend on which: (namespace, Service) → Services.
    dependants: Mutex<HashMap<(String, String), BTreeSet<String>>>,
    /// Which Services read which ConfigMap: (namespace, ConfigMap) → Services.
    readers: Mutex<HashMap<(String, String), Vec<String>>>,
    /// How often an object has failed in a row.
    failures: Mutex<HashMap<String, u32>>,
}

/// What the controller of Services takes when it starts.
struct Woken {
    services: Writer<Service>,
    asked: mpsc::UnboundedReceiver<ObjectRef<Service>>,
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

impl Error {
    /// Kubernetes' word for it, for counting.
    fn reason(&self) -> String {
        match self {
            Self::Observe(kube::Error::Api(status))
            | Self::Act(ActError::Kube { source: kube::Error::Api(status), .. }) => status.reason.clone(),
            Self::Observe(_) | Self::Act(ActError::Kube { .. }) => "Unreachable".into(),
            Self::Act(ActError::NotOurs { .. }) => "NotOurs".into(),
            Self::Act(ActError::Refused(refusal)) => refusal.reason.as_str().into(),
            Self::Act(ActError::NotLeading) => "NotLeading".into(),
            Self::Act(ActError::Stale) => "Conflict".into(),
            Self::NoAuthority(_) => "NoAuthority".into(),
        }
    }
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
        let (wake, woken) = mpsc::unbounded_channel();
        let (services, writer) = reflector::store();
        let private = config.private_folder.clone();
        let sources = Sources::new(client.clone(), pool.clone(), private, wake.clone(), services.clone());
        let limits = Limits { namespace: config.max_runs_per_namespace, cluster: config.max_runs };
        let slots = Slots::new(limits, wake.clone(), services.clone());
        Self {
            eyes: Eyes { client, clock, digest_key, pool, sources, slots, services },
            hands,
            config,
            woken: Mutex::new(Some(Woken { services: writer, asked: woken })),
            wake,
            dependants: Mutex::default(),
            readers: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    async fn service_pass(&self, service: Arc<Service>) -> Result<Option<Duration>, Error> {
        self.note_readers(&service);
        let observed = service::observe::observe(&self.eyes, &service).await?;
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        self.hands.metrics.waiting(&namespace, &name, observed.waiting);
        let plan = service::decide::decide(&service, &observed);
        let written = plan.writes.iter().find_map(|write| match write {
            Write::ServiceStatus { old, new } => Some((old.active.is_some(), new.active.is_some())),
            _ => None,
        });
        self.hands.carry_out(Subject::Service(&service), plan.writes).await?;
        if let Some((was_active, is_active)) = written {
            if was_active || is_active {
                let standing = if is_active { Standing::Active } else { Standing::Idle };
                self.eyes.slots.note(&namespace, &name, standing);
            }
            self.wake_dependants(&service);
        }
        Ok(plan.look_again)
    }

    async fn deployment_pass(&self, deployment: Arc<Deployment>) -> Result<Option<Duration>, Error> {
        let installation = self.installation(&deployment).await?;
        let observed = deployment::observe::observe(&self.eyes, &installation, &deployment).await?;
        let plan = deployment::decide::decide(&deployment, &observed);
        match self.hands.carry_out(Subject::Deployment(&deployment), plan.writes).await {
            // That is news, too. Where something was written before it, this is stale, and the next pass says it.
            Err(ActError::Refused(refusal)) => {
                let observed = deployment::decide::Observed { refused: Some(refusal), ..observed };
                let plan = deployment::decide::decide(&deployment, &observed);
                self.hands.carry_out(Subject::Deployment(&deployment), plan.writes).await?;
                Ok(plan.look_again)
            }
            outcome => Ok(outcome.map(|()| plan.look_again)?),
        }
    }

    async fn installation(&self, deployment: &Deployment) -> Result<Installation, Error> {
        let status = deployment.status.as_ref();
        let may_make_a_job = status.is_some_and(|s| s.run_of_attempt().is_none() || s.retry_at.is_some())
            && !status.and_then(|s| s.phase).is_some_and(crds::Phase::is_terminal);
        let ca = if may_make_a_job {
            let name = &self.config.ca_config_map;
            installation::authority(&self.eyes.client, &self.config.namespace, name)
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

    /// What became of a Service is news to those who wait for it.
    fn wake_dependants(&self, service: &Service) {
        let namespace = service.namespace().unwrap_or_default();
        let dependants = self.dependants.lock().unwrap_or_else(PoisonError::into_inner);
        for name in dependants.get(&(namespace.clone(), service.name_any())).into_iter().flatten() {
            let _ = self.wake.send(ObjectRef::new(name).within(&namespace));
        }
    }

    fn note_readers(&self, service: &Service) {
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        let mut dependants = self.dependants.lock().unwrap_or_else(PoisonError::into_inner);
        for dependency in &service.spec.depends_on {
            let key = (namespace.clone(), dependency.name.clone());
            dependants.entry(key).or_default().insert(name.clone());
        }
        drop(dependants);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for config_map in frozen::names(service).0 {
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
                self.hands.metrics.error(kind, &error.reason());
                ("error", Action::requeue(wait))
            }
        };
        drop(failures);
        let took = began.elapsed();
        tracing::debug!(object = %name, result = word, ?took, ?action, "pass");
        self.hands.metrics.pass(kind, word, took);
        action
    }
}

/// Both controllers, until the process ends.
pub async fn drive(context: Arc<Context>) {
    let client = context.eyes.client.clone();
    let sources = context.eyes.sources.clone();
    // Of Services that went while nobody led.
    tokio::spawn(async move { sources.forget().await });
    let services = {
        let (context, index) = (context.clone(), context.clone());
        // Its own status is no news to a controller: only what others write wakes it.
        let asked = |service: &Service| {
            let requested = service.annotations().get(names::ANNOTATION_REQUESTED_AT);
            Some(hash(&(service.metadata.generation, requested)))
        };
        let woken = context.woken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Woken { services: writer, asked: mut woken }) = woken else { return };
        let objects = watched(Api::all(client.clone()), writer, asked);
        let woken = stream::poll_fn(move |cx| woken.poll_recv(cx));
        Controller::for_stream(objects, context.eyes.services.clone())
            .with_config(ControllerConfig::default().concurrency(16))
            .reconcile_on(woken)
            .watches_stream(
                guarded::watch::<Deployment>(Api::all(client.clone()))
                    .map_ok(service::news::marked)
                    .touched_objects()
                    .predicate_filter(service::news::of, PredicateConfig::default()),
                |deployment| {
                    let namespace = deployment.namespace()?;
                    Some(ObjectRef::new(&deployment.spec.service).within(&namespace))
                },
            )
            .watches(
                Api::<ConfigMap>::all(client.clone()),
                guarded::renewed().labels(&format!("{}=true", names::LABEL_WATCH)),
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
        let gives_way = status.is_some_and(|status| status.replaced_by.is_some());
        Some(hash(&(deployment.metadata.generation, number, run, gives_way)))
    };
    let (reader, writer) = reflector::store();
    let objects = watched(Api::all(client.clone()), writer, told);
    let pods = watcher(Api::<Pod>::all(client.clone()), guarded::renewed().labels(names::LABEL_DEPLOYMENT))
        .default_backoff()
        .touched_objects()
        .predicate_filter(|pod: &Pod| Some(deployment::fate::news(pod)), PredicateConfig::default());
    let deployments = Controller::for_stream(objects, reader)
        .with_config(ControllerConfig::default().concurrency(16))
        .watches_stream(pods, |pod| {
            let name = pod.labels().get(names::LABEL_DEPLOYMENT)?;
            Some(ObjectRef::new(name).within(&pod.namespace()?))
        })
        // A lock that was given wakes the one whose turn it is; one that is kept, the one that was lost.
        .watches_stream(
            guarded::watch::<Service>(Api::all(client.clone()))
                .touched_objects()
                .predicate_filter(|service: &Service| Some(lock_of(service)), PredicateConfig::default()),
            |service| {
                let active = service.status.as_ref()?.active.as_ref()?;
                Some(ObjectRef::new(&active.name).within(&service.namespace()?))
            },
        )
        .run(
            |deployment, context: Arc<Context>| async move {
                let began = Instant::now();
                let result = Box::pin(context.deployment_pass(deployment.clone())).await;
                Ok::<_, std::convert::Infallible>(context.settle(&*deployment, began, result))
            },
            |_, never, _| match *never {},
            context,
        )
        .for_each(|outcome| async { report(outcome.err()) });
    futures::join!(services, deployments);
}

/// Fills a cache of all objects, without what only the API server needs; a stream of those in which
/// something changed that `news` looks at.
fn watched<K>(
    api: Api<DeserializeGuard<K>>,
    writer: Writer<K>,
    news: impl Fn(&K) -> Option<u64> + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    guarded::watch(api)
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(news, PredicateConfig::default())
}

/// A hash over who holds a Service's lock, and how long it is kept for one that may be lost: all that a Deployment
/// waits for in its Service.
fn lock_of(service: &Service) -> u64 {
    let active = service.status.as_ref().and_then(|status| status.active.as_ref());
    hash(&active.map(|active| (&active.uid, active.until)))
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
