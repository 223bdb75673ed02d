//! The audit log: who did what, when, from where, with which result. What happened comes with the
//! outbox ([`crate::outbox::append`]), what was asked of the API from here. Nothing is changed ever.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::read::Namespaces;

/// A request that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The operation.
    pub what: String,
    /// Who.
    pub actor: String,
    /// From where, as far as is known.
    pub address: String,
    /// With which program.
    pub agent: String,
    /// Its number.
    pub request_id: String,
    /// Where; may be empty.
    pub namespace: String,
    /// Which Service; may be empty.
    pub service: String,
    /// What or whom it is about.
    pub subject: String,
    /// Of the answer.
    pub status: i32,
    /// What was said besides.
    pub data: Value,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number; not without gaps.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// `event` or `request`.
    pub kind: String,
    /// What.
    pub what: String,
    /// Who; empty: not known.
    pub actor: String,
    /// From where.
    pub address: String,
    /// With which program.
    pub agent: String,
    /// The number of the request.
    pub request_id: String,
    /// Where.
    pub namespace: String,
    /// Which Service.
    pub service: String,
    /// What or whom it is about.
    pub subject: String,
    /// Of a request's answer.
    pub status: Option<i32>,
    /// What is told with it.
    pub data: Value,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `event` or `request`.
    pub kind: Option<String>,
    /// The event or operation, or what it begins with.
    pub what: Option<String>,
    /// Who.
    pub actor: Option<String>,
    /// Where.
    pub namespace: Option<String>,
    /// Which Service.
    pub service: Option<String>,
    /// About what or whom.
    pub subject: Option<String>,
    /// Then or later.
    pub from: Option<Timestamp>,
    /// Earlier.
    pub to: Option<Timestamp>,
}

/// Writes down what was asked. Of a Deployment that is named by its uid, place and Service are looked up.
pub async fn asked(pool: &PgPool, request: &Request) -> sqlx::Result<()> {
    let uid = Uuid::parse_str(&request.subject).ok();
    sqlx::query!(
        "insert into activity (kind, what, actor, address, agent, request_id, namespace, service, subject, status, data)
         select 'request', $1, $2, $3, $4, $5, coalesce(d.namespace, $6), coalesce(d.service, $7), coalesce(d.name, $8), $9, $10
         from (select) as one left join deployments d on d.uid = $11",
        request.what,
        request.actor,
        request.address,
        request.agent,
        request.request_id,
        request.namespace,
        request.service,
        request.subject,
        request.status,
        request.data,
        uid
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Newest first, older than `before`, at most `limit`. `everything`: also what belongs to no namespace.
pub async fn list(
    pool: &PgPool,
    of: &Namespaces,
    everything: bool,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let (all, only) = of.columns();
    let rows = sqlx::query!(
        r#"select id, coalesce(happened_at, at) as "at!: jiff_sqlx::Timestamp", kind, what, actor, address, agent,
               request_id, namespace, service, subject, status, data
           from activity
           where (namespace <> '' and ($1 or namespace = any($2)) or namespace = '' and $3)
               and ($4::text is null or kind = $4)
               and ($5::text is null or starts_with(what, $5))
               and ($6::text is null or actor = $6)
               and ($7::text is null or namespace = $7)
               and ($8::text is null or service = $8)
               and ($9::text is null or subject = $9)
               and ($10::timestamptz is null or at >= $10)
               and ($11::timestamptz is null or at < $11)
               and ($12::bigint is null or id < $12)
           order by id desc limit $13"#,
        all,
        only,
        everything,
        filter.kind,
        filter.what,
        filter.actor,
        filter.namespace,
        filter.service,
        filter.subject,
        filter.from.map(ToSqlx::to_sqlx) as _,
        filter.to.map(ToSqlx::to_sqlx) as _,
        before,
        limit
    );
    let rows = rows.fetch_all(pool).await?.into_iter().map(|row| Entry {
        id: row.id,
        at: row.at.to_jiff(),
        kind: row.kind,
        what: row.what,
        actor: row.actor,
        address: row.address,
        agent: row.agent,
        request_id: row.request_id,
        namespace: row.namespace,
        service: row.service,
        subject: row.subject,
        status: row.status,
        data: row.data,
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::outbox::{Event, tell};

    fn request(actor: &str, namespace: &str) -> Request {
        Request {
            what: "startDeployment".into(),
            actor: actor.into(),
            address: "10.0.0.1".into(),
            agent: "curl".into(),
            request_id: "r".into(),
            namespace: namespace.into(),
            service: "blog".into(),
            subject: "blog".into(),
            status: 201,
            data: json!({}),
        }
    }

    #[sqlx::test]
    async fn what_was_asked_and_what_happened_stand_in_one_log_that_nobody_changes(pool: PgPool) {
        asked(&pool, &request("anna", "team")).await.unwrap();
        let made = Event::of_person(crds::events::EventType::UserCreated, "admin", "ben", json!({}));
        tell(&pool, &[made.clone(), made]).await.unwrap();
        asked(&pool, &request("carl", "other")).await.unwrap();
        let who = async |of: Namespaces, everything, filter: Filter| {
            let found = list(&pool, &of, everything, &filter, None, 10).await.unwrap();
            found.into_iter().map(|entry| entry.actor).collect::<Vec<_>>()
        };
        let none = Filter::default;
        assert_eq!(who(Namespaces::All, true, none()).await, ["carl", "admin", "anna"]);
        assert_eq!(who(Namespaces::All, false, none()).await, ["carl", "anna"]);
        assert_eq!(who(Namespaces::Only(vec!["team".into()]), false, none()).await, ["anna"]);
        let users = Filter { what: Some("user.".into()), ..none() };
        assert_eq!(who(Namespaces::All, true, users).await, ["admin"]);
        for change in ["update activity set actor = 'x'", "delete from activity"] {
            let refused = sqlx::raw_sql(change).execute(&pool).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
    }
}
