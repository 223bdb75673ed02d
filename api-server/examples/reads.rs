//! How soon the API answers what people read, and how often, beside a bare axum handler with the same query and the same
//! token: 20 Services, 100,000 Deployments, 1,000,000 steps in PostgreSQL. Everything goes over TCP on this machine, the
//! requests come from this process, too. What Kubernetes says of roles is remembered by the API, and is said here by a
//! cluster that allows everything.
//!
//! `eval "$(make -s env)"; cargo run --release --package api-server --example reads`
//!
//! `-- keep` leaves the database `reads` for the next time, which does not fill it again then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use crds::deployment::{Approval, Cancel};
use crds::{Deployment, Service};
use fastdeploy_api_server::access::{Ask, Subject};
use fastdeploy_api_server::api::App;
use fastdeploy_api_server::api::cluster::{Cluster, Created, Decided, Kept, Write, Wrote};
use fastdeploy_api_server::api::secret_answers::Values;
use fastdeploy_api_server::claim::cluster::Answer;
use fastdeploy_api_server::identity::key::{self, SigningKey};
use fastdeploy_api_server::identity::token::{self, UserClaims};
use fastdeploy_api_server::router;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::read::Namespaces;
use store::{PgPool, answers, sqlx};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

const SERVICES: i32 = 20;
const DEPLOYMENTS: i32 = 100_000;
/// Of one run; each is four events.
const STEPS: i32 = 10;
const DAYS: i32 = 100;
/// Of one measurement; the median of [`TIMES`] is told.
const LASTS: Duration = Duration::from_secs(3);
const TIMES: usize = 5;
/// That ask at once, where it is measured how often the API answers.
const CLIENTS: usize = 16;

fn main() -> anyhow::Result<()> {
    // As many threads as the program has.
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (servers, clients) = (runtime()?, runtime()?);
    let keep = std::env::args().any(|word| word == "keep");
    let (api, bare, token) = servers.block_on(serve())?;
    for (what, path) in [
        ("one Service", "/services/team/service-7".to_owned()),
        ("Services, list of 20", "/services".to_owned()),
        ("Deployments, list of 100", "/services/team/service-7/deployments".to_owned()),
        ("one Deployment with 10 steps", format!("/deployments/{}", uid(DEPLOYMENTS / 2))),
    ] {
        let ours = clients.block_on(both(api, &format!("/api/v1{path}"), &token))?;
        let theirs = clients.block_on(both(bare, &path, &token))?;
        println!(
            "{what} ({} bytes; bare {}): p50 {:.2} ms (bare {:.2}: {:.2} times); {CLIENTS} at once {:.0}/s (bare {:.0}: {:.2} times)",
            ours.bytes,
            theirs.bytes,
            ours.p50,
            theirs.p50,
            ours.p50 / theirs.p50,
            ours.rate,
            theirs.rate,
            ours.rate / theirs.rate,
        );
    }
    if !keep {
        servers.block_on(async { forget(&PgPool::connect(&std::env::var("DATABASE_URL")?).await?).await })?;
    }
    Ok(())
}

async fn forget(admin: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql("drop database if exists reads with (force)").execute(admin).await?;
    Ok(())
}

/// Ports of the API and of the bare handlers, and a token for both.
async fn serve() -> anyhow::Result<(u16, u16, String)> {
    let url = std::env::var("DATABASE_URL").context("eval \"$(make -s env)\"")?;
    let (server, _) = url.rsplit_once('/').context("a database's URL")?;
    let url = format!("{server}/reads");
    if PgPool::connect(&url).await.is_err() {
        let admin = PgPool::connect(&std::env::var("DATABASE_URL")?).await?;
        sqlx::raw_sql("create database reads").execute(&admin).await?;
        let began = Instant::now();
        let filled = fill(&PgPool::connect(&url).await?).await;
        if filled.is_err() {
            forget(&admin).await?;
        }
        filled?;
        println!(
            "{DEPLOYMENTS} Deployments and {} steps in {:.0} s",
            DEPLOYMENTS * STEPS,
            began.elapsed().as_secs_f64()
        );
    }
    let pool = fastdeploy_api_server::database::pool(&url)?;
    store::migrate(&pool).await?;

    let (pem, kid) = key::generate()?;
    let key = SigningKey::from_pem(&pem, &kid)?;
    let token = token::issue(&key, &UserClaims::new("anna", true, Uuid::nil(), Timestamp::now()))?;
    let app = App::new(Arc::new(AllowsAll), key.clone(), Timestamp::now, Some(pool.clone()), true);
    let bare = Router::new()
        .route("/services", get(bare_services))
        .route("/services/{namespace}/{name}", get(bare_service))
        .route("/services/{namespace}/{name}/deployments", get(bare_deployments))
        .route("/deployments/{uid}", get(bare_deployment))
        .with_state(Bare { key, pool });
    Ok((listen(router::people(app, None)).await?, listen(bare).await?, token))
}

