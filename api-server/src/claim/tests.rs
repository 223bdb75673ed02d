//! The claim through its router, from the side of whoever asks.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use crds::deployment::{Cancel, Phase};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::fake::{self, Fake, NOW, World};
use super::*;
use crate::identity::key;
use crate::router;
use crds::deployment::Run;

struct TestApp {
    fake: Fake,
    metrics: Arc<Metrics>,
    router: Router,
}

impl TestApp {
    fn new() -> Self {
        Self::with_key(key::tests::any())
    }

    fn with_key(key: SigningKey) -> Self {
        let (fake, metrics) = (Fake::default(), Arc::new(Metrics::default()));
        let app = App::new(fake.clone(), key, || NOW, Arc::clone(&metrics), Traces::default());
        let intake = crate::reports::Intake::new(
            None,
            crate::identity::key::tests::any(),
            || NOW,
            crate::reports::status::Statuses::nowhere(),
            crate::live::Hub::new(None),
        );
        Self { fake, metrics, router: router::runs(app, intake) }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap())
    }

    async fn post(&self, path: &str, token: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let (status, _, body) = self.send(request.body(body.into()).unwrap()).await;
        (status, body)
    }

    /// As an honest runner asks.
    async fn claim(&self, instance: &str) -> (StatusCode, Value) {
        self.post(PATH, "pod-token", body(instance)).await
    }

    async fn reason(&self, instance: &str) -> (u16, String) {
        let (status, body) = self.claim(instance).await;
        (status.as_u16(), body["reason"].as_str().unwrap_or_default().to_owned())
    }
}

const PATH: &str = "/runs/uid-1/1/claim";

fn body(instance: &str) -> String {
    json!({ "protocol": 1, "instance": instance }).to_string()
}

#[tokio::test]
async fn a_claim_is_granted_written_once_and_repeated() {
    let (pem, kid) = key::generate().unwrap();
    let app = TestApp::with_key(SigningKey::from_pem(&pem, &kid).unwrap());
    let (status, first) = app.claim("i-1").await;
    assert_eq!(status, StatusCode::OK);
    let deadline = NOW + SignedDuration::from_mins(30);
    let granted: ClaimGranted = serde_json::from_value(first.clone()).unwrap();
    assert_eq!((granted.deadline, granted.acked), (deadline, 0));
    let key = SigningKey::from_pem(&pem, &kid).unwrap();
    let claims = token::verify::<token::RunClaims>(&key, &granted.token, NOW).unwrap();
    assert_eq!(claims, RunClaims::new("uid-1", 1, "i-1", ("team-web", "blog-1"), NOW, deadline));

    assert_eq!(app.claim("i-1").await, (StatusCode::OK, first));
    assert_eq!(app.fake.world().written.len(), 1);
    assert_eq!(app.reason("i-2").await, (409, "Fenced".to_owned()));
    let text = app.metrics.text();
    for outcome in ["granted", "repeated", "fenced"] {
        assert!(text.contains(&format!("fastdeploy_claims_total{{outcome=\"{outcome}\"}} 1")), "{text}");
    }
    assert!(text.contains("fastdeploy_claim_duration_seconds_count 3"), "{text}");
}

#[tokio::test]
async fn a_repeat_tells_what_was_acknowledged() {
    let app = TestApp::new();
    app.claim("i-1").await;
    app.fake.world().change(|d| d.status.as_mut().unwrap().run.as_mut().unwrap().seq = 41);
    assert_eq!(app.claim("i-1").await.1["acked"], json!(41));
}

