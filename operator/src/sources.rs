//! Repositories: one check each, however many Services read it, by its own clock and off the async
//! threads. A pass asks what is known and never waits; what is new wakes those who read it.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{Reason, Service, names, service::SourceStatus, source::Git};
use frozen::{Commit, Fault, Repository};
use futures::FutureExt;
use git::{Auth, Refs, Remote, Selector};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use store::PgPool;
use tokio::sync::{Notify, RwLock, Semaphore, mpsc};

use self::{
    choice::{Choice, Promoted, promoted},
    histories::{Histories, Tip},
};
use crate::deployment::answers::Known;

mod choice;
mod histories;

/// How long a repository may take to answer.
const PATIENCE: Duration = Duration::from_secs(40);
/// Programs of git at the same time.
const AT_ONCE: usize = 4;
/// How soon a repository that does not answer is asked again, at first.
const SOON: Duration = Duration::from_secs(10);

/// Everything that is known of repositories.
#[derive(Clone)]
pub struct Sources {
    client: Client,
    pool: Option<PgPool>,
    known: Arc<Mutex<HashMap<String, Entry>>>,
    wake: mpsc::UnboundedSender<ObjectRef<Service>>,
    at_once: Arc<Semaphore>,
    /// The turn of what no run waits for.
    aside: Arc<Semaphore>,
    /// Whoever writes to PostgreSQL shares it, whoever forgets there has it alone: what goes is not of one who has just come.
    writing: Arc<RwLock<()>>,
    /// Where credentials lie while git works.
    private: PathBuf,
    /// All Services.
    services: Store<Service>,
}

type Reader = (String, String);

/// One repository, read in one way.
struct Entry {
    git: Git,
    namespace: String,
    readers: BTreeMap<Reader, Duration>,
    refs: Option<Arc<Refs>>,
    fault: Option<Fault>,
    failures: u32,
    /// Checks that have ended: one that begins after a request answers it.
    ended: u64,
    begun: u64,
    /// The token that was last asked with, and the check that answers it.
    asked: BTreeMap<Reader, (String, u64)>,
    commits: HashMap<Lookup, Looked>,
    histories: Histories,
    now: Arc<Notify>,
}

/// Which trees of which commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lookup {
    commit: String,
    reference: String,
    paths: Vec<String>,
}

enum Looked {
    Looking,
    Found(git::Commit),
    Not(Fault),
}

/// What a pass learns.
pub struct Seen {
    /// The commit that is wanted.
    pub repository: Repository,
    /// The wish to check now (`fastdeploy.dev/requestedAt`) was fulfilled, if there was one.
    pub answered: bool,
}

