//! Where PostgreSQL is. The chart's own has a password that is made here, once; the database's pod and
//! the operator read it from the same Secret.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use store::{PgPool, retention};

use crate::config::Retention;
use crate::health::Health;
use crate::names;
use crate::people::first_admin::{self, FirstAdmin};
use crate::people::password::Passwords;
use crate::stored::{self, Error};

/// How long a request waits for a connection before it is told to come again.
const ACQUIRE: Duration = Duration::from_secs(2);
/// A connection that nobody used for so long is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);
/// How soon a database that was replaced by an empty one is noticed.
const LOOK: Duration = Duration::from_secs(10);
/// How long changes are kept: a browser that was away longer loads anew.
const CHANGES: SignedDuration = SignedDuration::from_hours(24);
/// How long events are kept for those who tell them further: a notification is made within that time.
const EVENTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long it is known what was told to whom.
const DELIVERIES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Between two looks for what is too old.
const RETENTION: SignedDuration = SignedDuration::from_hours(1);
const USER: &str = "fastdeploy";
const NAME: &str = "fastdeploy";

/// The URL of the chart's own database on this host, from the Secret that is made if absent.
pub async fn url(client: &Client, namespace: &str, host: &str) -> Result<String, Error> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let secret = stored::get_or_create(&secrets, names::DATABASE, || {
        let password = password();
        let url = format!("postgres://{USER}:{password}@{host}:5432/{NAME}");
        Ok([(names::DATABASE_PASSWORD, password), (names::DATABASE_URL, url)])
    })
    .await?;
    stored::value(&secret, names::DATABASE, names::DATABASE_URL)
}

/// Connects when it is first needed, and again whenever it must.
pub fn pool(url: &str) -> anyhow::Result<PgPool> {
    use anyhow::Context;
    let options = store::sqlx::postgres::PgPoolOptions::new().max_connections(10).acquire_timeout(ACQUIRE);
    // Asked before each use, a connection would cost a round trip more each time.
    let options = options.test_before_acquire(false).before_acquire(|connection, known| {
        Box::pin(async move {
            if known.idle_for > IDLE {
                store::sqlx::Connection::ping(connection).await?;
            }
            Ok(true)
        })
    });
    options.connect_lazy(url).context("FASTDEPLOY_DATABASE_URL cannot be used")
}

/// Brings the schema up to date as soon as PostgreSQL answers, also that of a new, empty database,
/// makes the first administrator and the partitions of tomorrow, and forgets old changes.
pub async fn keep_current(
    pool: PgPool,
    passwords: Passwords,
    first_admin: FirstAdmin,
    health: Health,
    clock: fn() -> Timestamp,
    kept: Retention,
) {
    let mut last = None;
    let mut looked = None;
    loop {
        let now = clock();
        let done = async {
            let words = |error: store::sqlx::Error| error.to_string();
            store::migrate(&pool).await.map_err(|error| error.to_string())?;
            let today = now.to_zoned(TimeZone::UTC).date();
            store::partitions::ahead(&pool, today).await.map_err(words)?;
            // Partitions are of days: a look in an hour is often enough.
            if looked.is_none_or(|at| now > at + RETENTION) {
                let gone = retention::keep(&pool, today, before(today, kept)).await.map_err(words)?;
                if !gone.is_empty() {
                    let names = gone.join(", ");
                    tracing::info!(partitions = names, "dropped what is older than it is kept: {names}");
                }
                looked = Some(now);
            }
            store::changes::prune(&pool, now - CHANGES).await.map_err(words)?;
            store::outbox::prune(&pool, now - EVENTS).await.map_err(words)?;
            store::deliveries::prune(&pool, now - DELIVERIES).await.map_err(words)?;
            first_admin::ensure(&pool, &passwords, &first_admin).await
        };
        let done = done.await;
        health.database(done.is_ok());
        let pause = if done.is_ok() { LOOK } else { RETRY };
        // Said once, not every second.
        if last.as_ref() != Some(&done) {
            match &done {
                Ok(()) => tracing::info!("PostgreSQL is there and has the schema of this version"),
                Err(error) => tracing::warn!(error, "PostgreSQL cannot be used, runs go on: {error}"),
            }
            last = Some(done);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Until when what is older goes.
fn before(today: Date, kept: Retention) -> retention::Before {
    let days = |days: i64| today.checked_sub(Span::new().days(days)).unwrap_or(Date::MIN);
    retention::Before {
        results: days(kept.results),
        output: days(kept.output),
        activity: days(kept.activity),
    }
}

/// 244 random bits, in letters that need no escape in a URL.
fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
