//! What has happened, by the names of the catalogue, numbered in the order of the commits. The same
//! thing stands here once, however often it is seen.

use crds::events::{EventType, Milestone, changer, deployment_data, of_deployment, of_service, service_data};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::mirror::Kind;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The same once only.
    pub id: String,
    /// What.
    pub event: EventType,
    /// When; none: now.
    pub at: Option<Timestamp>,
    /// Where; empty where it is about no namespace.
    pub namespace: String,
    /// Of which Service; may be empty.
    pub service: String,
    /// What or whom it is about.
    pub subject: String,
    /// Who did it; may be empty.
    pub actor: String,
    /// What is told with it.
    pub data: Value,
}

/// One that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number.
    pub seq: i64,
    /// The same once only.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// A word of the catalogue, perhaps of a newer one.
    pub event: String,
    /// Where.
    pub namespace: String,
    /// Of which Service.
    pub service: String,
    /// What or whom it is about.
    pub subject: String,
    /// Who did it.
    pub actor: String,
    /// What is told with it.
    pub data: Value,
}

impl Event {
    /// Something that somebody did to an account, a role or a token.
    pub fn of_person(event: EventType, actor: &str, subject: &str, data: Value) -> Self {
        Self {
            id: format!("{}/{}", event.as_str(), Uuid::new_v4()),
            event,
            at: None,
            namespace: String::new(),
            service: String::new(),
            subject: subject.to_owned(),
            actor: actor.to_owned(),
            data,
        }
    }
}

/// An object that was written, as it was and as it is.
pub(crate) struct Seen<'a> {
    pub kind: Kind,
    pub uid: Uuid,
    pub namespace: &'a str,
    pub name: &'a str,
    pub service: &'a str,
    pub old: Option<&'a Value>,
    pub new: &'a Value,
}

/// What has happened to an object. Of one that is seen for the first time only what is not older
/// than this database: what the one before has told is not told again.
pub(crate) fn happened(seen: &Seen<'_>, since: Timestamp) -> Vec<Event> {
    let (milestones, data) = match seen.kind {
        Kind::Service => (of_service(seen.old, seen.new), service_data(seen.new)),
        Kind::Deployment => (of_deployment(seen.old, seen.new), deployment_data(seen.new)),
    };
    let since = since.as_second();
    let news = milestones
        .into_iter()
        .filter(|milestone| seen.old.is_some() || milestone.at.is_some_and(|at| at.as_second() >= since));
    let actor = |milestone: &Milestone| {
        let who = match milestone.event {
            EventType::DeploymentApproved | EventType::DeploymentRejected => data["approval"]["by"].as_str(),
            EventType::DeploymentRequested => data["requestedBy"]["name"].as_str(),
            EventType::ServiceCreated | EventType::ServiceUpdated => changer(seen.new),
            _ => None,
        };
        who.unwrap_or_default().to_owned()
    };
    news.map(|milestone| Event {
        id: format!("{}/{}/{}", seen.uid, milestone.event.as_str(), milestone.key),
        event: milestone.event,
        at: milestone.at,
        namespace: seen.namespace.to_owned(),
        service: seen.service.to_owned(),
        subject: seen.name.to_owned(),
        actor: actor(&milestone),
        data: data.clone(),
    })
    .collect()
}