impl Sources {
    /// `private`: a folder in memory for credentials. `wake` is told whom something new concerns.
    pub fn new(
        client: Client,
        pool: Option<PgPool>,
        private: PathBuf,
        wake: mpsc::UnboundedSender<ObjectRef<Service>>,
        services: Store<Service>,
    ) -> Self {
        let (at_once, aside) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(1)));
        let (known, writing) = (Arc::default(), Arc::default());
        Self { client, pool, known, wake, at_once, aside, writing, private, services }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a Service's repository; what is not known yet is found out, and wakes the Service.
    pub fn look(&self, service: &Service) -> Seen {
        let Some(git) = &service.spec.source.git else {
            return Seen { repository: Repository::Looking, answered: true };
        };
        let namespace = service.namespace().unwrap_or_default();
        let reader = (namespace.clone(), service.name_any());
        let key = git.repository(&namespace);
        let mut known = self.lock();
        let new = !known.contains_key(&key);
        let entry = known.entry(key.clone()).or_insert_with(|| Entry::new(git, &namespace));
        if new {
            tokio::spawn(self.clone().follow(key.clone()));
        }
        let sooner = entry.readers.values().min().is_some_and(|every| git.every() < *every);
        entry.readers.insert(reader.clone(), git.every());
        let answered = entry.answer(&reader, service);
        if sooner || !answered {
            entry.now.notify_one();
        }
        let (repository, missing) = entry.repository(git, earlier(service, git));
        if let Some(lookup) = missing {
            entry.commits.insert(lookup.clone(), Looked::Looking);
            tokio::spawn(self.clone().look_up(key, lookup));
        } else if histories::asks(service)
            && let Some(tip) = entry.settled(git, &repository)
            && entry.histories.is_new(&tip)
        {
            tokio::spawn(self.clone().learn(key, tip));
        }
        Seen { repository, answered }
    }

    /// A revision that somebody chose, instead of the one that is wanted: one of the refs that the Service
    /// permits, by its name or its commit, a commit of `lived`, which were live, or one that is live at a Service that follows
    /// the same. `patient`: what is not known may have come a moment ago.
    pub fn choose(&self, service: &Service, revision: &str, lived: &[String], patient: bool) -> Repository {
        let invalid = |message: String| {
            Repository::Lost(
                Fault { reason: Reason::InvalidInput, message: format!("revision: {message}") },
                None,
            )
        };
        let Some(git) = &service.spec.source.git else {
            return invalid("this Service does not come from a repository".into());
        };
        // The entry, and a reader that is told what is found.
        if let Repository::Lost(fault, _) = self.look(service).repository {
            return Repository::Lost(fault, None);
        }
        let namespace = service.namespace().unwrap_or_default();
        let key = git.repository(&namespace);
        let others = self.promoted(service, git, revision);
        let mut known = self.lock();
        let Some(entry) = known.get_mut(&key) else { return Repository::Looking };
        let patient = patient || !self.all_known();
        let (name, commit, reference) = match entry.choice(git, revision, lived, others, patient) {
            Choice::Taken { name, commit, reference } => (name, commit, reference),
            Choice::Looking => return Repository::Looking,
            Choice::Not(message) => return invalid(message),
        };
        let (repository, missing) = entry.commit(git, &name, &commit, &reference, None);
        if let Some(lookup) = missing {
            entry.commits.insert(lookup.clone(), Looked::Looking);
            tokio::spawn(self.clone().look_up(key, lookup));
        }
        repository
    }

    /// Whether the Services have been listed since we started.
    fn all_known(&self) -> bool {
        self.services.wait_until_ready().now_or_never().is_some()
    }

    /// Whether a commit is live at another Service that follows the same. Only for what somebody chose: it looks through
    /// the Services that are known, in memory.
    fn promoted(&self, service: &Service, git: &Git, revision: &str) -> Promoted {
        if !git::is_commit(revision) {
            return Promoted::No;
        }
        let (namespace, name) = (service.namespace(), service.name_any());
        let all = self.services.state();
        let others = all.iter().filter(|other| other.namespace() == namespace && other.name_any() != name);
        promoted((&name, git), revision, others.map(AsRef::as_ref))
    }

    /// The branches and tags of a Service's repository.
    pub fn refs(&self, service: &Service) -> Known {
        let Some(git) = &service.spec.source.git else { return Known::Nothing };
        // The entry, and a reader that is told what is found.
        self.look(service);
        let known = self.lock();
        let entry = known.get(&git.repository(&service.namespace().unwrap_or_default()));
        match entry.map(|entry| (&entry.refs, &entry.fault)) {
            Some((Some(refs), _)) => Known::Refs(refs.clone()),
            Some((None, Some(_))) => Known::Nothing,
            Some((None, None)) | None => Known::Looking,
        }
    }

    /// Whether that Service still is there and reads that repository.
    fn reads(&self, (namespace, name): &Reader, key: &str) -> bool {
        let service = self.services.get(&ObjectRef::new(name).within(namespace));
        service
            .and_then(|service| Some(service.spec.source.git.as_ref()?.repository(namespace) == key))
            .unwrap_or(false)
    }

    /// Looks at one repository until nobody reads it any more.
    async fn follow(self, key: String) {
        loop {
            let now = {
                let mut known = self.lock();
                let Some(entry) = known.get_mut(&key) else { return };
                entry.readers.retain(|reader, _| self.reads(reader, &key));
                entry.asked.retain(|reader, _| entry.readers.contains_key(reader));
                if entry.readers.is_empty() {
                    known.remove(&key);
                    break;
                }
                entry.begun += 1;
                entry.now.clone()
            };
            let changed = self.check(&key).await;
            let pause = {
                let mut known = self.lock();
                let Some(entry) = known.get_mut(&key) else { return };
                entry.ended = entry.begun;
                entry.pause()
            };
            // Those who wait were told before: nobody waits for PostgreSQL.
            if let Some(refs) = changed
                && tokio::time::timeout(PATIENCE, self.write_down(&key, &refs)).await.is_err()
            {
                tracing::debug!("PostgreSQL did not take the refs in time");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = now.notified() => {}
            }
        }
        self.forget().await;
    }

    /// Without PostgreSQL only the pickers know less; the next change tries again.
    async fn write_down(&self, key: &str, refs: &Refs) {
        let Some(pool) = &self.pool else { return };
        let rows = refs.list.iter().map(|r| (r.kind.as_str(), r.name.as_str(), r.commit.as_str()));
        let _shared = self.writing.read().await;
        if let Err(error) = store::refs::replace(pool, key, rows).await {
            tracing::debug!(%error, "refs could not be written");
        }
    }

    /// What PostgreSQL has of repositories that nobody reads any more goes, once all Services are known.
    pub async fn forget(&self) {
        let Some(pool) = &self.pool else { return };
        if self.services.wait_until_ready().await.is_err() {
            return;
        }
        let _alone = self.writing.write().await;
        let mut read: Vec<String> = self.lock().keys().cloned().collect();
        read.extend(self.services.state().iter().filter_map(|service| {
            let git = service.spec.source.git.as_ref()?;
            Some(git.repository(&service.namespace().unwrap_or_default()))
        }));
        if let Err(error) = store::refs::keep(pool, &read).await {
            tracing::debug!(%error, "what nobody reads any more could not be forgotten");
        }
    }

    /// Answers the refs, if something changed.
    async fn check(&self, key: &str) -> Option<Arc<Refs>> {
        let (git, namespace) = self.lock().get(key).map(|e| (e.git.clone(), e.namespace.clone()))?;
        // A commit that is named needs no refs; whether it is there is found out with its trees.
        let result = self.with_remote(&self.at_once, &git, &namespace, |remote| remote.refs(PATIENCE)).await;
        let (readers, changed, refs) = {
            let mut known = self.lock();
            let entry = known.get_mut(key)?;
            let before = (entry.refs.as_ref().map(|refs| refs.fingerprint()), entry.fault.clone());
            match result {
                Ok(refs) => {
                    let refs = Arc::new(refs);
                    if before.0.as_ref() != Some(&refs.fingerprint()) {
                        entry.commits.clear();
                    }
                    entry.histories.checked(&refs, entry.begun);
                    entry.refs = Some(refs);
                    entry.fault = None;
                    entry.failures = 0;
                }
                Err(fault) => {
                    entry.fault = Some(fault);
                    entry.failures += 1;
                }
            }
            entry.commits.retain(|_, looked| !matches!(looked, Looked::Not(_)));
            let changed = before != (entry.refs.as_ref().map(|refs| refs.fingerprint()), entry.fault.clone());
            // Whoever asked is told that it was done.
            let asked = entry.asked.values().any(|(_, check)| *check >= entry.begun);
            let readers: Vec<_> = entry.readers.keys().cloned().collect();
            (readers, changed || asked, entry.refs.clone().filter(|_| changed))
        };
        if changed {
            self.tell(readers);
        }
        refs
    }

    async fn look_up(self, key: String, lookup: Lookup) {
        let Some((git, namespace)) = self.lock().get(&key).map(|e| (e.git.clone(), e.namespace.clone()))
        else {
            return;
        };
        let wanted = lookup.clone();
        let result = self
            .with_remote(&self.at_once, &git, &namespace, move |remote| {
                let paths: Vec<&str> = wanted.paths.iter().map(String::as_str).collect();
                remote.look_up(&wanted.commit, &wanted.reference, &paths, PATIENCE)
            })
            .await;
        let readers = {
            let mut known = self.lock();
            let Some(entry) = known.get_mut(&key) else { return };
            let looked = result.map_or_else(Looked::Not, Looked::Found);
            // Cleared meanwhile: the refs moved on, and so did those who asked.
            if let Some(slot) = entry.commits.get_mut(&lookup) {
                *slot = looked;
            }
            entry.readers.keys().cloned().collect()
        };
        self.tell(readers);
    }

    fn tell(&self, readers: Vec<Reader>) {
        for (namespace, name) in readers {
            let _ = self.wake.send(ObjectRef::new(&name).within(&namespace));
        }
    }

    async fn with_remote<T: Send + 'static>(
        &self,
        turn: &Semaphore,
        git: &Git,
        namespace: &str,
        ask: impl FnOnce(&Remote) -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let auth = self.auth(git, namespace).await?;
        let remote = Remote {
            url: git.url.clone(),
            ca_bundle: git.ca_bundle.clone(),
            proxy: git.proxy.clone(),
            auth,
            private: self.private.clone(),
        };
        let unavailable = |message: String| Fault { reason: Reason::SourceUnavailable, message };
        let url = git.url.clone();
        let _permit = turn.acquire().await.map_err(|error| unavailable(error.to_string()))?;
        let answer = tokio::task::spawn_blocking(move || ask(&remote)).await;
        let answer = answer.map_err(|_| unavailable("git was cut off".into()))?;
        answer.map_err(|error| match error {
            git::Error::Unavailable(said) => unavailable(format!("{url} cannot be read: {said}")),
            git::Error::NotFound(said) => Fault { reason: Reason::SourceNotFound, message: said },
            git::Error::Invalid(said) => Fault { reason: Reason::InvalidSpec, message: said },
        })
    }

    /// Reads the Secret anew for each check: a changed one counts from then on, and none is kept.
    async fn auth(&self, git: &Git, namespace: &str) -> Result<Auth, Fault> {
        let Some(reference) = &git.secret_ref else { return Ok(Auth::None) };
        let missing = |message| Fault { reason: Reason::SecretMissing, message };
        let secrets = Api::<Secret>::namespaced(self.client.clone(), namespace);
        let secret = crate::named::get(&secrets, &reference.name).await.map_err(|error| Fault {
            reason: Reason::SourceUnavailable,
            message: format!("Secret {} could not be read: {error}", reference.name),
        })?;
        let secret =
            secret.ok_or_else(|| missing(format!("Secret {} is not in this namespace", reference.name)))?;
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        Auth::from_secret(&git.url, &data)
            .map_err(|error| missing(format!("Secret {}: {error}", reference.name)))
    }
}

