//! Notifications: what is to be told to whom, how often it was tried, and what came of it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::outbox::{self, Stored};
use crate::transaction;

/// An event for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDelivery {
    /// Which event.
    pub event: Stored,
    /// Whom: the same event goes there once.
    pub target: String,
    /// The entry of `spec.notify`.
    pub channel: Value,
}

/// One that is to be tried now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Of the delivery.
    pub id: Uuid,
    /// Of the event.
    pub event_id: String,
    /// A word of the catalogue.
    pub event: String,
    /// When it happened.
    pub at: Timestamp,
    /// Where.
    pub namespace: String,
    /// Of which Service.
    pub service: String,
    /// What it is about.
    pub subject: String,
    /// The entry of `spec.notify`.
    pub channel: Value,
    /// What is told.
    pub data: Value,
    /// How often it was tried.
    pub attempts: i32,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It did not, and is tried again then.
    Again(Timestamp, String),
    /// It did not, and is not tried again.
    Dead(String),
}

/// One for people to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Of the delivery.
    pub id: Uuid,
    /// A word of the catalogue.
    pub event: String,
    /// What it is about.
    pub subject: String,
    /// Whom.
    pub target: String,
    /// `pending`, `delivered`, `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// What came of the last try.
    pub last_error: Option<String>,
    /// When it was to be told.
    pub created_at: Timestamp,
    /// When it arrived, or was given up.
    pub finished_at: Option<Timestamp>,
}

