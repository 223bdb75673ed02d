//! People: accounts of their own, and those of an organisation that have signed in once.

use crds::events::EventType;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::outbox::{self, Event};
use crate::transaction;

/// An account, as signing in needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Ours.
    pub id: i64,
    /// As typed when signing in.
    pub name: String,
    /// argon2id, PHC string; none: the organisation says who it is.
    pub password_hash: Option<String>,
    /// May do everything with our objects.
    pub admin: bool,
    /// May not sign in any more.
    pub disabled: bool,
    /// The password was chosen by somebody else.
    pub must_change: bool,
    /// As the organisation says.
    pub groups: Vec<String>,
    /// An organisation says who it is: Kubernetes knows it by the very same name.
    pub organisation: bool,
}

/// An account, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As typed when signing in.
    pub name: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// May not sign in any more.
    pub disabled: bool,
    /// The organisation that says who it is.
    pub issuer: Option<String>,
    /// As the organisation says.
    pub groups: Vec<String>,
    /// The password was chosen by somebody else.
    pub must_change: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last signed in with it.
    pub last_signed_in_at: Option<Timestamp>,
}

/// What is to be other. None: as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// May do everything with our objects.
    pub admin: Option<bool>,
    /// May not sign in any more.
    pub disabled: Option<bool>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done,
    /// There is no such account.
    Missing,
    /// Nobody could administer any more.
    LastAdmin,
    /// The organisation says who it is: there is no password.
    NoPassword,
}

/// Who an organisation says somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which organisation.
    pub issuer: String,
    /// By which id.
    pub subject: String,
    /// How they are called, with our prefix.
    pub name: String,
    /// What they belong to, with our prefix.
    pub groups: Vec<String>,
}

/// The account of that name.
pub async fn by_name(pool: &PgPool, name: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        r#"select id, name, password_hash, admin, disabled_at is not null as "disabled!", must_change, groups,
               issuer is not null as "organisation!"
           from users where name = $1 and deleted_at is null"#,
        name
    )
    .fetch_optional(pool)
    .await
}

/// Accounts by name, behind a name.
pub async fn list(pool: &PgPool, after: Option<&str>, limit: i64) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"select name, admin, disabled_at is not null as "disabled!", issuer, groups, must_change,
               created_at as "created_at: jiff_sqlx::Timestamp",
               last_signed_in_at as "last_signed_in_at: jiff_sqlx::Timestamp"
           from users where deleted_at is null and ($1::text is null or name > $1) order by name limit $2"#,
        after,
        limit
    );
    let rows = rows.fetch_all(pool).await?;
    let listed = rows.into_iter().map(|row| Listed {
        name: row.name,
        admin: row.admin,
        disabled: row.disabled,
        issuer: row.issuer,
        groups: row.groups,
        must_change: row.must_change,
        created_at: row.created_at.to_jiff(),
        last_signed_in_at: row.last_signed_in_at.map(jiff_sqlx::Timestamp::to_jiff),
    });
    Ok(listed.collect())
}

