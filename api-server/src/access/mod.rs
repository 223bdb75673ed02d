//! Who may do what: Kubernetes RBAC says it, for the page as for kubectl. Cluster-wide is asked
//! first, then the namespace, then the single object. What was answered is remembered for a minute,
//! or until somebody changes a role; who asks for the same at the same time waits for one answer.

pub mod roles;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crds::names::GROUP;
use moka::future::Cache;
use store::PgPool;
use store::answers::At;
use store::read::{Namespaces, Snapshot};

use crate::api::cluster::Cluster;
use crate::api::problem::Problem;
use crate::people::{Person, Scope};

/// How long an answer counts, if nobody says that roles have changed.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Answers that are remembered: bounds the memory (about 200 bytes each).
const ANSWERS: u64 = 50_000;

/// How long a [`Leave`] counts, if nobody says that roles have changed.
const LEAVE: Duration = Duration::from_secs(1);

/// A question to Kubernetes' authorizer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// `get`, `list`, `deploy`, `cancel`.
    pub verb: &'static str,
    /// `services` or `deployments`, of our group; another group stands behind a dot.
    pub resource: &'static str,
    /// None: every namespace.
    pub namespace: Option<String>,
    /// None: every object.
    pub name: Option<String>,
}

/// One who asks, as Kubernetes knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// `fastdeploy:anna`.
    pub user: String,
    /// `fastdeploy:users`, of administrators `fastdeploy:admins`, and what the organisation says.
    pub groups: Vec<String>,
}

/// Answers, remembered.
#[derive(Clone)]
pub struct Access {
    cluster: Arc<dyn Cluster>,
    /// Knows of which Service a Deployment is.
    pool: Option<PgPool>,
    known: Cache<(Subject, Ask), bool>,
    /// How often it was said that roles have changed.
    changed: Arc<AtomicU64>,
    /// Namespaces that have something, as they were last read.
    places: Arc<Mutex<Vec<String>>>,
}

/// That something was allowed, kept by whoever would ask the same again and again.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    since: Instant,
    changed: u64,
}

impl Access {
    /// Asks this cluster.
    pub fn new(cluster: Arc<dyn Cluster>, pool: Option<PgPool>) -> Self {
        let known = Cache::builder().max_capacity(ANSWERS).time_to_live(REMEMBERED).build();
        Self { cluster, pool, known, changed: Arc::default(), places: Arc::default() }
    }

    /// A role has changed.
    pub fn forget(&self) {
        self.known.invalidate_all();
        self.changed.fetch_add(1, Ordering::Release);
    }

    /// For what is asked from here on, and allowed.
    pub fn leave(&self) -> Leave {
        Leave { since: Instant::now(), changed: self.changed.load(Ordering::Acquire) }
    }

    /// Whether it still counts.
    pub fn honours(&self, leave: &Leave) -> bool {
        leave.changed == self.changed.load(Ordering::Acquire) && leave.since.elapsed() < LEAVE
    }

    /// Whether somebody may do this to this object.
    pub async fn may(
        &self,
        who: &Person,
        verb: &'static str,
        resource: &'static str,
        (namespace, name): (&str, &str),
    ) -> Result<bool, Problem> {
        if let Some(scope) = &who.scope {
            return self.within(scope, verb, resource, (namespace, name)).await;
        }
        let everywhere = Ask { verb, resource, namespace: None, name: None };
        let here = Ask { namespace: Some(namespace.to_owned()), ..everywhere.clone() };
        let this = Ask { name: Some(name.to_owned()), ..here.clone() };
        for ask in [everywhere, here, this] {
            if self.answer(who, ask).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a token for programs may: what it is for, and nothing besides.
    async fn within(
        &self,
        scope: &Scope,
        verb: &str,
        resource: &str,
        (namespace, name): (&str, &str),
    ) -> Result<bool, Problem> {
        if scope.namespace != namespace || !(verb == "get" || scope.verbs.iter().any(|may| may == verb)) {
            return Ok(false);
        }
        match resource {
            "services" => Ok(scope.service == name),
            "deployments" => {
                let Some(pool) = &self.pool else { return Ok(false) };
                let of = store::tokens::service_of(pool, namespace, name).await?;
                Ok(of.as_deref() == Some(scope.service.as_str()))
            }
            _ => Ok(false),
        }
    }

    /// Whether somebody may do this with what belongs to no namespace, or everywhere.
    pub async fn may_everywhere(
        &self,
        who: &Person,
        verb: &'static str,
        resource: &'static str,
    ) -> Result<bool, Problem> {
        if who.scope.is_some() {
            return Ok(false);
        }
        self.answer(who, Ask { verb, resource, namespace: None, name: None }).await
    }

    /// The same, as a refusal in words.
    pub async fn must_everywhere(
        &self,
        who: &Person,
        verb: &'static str,
        resource: &'static str,
    ) -> Result<(), Problem> {
        if self.may_everywhere(who, verb, resource).await? {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "You may not do this. It takes the verb \"{verb}\" on {}, for the whole cluster (ClusterRole fastdeploy-admin \
             has it); somebody who looks after the cluster can give it to you.",
            full(resource)
        )))
    }

