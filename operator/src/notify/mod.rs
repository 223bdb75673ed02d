//! Notifications: what the outbox says is told to whom `spec.notify` names. Only the leader does it;
//! what is to be told stands in PostgreSQL, so one that is killed in the middle tells it again, with
//! the same id. Runs neither wait for this nor fail with it.

mod commit_status;
mod mail;
mod message;
mod plan;
mod send;
mod smtp;
mod words;

use std::time::Duration;

use crds::service::Service;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use outbound::Allowed;
use store::{
    PgPool,
    deliveries::{self, Due, Outcome},
    listen,
};

use self::{
    plan::{Entry, Kind},
    send::Sender,
};
use crate::clock::Clock;

/// Events that are looked through at once.
const PLAN: i64 = 200;
/// Deliveries that are read at once.
const BATCH: i64 = 50;
/// That are under way at once: a receiver that does not answer holds up few others.
const AT_ONCE: usize = 8;
/// Nobody said anything for so long: look all the same.
const LOOK: Duration = Duration::from_secs(30);
/// Before PostgreSQL is asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells until the process ends.
pub async fn run(client: Client, pool: Option<PgPool>, allowed: Allowed, clock: Clock) {
    let Some(pool) = pool else { return std::future::pending().await };
    let sender = Sender::new(allowed);
    loop {
        if let Err(error) = work(&client, &pool, &sender, &clock).await {
            tracing::debug!(%error, "notifications wait for PostgreSQL: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn work(client: &Client, pool: &PgPool, sender: &Sender, clock: &Clock) -> store::sqlx::Result<()> {
    let mut news = listen::Channel::start(pool, "outbox").await?;
    loop {
        while deliveries::plan(pool, PLAN, plan::wanted).await? {}
        loop {
            let due = deliveries::due(pool, clock.now(), BATCH).await?;
            if due.is_empty() {
                break;
            }
            let tried = futures::stream::iter(due).map(|due| async move {
                let outcome = deliver(client, sender, clock, &due).await;
                said(&due, &outcome);
                deliveries::tried(pool, due.id, &outcome, clock.now()).await
            });
            let tried: Vec<_> = tried.buffer_unordered(AT_ONCE).collect().await;
            tried.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        let next = deliveries::next_at(pool).await?;
        let wait = next.and_then(|next| Duration::try_from(next.duration_since(clock.now())).ok());
        let wait = wait.map_or(LOOK, |wait| wait.clamp(Duration::from_millis(100), LOOK));
        if let Ok(heard) = tokio::time::timeout(wait, news.next()).await {
            heard?;
        }
    }
}

async fn deliver(client: &Client, sender: &Sender, clock: &Clock, due: &Due) -> Outcome {
    let tried = async {
        let Entry { kind, secret: name } =
            Entry::read(&due.channel).ok_or("this entry of spec.notify cannot be read")?;
        let secrets = Api::<Secret>::namespaced(client.clone(), &due.namespace);
        let secret =
            crate::named::get(&secrets, &name).await.map_err(|_| "Kubernetes did not give the Secret")?;
        let Some(secret) = secret else {
            let error = format!("there is no Secret {name}");
            return Err(Fault { last: is_gone(client, due).await, error });
        };
        let value = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key))?;
            String::from_utf8(bytes.0.clone()).ok().map(|text| text.trim().to_owned())
        };
        let needed = |key: &str| value(key).ok_or_else(|| format!("the Secret {name} has no key {key}"));
        match kind {
            Kind::Webhook => {
                let (url, secret) = (needed("url")?, value("secret"));
                sender.send(message::webhook(due, &url, secret.as_deref(), clock.now())?).await
            }
            Kind::Slack => sender.send(message::slack(due, &needed("url")?)?).await,
            Kind::CommitStatus(provider, repository) => {
                let (token, url) = (needed("token")?, value("url"));
                let request = commit_status::request(provider, &repository, due, &token, url.as_deref())?;
                let last = !commit_status::is_final(&due.event);
                sender.send(request).await.map_err(|fault| Fault { last: fault.last || last, ..fault })
            }
            Kind::Email(to) => {
                let server = mail::server(&needed("url")?)?;
                let mail = mail::message(due, &needed("from")?, &to)?;
                smtp::send(sender.allowed(), &server, value("ca.crt").as_deref(), &mail).await
            }
        }
    };
    match tried.await {
        Ok(()) => Outcome::Delivered,
        Err(Fault { error, last: true }) => Outcome::Dead(error),
        Err(Fault { error, .. }) => plan::again(due.attempts, error, clock.now()),
    }
}

/// Whether its Service was removed: then nobody makes the Secret any more.
async fn is_gone(client: &Client, due: &Due) -> bool {
    let services = Api::<Service>::namespaced(client.clone(), &due.namespace);
    matches!(crate::named::get(&services, &due.service).await, Ok(None))
}

/// Why it did not arrive.
#[derive(Debug)]
struct Fault {
    /// For people; without the address, which may be a secret.
    error: String,
    /// Trying again is of no use.
    last: bool,
}

impl<T: Into<String>> From<T> for Fault {
    fn from(error: T) -> Self {
        Self { error: error.into(), last: false }
    }
}

fn said(due: &Due, outcome: &Outcome) {
    let (service, event) = (format!("{}/{}", due.namespace, due.service), &due.event);
    match outcome {
        Outcome::Delivered => tracing::info!(service, event, "told {event} of {service}"),
        Outcome::Again(at, error) => {
            tracing::info!(
                service,
                event,
                error,
                "{event} of {service} could not be told, next try at {at}: {error}"
            );
        }
        Outcome::Dead(error) => {
            tracing::warn!(service, event, error, "{event} of {service} is told no more: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use store::{deliveries::Due, sqlx::types::Uuid};

    /// Something to be told.
    pub fn due(event: &str, data: Value) -> Due {
        Due {
            id: Uuid::from_u128(7),
            event_id: "uid/deployment.failed/".into(),
            event: event.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            namespace: "team".into(),
            service: "blog".into(),
            subject: "blog-1".into(),
            channel: Value::Null,
            data,
            attempts: 0,
        }
    }
}
