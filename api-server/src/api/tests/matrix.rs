//! Every route of the contract × everybody who might ask × their own and a foreign namespace. The routes come
//! from the OpenAPI document, the roles from the manifests that are installed, so none of either can be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::PgPool;
use store::tokens::Token;
use uuid::Uuid;

use super::{ended, live};
use crate::api::fake::Site;
use crate::api::openapi;
use crate::claim::fake::NOW;
use crate::identity::token::{self, ServiceClaims};
use crate::people::bindings::{Bindings, Bound, Role, SubjectKind, name_of};
use crate::people::tests::Memory;

const MANIFESTS: &str = include_str!("../../../../manifests/install.yaml");

/// What an operation takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// Signing in is what it is for; what it refuses is tested beside it.
    Nothing,
    /// Anybody who has signed in. What is shown is of namespaces that one may read.
    SignedIn,
    /// To be a person, not a program.
    InPerson,
    /// `get` of the object, else it is not there; and perhaps a verb on a resource.
    Object(Option<(&'static str, &'static str)>),
    /// The same, and to be a person.
    ObjectInPerson(&'static str, &'static str),
    /// A verb on a resource of no object of ours, in the namespace.
    Here(&'static str, &'static str),
    /// The same in the whole cluster.
    Everywhere(&'static str, &'static str),
}

use Takes::{Everywhere, Here, InPerson, Nothing, Object, ObjectInPerson, SignedIn};

const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";

/// Whoever adds a route says here who may use it.
fn takes(operation: &str) -> (Takes, Value) {
    let none = Value::Null;
    match operation {
        "signIn" | "signInWays" | "startSignIn" | "finishSignIn" | "refresh" | "signOut" | "hook"
        | "exchangeToken" => (Nothing, none),
        "getAccount"
        | "listServices"
        | "findDeployments"
        | "listActivity"
        | "exportActivityCsv"
        | "exportActivityJsonLines" => (SignedIn, none),
        "changePassword" => (InPerson, json!({"old": "x", "new": "y"})),
        "getService" | "listDeployments" | "getForm" | "getPlan" | "getDurations" | "listDeliveries"
        | "getDeployment" | "compareDeployments" | "waitForDeployment" | "getOutput" | "searchOutput"
        | "downloadOutput" | "downloadEvidence" | "getManifest" | "getPromotion" => (Object(None), none),
        "createService" => (Here("create", "services"), none),
        "changeService" => (Object(Some(("update", "services"))), none),
        "deleteService" => (Object(Some(("delete", "services"))), none),
        "startDeployment" | "retryDeployment" | "promoteService" => {
            (Object(Some(("deploy", "services"))), json!({}))
        }
        "trustServer" => (Object(Some(("update", "services"))), json!({"fingerprint": "SHA256:x"})),
        "retryDelivery" => (Object(Some(("deploy", "services"))), none),
        "cancelDeployment" => (Object(Some(("cancel", "deployments"))), json!({"how": "Now"})),
        "decideDeployment" => {
            (Object(Some(("approve", "deployments"))), json!({"decision": "Approved", "digest": "x"}))
        }
        "listTokens" => (ObjectInPerson("list", "tokens"), none),
        "createToken" => (ObjectInPerson("create", "tokens"), json!({"name": "ci", "verbs": []})),
        "revokeToken" => (ObjectInPerson("delete", "tokens"), none),
        "listRoles" => (Here("list", BINDINGS), none),
        "bindRole" => (Here("create", BINDINGS), none),
        "unbindRole" => (Here("delete", BINDINGS), none),
        "getSystem" => (Everywhere("get", "system"), none),
        "listUsers" => (Everywhere("list", "users"), none),
        "createUser" => (Everywhere("create", "users"), json!({"name": "eve"})),
        "changeUser" => (Everywhere("update", "users"), json!({"admin": true})),
        "deleteUser" => (Everywhere("delete", "users"), none),
        "resetPassword" => (Everywhere("update", "users"), json!({})),
        other => panic!("say in takes() who may use {other}"),
    }
}

/// How an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    SignedOut,
    Forbidden,
    NotThere,
    Allowed,
}

fn seen(status: u16, body: &Value) -> Seen {
    match (status, body["reason"].as_str().unwrap_or_default()) {
        (401, "SignedOut") => Seen::SignedOut,
        (403, "Forbidden") => Seen::Forbidden,
        (404, "NotFound") => Seen::NotThere,
        (200..500, _) => Seen::Allowed,
        other => panic!("no answer of this API: {other:?} {body}"),
    }
}

