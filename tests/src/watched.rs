//! All objects of one kind in a story's namespace, kept current by a watch. Waiting means looking
//! at each new state, never sleeping; each state is held against the rules.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::rules::Ruled;

/// The objects of a kind.
pub struct Watched<K> {
    known: Arc<Mutex<Known<K>>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

struct Known<K> {
    /// By name, those that are there.
    now: BTreeMap<String, K>,
    /// By uid, the last state of each that ever was.
    ever: BTreeMap<String, K>,
    broken: Vec<String>,
    /// `now` is complete.
    listed: bool,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Ruled
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    pub(crate) fn start(client: &Client, namespace: &str, labels: &str) -> Self {
        let known = Arc::new(Mutex::new(Known {
            now: BTreeMap::new(),
            ever: BTreeMap::new(),
            broken: Vec::new(),
            listed: false,
        }));
        let (tell, changed) = watch::channel(0);
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let events = watcher(api, watcher::Config::default().labels(labels)).default_backoff();
        let shared = Arc::clone(&known);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events.into_stream());
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                shared.lock().unwrap_or_else(PoisonError::into_inner).note(event);
                tell.send_modify(|count| *count += 1);
            }
        });
        Self { known, changed, task }
    }

    fn read<T>(&self, look: impl FnOnce(&Known<K>) -> T) -> T {
        look(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last state of every object that ever was.
    pub fn ever(&self) -> Vec<K> {
        self.read(|known| known.ever.values().cloned().collect())
    }

    /// The rules that were broken so far.
    pub fn broken(&self) -> Vec<String> {
        self.read(|known| known.broken.clone())
    }

    /// Waits until the objects that are there answer a question.
    pub async fn find<T>(
        &self,
        what: &str,
        within: Duration,
        mut answer: impl FnMut(&BTreeMap<String, K>) -> Option<T>,
    ) -> Result<T> {
        let mut changed = self.changed.clone();
        let deadline = Instant::now() + within;
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.read(|known| known.listed.then(|| answer(&known.now)).flatten()) {
                return Ok(found);
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                let there = self.read(|known| known.now.keys().cloned().collect::<Vec<_>>());
                bail!("expected {what} within {within:?}, saw none; there are: {}", there.join(", "));
            }
        }
    }

    /// Waits until the object of that name is as wanted.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        mut enough: impl FnMut(&K) -> bool,
    ) -> Result<K> {
        let what = format!("{} {name}: {what}", K::kind(&()));
        self.find(&what, within, |now| now.get(name).filter(|object| enough(object)).cloned()).await
    }

    /// Waits until there is no object of that name.
    pub async fn until_gone(&self, name: &str, within: Duration) -> Result<()> {
        let what = format!("{} {name} to be gone", K::kind(&()));
        self.find(&what, within, |now| (!now.contains_key(name)).then_some(())).await
    }
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Resource<DynamicType = ()> + Ruled + Clone> Known<K> {
    fn note(&mut self, event: Event<K>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                self.judge(&object);
                self.now.insert(object.name_any(), object);
            }
            Event::Delete(object) => {
                self.judge(&object);
                self.now.remove(&object.name_any());
            }
            Event::Init => {
                self.listed = false;
                self.now.clear();
            }
            Event::InitDone => self.listed = true,
        }
    }

    fn judge(&mut self, object: &K) {
        let uid = object.uid().unwrap_or_default();
        let before = self.ever.insert(uid, object.clone());
        for rule in K::broken(before.as_ref(), object) {
            let sentence = format!("{} {}: {rule}", K::kind(&()), object.name_any());
            if !self.broken.contains(&sentence) {
                self.broken.push(sentence);
            }
        }
    }
}