/// Numbers events and tells whoever listens, with the commit. To be called at the end of a
/// transaction, before [`crate::changes::append`]: from here to the commit, all others wait who number.
pub async fn append(tx: &mut PgConnection, events: &[Event]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let text = |of: fn(&Event) -> &str| events.iter().map(|event| of(event).to_owned()).collect::<Vec<_>>();
    let at: Vec<Option<jiff_sqlx::Timestamp>> =
        events.iter().map(|event| event.at.map(ToSqlx::to_sqlx)).collect();
    let data: Vec<Value> = events.iter().map(|event| event.data.clone()).collect();
    sqlx::query!(
        "with numbers as (update stream set events = events + cardinality($1::text[]) returning events as last),
         added as (
             insert into outbox (seq, id, at, type, namespace, service, subject, actor, data)
             select numbers.last - cardinality($1::text[]) + place, id, coalesce(event.at, now()), type, namespace,
                 service, subject, actor, data
             from numbers, unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[])
                 with ordinality as event (id, at, type, namespace, service, subject, actor, data, place)
             on conflict (id) do nothing
             returning *
         ),
         -- And into the audit log, for as long as that is kept.
         noted as (
             insert into activity (happened_at, kind, what, actor, namespace, service, subject, data)
             select at, 'event', type, actor, namespace, service, subject, data from added order by seq
         )
         select pg_notify('outbox', '') from (select max(seq) from added) as any_of_them",
        &text(|event| &event.id),
        &at as _,
        &text(|event| event.event.as_str()),
        &text(|event| &event.namespace),
        &text(|event| &event.service),
        &text(|event| &event.subject),
        &text(|event| &event.actor),
        &data
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores events that go with no other change.
pub async fn tell(pool: &PgPool, events: &[Event]) -> sqlx::Result<()> {
    let mut tx = crate::transaction::begin(pool).await?;
    append(&mut tx, events).await?;
    tx.commit().await
}

/// Events behind a number, in their order.
pub async fn after(pool: &PgPool, seq: i64, limit: i64) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"select seq, id, at as "at: jiff_sqlx::Timestamp", type as event, namespace, service, subject, actor, data
           from outbox where seq > $1 order by seq limit $2"#,
        seq,
        limit
    );
    let rows = rows.fetch_all(pool).await?;
    let stored = rows.into_iter().map(|row| Stored {
        seq: row.seq,
        id: row.id,
        at: row.at.to_jiff(),
        event: row.event,
        namespace: row.namespace,
        service: row.service,
        subject: row.subject,
        actor: row.actor,
        data: row.data,
    });
    Ok(stored.collect())
}

