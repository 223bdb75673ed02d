//! For tests: a cluster in memory that knows Services, Deployments and who may do what; and the API
//! before it, as people see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use crds::deployment::{Approval, Cancel};
use crds::{Deployment, Service};
use futures::future::BoxFuture;
use kube::ResourceExt;
use serde_json::{Value, json};
use store::PgPool;
use store::{mirror, rows};
use tower::ServiceExt;
use uuid::Uuid;

use super::App;
use super::cluster::{Cluster, Created, Decided, Kept, Refusal, Write, Wrote};
use super::problem::FieldError;
use super::secret_answers::Values;
use crate::access::{Ask, Subject};
use crate::claim::cluster::{Answer, Unavailable};
use crate::claim::fake::NOW;
use crate::identity::key::{self, SigningKey};
use crate::identity::token::{self, UserClaims};
use crate::router;

#[derive(Default)]
pub(crate) struct World {
    /// Who, verb, resource, namespace or `*`, name or `*`.
    pub grants: Vec<[String; 5]>,
    pub services: BTreeMap<String, Service>,
    pub deployments: BTreeMap<String, Deployment>,
    /// Secret answers, by the names of their Deployments.
    pub secrets: BTreeMap<String, Values>,
    /// Kubernetes lets nobody make Secrets.
    pub no_secrets: bool,
    pub asked: usize,
    /// Somebody else writes first.
    pub busy: usize,
    /// Looks at sources that were asked for.
    pub announced: Vec<String>,
    pub away: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `anna deploy services team blog`
    pub(crate) fn grant(&self, words: &str) {
        let words: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
        self.world().grants.push(words.try_into().unwrap());
    }

    fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&mut World) -> T,
    ) -> BoxFuture<'static, Answer<T>> {
        let mut world = self.world();
        let answer = if world.away {
            let source = kube::Error::ReadEvents(std::io::Error::other("connection refused"));
            Err(Unavailable { what: "ask", source })
        } else {
            Ok(answer(&mut world))
        };
        Box::pin(async move { answer })
    }
}

