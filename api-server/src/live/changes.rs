//! The stream of changes: read once for all, told to every follower; who joins or fell behind
//! catches up from the database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store::PgPool;
use store::read::{Change, Position, Snapshot};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::Hub;
use super::message::{self, FromServer};
use super::socket::{Ended, Out};
use crate::access::Access;
use crate::api::problem::Problem;
use crate::api::{services, view};
use crate::people::Person;

/// Objects that are read at once.
const AT_ONCE: i64 = 500;
/// Who missed more loads anew: that is cheaper for both.
const MISSED: usize = 1_000;
/// Before the database is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What has changed, up to a place in the stream.
#[derive(Debug)]
pub struct Batch {
    position: Position,
    services: Vec<News>,
    deployments: Vec<News>,
}

/// An object that is other than it was.
#[derive(Debug)]
struct News {
    seq: i64,
    uid: Uuid,
    namespace: String,
    /// The Service, or the Service of a Deployment.
    service: String,
    /// None: it is gone.
    json: Option<String>,
    /// A check for drift: told to those only who follow this very one.
    aside: bool,
}

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Every Service one may see.
    Services,
    /// One Service and its Deployments.
    Service {
        /// Where it is.
        namespace: String,
        /// How it is called.
        name: String,
    },
    /// One Deployment.
    Deployment {
        /// Its uid.
        uid: Uuid,
        /// Where it is.
        namespace: String,
        /// How it is called.
        name: String,
    },
}