/// Makes an account. False: the name was given before, perhaps to one that is gone.
pub async fn create(
    pool: &PgPool,
    (name, admin): (&str, bool),
    password_hash: &str,
    by: &str,
) -> sqlx::Result<bool> {
    let mut tx = transaction::begin(pool).await?;
    let made = sqlx::query!(
        "insert into users (name, password_hash, admin, must_change) values ($1, $2, $3, true)
         on conflict (name) do nothing",
        name,
        password_hash,
        admin
    )
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    let event = Event::of_person(EventType::UserCreated, by, name, json!({"name": name, "admin": admin}));
    outbox::append(&mut tx, &[event]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Changes an account. Whoever loses something is signed out.
pub async fn change(
    pool: &PgPool,
    name: &str,
    change: &Change,
    now: Timestamp,
    by: &str,
) -> sqlx::Result<Changed> {
    let mut tx = transaction::begin(pool).await?;
    // One at a time: two administrators could take it from each other.
    sqlx::query!("lock table users in share row exclusive mode").execute(&mut *tx).await?;
    let changed = sqlx::query!(
        "update users set
             admin = coalesce($2, admin),
             disabled_at = case when $3 then coalesce(disabled_at, $4) when not $3 then null else disabled_at end,
             valid_from = case when $3 or not $2 then $4 else valid_from end
         where name = $1 and deleted_at is null",
        name,
        change.admin,
        change.disabled,
        now.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(Changed::Missing);
    }
    if loses(change) && !admin_left(&mut tx).await? {
        return Ok(Changed::LastAdmin);
    }
    if change.disabled == Some(true) {
        end_sessions(&mut tx, name).await?;
    }
    let mut what = json!({"name": name});
    for (field, value) in [("admin", change.admin), ("disabled", change.disabled)] {
        if let Some(value) = value {
            what[field] = Value::Bool(value);
        }
    }
    outbox::append(&mut tx, &[Event::of_person(EventType::UserUpdated, by, name, what)]).await?;
    tx.commit().await?;
    Ok(Changed::Done)
}

fn loses(change: &Change) -> bool {
    change.admin == Some(false) || change.disabled == Some(true)
}

/// Removes an account. Its name is never given to somebody else.
pub async fn delete(pool: &PgPool, name: &str, now: Timestamp, by: &str) -> sqlx::Result<Changed> {
    let mut tx = transaction::begin(pool).await?;
    sqlx::query!("lock table users in share row exclusive mode").execute(&mut *tx).await?;
    let gone = sqlx::query!(
        "update users set deleted_at = $2, disabled_at = coalesce(disabled_at, $2), valid_from = $2,
             password_hash = null, admin = false, groups = '{}'
         where name = $1 and deleted_at is null",
        name,
        now.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    if gone.rows_affected() == 0 {
        return Ok(Changed::Missing);
    }
    if !admin_left(&mut tx).await? {
        return Ok(Changed::LastAdmin);
    }
    end_sessions(&mut tx, name).await?;
    outbox::append(&mut tx, &[Event::of_person(EventType::UserDeleted, by, name, json!({"name": name}))])
        .await?;
    tx.commit().await?;
    Ok(Changed::Done)
}

/// A new password. Every browser that is signed in is signed out, but for that of `stays`.
pub async fn set_password(
    pool: &PgPool,
    name: &str,
    hash: &str,
    (by, stays): (&str, Option<uuid::Uuid>),
    now: Timestamp,
) -> sqlx::Result<Changed> {
    let mut tx = transaction::begin(pool).await?;
    let changed = sqlx::query!(
        "update users set password_hash = $2, must_change = $3, valid_from = $4
         where name = $1 and deleted_at is null and issuer is null returning id",
        name,
        hash,
        by != name,
        now.to_sqlx() as _
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(changed) = changed else {
        return Ok(if by_name(pool, name).await?.is_some() { Changed::NoPassword } else { Changed::Missing });
    };
    sqlx::query!("delete from sessions where user_id = $1 and family is distinct from $2", changed.id, stays)
        .execute(&mut *tx)
        .await?;
    let what = json!({"name": name, "password": true});
    outbox::append(&mut tx, &[Event::of_person(EventType::UserUpdated, by, name, what)]).await?;
    tx.commit().await?;
    Ok(Changed::Done)
}

/// What an organisation's word comes to here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// The account, with the groups of now.
    Is(User),
    /// That name is another one's here.
    NameTaken,
    /// The account was removed here.
    Removed,
}

/// The account of somebody whom an organisation knows: made at the first sign-in, and each time as it
/// says now. Whoever is called otherwise since then gets another account, as Kubernetes sees another user.
pub async fn identified(pool: &PgPool, identity: &Identity, now: Timestamp) -> sqlx::Result<Identified> {
    let Identity { issuer, subject, name, groups } = identity;
    let mut tx = transaction::begin(pool).await?;
    let known = sqlx::query!(
        r#"select name, disabled_at is not null as "disabled!", deleted_at is not null as "deleted!"
           from users where issuer = $1 and subject = $2 for update"#,
        issuer,
        subject
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(known) = &known {
        if known.deleted {
            return Ok(Identified::Removed);
        }
        if known.name != *name && !known.disabled {
            // The old name stays given, for what stands in the history.
            sqlx::query!(
                "update users set deleted_at = $2, disabled_at = $2, valid_from = $2, subject = null, admin = false, groups = '{}'
                 where name = $1",
                known.name,
                now.to_sqlx() as _
            )
            .execute(&mut *tx)
            .await?;
            end_sessions(&mut tx, &known.name).await?;
            let what = json!({"name": known.name, "now": name});
            outbox::append(&mut tx, &[Event::of_person(EventType::UserDeleted, name, &known.name, what)])
                .await?;
        }
    }
    // Two of the first sign-ins at once make one account.
    let made = sqlx::query!(
        "insert into users (name, issuer, subject) values ($3, $1, $2) on conflict do nothing",
        issuer,
        subject,
        name
    );
    if made.execute(&mut *tx).await?.rows_affected() > 0 {
        let what = json!({"name": name, "issuer": issuer});
        outbox::append(&mut tx, &[Event::of_person(EventType::UserCreated, name, name, what)]).await?;
    }
    let found = sqlx::query_as!(
        User,
        r#"update users set groups = $3 where issuer = $1 and subject = $2 and deleted_at is null
           returning id, name, password_hash, admin, disabled_at is not null as "disabled!", must_change, groups,
               issuer is not null as "organisation!""#,
        issuer,
        subject,
        groups
    )
    .fetch_optional(&mut *tx)
    .await?;
    // Nothing stays of it: whose name it is keeps it.
    let Some(found) = found else { return Ok(Identified::NameTaken) };
    tx.commit().await?;
    Ok(Identified::Is(found))
}

/// From when on tokens of that account count; the end of all time: none does. None: nothing is known against it.
pub async fn valid_from(pool: &PgPool, name: &str) -> sqlx::Result<Option<Timestamp>> {
    let row = sqlx::query!(
        r#"select disabled_at is not null as "disabled!", valid_from as "valid_from: jiff_sqlx::Timestamp"
           from users where name = $1"#,
        name
    );
    let row = row.fetch_optional(pool).await?;
    Ok(row.and_then(|row| {
        if row.disabled { Some(Timestamp::MAX) } else { row.valid_from.map(jiff_sqlx::Timestamp::to_jiff) }
    }))
}

/// Whether somebody can administer.
pub async fn has_admin(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from users where admin and disabled_at is null) as "exists!""#
    )
    .fetch_one(pool)
    .await
}

async fn admin_left(tx: &mut sqlx::PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from users where admin and disabled_at is null) as "exists!""#
    )
    .fetch_one(tx)
    .await
}

