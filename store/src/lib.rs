//! PostgreSQL: the only place with SQL. One file per noun; a method is one question or one change.
//! PostgreSQL is a mirror: nothing here decides about a run.

pub mod activity;
pub mod answers;
pub mod bundles;
pub mod changes;
pub mod commits;
pub mod deliveries;
pub mod durations;
pub mod events;
pub mod find;
pub mod listen;
pub mod mirror;
pub mod outbox;
pub mod output;
pub mod partitions;
pub mod read;
pub mod refs;
pub mod retention;
pub mod rows;
pub mod runs;
pub mod sessions;
pub mod sources;
pub mod system;
pub mod tokens;
mod transaction;
pub mod users;

pub use sqlx::{self, PgPool};

/// The schema, forward only.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Brings the schema up to date.
pub async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    // A connection of its own: a migration that fails leaves its advisory lock behind, and back in
    // the pool it would hold up every later try.
    let options = (*pool.connect_options()).clone();
    let own = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let done = MIGRATIONS.run(&own).await;
    own.close().await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[sqlx::test(migrations = false)]
    async fn a_try_that_failed_does_not_hold_up_the_next(pool: PgPool) {
        migrate(&pool).await.unwrap();
        // Another version of us has been here, and this one cannot go on from there.
        sqlx::query("update _sqlx_migrations set checksum = '\\x00'").execute(&pool).await.unwrap();
        for _ in 0..3 {
            assert!(migrate(&pool).await.is_err());
        }
        // Wiped: it is made anew.
        sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await.unwrap();
        let again = tokio::time::timeout(std::time::Duration::from_secs(20), migrate(&pool)).await;
        again.expect("it is not held up").unwrap();
        migrate(&pool).await.unwrap();
    }
}