/// Tells until the process ends.
pub async fn tell(hub: &Hub, pool: &PgPool) {
    let mut last: Option<Position> = None;
    loop {
        hub.0.changed.notified().await;
        // Why it cannot be read is said by whoever keeps the database current.
        while tell_once(hub, pool, &mut last).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn tell_once(hub: &Hub, pool: &PgPool, last: &mut Option<Position>) -> Result<(), Problem> {
    let mut snapshot = Snapshot::begin(pool).await?;
    let now = snapshot.position;
    hub.0.epoch.send_if_modified(|epoch| epoch.replace(now.epoch) != Some(now.epoch));
    let mut seq = last.filter(|last| last.epoch == now.epoch).map_or(now.seq, |last| last.seq);
    // Whoever joins after this snapshot was taken reads up to a later place for himself.
    while seq < now.seq && hub.0.changes.receiver_count() > 0 {
        let changed = snapshot.changed_after(seq, AT_ONCE).await?;
        seq = if changed.len() < AT_ONCE as usize {
            now.seq
        } else {
            changed.last().map_or(now.seq, |last| last.seq)
        };
        let batch = read(&mut snapshot, &changed, Position { epoch: now.epoch, seq }).await?;
        // Nobody there: nobody missed it.
        let _ = hub.0.changes.send(Arc::new(batch));
    }
    *last = Some(now);
    Ok(())
}

async fn read(snapshot: &mut Snapshot, changed: &[Change], position: Position) -> Result<Batch, Problem> {
    let mut names = BTreeSet::new();
    let mut last_seq = std::collections::HashMap::new();
    for change in changed {
        let name = (change.namespace.clone(), change.service.clone());
        last_seq.insert(name.clone(), change.seq);
        names.insert(name);
    }
    let rows = snapshot.services_named(&names.into_iter().collect::<Vec<_>>()).await?;
    let mut news: Vec<News> = Vec::new();
    for service in services::load(snapshot, &rows).await? {
        let name = (service.namespace.clone(), service.name.clone());
        let seq = last_seq.get(&name).copied().unwrap_or(position.seq);
        let json = serde_json::to_string(&service).ok();
        news.push(News { seq, uid: service.uid, namespace: name.0, service: name.1, json, aside: false });
    }
    for change in changed.iter().filter(|change| change.kind == "Service") {
        if !rows.iter().any(|row| row.uid == change.uid) {
            news.push(News {
                seq: change.seq,
                uid: change.uid,
                namespace: change.namespace.clone(),
                service: change.service.clone(),
                json: None,
                aside: false,
            });
        }
    }
    news.sort_by_key(|news| news.seq);
    let runs: Vec<&Change> = changed.iter().filter(|change| change.kind == "Deployment").collect();
    let uids: Vec<Uuid> = runs.iter().map(|change| change.uid).collect();
    let rows = snapshot.deployments_by_uid(&uids).await?;
    let deployments = runs.into_iter().filter_map(|change| {
        let row = rows.iter().find(|row| row.uid == change.uid)?;
        let run = view::deployment(row)?;
        let (json, aside) = (serde_json::to_string(&run).ok()?, run.is_drift_check());
        let (namespace, service) = (change.namespace.clone(), change.service.clone());
        Some(News { seq: change.seq, uid: change.uid, namespace, service, json: Some(json), aside })
    });
    Ok(Batch { position, services: news, deployments: deployments.collect() })
}

/// Follows until it ends; what it says goes to the socket.
pub async fn follow(
    hub: &Hub,
    access: &Access,
    who: &Person,
    (topic, of): (&str, &Of),
    after: Position,
    out: &Out,
) -> Result<Ended, Problem> {
    let pool = hub.joining()?;
    let mut news = hub.0.changes.subscribe();
    let Some(mut at) = catch_up(pool, access, who, (topic, of), after, out).await? else {
        return Ok(Ended::Reset);
    };
    loop {
        match news.recv().await {
            Ok(batch) if batch.position.epoch != at.epoch => return Ok(Ended::Reset),
            Ok(batch) => {
                if batch.position.seq > at.seq {
                    send(&batch, access, who, (topic, of), at.seq, out).await?;
                    at = batch.position;
                }
            }
            Err(RecvError::Lagged(_)) => match catch_up(pool, access, who, (topic, of), at, out).await? {
                Some(now) => at = now,
                None => return Ok(Ended::Reset),
            },
            Err(RecvError::Closed) => return Ok(Ended::Reset),
        }
    }
}

/// None: it is too far behind, or knows another database.
async fn catch_up(
    pool: &PgPool,
    access: &Access,
    who: &Person,
    (topic, of): (&str, &Of),
    after: Position,
    out: &Out,
) -> Result<Option<Position>, Problem> {
    let mut snapshot = Snapshot::begin(pool).await?;
    let now = snapshot.position;
    if after.epoch != now.epoch || after.seq > now.seq || after.seq < snapshot.pruned {
        return Ok(None);
    }
    if after.seq == now.seq {
        return Ok(Some(now));
    }
    let mut changed = snapshot.changed_after(after.seq, MISSED as i64 + 1).await?;
    if changed.len() > MISSED {
        return Ok(None);
    }
    changed.retain(|change| of.concerns(&change.namespace, &change.service, change.uid));
    let batch = read(&mut snapshot, &changed, now).await?;
    drop(snapshot);
    send(&batch, access, who, (topic, of), after.seq, out).await?;
    Ok(Some(now))
}

async fn send(
    batch: &Batch,
    access: &Access,
    who: &Person,
    (topic, of): (&str, &Of),
    after: i64,
    out: &Out,
) -> Result<(), Problem> {
    let epoch = batch.position.epoch;
    let cursor = |seq| Position { epoch, seq }.to_string();
    // In the order of their numbers, so that a cursor never says more than was sent: objects of one
    // batch carry the place before it, the last one the place behind it.
    let mut texts = Vec::new();
    for news in batch.services.iter().filter(|news| news.seq > after) {
        if !of.wants_service(&news.namespace, &news.service)
            || !of.visible(access, who, &news.namespace).await?
        {
            continue;
        }
        texts.push((news, "service"));
    }
    for news in batch.deployments.iter().filter(|news| news.seq > after) {
        if !of.wants_deployment(&news.namespace, &news.service, news.uid)
            || (news.aside && !matches!(of, Of::Deployment { .. }))
            || !of.visible(access, who, &news.namespace).await?
        {
            continue;
        }
        texts.push((news, "deployment"));
    }
    let last = texts.len();
    for (n, (news, kind)) in texts.into_iter().enumerate() {
        let cursor = cursor(if n + 1 == last { batch.position.seq } else { after });
        let text = match &news.json {
            Some(json) => message::object(kind, topic, &cursor, json),
            None => FromServer::Gone { topic, cursor, kind: "Service", uid: news.uid }.text(),
        };
        out.send(text).await;
    }
    Ok(())
}

impl Of {
    fn concerns(&self, namespace: &str, service: &str, uid: Uuid) -> bool {
        self.wants_service(namespace, service) || self.wants_deployment(namespace, service, uid)
    }

    fn wants_service(&self, namespace: &str, service: &str) -> bool {
        match self {
            Self::Services => true,
            Self::Service { namespace: wanted, name } => wanted == namespace && name == service,
            Self::Deployment { .. } => false,
        }
    }

    fn wants_deployment(&self, namespace: &str, service: &str, uid: Uuid) -> bool {
        match self {
            Self::Services => false,
            Self::Service { namespace: wanted, name } => wanted == namespace && name == service,
            Self::Deployment { uid: wanted, .. } => *wanted == uid,
        }
    }

    /// Asked each time: roles change while a socket is open.
    pub async fn visible(&self, access: &Access, who: &Person, namespace: &str) -> Result<bool, Problem> {
        match self {
            Self::Services => access.sees(who, namespace).await,
            Self::Service { namespace, name } => access.may(who, "get", "services", (namespace, name)).await,
            Self::Deployment { namespace, name, .. } => {
                access.may(who, "get", "deployments", (namespace, name)).await
            }
        }
    }
}