    /// The same, as a refusal in words.
    pub async fn must(
        &self,
        who: &Person,
        verb: &'static str,
        resource: &'static str,
        of: (&str, &str),
    ) -> Result<(), Problem> {
        if self.may(who, verb, resource, of).await? {
            return Ok(());
        }
        let (namespace, name) = of;
        Err(Problem::forbidden(format!(
            "You may not do this to {name}. It takes the verb \"{verb}\" on {} in the namespace {namespace} ({}); \
             somebody who looks after the cluster can give it to you.",
            full(resource),
            if who.scope.is_some() {
                "this token was made for other things"
            } else {
                match verb {
                    "deploy" | "cancel" => "ClusterRole fastdeploy-deployer has it",
                    "approve" => "ClusterRole fastdeploy-approver has it",
                    _ => "ClusterRole fastdeploy-admin has it",
                }
            }
        )))
    }

    /// Where somebody may see all Services.
    pub async fn namespaces(&self, who: &Person, snapshot: &mut Snapshot) -> Result<Namespaces, Problem> {
        if who.scope.is_some() {
            return Ok(Namespaces::Only(Vec::new()));
        }
        self.where_services("list", who, snapshot).await
    }

    /// Reads what somebody may see: what `read` finds in the namespaces that it is given. Which ones have something is
    /// remembered from the time before and read again with the rest; if there are others by now, it is all read anew.
    pub async fn seen<T, F>(
        &self,
        who: &Person,
        read: impl Fn(Namespaces) -> F,
    ) -> Result<(Namespaces, At<T>), Problem>
    where
        F: Future<Output = Result<At<T>, Problem>>,
    {
        if who.scope.is_some() {
            let nowhere = Namespaces::Only(Vec::new());
            return Ok((nowhere.clone(), read(nowhere).await?));
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        loop {
            let of = self.among("list", who, &places).await?;
            let found = read(of.clone()).await?;
            if of == Namespaces::All || found.places == places {
                return Ok((of, found));
            }
            places.clone_from(&found.places);
            self.places.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&places);
        }
    }

    /// Where somebody may make Services: everywhere, or in which of the namespaces that have some.
    pub async fn adds(&self, who: &Person, snapshot: &mut Snapshot) -> Result<Namespaces, Problem> {
        if who.scope.is_some() {
            return Ok(Namespaces::Only(Vec::new()));
        }
        self.where_services("create", who, snapshot).await
    }

    async fn where_services(
        &self,
        verb: &'static str,
        who: &Person,
        snapshot: &mut Snapshot,
    ) -> Result<Namespaces, Problem> {
        if self.answer(who, services(verb, None)).await? {
            return Ok(Namespaces::All);
        }
        self.among(verb, who, &snapshot.namespaces().await?).await
    }

    /// Everywhere, or in which of these.
    async fn among(
        &self,
        verb: &'static str,
        who: &Person,
        places: &[String],
    ) -> Result<Namespaces, Problem> {
        if self.answer(who, services(verb, None)).await? {
            return Ok(Namespaces::All);
        }
        let mut allowed = Vec::new();
        for namespace in places {
            if self.answer(who, services(verb, Some(namespace))).await? {
                allowed.push(namespace.clone());
            }
        }
        Ok(Namespaces::Only(allowed))
    }

    /// Whether somebody may see all Services of this namespace.
    pub async fn sees(&self, who: &Person, namespace: &str) -> Result<bool, Problem> {
        if who.scope.is_some() {
            return Ok(false);
        }
        let list = |namespace| services("list", namespace);
        Ok(self.answer(who, list(None)).await? || self.answer(who, list(Some(namespace))).await?)
    }

    async fn answer(&self, who: &Person, ask: Ask) -> Result<bool, Problem> {
        let subject = who.subject();
        let key = (subject, ask);
        if let Some(known) = self.known.get(&key).await {
            return Ok(known);
        }
        let (subject, ask) = key.clone();
        let cluster = Arc::clone(&self.cluster);
        let answer = self.known.try_get_with(key, async move { cluster.allowed(&subject, &ask).await });
        answer.await.map_err(|error: Arc<_>| {
            Problem::unavailable("Kubernetes does not answer, try again in a moment.", error)
        })
    }
}

/// With its group.
fn full(resource: &str) -> String {
    if resource.contains('.') { resource.to_owned() } else { format!("{resource}.{GROUP}") }
}

fn services(verb: &'static str, namespace: Option<&str>) -> Ask {
    Ask { verb, resource: "services", namespace: namespace.map(ToOwned::to_owned), name: None }
}