impl Entry {
    fn new(git: &Git, namespace: &str) -> Self {
        Self {
            git: git.clone(),
            namespace: namespace.to_owned(),
            readers: BTreeMap::new(),
            refs: None,
            fault: None,
            failures: 0,
            ended: 0,
            begun: 0,
            asked: BTreeMap::new(),
            commits: HashMap::new(),
            histories: Histories::default(),
            now: Arc::default(),
        }
    }

    /// Whether the wish to check now is fulfilled; a new one is noted.
    fn answer(&mut self, reader: &Reader, service: &Service) -> bool {
        let Some(token) = service.annotations().get(names::ANNOTATION_REQUESTED_AT) else { return true };
        let handled = service.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref());
        if handled == Some(token) {
            self.asked.remove(reader);
            return true;
        }
        let next = self.begun + 1;
        let asked = self.asked.entry(reader.clone()).or_insert_with(|| (token.clone(), next));
        if asked.0 != *token {
            *asked = (token.clone(), next);
        }
        self.ended >= asked.1
    }

    /// The commit that is wanted, and what has to be looked up for it.
    fn repository(&self, git: &Git, earlier: Option<Commit>) -> (Repository, Option<Lookup>) {
        let lost = |fault: Fault| match fault.reason {
            // Nothing else than another spec, or another repository, mends that.
            Reason::InvalidSpec => Repository::Lost(fault, None),
            _ => Repository::Lost(fault, earlier.clone()),
        };
        let Some(refs) = &self.refs else {
            let unknown = || earlier.clone().map_or(Repository::Looking, Repository::Found);
            return (self.fault.clone().map_or_else(unknown, lost), None);
        };
        let selector = selector(git);
        let (name, commit) = match refs.resolve(&selector) {
            Ok(found) => found,
            Err(git::Error::Invalid(message)) => {
                return (lost(Fault { reason: Reason::InvalidSpec, message }), None);
            }
            Err(error) => {
                return (lost(Fault { reason: Reason::SourceNotFound, message: error.to_string() }), None);
            }
        };
        let reference = match &selector {
            Selector::Commit(_) => String::new(),
            Selector::Default | Selector::Branch(_) => format!("refs/heads/{name}"),
            Selector::Tag(_) | Selector::Semver(_) => format!("refs/tags/{name}"),
        };
        self.commit(git, &name, &commit, &reference, earlier)
    }

    /// Where what is followed is now, once nothing is left to be looked up for it.
    fn settled(&self, git: &Git, repository: &Repository) -> Option<Tip> {
        let Repository::Found(found) = repository else { return None };
        let tip = Tip::of(self.refs.as_deref()?, git)?;
        (found.id == tip.commit).then_some(tip)
    }

    /// What a commit has, and what has to be looked up for it.
    fn commit(
        &self,
        git: &Git,
        name: &str,
        commit: &str,
        reference: &str,
        earlier: Option<Commit>,
    ) -> (Repository, Option<Lookup>) {
        let lost = |fault: Fault| Repository::Lost(fault, earlier.clone());
        let (commit, reference) = (commit.to_owned(), reference.to_owned());
        let folders = git.folders();
        let lookup = Lookup { commit: commit.clone(), reference: reference.clone(), paths: folders.clone() };
        let revision =
            if name.is_empty() { format!("sha1:{commit}") } else { format!("{name}@sha1:{commit}") };
        let known = earlier.clone().filter(|earlier| earlier.id == commit);
        let found = match (self.commits.get(&lookup), known) {
            (Some(Looked::Found(found)), _) => {
                if let Some(gone) = folders.iter().find(|folder| !found.ids.contains_key(*folder)) {
                    let message = format!("source.git: {revision} has no {gone}");
                    return (lost(Fault { reason: Reason::SourceNotFound, message }), None);
                }
                Commit {
                    revision,
                    id: commit,
                    reference,
                    message: found.subject.clone(),
                    trees: found.ids.clone(),
                }
            }
            // A commit never changes: what its trees are was found out before.
            (_, Some(known)) => Commit { revision, reference, ..known },
            (Some(Looked::Not(fault)), None) => return (lost(fault.clone()), None),
            (Some(Looked::Looking), None) => {
                return (earlier.map_or(Repository::Looking, Repository::Found), None);
            }
            (None, None) => return (earlier.map_or(Repository::Looking, Repository::Found), Some(lookup)),
        };
        match &self.fault {
            Some(fault) => (Repository::Lost(fault.clone(), Some(found)), None),
            None => (Repository::Found(found), None),
        }
    }

    /// Until the next look: a tenth more or less, so that not all look at once; longer after failures.
    fn pause(&self) -> Duration {
        let every = self.readers.values().min().copied().unwrap_or(SOON);
        let base = if self.fault.is_some() { every.min(SOON * (1 << self.failures.min(6))) } else { every };
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), self.begun);
        base.mul_f64(0.9 + (random % 1_000) as f64 / 5_000.0)
    }
}

