//! Through the router, on a real PostgreSQL.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::PgPool;
use tower::ServiceExt;

use super::Intake;
use super::status::Statuses;
use crate::claim::App;
use crate::claim::fake::{Fake, NOW};
use crate::identity::key::{self, SigningKey};
use crate::identity::token::{self, RunClaims};
use crate::metrics::Metrics;
use crate::router;

const UID: &str = "0b6d9c1e-6f1c-4a86-9a55-3f6f3b1c0001";

struct Api {
    router: Router,
    key: SigningKey,
}

impl Api {
    fn on(pool: Option<PgPool>) -> Self {
        let key = key::tests::any();
        let hub = crate::live::Hub::new(pool.clone());
        tokio::spawn(hub.clone().run());
        let intake = Intake::new(pool, key.clone(), || NOW, Statuses::nowhere(), hub);
        let app = App::new(
            Fake::default(),
            key.clone(),
            || NOW,
            std::sync::Arc::new(Metrics::default()),
            telemetry::Traces::default(),
        );
        Self { router: router::runs(app, intake), key }
    }

    fn token(&self, instance: &str, deadline: Timestamp) -> String {
        let claims = RunClaims::new(UID, 1, instance, ("team-web", "blog-1"), NOW, deadline);
        token::issue(&self.key, &claims).unwrap()
    }

    async fn send(
        &self,
        path: &str,
        token: &str,
        encoding: Option<&str>,
        body: Vec<u8>,
    ) -> (StatusCode, Value) {
        let mut request = Request::post(path).header("authorization", format!("Bearer {token}"));
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A report as a runner sends it, whether or not somebody watches.
    async fn report(
        &self,
        instance: &str,
        first_available: u64,
        first: u64,
        kinds: &[Value],
    ) -> (u16, Value) {
        let (status, mut answer) = self.whole_report(instance, first_available, first, kinds).await;
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("followed");
        }
        (status, answer)
    }

    async fn whole_report(
        &self,
        instance: &str,
        first_available: u64,
        first: u64,
        kinds: &[Value],
    ) -> (u16, Value) {
        let events = kinds.iter().enumerate().map(|(n, kind)| {
            let mut event = kind.clone();
            event["seq"] = json!(first + n as u64);
            event["at"] = json!("2027-01-15T08:00:00Z");
            event
        });
        let body = json!({"protocol": 1, "instance": instance, "firstAvailable": first_available,
            "firstSeq": first, "events": events.collect::<Vec<_>>()});
        let body = zstd::bulk::compress(body.to_string().as_bytes(), 1).unwrap();
        let token = self.token(instance, NOW + SignedDuration::from_mins(30));
        let (status, body) = self.send(&format!("/runs/{UID}/1/reports"), &token, Some("zstd"), body).await;
        (status.as_u16(), body)
    }
}

fn step(n: u64) -> Value {
    json!({"kind": "stepStarted", "key": format!("a:{n}#1"), "name": format!("Step {n}")})
}

fn output(first_line: u64, lines: u64) -> Value {
    let text: Vec<_> = (first_line..first_line + lines).map(|n| format!("line {n}")).collect();
    json!({"kind": "output", "firstLine": first_line, "text": text.join("\n")})
}

fn finished() -> Value {
    json!({"kind": "finished", "verdict": {"protocol": 1, "instance": "i-1", "result": "Succeeded"}})
}

