//! The frozen input of runs, by digest.

use sqlx::PgPool;

const LEVEL: i32 = 3;

/// Keeps it, unless it is kept.
pub async fn put(pool: &PgPool, digest: &str, content: &str) -> sqlx::Result<()> {
    let content = zstd::bulk::compress(content.as_bytes(), LEVEL)?;
    sqlx::query!(
        "insert into bundles (digest, content) values ($1, $2) on conflict do nothing",
        digest,
        content
    )
    .execute(pool)
    .await?;
    Ok(())
}