/// The rules of our ClusterRoles: verb, resource, name or `*`.
fn granted() -> BTreeMap<String, Vec<(String, String, String)>> {
    let mut granted = BTreeMap::new();
    for document in MANIFESTS.split("\n---\n") {
        let Ok(object) = serde_yaml::from_str::<Value>(document) else { continue };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if object["kind"] != "ClusterRole" {
            continue;
        }
        let words = |value: &Value| -> Vec<String> {
            let words = value.as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(ToOwned::to_owned)).collect()
        };
        let mut rules = Vec::new();
        for rule in object["rules"].as_array().into_iter().flatten() {
            let groups = words(&rule["apiGroups"]);
            let mut names = words(&rule["resourceNames"]);
            if names.is_empty() {
                names.push("*".into());
            }
            for (resource, verb) in words(&rule["resources"])
                .iter()
                .flat_map(|r| words(&rule["verbs"]).into_iter().map(move |v| (r.clone(), v)))
            {
                let resource =
                    if groups == ["fastdeploy.dev"] { resource } else { format!("{resource}.{}", groups[0]) };
                rules.extend(names.iter().map(|name| (verb.clone(), resource.clone(), name.clone())));
            }
        }
        granted.insert(name, rules);
    }
    granted
}

/// Everybody, by the role that they have in the namespace `team`.
const PEOPLE: [(&str, Option<&str>); 6] = [
    ("stranger", None),
    ("viewer", Some("fastdeploy-viewer")),
    ("deployer", Some("fastdeploy-deployer")),
    ("approver", Some("fastdeploy-approver")),
    ("manager", Some("fastdeploy-admin")),
    ("root", Some("fastdeploy-admin")),
];

struct Matrix {
    site: Site,
    roles: Arc<Memory>,
    granted: BTreeMap<String, Vec<(String, String, String)>>,
    program: String,
}

impl Matrix {
    async fn on(pool: &PgPool) -> Self {
        let mut site = Site::on(pool);
        let roles = Arc::new(Memory::default());
        site.with_roles(roles.clone());
        for (namespace, service, n) in [("team", "blog", 1), ("other", "wiki", 2)] {
            site.service(namespace, service, 1, json!({}), live()).await;
            site.run((namespace, service), n, json!({}), ended(1, "Succeeded", 60)).await;
        }
        let granted = granted();
        for (who, role) in PEOPLE {
            for (verb, resource, name) in role.map(|role| &granted[role]).into_iter().flatten() {
                let place = if who == "root" { "*" } else { "team" };
                site.fake.grant(&format!("{who} {verb} {resource} {place} {name}"));
            }
        }
        let program = token(&site, "blog", Uuid::from_u128(77), &["deploy"]).await;
        Self { site, roles, granted, program }
    }

    fn grants(&self, who: &str, verb: &str, resource: &str) -> bool {
        let role = PEOPLE.iter().find(|(name, _)| *name == who).and_then(|(_, role)| *role);
        role.is_some_and(|role| {
            self.granted[role].iter().any(|(v, r, name)| v == verb && r == resource && name == "*")
        })
    }

    /// What is to be seen.
    fn expected(&self, who: &str, takes: Takes, home: bool) -> Seen {
        let here = home || who == "root";
        let may = |verb: &str, resource: &str| here && self.grants(who, verb, resource);
        let program = who == "program";
        let sees = if program { home } else { may("get", "services") };
        let either = |yes: bool| if yes { Seen::Allowed } else { Seen::Forbidden };
        match takes {
            _ if who == "anonymous" => Seen::SignedOut,
            InPerson => either(!program),
            Object(_) | ObjectInPerson(..) if !sees => Seen::NotThere,
            Nothing | SignedIn | Object(None) => Seen::Allowed,
            Object(Some((verb, resource))) if program => either((verb, resource) == ("deploy", "services")),
            Object(Some((verb, resource))) | ObjectInPerson(verb, resource) | Here(verb, resource) => {
                either(!program && may(verb, resource))
            }
            Everywhere(verb, resource) => either(who == "root" && may(verb, resource)),
        }
    }

