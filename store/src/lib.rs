//! PostgreSQL: the only place with SQL. One file per noun; a method is one question or one change.
//! PostgreSQL is a mirror: nothing here decides about a run.

pub mod events;
pub mod output;
pub mod partitions;
pub mod runs;

pub use sqlx::{self, PgPool};

/// The schema, forward only.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