async fn seqs(pool: &PgPool) -> Vec<i64> {
    let events = store::events::after(pool, UID.parse().unwrap(), 1, 0, 10_000).await.unwrap();
    events.into_iter().map(|event| event.seq).collect()
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_is_answered_is_stored_and_what_comes_again_changes_nothing(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    assert_eq!(api.report("i-1", 1, 1, &[step(1), step(2)]).await, (200, json!({"acked": 2})));
    // The answer was lost: the same again, with more.
    assert_eq!(api.report("i-1", 1, 1, &[step(1), step(2), step(3)]).await, (200, json!({"acked": 3})));
    assert_eq!(seqs(&pool).await, [1, 2, 3]);
    // Too early: something is missing that the runner still has.
    assert_eq!(api.report("i-1", 1, 5, &[step(5)]).await, (200, json!({"acked": 3})));
    // Nothing: how far are you?
    assert_eq!(api.report("i-1", 1, 4, &[]).await, (200, json!({"acked": 3})));
    assert_eq!(api.report("i-1", 1, 4, &[finished()]).await, (200, json!({"acked": 4})));
    // Sealed; but a resend is harmless.
    assert_eq!(api.report("i-1", 1, 4, &[finished()]).await, (200, json!({"acked": 4})));
    assert_eq!(api.report("i-1", 1, 5, &[step(5)]).await.0, 410);
    assert_eq!(seqs(&pool).await, [1, 2, 3, 4]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn the_answer_says_whether_somebody_watches(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let uid = UID.parse().unwrap();
    let answers = async |n: u64| api.whole_report("i-1", 1, n, &[step(n)]).await.1["followed"].clone();
    // Before it is known it may be.
    assert_eq!(answers(1).await, true);
    assert_eq!(answers(2).await, false);
    store::runs::follow(&pool, uid, 60.0).await.unwrap();
    assert_eq!(answers(3).await, true);
    // Whoever watches said so too long ago.
    store::runs::follow(&pool, uid, 0.0).await.unwrap();
    assert_eq!(answers(4).await, false);
    store::runs::follow(&pool, uuid::Uuid::from_u128(7), 60.0).await.unwrap();
    assert_eq!(answers(5).await, false);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn who_waits_hears_at_once_that_somebody_watches(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let ask = async |path: &str, token: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let (path, token) =
        (format!("/runs/{UID}/1/followed"), api.token("i-1", NOW + SignedDuration::from_mins(30)));
    let (uid, quiet) = (UID.parse().unwrap(), std::time::Duration::from_millis(300));
    {
        let waits = ask(&path, &token);
        tokio::pin!(waits);
        assert!(tokio::time::timeout(quiet, &mut waits).await.is_err(), "nobody watches");
        store::runs::follow(&pool, uuid::Uuid::from_u128(7), 60.0).await.unwrap();
        assert!(tokio::time::timeout(quiet, &mut waits).await.is_err(), "another run is watched");
        store::runs::follow(&pool, uid, 60.0).await.unwrap();
        let soon = std::time::Duration::from_secs(10);
        let answer = tokio::time::timeout(soon, waits).await.expect("an answer");
        assert_eq!(answer, (200, json!({"followed": true})));
    }
    assert_eq!(ask(&path, &token).await, (200, json!({"followed": true})), "it is known");
    assert_eq!(ask(&path, "nonsense").await.0, 401);
    assert_eq!(ask(&format!("/runs/{UID}/2/followed"), &token).await.0, 403);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn two_reports_at_once_are_one(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let events: Vec<_> = (1..=50).map(step).collect();
    let both = futures::join!(api.report("i-1", 1, 1, &events), api.report("i-1", 1, 1, &events));
    assert_eq!((both.0.0, both.1.0), (200, 200));
    assert_eq!(seqs(&pool).await, (1..=50).collect::<Vec<_>>());
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn another_process_of_the_attempt_is_fenced(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    assert_eq!(api.report("i-1", 1, 1, &[step(1)]).await.0, 200);
    assert_eq!(api.report("i-2", 1, 1, &[step(9)]).await.0, 409);
    assert_eq!(seqs(&pool).await, [1]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn a_database_that_was_lost_takes_up_where_the_runner_can(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    assert_eq!(api.report("i-1", 40, 60, &[step(60)]).await, (200, json!({"acked": 0})));
    assert_eq!(api.report("i-1", 40, 40, &[step(40), step(41)]).await, (200, json!({"acked": 41})));
    let gaps = store::runs::gaps(&pool, UID.parse().unwrap(), 1).await.unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.first, gap.last)).collect::<Vec<_>>(), [(1, 39)]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn output_comes_back_by_any_range(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let batches: Vec<_> = (0..20).map(|n| output(1 + n * 1_000, 1_000)).collect();
    for (n, batch) in batches.iter().enumerate() {
        let seq = n as u64 + 1;
        assert_eq!(
            api.report("i-1", 1, seq, std::slice::from_ref(batch)).await,
            (200, json!({"acked": seq}))
        );
    }
    for (from, limit) in [(1, 10), (995, 12), (19_999, 100), (1, 20_000), (20_001, 5)] {
        let read = store::output::read(&pool, UID.parse().unwrap(), 1, from, limit).await.unwrap();
        let expected: Vec<_> = (from..=20_000).take(limit as usize).map(|n| format!("line {n}")).collect();
        assert_eq!((read.first, read.lines), (from, expected));
    }
    // Lines that were there before are not taken again under new numbers of events.
    assert_eq!(api.report("i-1", 1, 21, &[output(5, 1)]).await.0, 400);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn nul_characters_are_no_obstacle(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let kind = json!({"kind": "stepStarted", "key": "k", "name": "a\u{0}b"});
    assert_eq!(api.report("i-1", 1, 1, &[kind, output(1, 1)]).await, (200, json!({"acked": 2})));
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_a_newer_runner_says_counts_and_tells_nothing(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let kind = json!({"kind": "somethingNewer", "x": 1});
    assert_eq!(api.report("i-1", 1, 1, &[kind, step(1)]).await, (200, json!({"acked": 2})));
    assert_eq!(seqs(&pool).await, [1, 2]);
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn only_the_run_itself_reports(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let path = format!("/runs/{UID}/1/reports");
    let later = NOW + SignedDuration::from_mins(30);
    let body = json!({"protocol": 1, "instance": "i-1", "firstAvailable": 1, "firstSeq": 1, "events": []});
    let body = body.to_string().into_bytes();
    let good = api.token("i-1", later);
    assert_eq!(api.send(&path, &good, None, body.clone()).await.0, 200);
    let expired = api.token("i-1", NOW - SignedDuration::from_hours(2));
    for token in ["", "x", "a.b.c", &expired, &good[..good.len() - 4]] {
        assert_eq!(api.send(&path, token, None, body.clone()).await.0, 401, "{token}");
    }
    // Another run, another attempt, another instance.
    for path in
        [format!("/runs/{UID}/2/reports"), "/runs/0b6d9c1e-6f1c-4a86-9a55-3f6f3b1c0002/1/reports".into()]
    {
        assert_eq!(api.send(&path, &good, None, body.clone()).await.0, 403, "{path}");
    }
    assert_eq!(api.send(&path, &api.token("i-2", later), None, body).await.0, 409);
    assert!(seqs(&pool).await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATIONS")]
async fn what_is_no_report_is_answered_with_a_sentence(pool: PgPool) {
    let api = Api::on(Some(pool.clone()));
    let path = format!("/runs/{UID}/1/reports");
    let token = api.token("i-1", NOW + SignedDuration::from_mins(30));
    let report = |change: Value| {
        let mut report =
            json!({"protocol": 1, "instance": "i-1", "firstAvailable": 1, "firstSeq": 1, "events": []});
        report.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        report.to_string().into_bytes()
    };
    let at = "2027-01-15T08:00:00Z";
    let gap = json!({"events": [{"seq": 1, "at": at, "kind": "stepStarted", "key": "k", "name": "n"}, {"seq": 3, "at": at, "kind": "stepStarted", "key": "k", "name": "n"}]});
    let bodies = [
        (None, b"{".to_vec()),
        (None, report(json!({"protocol": 2}))),
        (None, report(json!({"firstSeq": 0}))),
        (None, report(json!({"firstSeq": u64::MAX}))),
        (None, report(json!({"events": [{"seq": 1, "at": at}]}))),
        (None, report(gap)),
        (Some("zstd"), b"not zstd".to_vec()),
    ];
    for (encoding, body) in bodies {
        let (status, answer) = api.send(&path, &token, encoding, body.clone()).await;
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
        assert!(answer["message"].as_str().unwrap().ends_with('.'), "{answer}");
    }
    let bomb = zstd::bulk::compress(&vec![b' '; 60 << 20], 1).unwrap();
    assert_eq!(api.send(&path, &token, Some("zstd"), bomb).await.0, 413);
    assert_eq!(api.send(&path, &token, Some("br"), Vec::new()).await.0, 415);
    assert!(seqs(&pool).await.is_empty());
}

#[tokio::test]
async fn without_a_database_a_runner_is_asked_to_come_again() {
    assert_eq!(Api::on(None).report("i-1", 1, 1, &[step(1)]).await.0, 503);
    let away = crate::database::pool("postgres://nobody@127.0.0.1:1/nowhere").unwrap();
    assert_eq!(Api::on(Some(away)).report("i-1", 1, 1, &[step(1)]).await.0, 503);
}