    /// A request in a namespace, with what it is about there anew.
    async fn request(&self, method: &str, path: &str, body: Value, home: bool) -> Request<Body> {
        let (namespace, service, n) = if home { ("team", "blog", 1) } else { ("other", "wiki", 2) };
        let uid = Uuid::from_u128(n);
        let (mut path, mut body) = (path.to_owned(), body);
        if path.contains("/roles") {
            let ben = Bound { kind: SubjectKind::User, name: "fastdeploy:ben".into() };
            self.roles.bind(namespace, Role::Viewer, &ben).await.unwrap();
            path = path.replace("{name}", &name_of(Role::Viewer, &ben));
            if method == "get" {
                path = format!("{path}?namespace={namespace}");
            }
            body =
                json!({"namespace": namespace, "role": "viewer", "subject": {"kind": "User", "name": "ben"}});
        }
        if matches!(
            (method, path.as_str()),
            ("post", "/services") | ("put", "/services/{namespace}/{name}/manifest")
        ) {
            body = json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
                "metadata": {"namespace": namespace, "name": service}, "spec": {}});
        }
        if path.ends_with("/promote") {
            body = json!({"to": service});
        }
        if path.starts_with("/users/") {
            let name = format!("u{}", Uuid::new_v4().simple());
            store::users::create(&self.site.pool, (&name, false), "hash", "admin").await.unwrap();
            path = path.replace("{name}", &name);
        }
        if path.contains("/tokens/{id}") {
            let id = Uuid::new_v4();
            token(&self.site, service, id, &[]).await;
            path = path.replace("{id}", &id.to_string());
        }
        if path.contains("/deliveries/{id}") {
            let id = Uuid::new_v4();
            sqlx::query(
                "insert into deliveries (id, event_id, type, at, namespace, service, subject, target, channel, data, next_at)
                 values ($1, $1::text, 'deployment.failed', now(), $2, $3, 'x', 'webhook/x', '{}', '{}', now())",
            )
            .bind(id)
            .bind(namespace)
            .bind(service)
            .execute(&self.site.pool)
            .await
            .unwrap();
            path = path.replace("{id}", &id.to_string());
        }
        let path = path
            .replace("{namespace}", namespace)
            .replace("{name}", service)
            .replace("{uid}", &uid.to_string());
        let query = match path.rsplit('/').next() {
            Some("comparison") => format!("?with={uid}"),
            Some("promotion") => format!("?to={service}"),
            Some("search") => "?q=x".into(),
            _ => String::new(),
        };
        Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(format!("/api/v1{path}{query}"))
            .header("content-type", "application/json")
            .body(Body::from(if body.is_null() { String::new() } else { body.to_string() }))
            .unwrap()
    }

    fn bearer(&self, who: &str) -> Option<String> {
        match who {
            "anonymous" => None,
            "program" => Some(self.program.clone()),
            // Not by their name: what root may is said by Kubernetes as well.
            who => Some(self.site.token(who)),
        }
    }
}

/// A token for programs of the team's or the others' Service.
async fn token(site: &Site, service: &str, id: Uuid, verbs: &[&str]) -> String {
    let namespace = if service == "blog" { "team" } else { "other" };
    let until = NOW + SignedDuration::from_hours(24);
    let signed = token::issue(&site.key, &ServiceClaims::new(id, (namespace, service), NOW, until)).unwrap();
    let row = Token {
        id,
        kind: "service".into(),
        name: format!("t{}", id.simple()),
        namespace: namespace.into(),
        service: service.into(),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        created_by: "anna".into(),
        created_at: NOW,
        expires_at: until,
        last_used_at: None,
        revoked_at: None,
    };
    store::tokens::create(&site.pool, &row, &Sha256::digest(&signed)).await.unwrap();
    signed
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn every_route_is_for_whom_it_is_meant(pool: PgPool) {
    let matrix = Matrix::on(&pool).await;
    let contract: Value = serde_json::from_str(&openapi::json()).unwrap();
    // What the router has and the contract has not would be asked by nobody.
    for route in include_str!("../../router.rs").split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap_or_default();
        let other = ["/runs/", "/openapi.json", "/ws", "/docs"].iter().any(|other| path.starts_with(other));
        assert!(other || contract["paths"].get(path).is_some(), "{path} is not in the contract");
    }
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(operation) = operation["operationId"].as_str() else { continue };
            let (takes, body) = takes(operation);
            if matches!(takes, Nothing) {
                continue;
            }
            let everybody = PEOPLE.map(|(name, _)| name).into_iter().chain(["anonymous", "program"]);
            for (who, home) in everybody.flat_map(|who| [(who, true), (who, false)]) {
                let mut request = matrix.request(method, path, body.clone(), home).await;
                if let Some(bearer) = matrix.bearer(who) {
                    let bearer = format!("Bearer {bearer}").parse().unwrap();
                    request.headers_mut().insert("authorization", bearer);
                }
                let (status, _, answer) = matrix.site.send(request).await;
                let (saw, expected) = (seen(status.as_u16(), &answer), matrix.expected(who, takes, home));
                let place = if home { "their own" } else { "a foreign" };
                asked += 1;
                if saw != expected {
                    wrong.push(format!(
                        "{operation} by {who} in {place} namespace: expected {expected:?}, saw {status} {answer}"
                    ));
                }
                if matches!(takes, SignedIn) && who != "root" && answer.to_string().contains("wiki") {
                    wrong.push(format!("{operation} shows {who} what is not theirs: {answer}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 400, "{asked}");
}
