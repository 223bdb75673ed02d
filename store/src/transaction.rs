//! How transactions begin. A request whose caller goes away is dropped wherever it waits. If that is
//! while PostgreSQL answers BEGIN, sqlx 0.9 gives the connection back to the pool with the transaction
//! open, and who gets it next works in a stranger's transaction. So BEGIN is waited for to its end.

use sqlx::{PgPool, Postgres, Transaction};

/// A transaction that writes.
pub async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    to_its_end(async move { pool.begin().await }).await
}

/// A transaction in which all reads see the same.
pub async fn begin_reading(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    to_its_end(async move { pool.begin_with("begin isolation level repeatable read read only").await }).await
}

async fn to_its_end<T: Send + 'static>(
    begin: impl Future<Output = sqlx::Result<T>> + Send + 'static,
) -> sqlx::Result<T> {
    tokio::spawn(begin).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::postgres::PgPoolOptions;

    use super::*;

    #[sqlx::test]
    async fn who_goes_away_leaves_no_transaction_behind(pool: PgPool) {
        let options = (*pool.connect_options()).clone();
        let one = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        for n in 0..400_u32 {
            let patience = Duration::from_micros(u64::from(n) * 3);
            drop(tokio::time::timeout(patience, begin_reading(&one)).await);
            drop(tokio::time::timeout(patience, begin(&one)).await);
            // What is to be rolled back is so with the next use.
            sqlx::query("select 1").execute(&one).await.unwrap();
            let open: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state like 'idle in transaction%'",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            assert_eq!(open, 0, "after {patience:?}");
        }
    }
}