impl Cluster for Fake {
    fn allowed<'a>(&'a self, who: &'a Subject, ask: &'a Ask) -> BoxFuture<'a, Answer<bool>> {
        self.answer(|world| {
            world.asked += 1;
            let is = |wanted: &str, found: Option<&str>| wanted == "*" || Some(wanted) == found;
            world.grants.iter().any(|[user, verb, resource, namespace, name]| {
                (format!("fastdeploy:{user}") == who.user || who.groups.contains(user))
                    && verb == ask.verb
                    && resource == ask.resource
                    && is(namespace, ask.namespace.as_deref())
                    && is(name, ask.name.as_deref())
            })
        })
    }

    fn service<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Service>>> {
        self.answer(|world| world.services.get(name).cloned())
    }

    fn deployment<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        self.answer(|world| world.deployments.get(name).cloned())
    }

    fn create<'a>(&'a self, _: &'a str, deployment: &'a Deployment) -> BoxFuture<'a, Answer<Created>> {
        self.answer(|world| {
            if world.deployments.contains_key(&deployment.name_any()) {
                return Created::Exists;
            }
            let mut made = deployment.clone();
            let uid = Uuid::from_u128(1_000 + world.deployments.len() as u128);
            made.metadata.uid = Some(uid.to_string());
            made.metadata.resource_version = Some("500".into());
            made.metadata.creation_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW));
            world.deployments.insert(made.name_any(), made.clone());
            Created::New(Box::new(made))
        })
    }

    fn keep<'a>(&'a self, deployment: &'a Deployment, answers: &'a Values) -> BoxFuture<'a, Answer<Kept>> {
        self.answer(|world| {
            if world.no_secrets {
                let message = "secrets is forbidden: exceeded quota".to_owned();
                return Kept::Refused(Refusal { message, errors: Vec::new() });
            }
            if world.secrets.contains_key(&deployment.name_any()) {
                return Kept::Exists;
            }
            world.secrets.insert(deployment.name_any(), answers.clone());
            Kept::Done
        })
    }

    fn cancel<'a>(
        &'a self,
        deployment: &'a Deployment,
        how: Cancel,
    ) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        self.answer(|world| {
            let there = world.deployments.get_mut(&deployment.name_any())?;
            there.spec.cancel = Some(how);
            let version: u64 = there.resource_version().unwrap_or_default().parse().unwrap_or(0);
            there.metadata.resource_version = Some((version + 1).to_string());
            Some(there.clone())
        })
    }

    fn decide<'a>(
        &'a self,
        deployment: &'a Deployment,
        approval: &'a Approval,
    ) -> BoxFuture<'a, Answer<Decided>> {
        self.answer(|world| {
            let Some(there) = world.deployments.get_mut(&deployment.name_any()) else { return Decided::Gone };
            if there.spec.approval.is_some() {
                let message = "approval: what was decided stays".to_owned();
                let errors = vec![FieldError { field: "approval".into(), message: message.clone() }];
                return Decided::Refused(Refusal { message, errors });
            }
            there.spec.approval = Some(approval.clone());
            let version: u64 = there.resource_version().unwrap_or_default().parse().unwrap_or(0);
            there.metadata.resource_version = Some((version + 1).to_string());
            Decided::Written(Box::new(there.clone()))
        })
    }

    fn manifest<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Option<Value>>> {
        self.answer(|world| world.services.get(name).map(|service| serde_json::to_value(service).unwrap()))
    }

    fn write<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        write: Write<'a>,
        dry: bool,
    ) -> BoxFuture<'a, Answer<Wrote>> {
        self.answer(|world| {
            let version = |world: &World| world.services.get(name).and_then(ResourceExt::resource_version);
            let (object, version) = match write {
                Write::Create(_) if world.services.contains_key(name) => return Wrote::Exists,
                Write::Create(object) => (object, 1),
                Write::Replace(object) => {
                    let Some(there) = version(world) else { return Wrote::Gone };
                    // The operator writes its status meanwhile.
                    if std::mem::take(&mut world.busy) > 0 {
                        let there = world.services.get_mut(name).unwrap();
                        there.metadata.resource_version = Some("99".into());
                        return Wrote::Moved;
                    }
                    if object["metadata"]["resourceVersion"] != *there {
                        return Wrote::Moved;
                    }
                    (object, there.parse::<u64>().unwrap() + 1)
                }
                Write::Delete { version: read, .. } => {
                    match version(world) {
                        None => return Wrote::Gone,
                        Some(there) if there != read => return Wrote::Moved,
                        Some(_) if dry => {}
                        Some(_) => drop(world.services.remove(name)),
                    }
                    return Wrote::Done(json!({}));
                }
            };
            let mut made = object.clone();
            made["metadata"]["resourceVersion"] = json!(version.to_string());
            made["metadata"]["uid"] = json!(uid_of(namespace, name));
            let mut service = match serde_json::from_value::<Service>(made.clone()) {
                Ok(service) => service,
                Err(error) => {
                    let error = FieldError { field: "spec".into(), message: error.to_string() };
                    return Wrote::Refused(Refusal { message: error.message.clone(), errors: vec![error] });
                }
            };
            let before = world.services.get(name).and_then(|there| serde_json::to_value(there).ok());
            let before = before.unwrap_or_default();
            let after = serde_json::to_value(&service).unwrap_or_default();
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            let generation = if before["spec"] == after["spec"] { generation } else { generation + 1 };
            made["metadata"]["generation"] = json!(generation);
            service.metadata.generation = Some(generation);
            if !dry {
                world.services.insert(name.to_owned(), service);
            }
            Wrote::Done(made)
        })
    }

    fn announce<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        token: &'a str,
    ) -> BoxFuture<'a, Answer<bool>> {
        self.answer(|world| {
            world.announced.push(format!("{namespace}/{name} {token}"));
            world.services.contains_key(name)
        })
    }
}