/// Looks through what is new in the outbox: `wanted` says who is told what, by the event's Service:
/// `{notify, url}`, its `spec.notify` and the address of its repository. Answers whether there is more.
pub async fn plan(
    pool: &PgPool,
    limit: i64,
    wanted: impl Fn(&Stored, &Value) -> Vec<NewDelivery>,
) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    let seq = sqlx::query_scalar!("select seq from notified for update").fetch_one(&mut *tx).await?;
    let events = outbox::after(pool, seq, limit).await?;
    let Some(last) = events.last().map(|event| event.seq) else { return Ok(false) };
    let more = events.len() as i64 == limit;
    for event in events {
        if event.service.is_empty() {
            continue;
        }
        let service = sqlx::query_scalar!(
            r#"select jsonb_build_object('notify', object #> '{spec,notify}', 'url', object #> '{spec,source,git,url}')
               from services where namespace = $1 and name = $2
               order by gone_at nulls first, resource_version desc limit 1"#,
            event.namespace,
            event.service
        );
        let Some(service) = service.fetch_optional(&mut *tx).await?.flatten() else { continue };
        for NewDelivery { event, target, channel } in wanted(&event, &service) {
            sqlx::query!(
                "insert into deliveries (id, event_id, type, at, namespace, service, subject, target, channel, data, next_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now()) on conflict (event_id, target) do nothing",
                Uuid::new_v4(),
                event.id,
                event.event,
                event.at.to_sqlx() as _,
                event.namespace,
                event.service,
                event.subject,
                target,
                channel,
                event.data
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    sqlx::query!("update notified set seq = $1", last).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(more)
}

/// What is to be tried now; the oldest first.
pub async fn due(pool: &PgPool, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"select id, event_id, type as event, at as "at: jiff_sqlx::Timestamp", namespace, service, subject, channel, data, attempts
           from deliveries where state = 'pending' and next_at <= $1 order by next_at limit $2"#,
        now.to_sqlx() as _,
        limit
    );
    let due = rows.fetch_all(pool).await?.into_iter().map(|row| Due {
        id: row.id,
        event_id: row.event_id,
        event: row.event,
        at: row.at.to_jiff(),
        namespace: row.namespace,
        service: row.service,
        subject: row.subject,
        channel: row.channel,
        data: row.data,
        attempts: row.attempts,
    });
    Ok(due.collect())
}

/// When something is to be tried next.
pub async fn next_at(pool: &PgPool) -> sqlx::Result<Option<Timestamp>> {
    let next = sqlx::query_scalar!(
        r#"select min(next_at) as "next: jiff_sqlx::Timestamp" from deliveries where state = 'pending'"#
    );
    Ok(next.fetch_one(pool).await?.map(jiff_sqlx::Timestamp::to_jiff))
}

/// It was tried.
pub async fn tried(pool: &PgPool, id: Uuid, outcome: &Outcome, now: Timestamp) -> sqlx::Result<()> {
    let (state, next, error) = match outcome {
        Outcome::Delivered => ("delivered", now, None),
        Outcome::Again(at, error) => ("pending", *at, Some(error.as_str())),
        Outcome::Dead(error) => ("dead", now, Some(error.as_str())),
    };
    sqlx::query!(
        "update deliveries set state = $2, next_at = $3, last_error = $4, attempts = attempts + 1,
             finished_at = case when $2 = 'pending' then null else $5::timestamptz end
         where id = $1 and state = 'pending'",
        id,
        state,
        next.to_sqlx() as _,
        error,
        now.to_sqlx() as _
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deliveries of a Service, newest first.
pub async fn list(
    pool: &PgPool,
    namespace: &str,
    service: &str,
    state: Option<&str>,
) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"select id, type as event, subject, target, state, attempts, next_at as "next_at: jiff_sqlx::Timestamp", last_error,
               created_at as "created_at: jiff_sqlx::Timestamp", finished_at as "finished_at: jiff_sqlx::Timestamp"
           from deliveries where namespace = $1 and service = $2 and ($3::text is null or state = $3)
           order by created_at desc, id limit 200"#,
        namespace,
        service,
        state
    );
    let listed = rows.fetch_all(pool).await?.into_iter().map(|row| Listed {
        id: row.id,
        event: row.event,
        subject: row.subject,
        target: row.target,
        state: row.state,
        attempts: row.attempts,
        next_at: row.next_at.to_jiff(),
        last_error: row.last_error,
        created_at: row.created_at.to_jiff(),
        finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    });
    Ok(listed.collect())
}

/// Tried anew, from the beginning. False: there is none of this Service that was given up or waits.
pub async fn again(
    pool: &PgPool,
    namespace: &str,
    service: &str,
    id: Uuid,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    let done = sqlx::query!(
        "update deliveries set state = 'pending', attempts = 0, next_at = $4, finished_at = null
         where id = $1 and namespace = $2 and service = $3 and state <> 'delivered'",
        id,
        namespace,
        service,
        now.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    // Whoever sends is woken.
    sqlx::query!("select pg_notify('outbox', '') as done").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets what was over before.
pub async fn prune(pool: &PgPool, before: Timestamp) -> sqlx::Result<u64> {
    let gone = sqlx::query!("delete from deliveries where finished_at < $1", before.to_sqlx() as _);
    Ok(gone.execute(pool).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use crds::events::EventType;
    use serde_json::json;

    use super::*;
    use crate::mirror;
    use crate::outbox::Event;

    const NOW: Timestamp = Timestamp::constant(4_000_000_000, 0);

    fn everything(event: &Stored, service: &Value) -> Vec<NewDelivery> {
        let of = |channel: &Value| NewDelivery {
            event: event.clone(),
            target: channel["target"].as_str().unwrap_or_default().to_owned(),
            channel: json!({"of": channel, "url": service["url"]}),
        };
        service["notify"].as_array().map(|entries| entries.iter().map(of).collect()).unwrap_or_default()
    }

    #[sqlx::test]
    async fn an_event_is_planned_once_tried_again_and_given_up(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let git = json!({"url": "https://github.com/web/blog.git"});
        let object = json!({"spec": {"notify": [{"target": "a"}, {"target": "b"}], "source": {"git": &git}}});
        let service = mirror::Row {
            uid: Uuid::from_u128(1),
            namespace: "team".into(),
            name: "blog".into(),
            service: "blog".into(),
            resource_version: 1,
            object,
            run: None,
        };
        mirror::upsert(&pool, epoch, &[service]).await.unwrap();
        let event = Event {
            namespace: "team".into(),
            service: "blog".into(),
            ..Event::of_person(EventType::DeploymentFailed, "", "blog-1", json!({"number": 1}))
        };
        outbox::tell(&pool, &[event]).await.unwrap();
        assert!(!plan(&pool, 10, everything).await.unwrap());
        assert!(!plan(&pool, 10, everything).await.unwrap());
        let found = due(&pool, NOW, 10).await.unwrap();
        assert_eq!((found.len(), &found[0].data, found[0].attempts), (2, &json!({"number": 1}), 0));
        assert_eq!(found[0].channel["url"], git["url"]);

        let later = NOW + jiff::SignedDuration::from_mins(1);
        tried(&pool, found[0].id, &Outcome::Delivered, NOW).await.unwrap();
        tried(&pool, found[1].id, &Outcome::Again(later, "refused".into()), NOW).await.unwrap();
        assert_eq!(due(&pool, NOW, 10).await.unwrap(), []);
        assert_eq!(next_at(&pool).await.unwrap(), Some(later));
        assert_eq!(due(&pool, later, 10).await.unwrap()[0].attempts, 1);
        tried(&pool, found[1].id, &Outcome::Dead("gone".into()), later).await.unwrap();
        let dead = list(&pool, "team", "blog", Some("dead")).await.unwrap();
        assert_eq!((dead.len(), dead[0].last_error.as_deref(), dead[0].attempts), (1, Some("gone"), 2));
        assert!(!again(&pool, "team", "shop", dead[0].id, NOW).await.unwrap());
        assert!(again(&pool, "team", "blog", dead[0].id, NOW).await.unwrap());
        assert!(!again(&pool, "team", "blog", found[0].id, NOW).await.unwrap());
        assert_eq!(due(&pool, NOW, 10).await.unwrap().len(), 1);
    }
}
