//! The frozen input of runs, by the name of its ConfigMap, which is a hash over it.

use sqlx::PgPool;

const LEVEL: i32 = 3;
/// No bundle is longer: it had to fit into a ConfigMap.
const LONGEST: usize = 1 << 20;

/// Keeps it, unless it is kept.
pub async fn put(pool: &PgPool, name: &str, digest: &str, content: &str) -> sqlx::Result<()> {
    let content = zstd::bulk::compress(content.as_bytes(), LEVEL)?;
    sqlx::query!(
        "insert into bundles (name, digest, content) values ($1, $2, $3) on conflict do nothing",
        name,
        digest,
        content
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The bundle of that name, canonical JSON, if it is kept.
pub async fn content(pool: &PgPool, name: &str) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar!("select content from bundles where name = $1", name);
    found.fetch_optional(pool).await?.map(|content| inflate(&content)).transpose()
}

fn inflate(content: &[u8]) -> sqlx::Result<String> {
    let content = zstd::bulk::decompress(content, LONGEST)?;
    String::from_utf8(content).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A Deployment of a Service as it was, and what it ran.
pub struct Archived {
    /// Of a Deployment.
    pub object: serde_json::Value,
    /// Its frozen input, canonical JSON.
    pub content: String,
}

/// The Deployment with that number, if its input is kept.
pub async fn of_number(
    pool: &PgPool,
    namespace: &str,
    service: &str,
    number: i64,
) -> sqlx::Result<Option<Archived>> {
    let found = sqlx::query!(
        "select deployments.object, bundles.content from deployments join bundles on bundles.name = object #>> '{status,bundle}'
         where namespace = $1 and service = $2 and number = $3 order by deployments.created_at desc limit 1",
        namespace,
        service,
        number
    )
    .fetch_optional(pool)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Archived { object: found.object, content: inflate(&found.content)? }))
}
