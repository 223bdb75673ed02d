//! The last commits of what Services follow, for those who choose one. The key of a repository is
//! `crds::source::Git::repository`, that of a reference `crds::source::Git::followed`. Those of a ref that is gone go with it
//! (see [`refs`](crate::refs)).

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

use crate::transaction;

/// A commit, as people tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its whole id.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// Those of a reference, newest first.
pub async fn of(pool: &PgPool, repository: &str, reference: &str) -> sqlx::Result<Vec<Commit>> {
    let rows = sqlx::query!(
        r#"select commit_id, subject, author, committed_at as "at: jiff_sqlx::Timestamp" from commits
           where repository = $1 and reference = $2 order by ordinal"#,
        repository,
        reference
    );
    let rows = rows.fetch_all(pool).await?.into_iter();
    let commit = rows.map(|row| Commit {
        commit: row.commit_id,
        subject: row.subject,
        author: row.author,
        at: row.at.to_jiff(),
    });
    Ok(commit.collect())
}

/// The newest one of a reference that is known.
pub async fn newest(pool: &PgPool, repository: &str, reference: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select commit_id from commits where repository = $1 and reference = $2 and ordinal = 0",
        repository,
        reference
    )
    .fetch_optional(pool)
    .await
}

/// Writes down those of a reference, newest first, in the place of what was known.
pub async fn replace(
    pool: &PgPool,
    repository: &str,
    reference: &str,
    commits: &[Commit],
) -> sqlx::Result<()> {
    let column = |of: fn(&Commit) -> &str| -> Vec<String> {
        commits.iter().map(|commit| of(commit).to_owned()).collect()
    };
    let at: Vec<_> = commits.iter().map(|commit| commit.at.to_sqlx()).collect();
    let mut tx = transaction::begin(pool).await?;
    sqlx::query!("delete from commits where repository = $1 and reference = $2", repository, reference)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "insert into commits (repository, reference, ordinal, commit_id, subject, author, committed_at)
         select $1, $2, ordinal - 1, commit_id, subject, author, committed_at
         from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[])
             with ordinality as new (commit_id, subject, author, committed_at, ordinal)",
        repository,
        reference,
        &column(|commit| &commit.commit),
        &column(|commit| &commit.subject),
        &column(|commit| &commit.author),
        &at as _
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Of this repository, only what is known of these references is kept.
pub async fn keep(pool: &PgPool, repository: &str, references: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from commits where repository = $1 and reference <> all($2)", repository, references)
        .execute(pool)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refs;

    fn commits(subjects: &[&str]) -> Vec<Commit> {
        let commit = |(n, subject): (usize, &&str)| Commit {
            commit: format!("{n:040}"),
            subject: (*subject).into(),
            author: "Ann".into(),
            at: Timestamp::from_second(1_764_460_800 - n as i64).unwrap(),
        };
        subjects.iter().enumerate().map(commit).collect()
    }

    async fn known(pool: &PgPool) -> Vec<(String, String)> {
        let rows =
            sqlx::query_as("select repository, reference from commits where ordinal = 0 order by 1, 2");
        rows.fetch_all(pool).await.unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
    }

    #[sqlx::test]
    async fn those_of_a_reference_are_replaced_as_a_whole(pool: PgPool) {
        let main = "refs/heads/main";
        let three = commits(&["Three", "", "One"]);
        replace(&pool, "a", main, &three).await.unwrap();
        replace(&pool, "b", main, &commits(&["Elsewhere"])).await.unwrap();
        assert_eq!(of(&pool, "a", main).await.unwrap(), three);
        assert_eq!(newest(&pool, "a", main).await.unwrap(), Some("0".repeat(40)));
        assert_eq!(newest(&pool, "a", "refs/heads/gone").await.unwrap(), None);
        replace(&pool, "a", main, &commits(&["Forced"])).await.unwrap();
        assert_eq!(of(&pool, "a", main).await.unwrap(), commits(&["Forced"]));
        replace(&pool, "a", main, &[]).await.unwrap();
        assert_eq!(of(&pool, "a", main).await.unwrap(), []);
        assert_eq!(of(&pool, "b", main).await.unwrap().len(), 1);
    }

    #[sqlx::test]
    async fn what_nobody_follows_any_more_goes(pool: PgPool) {
        let pinned = "a".repeat(40);
        for (repository, reference) in [
            ("a", "refs/heads/main"),
            ("a", "refs/heads/topic"),
            ("a", "refs/tags/main"),
            ("a", &pinned),
            ("b", "refs/heads/topic"),
        ] {
            replace(&pool, repository, reference, &commits(&["One"])).await.unwrap();
        }
        // With its ref. A commit that is named is none.
        let there = [("branch", "main", "c1"), ("branch", "next", "c1")];
        refs::replace(&pool, "a", there.into_iter()).await.unwrap();
        let rest = [("a", pinned.as_str()), ("a", "refs/heads/main"), ("b", "refs/heads/topic")];
        assert_eq!(known(&pool).await, pairs(&rest));
        // With the last Service that follows it.
        keep(&pool, "a", &["refs/heads/main".into(), "refs/heads/next".into()]).await.unwrap();
        assert_eq!(known(&pool).await, pairs(&rest[1..]));
        // With the last one that reads the repository; so do the refs.
        refs::keep(&pool, &["b".into()]).await.unwrap();
        assert_eq!(known(&pool).await, pairs(&rest[2..]));
        assert_eq!(refs::of(&pool, "a").await.unwrap(), []);
        refs::keep(&pool, &[]).await.unwrap();
        assert_eq!(known(&pool).await, []);
    }
}
