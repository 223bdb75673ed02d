//! Branches and tags of repositories, for those who choose one. The key of a repository is
//! `crds::source::Git::repository`.

use sqlx::PgPool;

use crate::transaction;

/// A branch or a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// `branch` or `tag`.
    pub kind: String,
    /// How it is called.
    pub name: String,
    /// To what it points.
    pub commit: String,
}

/// All refs of a repository that are known, by name; at most 5,000.
pub async fn of(pool: &PgPool, repository: &str) -> sqlx::Result<Vec<Ref>> {
    sqlx::query_as!(
        Ref,
        "select kind, name, commit_id as commit from refs where repository = $1 order by kind, name limit 5000",
        repository
    )
    .fetch_all(pool)
    .await
}

/// Writes down all refs of a repository: kind (`branch`, `tag`), name, commit. With a ref that is gone go its commits.
pub async fn replace<'a>(
    pool: &PgPool,
    repository: &str,
    refs: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> sqlx::Result<()> {
    let (mut kinds, mut names, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, name, commit) in refs {
        kinds.push(kind.to_owned());
        names.push(name.to_owned());
        commits.push(commit.to_owned());
    }
    let mut tx = transaction::begin(pool).await?;
    sqlx::query!(
        "delete from refs where repository = $1
             and (kind, name) not in (select * from unnest($2::text[], $3::text[]))",
        repository,
        &kinds,
        &names
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into refs (repository, kind, name, commit_id)
         select $1, * from unnest($2::text[], $3::text[], $4::text[])
         on conflict (repository, kind, name) do update set commit_id = excluded.commit_id
             where refs.commit_id <> excluded.commit_id",
        repository,
        &kinds,
        &names,
        &commits
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from commits where repository = $1 and reference like 'refs/%' and not exists (
             select from refs where refs.repository = $1
                 and commits.reference = case refs.kind when 'tag' then 'refs/tags/' else 'refs/heads/' end || refs.name)",
        repository
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Only what is known of these repositories is kept: the others are read by nobody any more.
pub async fn keep(pool: &PgPool, repositories: &[String]) -> sqlx::Result<()> {
    let mut tx = transaction::begin(pool).await?;
    sqlx::query!("delete from refs where repository <> all($1)", repositories).execute(&mut *tx).await?;
    sqlx::query!("delete from commits where repository <> all($1)", repositories).execute(&mut *tx).await?;
    tx.commit().await
}
