//! Tokens for programs: named, for one Service and some verbs, listed, revocable at once. The token
//! itself is not here, only its hash.

use crds::events::EventType;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::outbox::{self, Event};
use crate::transaction;

/// A token for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// `service`: made by a person; `federated`: given for a token of a trusted issuer.
    pub kind: String,
    /// What it is for.
    pub name: String,
    /// Of the Service.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// What it may do.
    pub verbs: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last shown, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When somebody ended it.
    pub revoked_at: Option<Timestamp>,
}

/// A new one is known from now on. False: that id was given before.
pub async fn create(pool: &PgPool, token: &Token, hash: &[u8]) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    let made = sqlx::query!(
        "insert into tokens (id, kind, hash, name, namespace, service, verbs, created_by, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (id) do nothing",
        token.id,
        token.kind,
        hash,
        token.name,
        token.namespace,
        token.service,
        &token.verbs,
        token.created_by,
        token.created_at.to_sqlx() as _,
        token.expires_at.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    outbox::append(&mut tx, &[event(EventType::TokenIssued, token, &token.created_by)]).await?;
    tx.commit().await?;
    Ok(true)
}

fn event(event: EventType, token: &Token, by: &str) -> Event {
    let data = json!({"id": token.id, "name": token.name, "kind": token.kind, "verbs": token.verbs,
        "namespace": token.namespace, "service": token.service, "expiresAt": token.expires_at});
    let (namespace, service) = (token.namespace.clone(), token.service.clone());
    Event { namespace, service, ..Event::of_person(event, by, &token.name, data) }
}

/// Tokens of a Service, newest first; those that have ended only for a month, of those of pipelines for a day: there
/// is one for each job, and they would hide the others.
pub async fn list(pool: &PgPool, namespace: &str, service: &str) -> sqlx::Result<Vec<Token>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, kind, name, namespace, service, verbs, created_by,
               created_at as "created_at: jiff_sqlx::Timestamp", expires_at as "expires_at: jiff_sqlx::Timestamp",
               last_used_at as "last_used_at: jiff_sqlx::Timestamp", revoked_at as "revoked_at: jiff_sqlx::Timestamp"
           from tokens where namespace = $1 and service = $2
               and coalesce(revoked_at, expires_at) > now() - case kind when 'federated' then interval '1 day' else interval '30 days' end
           order by created_at desc limit 500"#,
        namespace,
        service
    );
    Ok(rows.fetch_all(pool).await?.into_iter().map(Row::token).collect())
}

/// The token of that id, if it is the one with that hash.
pub async fn find(pool: &PgPool, id: Uuid, hash: &[u8]) -> sqlx::Result<Option<Token>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, kind, name, namespace, service, verbs, created_by,
               created_at as "created_at: jiff_sqlx::Timestamp", expires_at as "expires_at: jiff_sqlx::Timestamp",
               last_used_at as "last_used_at: jiff_sqlx::Timestamp", revoked_at as "revoked_at: jiff_sqlx::Timestamp"
           from tokens where id = $1 and hash = $2"#,
        id,
        hash
    );
    Ok(row.fetch_optional(pool).await?.map(Row::token))
}

/// The token of that id.
pub async fn by_id(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Token>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, kind, name, namespace, service, verbs, created_by,
               created_at as "created_at: jiff_sqlx::Timestamp", expires_at as "expires_at: jiff_sqlx::Timestamp",
               last_used_at as "last_used_at: jiff_sqlx::Timestamp", revoked_at as "revoked_at: jiff_sqlx::Timestamp"
           from tokens where id = $1"#,
        id
    );
    Ok(row.fetch_optional(pool).await?.map(Row::token))
}

/// It was shown: noted at most once a minute.
pub async fn used(pool: &PgPool, id: Uuid, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update tokens set last_used_at = $2
         where id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')",
        id,
        now.to_sqlx() as _
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// From now on it does not count. False: it did not before.
pub async fn revoke(pool: &PgPool, token: &Token, now: Timestamp, by: &str) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    let revoked = sqlx::query!(
        "update tokens set revoked_at = $2, revoked_by = $3 where id = $1 and revoked_at is null",
        token.id,
        now.to_sqlx() as _,
        by
    )
    .execute(&mut *tx)
    .await?;
    if revoked.rows_affected() == 0 {
        return Ok(false);
    }
    outbox::append(&mut tx, &[event(EventType::TokenRevoked, token, by)]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Of which Service a Deployment is.
pub async fn service_of(pool: &PgPool, namespace: &str, deployment: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select service from deployments where namespace = $1 and name = $2 order by created_at desc limit 1",
        namespace,
        deployment
    )
    .fetch_optional(pool)
    .await
}

struct Row {
    id: Uuid,
    kind: String,
    name: String,
    namespace: String,
    service: String,
    verbs: Vec<String>,
    created_by: String,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    last_used_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
}

impl Row {
    fn token(self) -> Token {
        Token {
            id: self.id,
            kind: self.kind,
            name: self.name,
            namespace: self.namespace,
            service: self.service,
            verbs: self.verbs,
            created_by: self.created_by,
            created_at: self.created_at.to_jiff(),
            expires_at: self.expires_at.to_jiff(),
            last_used_at: self.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
            revoked_at: self.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[sqlx::test]
    async fn a_token_is_found_by_its_hash_and_revoked_once(pool: PgPool) {
        let token = Token {
            id: Uuid::from_u128(7),
            kind: "service".into(),
            name: "ci".into(),
            namespace: "team".into(),
            service: "blog".into(),
            verbs: vec!["deploy".into()],
            created_by: "anna".into(),
            created_at: NOW,
            expires_at: Timestamp::now() + jiff::SignedDuration::from_hours(1),
            last_used_at: None,
            revoked_at: None,
        };
        assert!(create(&pool, &token, b"hash").await.unwrap());
        assert!(!create(&pool, &token, b"again").await.unwrap());
        assert_eq!(find(&pool, token.id, b"other").await.unwrap(), None);
        used(&pool, token.id, NOW).await.unwrap();
        used(&pool, token.id, NOW + jiff::SignedDuration::from_secs(30)).await.unwrap();
        let found = find(&pool, token.id, b"hash").await.unwrap().unwrap();
        assert_eq!((found.last_used_at, found.revoked_at), (Some(NOW), None));
        assert!(revoke(&pool, &token, NOW, "ben").await.unwrap());
        assert!(!revoke(&pool, &token, NOW, "ben").await.unwrap());
        assert_eq!(find(&pool, token.id, b"hash").await.unwrap().unwrap().revoked_at, Some(NOW));
        let told: Vec<_> = outbox::after(&pool, 0, 10)
            .await
            .unwrap()
            .into_iter()
            .map(|event| (event.event, event.actor))
            .collect();
        assert_eq!(
            told,
            [("token.issued".to_owned(), "anna".to_owned()), ("token.revoked".to_owned(), "ben".to_owned())]
        );
        // One for each job of a pipeline: those that have ended do not hide what people have made.
        let hours = |n| Timestamp::now() + jiff::SignedDuration::from_hours(n);
        for (n, ended) in [(8, hours(-23)), (9, hours(-25))] {
            let id = Uuid::from_u128(n);
            let job = Token { id, kind: "federated".into(), expires_at: ended, ..token.clone() };
            assert!(create(&pool, &job, b"job").await.unwrap());
        }
        let listed: Vec<_> =
            list(&pool, "team", "blog").await.unwrap().iter().map(|it| it.id.as_u128()).collect();
        assert!(listed.len() == 2 && !listed.contains(&9), "{listed:?}");
    }
}