/// What the status says was found before, if it speaks of this very spec.
fn earlier(service: &Service, git: &Git) -> Option<Commit> {
    let status = service.status.as_ref()?;
    let SourceStatus { revision, commit, message, trees, .. } = status.source.as_ref()?;
    let same_spec = Some(status.observed_generation) == service.metadata.generation;
    let all =
        git.folders().iter().all(|folder| trees.contains_key(folder)) && trees.len() == git.folders().len();
    (same_spec && all).then_some(())?;
    let name = revision.rsplit_once("@sha1:").map(|(name, _)| name);
    let reference = match (selector(git), name) {
        (Selector::Commit(_), _) | (_, None) => String::new(),
        (Selector::Default | Selector::Branch(_), Some(name)) => format!("refs/heads/{name}"),
        (Selector::Tag(_) | Selector::Semver(_), Some(name)) => format!("refs/tags/{name}"),
    };
    Some(Commit {
        revision: revision.clone(),
        id: commit.clone()?,
        reference,
        message: message.clone().unwrap_or_default(),
        trees: trees.clone(),
    })
}

/// Which commit a Service wants.
pub fn selector(git: &Git) -> Selector {
    match (&git.branch, &git.tag, &git.semver, &git.commit) {
        (Some(branch), ..) => Selector::Branch(branch.clone()),
        (_, Some(tag), ..) => Selector::Tag(tag.clone()),
        (_, _, Some(range), _) => Selector::Semver(range.clone()),
        (.., Some(commit)) => Selector::Commit(commit.clone()),
        _ => Selector::Default,
    }
}