#[tokio::test]
async fn a_token_opens_only_its_own_attempt() {
    let app = TestApp::new();
    for path in ["/runs/uid-1/2/claim", "/runs/uid-2/1/claim", "/runs/uid-1/11/claim"] {
        let (status, body_) = app.post(path, "pod-token", body("i-1")).await;
        assert_eq!((status, body_["reason"].as_str()), (StatusCode::UNAUTHORIZED, Some("Unauthenticated")));
    }
    for token in ["other", "pod-token2", "x y", "."] {
        assert_eq!(app.post(PATH, token, body("i-1")).await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, headers, answer) =
        app.send(Request::post(PATH).body(Body::from(body("i-1"))).unwrap()).await;
    assert_eq!((status, headers["www-authenticate"].as_bytes()), (StatusCode::UNAUTHORIZED, &b"Bearer"[..]));
    assert!(!answer.to_string().contains("Authorization header"), "the cause is for the log: {answer}");
    assert!(app.fake.world().written.is_empty());
}

#[tokio::test]
async fn a_pod_of_another_deployment_is_refused_though_its_token_is_good() {
    // Same namespace, a token for the right audience, but the pod was made for another run.
    let app = TestApp::new();
    {
        let mut world = app.fake.world();
        let mut pod = fake::pod();
        pod.metadata.uid = Some("pod-9".into());
        pod.metadata.labels.as_mut().unwrap().insert("fastdeploy.dev/deployment".into(), "blog-9".into());
        pod.metadata.owner_references.as_mut().unwrap()[0].name = "blog-9-a1".into();
        world.pods.insert("evil".into(), pod);
        let caller = Caller { pod_name: "evil".into(), pod_uid: "pod-9".into(), ..fake::caller() };
        world.tokens.insert("evil-token".into(), ("fastdeploy.dev/run/uid-1/1".into(), caller));
    }
    let (status, answer) = app.post(PATH, "evil-token", body("i-1")).await;
    assert_eq!((status, answer["reason"].as_str()), (StatusCode::FORBIDDEN, Some("NotThisRun")));
}

#[tokio::test]
async fn what_is_no_claim_is_refused_before_kubernetes_is_asked() {
    let app = TestApp::new();
    app.fake.world().away = true;
    let long = format!(r#"{{"protocol":1,"instance":"{}"}}"#, "x".repeat(17 * 1024));
    let cases: [(&str, String, u16, &str); 9] = [
        (PATH, "{".into(), 400, "BadRequest"),
        (PATH, String::new(), 400, "BadRequest"),
        (PATH, r#"{"protocol":2,"instance":"i"}"#.into(), 400, "BadRequest"),
        (PATH, body("a b"), 400, "BadRequest"),
        ("/runs/uid-1/x/claim", body("i"), 400, "BadRequest"),
        ("/runs/%2e%2e%2f/1/claim", body("i"), 400, "BadRequest"),
        ("/runs/uid-1/1/nothing", body("i"), 404, "NotFound"),
        ("/", body("i"), 404, "NotFound"),
        (PATH, long, 413, "TooLarge"),
    ];
    for (path, body, code, reason) in cases {
        let (status, answer) = app.post(path, "pod-token", body).await;
        assert_eq!((status.as_u16(), answer["reason"].as_str()), (code, Some(reason)), "{path}");
        assert!(answer["message"].as_str().unwrap().ends_with('.'), "{answer}");
    }
    let (status, _, answer) = app.send(Request::get(PATH).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (status, answer["reason"].as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, Some("MethodNotAllowed"))
    );
}

#[tokio::test]
async fn a_path_that_is_not_text_is_refused() {
    let app = TestApp::new();
    let request = Request::post("/runs/%ff/1/claim").body(Body::from(body("i"))).unwrap();
    let answer = app.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn while_kubernetes_is_away_nothing_is_granted_and_asking_again_helps() {
    let app = TestApp::new();
    app.fake.world().away = true;
    let request = Request::post(PATH).header("authorization", "Bearer pod-token");
    let (status, headers, answer) = app.send(request.body(Body::from(body("i-1"))).unwrap()).await;
    assert_eq!((status, headers["retry-after"].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..]));
    assert!(!answer.to_string().contains("connection refused"), "{answer}");
    app.fake.world().away = false;
    assert_eq!(app.claim("i-1").await.0, StatusCode::OK);
}

#[tokio::test]
async fn who_writes_in_between_is_heard() {
    type Change = fn(&mut World);
    let cases: [(&str, u16, &str, Change); 5] = [
        ("an unrelated write", 200, "", |w| w.change(|_| {})),
        ("a cancel", 403, "Cancelled", |w| w.change(|d| d.spec.cancel = Some(Cancel::AfterStep))),
        ("a verdict", 403, "Terminal", |w| {
            w.change(|d| d.status.as_mut().unwrap().phase = Some(Phase::Failed));
        }),
        ("another process", 409, "Fenced", |w| {
            w.change(|d| {
                let run = Run {
                    attempt: 1,
                    instance: "i-2".into(),
                    pod_uid: "pod-1".into(),
                    claimed_at: NOW,
                    deadline: None,
                    seq: 0,
                    progress: None,
                    step: None,
                    result: None,
                };
                d.status.as_mut().unwrap().run = Some(run);
            });
        }),
        ("a deletion", 403, "NotThisRun", |w| w.deployment = None),
    ];
    for (name, code, reason, change) in cases {
        let app = TestApp::new();
        app.fake.world().meanwhile.push_back(change);
        assert_eq!(app.reason("i-1").await, (code, reason.to_owned()), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_rests_is_put_off() {
    let app = TestApp::new();
    for _ in 0..TRIES {
        app.fake.world().meanwhile.push_back(|world| world.change(|_| {}));
    }
    assert_eq!(app.reason("i-1").await, (503, "Unavailable".to_owned()));
    assert!(app.fake.world().written.is_empty());
    assert_eq!(app.claim("i-1").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let app = TestApp::new();
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let (status, _) = app.post(PATH, "pod-token", never).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

/// What the rest of the world may do between two claims.
#[derive(Clone, Copy, Debug)]
enum Event {
    Claim { instance: u8, second_pod: bool },
    Race { first: u8, second: u8 },
    TouchDuringNextWrite,
    NextAttempt,
    LockMoves(bool),
    CancelIsAsked,
    Ends,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u8..4, any::<bool>()).prop_map(|(instance, second_pod)| Event::Claim { instance, second_pod }),
        4 => (1_u8..4, 1_u8..4).prop_map(|(first, second)| Event::Race { first, second }),
        2 => Just(Event::TouchDuringNextWrite),
        2 => Just(Event::NextAttempt),
        2 => any::<bool>().prop_map(Event::LockMoves),
        1 => Just(Event::CancelIsAsked),
        1 => Just(Event::Ends),
    ]
}

fn current_attempt(app: &TestApp) -> u32 {
    app.fake.world().deployment.as_ref().unwrap().status.as_ref().unwrap().attempt.unwrap()
}

/// A pod of this attempt with a good token.
fn add_pod(app: &TestApp, attempt: u32, second: bool) -> String {
    let name = format!("blog-1-a{attempt}-{}", u8::from(second));
    let mut pod = fake::pod();
    pod.metadata.name = Some(name.clone());
    pod.metadata.uid = Some(format!("pod-{name}"));
    pod.metadata.owner_references.as_mut().unwrap()[0].name = format!("blog-1-a{attempt}");
    let caller = Caller { pod_name: name.clone(), pod_uid: format!("pod-{name}"), ..fake::caller() };
    let mut world = app.fake.world();
    world.pods.insert(name.clone(), pod);
    world.tokens.insert(name.clone(), (format!("fastdeploy.dev/run/uid-1/{attempt}"), caller));
    name
}

async fn claim_as(app: &TestApp, attempt: u32, instance: u8, second_pod: bool) -> Option<(u32, String)> {
    let token = add_pod(app, attempt, second_pod);
    let instance = format!("i-{instance}");
    let path = format!("/runs/uid-1/{attempt}/claim");
    let (status, _) = app.post(&path, &token, body(&instance)).await;
    (status == StatusCode::OK).then(|| (attempt, format!("{token}/{instance}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whichever order, also two claims at the same time.
    #[test]
    fn one_attempt_is_never_given_to_two_processes(events in proptest::collection::vec(any_event(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let app = TestApp::new();
            let mut grants = Vec::new();
            for event in events {
                let attempt = current_attempt(&app);
                match event {
                    Event::Claim { instance, second_pod } => {
                        grants.extend(claim_as(&app, attempt, instance, second_pod).await);
                    }
                    Event::Race { first, second } => {
                        let (a, b) = tokio::join!(
                            claim_as(&app, attempt, first, false),
                            claim_as(&app, attempt, second, true),
                        );
                        grants.extend(a);
                        grants.extend(b);
                    }
                    Event::TouchDuringNextWrite => app.fake.world().meanwhile.push_back(|w| w.change(|_| {})),
                    Event::NextAttempt => app.fake.world().change(|d| {
                        d.status.as_mut().unwrap().attempt = Some(attempt + 1);
                    }),
                    Event::LockMoves(ours) => {
                        let mut world = app.fake.world();
                        let status = world.service.as_mut().unwrap().status.as_mut().unwrap();
                        status.active.as_mut().unwrap().uid = if ours { "uid-1" } else { "uid-2" }.into();
                    }
                    Event::CancelIsAsked => app.fake.world().change(|d| d.spec.cancel = Some(Cancel::Now)),
                    Event::Ends => app.fake.world().change(|d| {
                        d.status.as_mut().unwrap().phase = Some(Phase::Failed);
                    }),
                }
            }
            let mut owners = std::collections::BTreeMap::new();
            for (attempt, process) in grants {
                let owner = owners.entry(attempt).or_insert_with(|| process.clone());
                prop_assert_eq!(&*owner, &process, "attempt {}", attempt);
            }
            Ok(())
        })?;
    }
}