async fn end_sessions(tx: &mut sqlx::PgConnection, name: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from sessions where user_id = (select id from users where name = $1)", name)
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes the first administrator, unless there is one. An account of that name becomes one again,
/// with this password: whoever holds the Secret is let in. Answers whether it did.
pub async fn make_first_admin(pool: &PgPool, name: &str, password_hash: &str) -> sqlx::Result<bool> {
    let made = sqlx::query!(
        "insert into users (name, password_hash, admin)
         select $1, $2, true
         where not exists (select from users where admin and disabled_at is null)
         on conflict (name) do update
             set password_hash = excluded.password_hash, admin = true, disabled_at = null, deleted_at = null",
        name,
        password_hash
    )
    .execute(pool)
    .await?;
    Ok(made.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    #[sqlx::test]
    async fn the_first_admin_is_made_once_and_again_when_there_is_none(pool: PgPool) {
        assert!(!has_admin(&pool).await.unwrap());
        assert!(make_first_admin(&pool, "admin", "one").await.unwrap());
        assert!(!make_first_admin(&pool, "admin", "two").await.unwrap());
        let hash = async || by_name(&pool, "admin").await.unwrap().unwrap().password_hash.unwrap();
        assert_eq!(hash().await, "one");
        sqlx::query!("update users set disabled_at = now()").execute(&pool).await.unwrap();
        assert!(!has_admin(&pool).await.unwrap());
        assert!(make_first_admin(&pool, "admin", "three").await.unwrap());
        assert!(!by_name(&pool, "admin").await.unwrap().unwrap().disabled);
        assert_eq!(hash().await, "three");
    }

    #[sqlx::test]
    async fn the_last_admin_stays(pool: PgPool) {
        make_first_admin(&pool, "admin", "x").await.unwrap();
        let no_admin = Change { admin: Some(false), disabled: None };
        let disabled = Change { admin: None, disabled: Some(true) };
        for wish in [&no_admin, &disabled] {
            assert_eq!(change(&pool, "admin", wish, NOW, "admin").await.unwrap(), Changed::LastAdmin);
        }
        assert_eq!(delete(&pool, "admin", NOW, "admin").await.unwrap(), Changed::LastAdmin);
        assert!(create(&pool, ("ben", true), "x", "admin").await.unwrap());
        // Each takes it from the other at the same time: one of them keeps it.
        let (one, two) = tokio::join!(
            change(&pool, "admin", &no_admin, NOW, "ben"),
            change(&pool, "ben", &no_admin, NOW, "admin")
        );
        let both = [one.unwrap(), two.unwrap()];
        assert!(both.contains(&Changed::Done) && both.contains(&Changed::LastAdmin), "{both:?}");
        assert_eq!(change(&pool, "nobody", &disabled, NOW, "ben").await.unwrap(), Changed::Missing);
    }

    #[sqlx::test]
    async fn a_name_is_never_given_to_somebody_else(pool: PgPool) {
        make_first_admin(&pool, "admin", "x").await.unwrap();
        assert!(create(&pool, ("anna", false), "x", "admin").await.unwrap());
        assert!(!create(&pool, ("anna", true), "y", "admin").await.unwrap());
        assert_eq!(delete(&pool, "anna", NOW, "admin").await.unwrap(), Changed::Done);
        assert_eq!(by_name(&pool, "anna").await.unwrap(), None);
        assert_eq!(valid_from(&pool, "anna").await.unwrap(), Some(Timestamp::MAX));
        assert!(!create(&pool, ("anna", false), "x", "admin").await.unwrap());
        let names: Vec<_> = list(&pool, None, 10).await.unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["admin"]);
        let told: Vec<_> =
            outbox::after(&pool, 0, 10).await.unwrap().into_iter().map(|event| event.event).collect();
        assert_eq!(told, ["user.created", "user.deleted"]);
    }

    #[sqlx::test]
    async fn an_organisation_says_who_somebody_is_and_takes_no_name_that_is_given(pool: PgPool) {
        let anna = |subject: &str, name: &str, groups: &[&str]| Identity {
            issuer: "https://sso".into(),
            subject: subject.into(),
            name: name.into(),
            groups: groups.iter().map(ToString::to_string).collect(),
        };
        let is = async |identity: Identity| match identified(&pool, &identity, NOW).await.unwrap() {
            Identified::Is(user) => user,
            other => panic!("{other:?}"),
        };
        let first = is(anna("1", "oidc:anna", &["oidc:web"])).await;
        let again = is(anna("1", "oidc:anna", &[])).await;
        assert_eq!((first.id, first.groups, again.groups), (again.id, vec!["oidc:web".to_owned()], vec![]));
        assert!(again.organisation);
        let other = anna("2", "oidc:anna", &[]);
        assert_eq!(identified(&pool, &other, NOW).await.unwrap(), Identified::NameTaken);
        create(&pool, ("ben", false), "x", "admin").await.unwrap();
        assert_eq!(identified(&pool, &anna("3", "ben", &[]), NOW).await.unwrap(), Identified::NameTaken);
        // Called otherwise: another user for Kubernetes, so another account; the old name is nobody's any more.
        let married = is(anna("1", "oidc:anne", &["oidc:web"])).await;
        assert_ne!(married.id, again.id);
        assert_eq!(valid_from(&pool, "oidc:anna").await.unwrap(), Some(Timestamp::MAX));
        assert_eq!(identified(&pool, &other, NOW).await.unwrap(), Identified::NameTaken);
        // Closed and removed accounts stay so, whatever name comes.
        let closed = Change { admin: None, disabled: Some(true) };
        make_first_admin(&pool, "admin", "x").await.unwrap();
        change(&pool, "oidc:anne", &closed, NOW, "admin").await.unwrap();
        assert!(is(anna("1", "oidc:anja", &[])).await.disabled);
        delete(&pool, "oidc:anne", NOW, "admin").await.unwrap();
        for name in ["oidc:anne", "oidc:anja"] {
            assert_eq!(identified(&pool, &anna("1", name, &[]), NOW).await.unwrap(), Identified::Removed);
        }
        is(anna("4", "oidc:anna2", &[])).await;
        assert_eq!(
            set_password(&pool, "oidc:anna2", "x", ("admin", None), NOW).await.unwrap(),
            Changed::NoPassword
        );
        assert_eq!(set_password(&pool, "nobody", "x", ("admin", None), NOW).await.unwrap(), Changed::Missing);
    }
}
