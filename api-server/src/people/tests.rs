//! Through the router, on a real PostgreSQL: accounts, roles, tokens; also from the attacker's side.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::Request;
use futures::future::BoxFuture;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::PgPool;
use uuid::Uuid;

use super::bindings::{Binding, Bindings, Bound, Role, Wish, name_of};
use crate::api::fake::Site;
use crate::claim::cluster::Answer;
use crate::claim::fake::NOW;
use crate::identity::key::{self, SigningKey};
use crate::identity::token::{self, ServiceClaims};

/// Roles in memory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Binding>>);

impl Bindings for Memory {
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Answer<Vec<Binding>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let namespace = namespace.map(ToOwned::to_owned);
        Box::pin(async move {
            let here =
                |it: &Binding| namespace.is_none() || it.namespace.is_none() || it.namespace == namespace;
            Ok(all.into_iter().filter(here).collect())
        })
    }

    fn bind<'a>(&'a self, namespace: &'a str, role: Role, to: &'a Bound) -> BoxFuture<'a, Answer<Wish>> {
        let binding = Binding {
            name: name_of(role, to),
            namespace: Some(namespace.to_owned()),
            role,
            subjects: vec![to.clone()],
            ours: namespace != "gitops",
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(binding);
        Box::pin(async { Ok(Wish::Done) })
    }

    fn unbind<'a>(&'a self, _: &'a str, name: &'a str) -> BoxFuture<'a, Answer<Wish>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| it.name != name);
        Box::pin(async { Ok(Wish::Done) })
    }
}

pub(crate) async fn ask(site: &Site, bearer: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let request = request
        .header("authorization", format!("Bearer {bearer}"))
        .header("content-type", "application/json");
    let (status, _, body) = site.send(request.body(Body::from(body.to_string())).unwrap()).await;
    (status.as_u16(), body)
}

async fn sign_in(site: &Site, name: &str, password: &str) -> (u16, Value) {
    let request = Request::post("/api/v1/session").header("content-type", "application/json");
    let body = json!({"name": name, "password": password}).to_string();
    let (status, _, body) = site.send(request.body(Body::from(body)).unwrap()).await;
    (status.as_u16(), body)
}