/// The API on this database, without a page.
pub(crate) struct Site {
    pub app: App,
    pub fake: Fake,
    pub pool: PgPool,
    pub key: SigningKey,
    router: Router,
}

impl Site {
    pub(crate) fn on(pool: &PgPool) -> Self {
        let (fake, key) = (Fake::default(), key::tests::any());
        let app = App::new(Arc::new(fake.clone()), key.clone(), || NOW, Some(pool.clone()), true);
        let router = router::people(app.clone(), None);
        Self { app, fake, pool: pool.clone(), key, router }
    }

    /// With roles of its own.
    pub(crate) fn with_roles(&mut self, roles: Arc<dyn crate::people::bindings::Bindings>) {
        self.app.people.roles = Some(roles);
        self.router = router::people(self.app.clone(), None);
    }

    /// In an installation of its own.
    pub(crate) fn with_installation(&mut self, there: Arc<dyn crate::system::installation::Installation>) {
        self.app.people.installation = Some(there);
        self.router = router::people(self.app.clone(), None);
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn token(&self, name: &str) -> String {
        token::issue(&self.key, &UserClaims::new(name, name == "admin", Uuid::nil(), NOW)).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 8 << 20).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> (u16, Value) {
        let request = Request::get(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("Bearer {}", self.token(who)));
        let (status, _, body) = self.send(request.body(Body::empty()).unwrap()).await;
        (status.as_u16(), body)
    }

    /// The body as it came.
    pub(crate) async fn text(&self, who: &str, path: &str) -> (u16, HeaderMap, String) {
        let request = Request::get(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("Bearer {}", self.token(who)));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 64 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn post(&self, who: &str, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request = Request::post(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.token(who)))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let (status, _, body) = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        (status.as_u16(), body)
    }

    /// A manifest that is sent, with these headers; the body as text.
    pub(crate) async fn manifest(
        &self,
        who: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.token(who)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 64 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A Service, in the cluster and in the mirror.
    pub(crate) async fn service(
        &self,
        namespace: &str,
        name: &str,
        version: i64,
        spec: Value,
        status: Value,
    ) {
        let mut whole = json!({"source": {"inline": {"deploy.yml": "x"}}, "playbook": "deploy.yml", "inventory": {"local": true}});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let uid = uid_of(namespace, name);
        let service: Service = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version.to_string()},
            "spec": whole, "status": status,
        }))
        .unwrap();
        self.fake.world().services.insert(name.to_owned(), service.clone());
        self.mirror(&rows::service(&service).unwrap()).await;
    }

    /// A Deployment, in the cluster and in the mirror.
    pub(crate) async fn deployment(&self, service: &str, n: u128, status: Value) -> Uuid {
        self.run(("team", service), n, json!({}), status).await
    }

    /// The same, with more in its spec, in any namespace.
    pub(crate) async fn run(
        &self,
        (namespace, service): (&str, &str),
        n: u128,
        mut spec: Value,
        status: Value,
    ) -> Uuid {
        let uid = Uuid::from_u128(n);
        spec["service"] = json!(service);
        let deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
            "metadata": {"name": format!("{service}-{n}"), "namespace": namespace, "uid": uid,
                "resourceVersion": (100 + n).to_string(), "creationTimestamp": format!("2027-01-15T08:00:{n:02}Z")},
            "spec": spec, "status": status,
        }))
        .unwrap();
        self.fake.world().deployments.insert(deployment.name_any(), deployment.clone());
        self.mirror(&rows::deployment(&deployment).unwrap()).await;
        uid
    }

    pub(crate) async fn mirror(&self, row: &mirror::Row) {
        let epoch = mirror::epoch(&self.pool).await.unwrap();
        mirror::upsert(&self.pool, epoch, std::slice::from_ref(row)).await.unwrap();
    }
}

/// The same for the same name.
fn uid_of(namespace: &str, name: &str) -> Uuid {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(format!("{namespace}/{name}"));
    Uuid::from_slice(&hash[..16]).unwrap()
}