/// Forgets events that were stored before.
pub async fn prune(pool: &PgPool, before: Timestamp) -> sqlx::Result<u64> {
    let gone = sqlx::query!("delete from outbox where stored_at < $1", before.to_sqlx() as _);
    Ok(gone.execute(pool).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::mirror::{self, Row, Run};

    fn row(n: u128, version: i64, status: &Value, created: &str) -> Row {
        let run = Run { number: None, phase: None, created_at: Timestamp::UNIX_EPOCH, finished_at: None };
        Row {
            uid: Uuid::from_u128(n),
            namespace: "team".into(),
            name: format!("blog-{n}"),
            service: "blog".into(),
            resource_version: version,
            object: json!({"metadata": {"name": format!("blog-{n}"), "creationTimestamp": created}, "spec": {"service": "blog"}, "status": status}),
            run: Some(run),
        }
    }

    async fn told(pool: &PgPool) -> Vec<(String, String)> {
        let told = after(pool, 0, 100).await.unwrap();
        assert!(told.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        told.into_iter().map(|event| (event.subject, event.event)).collect()
    }

    fn words(subject: &str, events: &[&str]) -> Vec<(String, String)> {
        events.iter().map(|event| (subject.to_owned(), format!("deployment.{event}"))).collect()
    }

    #[sqlx::test]
    async fn what_happens_to_a_run_is_told_once_in_its_order(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let now = Timestamp::now().to_string();
        let done = json!({"phase": "Failed", "attempt": 1, "startedAt": now, "finishedAt": now, "failure": {"message": "disk full"}});
        mirror::upsert(&pool, epoch, &[row(1, 1, &json!({}), &now)]).await.unwrap();
        // Whoever is faster, and however often.
        for version in [1, 2, 2, 3] {
            mirror::upsert(&pool, epoch, &[row(1, version, &done, &now)]).await.unwrap();
        }
        assert_eq!(told(&pool).await, words("blog-1", &["requested", "queued", "started", "failed"]));
        let last = after(&pool, 3, 10).await.unwrap().pop().unwrap();
        assert_eq!((last.service.as_str(), &last.data["failure"]["message"]), ("blog", &json!("disk full")));
    }

    #[sqlx::test]
    async fn who_asked_agreed_or_refused_is_told_with_it(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let now = Timestamp::now().to_string();
        let refused = json!({"phase": "Cancelled", "finishedAt": now, "approval": {"decision": "Rejected", "by": "bob", "at": now}});
        // The operator has not looked at it yet; then somebody else says no.
        for (version, status) in [(1, json!({})), (2, refused)] {
            let mut run = row(1, version, &status, &now);
            run.object["metadata"]["annotations"] = json!({"fastdeploy.dev/requested-by": "fastdeploy:anna"});
            mirror::upsert(&pool, epoch, &[run]).await.unwrap();
        }
        let told: Vec<_> =
            after(&pool, 0, 9).await.unwrap().into_iter().map(|e| (e.event, e.actor)).collect();
        let told: Vec<_> = told.iter().map(|(event, actor)| (event.as_str(), actor.as_str())).collect();
        assert_eq!(
            told,
            [
                ("deployment.requested", "anna"),
                ("deployment.awaitingApproval", ""),
                ("deployment.rejected", "bob"),
                ("deployment.cancelled", "")
            ]
        );
    }

    #[sqlx::test]
    async fn who_changed_a_service_is_told_with_it_and_nobody_else_is(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let now = Timestamp::now().to_string();
        // Made by anna, changed by ben; then by somebody in a cluster that does not ask who it is.
        for (version, generation, by, of) in
            [(1, 1, "anna", "1"), (2, 2, "fastdeploy:ben", "2"), (3, 3, "fastdeploy:ben", "2")]
        {
            let object = json!({"metadata": {"creationTimestamp": now, "generation": generation, "annotations": {
                "fastdeploy.dev/changed-by": by, "fastdeploy.dev/changed-generation": of}}});
            let service =
                Row { run: None, object, resource_version: version, ..row(1, version, &json!({}), &now) };
            mirror::upsert(&pool, epoch, &[service]).await.unwrap();
        }
        let told: Vec<_> = after(&pool, 0, 9)
            .await
            .unwrap()
            .into_iter()
            .map(|e| format!("{} {}", e.event, e.actor))
            .collect();
        assert_eq!(told, ["service.created anna", "service.updated ben", "service.updated "]);
    }

    #[sqlx::test]
    async fn two_who_see_a_new_run_at_once_tell_it_once(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let now = Timestamp::now().to_string();
        let all = (1..=8).map(|version| {
            let (pool, row) = (pool.clone(), row(1, version, &json!({"phase": "Queued"}), &now));
            async move { mirror::upsert(&pool, epoch, &[row]).await.unwrap() }
        });
        futures::future::join_all(all).await;
        assert_eq!(told(&pool).await, words("blog-1", &["requested", "queued"]));
    }

    #[sqlx::test]
    async fn a_new_database_does_not_tell_again_what_is_long_over(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let old = "2020-01-01T00:00:00Z";
        let over = json!({"phase": "Failed", "attempt": 1, "startedAt": old, "finishedAt": old});
        let running = json!({"phase": "Running", "attempt": 1, "startedAt": old});
        mirror::upsert(&pool, epoch, &[row(1, 1, &over, old), row(2, 2, &running, old)]).await.unwrap();
        assert_eq!(told(&pool).await, []);
        let done = json!({"phase": "Succeeded", "attempt": 1, "startedAt": old, "finishedAt": Timestamp::now().to_string()});
        mirror::upsert(&pool, epoch, &[row(2, 3, &done, old)]).await.unwrap();
        assert_eq!(told(&pool).await, words("blog-2", &["finished"]));
    }

    #[sqlx::test]
    async fn a_service_that_is_gone_is_told(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let service =
            Row { run: None, name: "blog".into(), ..row(1, 1, &json!({}), &Timestamp::now().to_string()) };
        mirror::upsert(&pool, epoch, &[service]).await.unwrap();
        let ended = BTreeMap::from([(Uuid::from_u128(1), 5)]);
        mirror::gone(&pool, epoch, Kind::Service, &ended).await.unwrap();
        mirror::gone(&pool, epoch, Kind::Service, &ended).await.unwrap();
        let told: Vec<_> = told(&pool).await.into_iter().map(|(_, event)| event).collect();
        assert_eq!(told, ["service.created", "service.deleted"]);
    }

    #[sqlx::test]
    async fn numbers_appear_in_the_order_of_the_commits(pool: PgPool) {
        let event = |name: &str| Event::of_person(EventType::UserCreated, "admin", name, json!({}));
        let mut held = crate::transaction::begin(&pool).await.unwrap();
        append(&mut held, &[event("first")]).await.unwrap();
        let other = pool.clone();
        let second = tokio::spawn(async move { tell(&other, &[event("second")]).await });
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        // The second waits for the first, so nobody who reads now skips it.
        assert!(!second.is_finished() && after(&pool, 0, 10).await.unwrap().is_empty());
        held.commit().await.unwrap();
        second.await.unwrap().unwrap();
        let told: Vec<_> =
            after(&pool, 0, 10).await.unwrap().into_iter().map(|event| event.subject).collect();
        assert_eq!(told, ["first", "second"]);
    }
}