/// An administrator, signed in, and what Kubernetes lets the group of administrators do.
async fn administered(site: &Site) -> String {
    for verb in ["list", "create", "update", "delete"] {
        site.fake.grant(&format!("fastdeploy:admins {verb} users * *"));
    }
    let hash = site.app.passwords.hash("correct horse battery".into()).await.unwrap();
    store::users::make_first_admin(&site.pool, "admin", &hash).await.unwrap();
    let (status, body) = sign_in(site, "admin", "correct horse battery").await;
    assert_eq!(status, 200, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn accounts_are_made_changed_and_closed_by_those_who_may(pool: PgPool) {
    let site = Site::on(&pool);
    let admin = administered(&site).await;
    let nobody = site.token("anna");
    for (method, path, body) in [
        ("GET", "/users", Value::Null),
        ("POST", "/users", json!({"name": "eve", "admin": true})),
        ("PATCH", "/users/admin", json!({"disabled": true})),
        ("PATCH", "/users/anna", json!({"admin": true})),
        ("POST", "/users/admin/password", json!({})),
        ("DELETE", "/users/admin", Value::Null),
    ] {
        let (status, body) = ask(&site, &nobody, method, path, &body).await;
        assert_eq!((status, &body["reason"]), (403, &json!("Forbidden")), "{method} {path}");
        assert!(body["detail"].as_str().unwrap().contains("users.fastdeploy.dev"), "{body}");
    }

    let (status, made) = ask(&site, &admin, "POST", "/users", &json!({"name": "anna"})).await;
    assert_eq!(status, 201, "{made}");
    let password = made["password"].as_str().unwrap().to_owned();
    for (wrong, status, field) in [
        (json!({"name": "Anna"}), 422, "name"),
        (json!({"name": "fastdeploy:admin"}), 422, "name"),
        (json!({"name": "ben", "password": "short"}), 422, "password"),
        (json!({"name": "ben", "password": "ben is the best one"}), 422, "password"),
    ] {
        let (answered, body) = ask(&site, &admin, "POST", "/users", &wrong).await;
        assert_eq!((answered, &body["field"]), (status, &json!(field)), "{wrong}");
    }
    let (status, body) = ask(&site, &admin, "POST", "/users", &json!({"name": "anna", "admin": true})).await;
    assert_eq!((status, &body["reason"]), (409, &json!("NameTaken")));

    let (status, signed_in) = sign_in(&site, "anna", &password).await;
    assert_eq!(
        (status, &signed_in["user"]),
        (200, &json!({"name": "anna", "admin": false, "mustChange": true}))
    );
    let anna = signed_in["token"].as_str().unwrap();
    let change = |old: &str, new: &str| json!({"old": old, "new": new});
    let (status, body) =
        ask(&site, anna, "POST", "/account/password", &change("wrong", "three quite long words")).await;
    assert_eq!((status, &body["reason"]), (403, &json!("WrongPassword")));
    let (status, _) = ask(&site, anna, "POST", "/account/password", &change(&password, "password1234")).await;
    assert_eq!(status, 422);
    let (status, _) =
        ask(&site, anna, "POST", "/account/password", &change(&password, "three quite long words")).await;
    assert_eq!(status, 204);
    assert_eq!(sign_in(&site, "anna", &password).await.0, 401);
    let (_, signed_in) = sign_in(&site, "anna", "three quite long words").await;
    assert_eq!(signed_in["user"], json!({"name": "anna", "admin": false}));
    let anna = signed_in["token"].as_str().unwrap();
    let (_, me) = ask(&site, anna, "GET", "/account", &Value::Null).await;
    assert_eq!((&me["kubernetesUser"], &me["may"]["users"]), (&json!("fastdeploy:anna"), &json!(false)));

    // Closed: what she has counts no more, at once here.
    assert_eq!(ask(&site, &admin, "PATCH", "/users/anna", &json!({"disabled": true})).await.0, 204);
    assert_eq!(ask(&site, anna, "GET", "/account", &Value::Null).await.0, 401);
    assert_eq!(sign_in(&site, "anna", "three quite long words").await.0, 401);
    let (_, list) = ask(&site, &admin, "GET", "/users", &Value::Null).await;
    assert_eq!((&list["items"][1]["name"], &list["items"][1]["disabled"]), (&json!("anna"), &json!(true)));
    assert!(!list.to_string().contains("argon2"), "{list}");
    assert_eq!(ask(&site, &admin, "DELETE", "/users/anna", &Value::Null).await.0, 204);
    assert_eq!(ask(&site, &admin, "DELETE", "/users/anna", &Value::Null).await.0, 404);
    let (status, body) = ask(&site, &admin, "DELETE", "/users/admin", &Value::Null).await;
    assert_eq!((status, &body["reason"]), (409, &json!("LastAdmin")));
    let told: Vec<_> =
        store::outbox::after(&pool, 0, 100).await.unwrap().into_iter().map(|event| event.event).collect();
    for event in ["user.signedIn", "user.created", "user.refused", "user.updated", "user.deleted"] {
        assert!(told.iter().any(|told| told == event), "{event} in {told:?}");
    }
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn who_is_known_and_who_is_not_cannot_be_told_apart(pool: PgPool) {
    let site = Site::on(&pool);
    administered(&site).await;
    let mut answers = Vec::new();
    for name in ["admin", "nobody", ""] {
        let before = site.app.passwords.computed();
        let (status, mut body) = sign_in(&site, name, "a wrong password").await;
        answers.push((status, std::mem::take(&mut body["detail"]), site.app.passwords.computed() - before));
    }
    // Each of them costs one argon2, which is nearly all of the time.
    assert!(answers.iter().all(|answer| (answer.0, answer.2) == (401, 1)), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.1 == answers[0].1), "{answers:?}");
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn roles_are_given_and_taken_by_those_whom_kubernetes_lets(pool: PgPool) {
    let mut site = Site::on(&pool);
    let memory = Arc::new(Memory::default());
    let there = Bound { kind: super::bindings::SubjectKind::Group, name: "oidc:web".into() };
    memory.bind("gitops", Role::Viewer, &there).await.unwrap();
    site.with_roles(memory.clone());
    let wish = json!({"namespace": "team", "role": "deployer", "subject": {"kind": "User", "name": "ben"}});
    assert_eq!(site.post("anna", "/roles", None, &wish).await.0, 403);
    // To make RoleBindings is not enough: the role must be hers to give.
    site.fake.grant("anna create rolebindings.rbac.authorization.k8s.io team *");
    site.fake.grant("anna list rolebindings.rbac.authorization.k8s.io * *");
    site.fake.grant("anna delete rolebindings.rbac.authorization.k8s.io * *");
    site.app.access.forget();
    assert_eq!(site.post("anna", "/roles", None, &wish).await.0, 403);
    site.fake.grant("anna bind clusterroles.rbac.authorization.k8s.io team fastdeploy-deployer");
    site.app.access.forget();
    let (status, made) = site.post("anna", "/roles", None, &wish).await;
    assert_eq!((status, &made["subjects"][0]["name"]), (201, &json!("fastdeploy:ben")), "{made}");
    let admin = json!({"namespace": "team", "role": "admin", "subject": {"kind": "User", "name": "ben"}});
    assert_eq!(site.post("anna", "/roles", None, &admin).await.0, 403);
    for wrong in ["system:masters", "web"] {
        let wish =
            json!({"namespace": "team", "role": "deployer", "subject": {"kind": "Group", "name": wrong}});
        assert_eq!(site.post("anna", "/roles", None, &wish).await.0, 422, "{wrong}");
    }
    // The organisation's ben is another one than ours.
    let theirs = json!({"namespace": "team", "role": "deployer", "knownBy": "Organisation", "subject": {"kind": "User", "name": "ben"}});
    let (status, theirs) = site.post("anna", "/roles", None, &theirs).await;
    assert_eq!((status, &theirs["subjects"][0]["name"]), (201, &json!("ben")), "{theirs}");
    assert_ne!(theirs["name"], made["name"]);
    let (_, list) = site.get("anna", "/roles").await;
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["may"]),
        (3, &json!({"bind": false, "unbind": true}))
    );
    assert_eq!(site.get("ben", "/roles").await.0, 403);

    let token = site.token("anna");
    let name = name_of(Role::Viewer, &there);
    let (status, body) = ask(&site, &token, "DELETE", &format!("/roles/gitops/{name}"), &Value::Null).await;
    assert_eq!((status, &body["reason"]), (409, &json!("NotOurs")));
    let name = made["name"].as_str().unwrap();
    assert_eq!(ask(&site, &token, "DELETE", &format!("/roles/team/{name}"), &Value::Null).await.0, 204);
    assert_eq!(ask(&site, &token, "DELETE", &format!("/roles/team/{name}"), &Value::Null).await.0, 404);
}

/// Two Services with a run each, and anna, who may do all with the first.
async fn with_services(site: &Site) -> [Uuid; 2] {
    for name in ["blog", "shop"] {
        site.service("team", name, 1, json!({}), json!({"observedGeneration": 1})).await;
    }
    for rule in [
        "get services",
        "deploy services",
        "get deployments",
        "cancel deployments",
        "list tokens",
        "create tokens",
        "delete tokens",
    ] {
        let (verb, resource) = rule.split_once(' ').unwrap();
        site.fake.grant(&format!("anna {verb} {resource} team *"));
    }
    let running = json!({"observedGeneration": 1, "number": 1, "phase": "Running", "attempt": 1});
    [site.deployment("blog", 1, running.clone()).await, site.deployment("shop", 2, running).await]
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_token_for_programs_does_what_it_is_for_and_nothing_else(pool: PgPool) {
    let site = Site::on(&pool);
    let [blog_run, shop_run] = with_services(&site).await;
    let anna = site.token("anna");
    let tokens = "/services/team/blog/tokens";
    let (status, made) = ask(&site, &anna, "POST", tokens, &json!({"name": "ci", "verbs": ["deploy"]})).await;
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().unwrap();
    let run = json!({"inputs": {}});
    let (status, body) = ask(&site, token, "POST", "/services/team/blog/deployments", &run).await;
    assert_eq!((status, &body["deployment"]["requestedBy"]["name"]), (201, &json!("token:ci")), "{body}");
    assert_eq!(ask(&site, token, "GET", "/services/team/blog", &Value::Null).await.0, 200);
    assert_eq!(ask(&site, token, "GET", &format!("/deployments/{blog_run}"), &Value::Null).await.0, 200);

    // Another Service, another verb, what belongs to people, making more of itself.
    let how = json!({"how": "Now"});
    for (method, path, body, expected) in [
        ("POST", "/services/team/shop/deployments".to_owned(), &run, 404),
        ("GET", "/services/team/shop".into(), &Value::Null, 404),
        ("GET", format!("/deployments/{shop_run}"), &Value::Null, 404),
        ("POST", format!("/deployments/{shop_run}/cancel"), &how, 404),
        ("POST", format!("/deployments/{blog_run}/cancel"), &how, 403),
        ("GET", "/users".into(), &Value::Null, 403),
        ("GET", "/roles".into(), &Value::Null, 403),
        ("GET", tokens.into(), &Value::Null, 403),
        ("POST", tokens.into(), &json!({"name": "more", "verbs": ["deploy"]}), 403),
        ("DELETE", format!("{tokens}/{}", made["id"].as_str().unwrap()), &Value::Null, 403),
        ("POST", "/account/password".into(), &json!({"old": "x", "new": "y"}), 403),
    ] {
        let (status, body) = ask(&site, token, method, &path, body).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
    }
    let (_, list) = ask(&site, token, "GET", "/services", &Value::Null).await;
    assert_eq!(list["items"], json!([]));

    let (_, list) = ask(&site, &anna, "GET", tokens, &Value::Null).await;
    let item = &list["items"][0];
    assert_eq!(
        (&item["name"], &item["createdBy"], &item["verbs"]),
        (&json!("ci"), &json!("anna"), &json!(["deploy"]))
    );
    assert!(item["lastUsedAt"].is_string() && !list.to_string().contains(token));
    let kept: Vec<u8> = sqlx::query_scalar("select hash from tokens").fetch_one(&pool).await.unwrap();
    assert_eq!(kept.len(), 32);

    // Revoked: at once, and for ever.
    let id = item["id"].as_str().unwrap();
    assert_eq!(
        ask(&site, &anna, "DELETE", &format!("/services/team/shop/tokens/{id}"), &Value::Null).await.0,
        404
    );
    assert_eq!(ask(&site, &anna, "DELETE", &format!("{tokens}/{id}"), &Value::Null).await.0, 204);
    assert_eq!(ask(&site, token, "POST", "/services/team/blog/deployments", &run).await.0, 401);
    assert_eq!(ask(&site, token, "GET", "/services/team/blog", &Value::Null).await.0, 401);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nobody_gives_a_token_more_than_he_has(pool: PgPool) {
    let site = Site::on(&pool);
    with_services(&site).await;
    for rule in ["get services", "create tokens", "deploy services"] {
        let (verb, resource) = rule.split_once(' ').unwrap();
        site.fake.grant(&format!("ben {verb} {resource} team blog"));
    }
    let ben = site.token("ben");
    let wish = |verbs: &[&str]| json!({"name": "ci", "verbs": verbs});
    assert_eq!(ask(&site, &ben, "POST", "/services/team/blog/tokens", &wish(&["deploy"])).await.0, 201);
    assert_eq!(
        ask(&site, &ben, "POST", "/services/team/blog/tokens", &wish(&["deploy", "cancel"])).await.0,
        403
    );
    assert_eq!(ask(&site, &ben, "POST", "/services/team/shop/tokens", &wish(&[])).await.0, 404);
    assert_eq!(ask(&site, &ben, "GET", "/services/team/blog/tokens", &Value::Null).await.0, 403);
    for wrong in [
        json!({"name": "", "verbs": []}),
        json!({"name": "a\nb", "verbs": []}),
        json!({"name": "ci", "verbs": [], "days": 0}),
        json!({"name": "ci", "verbs": [], "days": 367}),
    ] {
        assert_eq!(ask(&site, &ben, "POST", "/services/team/blog/tokens", &wrong).await.0, 422, "{wrong}");
    }
    assert_eq!(
        ask(&site, &ben, "POST", "/services/team/blog/tokens", &json!({"name": "ci", "verbs": ["approve"]}))
            .await
            .0,
        400
    );
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_forged_token_for_programs_is_worth_nothing(pool: PgPool) {
    let site = Site::on(&pool);
    with_services(&site).await;
    let anna = site.token("anna");
    let (_, made) =
        ask(&site, &anna, "POST", "/services/team/blog/tokens", &json!({"name": "ci", "verbs": ["deploy"]}))
            .await;
    let honest = made["token"].as_str().unwrap();
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let claims = |id| ServiceClaims::new(id, ("team", "blog"), NOW, NOW + SignedDuration::from_hours(9_000));
    let theirs = SigningKey::from_pem(&key::generate().unwrap().0, &site.key.kid()).unwrap();
    let mut other_audience = claims(id);
    other_audience.aud = "fastdeploy.dev/run".into();
    let parts: Vec<&str> = honest.split('.').collect();
    let head = |alg: &str| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT", "kid": site.key.kid()}).to_string())
    };
    let forged = [
        // Our key, but nothing that was ever made; or made anew with a longer life.
        token::issue(&site.key, &claims(Uuid::from_u128(9))).unwrap(),
        token::issue(&site.key, &claims(id)).unwrap(),
        token::issue(&site.key, &other_audience).unwrap(),
        token::issue(&theirs, &claims(id)).unwrap(),
        format!("{}.{}.", head("none"), parts[1]),
        format!("{}.{}.{}", head("HS256"), parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
    ];
    for token in forged {
        assert_eq!(ask(&site, &token, "GET", "/services/team/blog", &Value::Null).await.0, 401, "{token}");
    }
    assert_eq!(ask(&site, honest, "GET", "/services/team/blog", &Value::Null).await.0, 200);
}
