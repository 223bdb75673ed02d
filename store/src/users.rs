//! People with an account of their own.

use sqlx::PgPool;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Ours.
    pub id: i64,
    /// As typed when signing in.
    pub name: String,
    /// argon2id, PHC string.
    pub password_hash: String,
    /// May do everything with our objects.
    pub admin: bool,
    /// May not sign in any more.
    pub disabled: bool,
}

/// The account of that name.
pub async fn by_name(pool: &PgPool, name: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        r#"select id, name, password_hash, admin, disabled_at is not null as "disabled!"
           from users where name = $1"#,
        name
    )
    .fetch_optional(pool)
    .await
}

/// Whether somebody can administer.
pub async fn has_admin(pool: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from users where admin and disabled_at is null) as "exists!""#
    )
    .fetch_one(pool)
    .await
}

/// Makes the first administrator, unless there is one. An account of that name becomes one again,
/// with this password: whoever holds the Secret is let in. Answers whether it did.
pub async fn make_first_admin(pool: &PgPool, name: &str, password_hash: &str) -> sqlx::Result<bool> {
    let made = sqlx::query!(
        "insert into users (name, password_hash, admin)
         select $1, $2, true
         where not exists (select from users where admin and disabled_at is null)
         on conflict (name) do update
             set password_hash = excluded.password_hash, admin = true, disabled_at = null",
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

    #[sqlx::test]
    async fn the_first_admin_is_made_once_and_again_when_there_is_none(pool: PgPool) {
        assert!(!has_admin(&pool).await.unwrap());
        assert!(make_first_admin(&pool, "admin", "one").await.unwrap());
        assert!(!make_first_admin(&pool, "admin", "two").await.unwrap());
        assert_eq!(by_name(&pool, "admin").await.unwrap().unwrap().password_hash, "one");
        sqlx::query!("update users set disabled_at = now()").execute(&pool).await.unwrap();
        assert!(!has_admin(&pool).await.unwrap());
        assert!(make_first_admin(&pool, "admin", "three").await.unwrap());
        let admin = by_name(&pool, "admin").await.unwrap().unwrap();
        assert_eq!((admin.password_hash.as_str(), admin.disabled), ("three", false));
    }
}
