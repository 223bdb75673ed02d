//! How many events a second the intake stores: reports as runners send them (zstd), through the
//! handler, into PostgreSQL; several runs at a time. In one process: TLS and HTTP are left out.
//!
//! `eval "$(make -s env)"; cargo run --release --package api-server --example intake`

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use fastdeploy_api_server::identity::key::{self, SigningKey};
use fastdeploy_api_server::identity::token::{self, RunClaims};
use fastdeploy_api_server::live::Hub;
use fastdeploy_api_server::reports::{self, Intake, status::Statuses};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::sqlx;
use tower::ServiceExt;
use uuid::Uuid;

const RUNS: usize = 8;
const BATCHES: u64 = 100;
const EVENTS: u64 = 500;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    let admin = store::PgPool::connect(&url).await?;
    sqlx::raw_sql("drop database if exists intake with (force)").execute(&admin).await?;
    sqlx::raw_sql("create database intake").execute(&admin).await?;
    let (base, _) = url.rsplit_once('/').unwrap_or((url.as_str(), ""));
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(10);
    let pool = options.connect(&format!("{base}/intake")).await?;
    store::migrate(&pool).await?;

    let (pem, kid) = key::generate()?;
    let key = SigningKey::from_pem(&pem, &kid)?;
    let intake =
        Intake::new(Some(pool.clone()), key.clone(), Timestamp::now, Statuses::nowhere(), Hub::new(None));
    let router =
        Router::new().route("/runs/{uid}/{attempt}/reports", post(reports::handle)).with_state(intake);

    let mut rates = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let runs = (0..RUNS).map(|_| tokio::spawn(one(router.clone(), key.clone())));
        for run in futures::future::join_all(runs).await {
            run??;
        }
        rates.push((RUNS as f64) * (BATCHES * EVENTS) as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!("{RUNS} runs, {EVENTS} events in a report: {:.0} events/s (median of 5)", rates[2]);
    pool.close().await;
    sqlx::raw_sql("drop database intake").execute(&admin).await?;
    Ok(())
}

async fn one(router: Router, key: SigningKey) -> anyhow::Result<()> {
    let (uid, now) = (Uuid::new_v4(), Timestamp::now());
    let deadline = now + SignedDuration::from_mins(30);
    let claims = RunClaims::new(&uid.to_string(), 1, "i", ("team", "run"), now, deadline);
    let token = token::issue(&key, &claims)?;
    for batch in 0..BATCHES {
        let events = (1..=EVENTS).map(|n| {
            json!({"seq": batch * EVENTS + n, "at": now, "kind": "hostResult", "key": format!("deploy.yml:{n}#1"),
                "host": format!("web{}", n % 50), "state": "Ok", "changed": n % 3 == 0, "durationMs": n})
        });
        let report = json!({"protocol": 1, "instance": "i", "firstAvailable": 1, "firstSeq": batch * EVENTS + 1,
            "events": events.collect::<Vec<_>>()});
        let body = zstd::bulk::compress(report.to_string().as_bytes(), 1)?;
        let request = Request::post(format!("/runs/{uid}/1/reports"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-encoding", "zstd")
            .body(Body::from(body))?;
        let answer = router.clone().oneshot(request).await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
    }
    Ok(())
}
