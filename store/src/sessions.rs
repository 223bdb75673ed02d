//! Browsers that are signed in. Each refresh replaces the token; a replaced one that is shown again
//! later ends the whole family: somebody has copied it.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

use crate::transaction;

/// Two tabs may refresh at once, and an answer may be lost: so long a replaced token still works.
pub const GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What is kept of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// SHA-256.
    pub hash: &'a [u8],
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Who a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Account.
    pub name: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// As the organisation says.
    pub groups: Vec<String>,
    /// The password was chosen by somebody else.
    pub must_change: bool,
    /// An organisation says who it is.
    pub organisation: bool,
    /// All tokens of one sign-in.
    pub family: Uuid,
}

/// A browser has signed in.
pub async fn start(pool: &PgPool, user_id: i64, family: Uuid, token: Token<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "with forgotten as (delete from sessions where user_id = $3 and expires_at < now()),
         noted as (update users set last_signed_in_at = now() where id = $3)
         insert into sessions (token_hash, family, user_id, expires_at) values ($1, $2, $3, $4)",
        token.hash,
        family,
        user_id,
        token.expires_at.to_sqlx() as _
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Replaces a token by a new one. Who signed in with an organisation asks it again when the first one would have
/// ended: it may have other words for them by then. None: it does not count (any more), nor does any of its family if
/// it was copied.
pub async fn replace(
    pool: &PgPool,
    hash: &[u8],
    new: Token<'_>,
    now: Timestamp,
) -> sqlx::Result<Option<Owner>> {
    let mut tx = transaction::begin(pool).await?;
    let found = sqlx::query!(
        r#"select s.family, s.user_id, s.replaced_at as "replaced_at: jiff_sqlx::Timestamp", u.name, u.admin, u.groups, u.must_change,
               s.expires_at as "expires_at: jiff_sqlx::Timestamp", u.issuer is not null as "organisation!",
               s.expires_at > $2 and u.disabled_at is null as "counts!"
           from sessions s join users u on u.id = s.user_id
           where s.token_hash = $1 for update of s"#,
        hash,
        now.to_sqlx() as _
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let copied = found.replaced_at.is_some_and(|at| at.to_jiff() + GRACE < now);
    if copied || !found.counts {
        sqlx::query!("delete from sessions where family = $1", found.family).execute(&mut *tx).await?;
        tx.commit().await?;
        return Ok(None);
    }
    sqlx::query!(
        "update sessions set replaced_at = $2 where token_hash = $1 and replaced_at is null",
        hash,
        now.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    let until = if found.organisation { found.expires_at.to_jiff() } else { new.expires_at };
    // What was replaced long ago is kept until it would have ended: only so a copy is noticed.
    sqlx::query!(
        "insert into sessions (token_hash, family, user_id, expires_at) values ($1, $2, $3, $4)",
        new.hash,
        found.family,
        found.user_id,
        until.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let (name, groups, family) = (found.name, found.groups, found.family);
    let (admin, must_change, organisation) = (found.admin, found.must_change, found.organisation);
    Ok(Some(Owner { name, admin, groups, must_change, organisation, family }))
}

/// Who was signed out.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Name of the account.
    pub name: String,
    /// The organisation that it had signed in with.
    pub issuer: Option<String>,
}

/// The browser that shows this token is signed out, with all of its tokens. Nobody: it was not signed in.
pub async fn end(pool: &PgPool, hash: &[u8]) -> sqlx::Result<Option<Ended>> {
    sqlx::query_as!(
        Ended,
        "with ended as (
             delete from sessions where family = (select family from sessions where token_hash = $1) returning user_id
         )
         select distinct u.name, u.issuer from ended e join users u on u.id = e.user_id",
        hash
    )
    .fetch_optional(pool)
    .await
}

/// Whether a sign-in still counts and its account may still be used.
pub async fn counts(pool: &PgPool, family: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions s join users u on u.id = s.user_id
               where s.family = $1 and u.disabled_at is null) as "exists!""#,
        family
    )
    .fetch_one(pool)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn token(hash: &[u8]) -> Token<'_> {
        Token { hash, expires_at: NOW + SignedDuration::from_hours(24) }
    }

    async fn signed_in(pool: &PgPool) -> Uuid {
        users::make_first_admin(pool, "anna", "x").await.unwrap();
        let anna = users::by_name(pool, "anna").await.unwrap().unwrap();
        let family = Uuid::from_u128(1);
        start(pool, anna.id, family, token(b"a")).await.unwrap();
        family
    }

    #[sqlx::test]
    async fn a_token_is_replaced_and_two_tabs_may_do_it_at_once(pool: PgPool) {
        let family = signed_in(&pool).await;
        let owner = replace(&pool, b"a", token(b"b"), NOW).await.unwrap().unwrap();
        assert_eq!((owner.name.as_str(), owner.admin, owner.family), ("anna", true, family));
        let later = NOW + SignedDuration::from_secs(20);
        assert!(replace(&pool, b"a", token(b"c"), later).await.unwrap().is_some());
        assert!(replace(&pool, b"b", token(b"d"), later).await.unwrap().is_some());
        assert!(replace(&pool, b"nonsense", token(b"e"), later).await.unwrap().is_none());
    }

    #[sqlx::test]
    async fn a_copied_token_ends_the_whole_family(pool: PgPool) {
        let family = signed_in(&pool).await;
        replace(&pool, b"a", token(b"b"), NOW).await.unwrap().unwrap();
        let later = NOW + SignedDuration::from_secs(31);
        assert!(replace(&pool, b"a", token(b"c"), later).await.unwrap().is_none());
        assert!(replace(&pool, b"b", token(b"d"), later).await.unwrap().is_none());
        assert!(!counts(&pool, family).await.unwrap());
    }

    #[sqlx::test]
    async fn an_expired_or_ended_or_disabled_one_does_not_count(pool: PgPool) {
        let family = signed_in(&pool).await;
        let day = NOW + SignedDuration::from_hours(24);
        assert!(replace(&pool, b"a", token(b"b"), day).await.unwrap().is_none());

        let anna = users::by_name(&pool, "anna").await.unwrap().unwrap();
        start(&pool, anna.id, family, token(b"c")).await.unwrap();
        assert!(counts(&pool, family).await.unwrap());
        let anna_ended = Ended { name: "anna".into(), issuer: None };
        assert_eq!(end(&pool, b"c").await.unwrap(), Some(anna_ended));
        assert_eq!(end(&pool, b"c").await.unwrap(), None);
        assert!(replace(&pool, b"c", token(b"d"), NOW).await.unwrap().is_none());

        start(&pool, anna.id, family, token(b"e")).await.unwrap();
        sqlx::query!("update users set disabled_at = now()").execute(&pool).await.unwrap();
        assert!(!counts(&pool, family).await.unwrap());
        assert!(replace(&pool, b"e", token(b"f"), NOW).await.unwrap().is_none());
    }

    #[sqlx::test]
    async fn who_comes_from_an_organisation_asks_it_again_in_time(pool: PgPool) {
        let identity = users::Identity {
            issuer: "https://sso".into(),
            subject: "1".into(),
            name: "oidc:anna".into(),
            groups: vec!["oidc:web".into()],
        };
        let users::Identified::Is(anna) = users::identified(&pool, &identity, NOW).await.unwrap() else {
            panic!()
        };
        let first = Token { hash: b"a", expires_at: NOW + SignedDuration::from_hours(12) };
        start(&pool, anna.id, Uuid::from_u128(1), first).await.unwrap();
        let longer = |hash| Token { hash, expires_at: NOW + SignedDuration::from_hours(1_000) };
        let owner = replace(&pool, b"a", longer(b"b"), NOW).await.unwrap().unwrap();
        assert_eq!((owner.groups, owner.organisation), (vec!["oidc:web".to_owned()], true));
        let later = NOW + SignedDuration::from_hours(12);
        assert!(replace(&pool, b"b", longer(b"c"), later).await.unwrap().is_none());

        start(&pool, anna.id, Uuid::from_u128(2), longer(b"d")).await.unwrap();
        let ended = end(&pool, b"d").await.unwrap().unwrap();
        assert_eq!((ended.name.as_str(), ended.issuer.as_deref()), ("oidc:anna", Some("https://sso")));
        assert_eq!(end(&pool, b"d").await.unwrap(), None);
    }
}