async fn listen(router: Router) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let server = axum_server::from_tcp(listener.into_std()?)?;
    tokio::spawn(server.serve(router.into_make_service_with_connect_info::<std::net::SocketAddr>()));
    Ok(port)
}

// The bare handlers: the token, the query, the objects as they are.

#[derive(Clone)]
struct Bare {
    key: SigningKey,
    pool: PgPool,
}

impl Bare {
    fn knows(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let token =
            headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let claims = token::verify::<UserClaims>(&self.key, token, Timestamp::now());
        claims.map(drop).map_err(|_| StatusCode::UNAUTHORIZED)
    }
}

type Bared = Result<Json<Value>, StatusCode>;

fn away(_: sqlx::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

fn with_runs(read: answers::ServiceWithRuns) -> Value {
    json!({"service": read.service.object, "runs": read.runs.into_iter().map(|run| run.object).collect::<Vec<_>>(),
        "ticks": read.ticks.into_iter().map(|tick| tick.uid).collect::<Vec<_>>()})
}

async fn bare_services(State(bare): State<Bare>, headers: HeaderMap) -> Bared {
    bare.knows(&headers)?;
    let found = answers::services(&bare.pool, &Namespaces::All, None, 101, 10).await.map_err(away)?;
    let items: Vec<Value> = found.read.into_iter().map(with_runs).collect();
    Ok(Json(json!({"cursor": found.position.to_string(), "items": items})))
}

async fn bare_service(
    State(bare): State<Bare>,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
) -> Bared {
    bare.knows(&headers)?;
    let found = answers::service(&bare.pool, &namespace, &name, 10).await.map_err(away)?;
    Ok(Json(json!({"cursor": found.position.to_string(), "service": found.read.map(with_runs)})))
}

async fn bare_deployments(
    State(bare): State<Bare>,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
) -> Bared {
    bare.knows(&headers)?;
    let found = answers::deployments_of(&bare.pool, &namespace, &name, None, 101).await.map_err(away)?;
    let items: Vec<Value> = found.read.into_iter().map(|row| row.object).collect();
    Ok(Json(json!({"cursor": found.position.to_string(), "items": items})))
}

async fn bare_deployment(State(bare): State<Bare>, headers: HeaderMap, Path(uid): Path<Uuid>) -> Bared {
    bare.knows(&headers)?;
    let found = answers::deployment(&bare.pool, uid, true).await.map_err(away)?;
    let read = found.read.ok_or(StatusCode::NOT_FOUND)?;
    let steps: Vec<Value> = read.results.into_iter().map(|event| event.body).collect();
    let usual: Vec<Value> =
        read.usual.into_iter().map(|step| json!([step.key, step.median, step.p90])).collect();
    let deployment = read.deployment.object;
    Ok(Json(
        json!({"cursor": found.position.to_string(), "deployment": deployment, "steps": steps, "usual": usual}),
    ))
}

// Whoever asks.

struct Measured {
    bytes: usize,
    /// Milliseconds, one at a time.
    p50: f64,
    /// Answers a second, [`CLIENTS`] at once.
    rate: f64,
}

async fn both(port: u16, path: &str, token: &str) -> anyhow::Result<Measured> {
    let request: Arc<str> =
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n").into();
    let bytes = ask(&mut TcpStream::connect(("127.0.0.1", port)).await?, &request, &mut Vec::new()).await?;
    let (mut p50s, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let mut took = many(port, Arc::clone(&request)).await?;
        took.sort_unstable();
        p50s.push(took[took.len() / 2].as_secs_f64() * 1_000.0);
        let began = Instant::now();
        let clients = (0..CLIENTS).map(|_| tokio::spawn(many(port, Arc::clone(&request))));
        let mut answers = 0;
        for client in futures::future::join_all(clients).await {
            answers += client??.len();
        }
        rates.push(answers as f64 / began.elapsed().as_secs_f64());
    }
    Ok(Measured { bytes, p50: median(p50s), rate: median(rates) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// On one connection, one request after the other.
async fn many(port: u16, request: Arc<str>) -> anyhow::Result<Vec<Duration>> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    connection.set_nodelay(true)?;
    let (began, mut took, mut buffer) = (Instant::now(), Vec::new(), Vec::new());
    while began.elapsed() < LASTS {
        let asked = Instant::now();
        ask(&mut connection, &request, &mut buffer).await?;
        took.push(asked.elapsed());
    }
    Ok(took)
}

/// Answers how many bytes the body has.
async fn ask(connection: &mut TcpStream, request: &str, buffer: &mut Vec<u8>) -> anyhow::Result<usize> {
    connection.write_all(request.as_bytes()).await?;
    buffer.clear();
    let mut whole = usize::MAX;
    let mut head = 0;
    while buffer.len() < whole {
        ensure!(connection.read_buf(buffer).await? > 0, "the connection was closed");
        if whole == usize::MAX
            && let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            ensure!(text.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(buffer));
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            head = end + 4;
            whole = head + length.context("a length")?.trim().parse::<usize>()?;
        }
    }
    Ok(whole - head)
}

// What there is.

fn uid(n: i32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

async fn fill(pool: &PgPool) -> anyhow::Result<()> {
    store::migrate(pool).await?;
    store::users::make_first_admin(pool, "anna", "x").await?;
    let first: jiff::civil::Date = "2026-08-01".parse()?;
    for day in 0..DAYS {
        store::partitions::ensure(pool, first.checked_add(jiff::Span::new().days(day))?).await?;
    }
    let service = json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
        "metadata": {"namespace": "team", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-08-01T08:00:00Z"},
        "spec": {"title": "Blog", "description": "What the company tells the world.", "url": "https://blog.example.com",
            "source": {"git": {"url": "https://git.example.com/team/blog.git", "branch": "main"}}, "playbook": "deploy.yml", "inventory": {},
            "inputs": [{"name": "version", "type": "text", "required": true, "label": "Version"}]},
        "status": {"observedGeneration": 1, "conditions": [
            {"type": "Ready", "status": "True", "reason": "Deployed", "message": "It is there.", "lastTransitionTime": "2026-11-08T08:00:00Z"},
            {"type": "InSync", "status": "True", "reason": "Deployed", "message": "", "lastTransitionTime": "2026-11-08T08:00:00Z"}],
            "live": {"digest": "v1:sha256:0", "number": 5000, "revision": "main@sha1:4f0c2f6f7bfb2c0f0a0a41b8c5d0d1f3a9c6e7b8", "since": "2026-11-08T08:00:00Z"},
            "last": {"number": 5000, "phase": "Succeeded"}},
    });
    let deployment = json!({
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"namespace": "team", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-08-01T08:00:00Z",
            "annotations": {"fastdeploy.dev/requested-by": "fastdeploy:anna"}},
        "spec": {"reason": "Release", "inputs": {"version": "v2.4.1"}},
        "status": {"observedGeneration": 1, "phase": "Succeeded", "attempt": 1, "startedAt": "2026-08-01T08:00:01Z", "finishedAt": "2026-08-01T08:00:21Z",
            "digest": "v1:sha256:0", "revision": "main@sha1:4f0c2f6f7bfb2c0f0a0a41b8c5d0d1f3a9c6e7b8",
            "requestedBy": {"name": "fastdeploy:anna", "via": "Dashboard"}, "hosts": {"total": 2, "ok": 2, "failed": 0, "unreachable": 0},
            "conditions": [
                {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "10 steps on 2 servers.", "lastTransitionTime": "2026-08-01T08:00:21Z"},
                {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "10 steps on 2 servers.", "lastTransitionTime": "2026-08-01T08:00:21Z"}]},
    });
    for (sql, object) in [
        ("insert into deployments (uid, namespace, name, service, number, phase, created_at, finished_at, epoch, resource_version, object)
          select uid, 'team', name, service, number, 'Succeeded', at, at + interval '20 seconds', 1, 1,
              jsonb_set(jsonb_set(jsonb_set(jsonb_set($1, '{metadata,name}', to_jsonb(name)), '{metadata,uid}', to_jsonb(uid)),
                  '{spec,service}', to_jsonb(service)), '{status,number}', to_jsonb(number))
          from (select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as uid, 'service-' || n % $2 as service,
                    n / $2 as number, 'service-' || n % $2 || '-' || n / $2 as name,
                    timestamptz '2026-08-01T00:00:00Z' + n * (interval '1 day' * $3 / $4) as at
                from generate_series(0, $4 - 1) as n) as run", &deployment),
        ("insert into services (uid, namespace, name, epoch, resource_version, object)
          select ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'team', 'service-' || n, 1, 1,
              jsonb_set(jsonb_set(jsonb_set(jsonb_set($1, '{metadata,name}', to_jsonb('service-' || n)), '{metadata,uid}',
                  to_jsonb('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))),
                  '{status,live,deployment}', last), '{status,last,deployment}', last)
          from (select n, jsonb_build_object('name', 'x', 'uid', '00000000-0000-4000-8000-' || lpad(to_hex($4 - $2 + n), 12, '0')) as last
                from generate_series(0, $2 - 1) as n where $3 > 0) as service", &service),
    ] {
        let filled = sqlx::query(sql).bind(object).bind(SERVICES).bind(DAYS).bind(DEPLOYMENTS);
        filled.execute(pool).await.context(sql)?;
    }
    for sql in [
        "insert into runs (uid, attempt, instance, namespace, day, acked, lines, sealed_at)
         select uid, 1, 'i', namespace, (created_at at time zone 'UTC')::date, 1 + 4 * $1, 0, finished_at from deployments",
        "insert into run_events (day, uid, attempt, seq, at, body)
         select r.day, r.uid, 1, 1, d.created_at, jsonb_build_object('kind', 'plan', 'steps',
             (select jsonb_agg(jsonb_build_object('key', 'deploy.yml:' || s || '#1', 'name', 'Step ' || s)) from generate_series(1, $1) as s))
         from runs r join deployments d using (uid)",
        "insert into run_events (day, uid, attempt, seq, at, body)
         select r.day, r.uid, 1, 4 * s - 3 + part, d.created_at + s * interval '1 second',
             jsonb_build_object('key', 'deploy.yml:' || s || '#1') || case part
                 when 1 then jsonb_build_object('kind', 'stepStarted', 'name', 'Step ' || s)
                 when 4 then jsonb_build_object('kind', 'stepFinished', 'state', 'Succeeded')
                 else jsonb_build_object('kind', 'hostResult', 'host', 'web' || part, 'state', 'Ok', 'changed', s % 3 = 0, 'durationMs', 200 + s)
             end
         from runs r join deployments d using (uid) cross join generate_series(1, $1) as s cross join generate_series(1, 4) as part",
        "insert into step_durations (namespace, service, uid, key, place, seconds)
         select namespace, service, uid, 'deploy.yml:' || s || '#1', s, 1 + random()
         from deployments cross join generate_series(1, $1) as s where number > (select max(number) - 20 from deployments)",
    ] {
        sqlx::query(sql).bind(STEPS).execute(pool).await.context(sql)?;
    }
    sqlx::raw_sql("vacuum analyze").execute(pool).await?;
    Ok(())
}

/// The outermost border: what Kubernetes says of roles.
struct AllowsAll;

impl Cluster for AllowsAll {
    fn allowed<'a>(&'a self, _: &'a Subject, _: &'a Ask) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn service<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Answer<Option<Service>>> {
        Box::pin(async { Ok(None) })
    }

    fn deployment<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(async { Ok(None) })
    }

    fn create<'a>(&'a self, _: &'a str, _: &'a Deployment) -> BoxFuture<'a, Answer<Created>> {
        Box::pin(async { Ok(Created::Exists) })
    }

    fn keep<'a>(&'a self, _: &'a Deployment, _: &'a Values) -> BoxFuture<'a, Answer<Kept>> {
        Box::pin(async { Ok(Kept::Exists) })
    }

    fn cancel<'a>(&'a self, _: &'a Deployment, _: Cancel) -> BoxFuture<'a, Answer<Option<Deployment>>> {
        Box::pin(async { Ok(None) })
    }

    fn decide<'a>(&'a self, _: &'a Deployment, _: &'a Approval) -> BoxFuture<'a, Answer<Decided>> {
        Box::pin(async { Ok(Decided::Gone) })
    }

    fn manifest<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Answer<Option<Value>>> {
        Box::pin(async { Ok(None) })
    }

    fn write<'a>(&'a self, _: &'a str, _: &'a str, _: Write<'a>, _: bool) -> BoxFuture<'a, Answer<Wrote>> {
        Box::pin(async { Ok(Wrote::Gone) })
    }

    fn announce<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> BoxFuture<'a, Answer<bool>> {
        Box::pin(async { Ok(false) })
    }
}
