//! Services that are built from Git repositories, for whoever hears that something was pushed.

use crds::source::Git;
use serde_json::Value;
use sqlx::PgPool;

/// From where a Service is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// Where it is.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// The repository's address, as it is written.
    pub url: String,
    /// The same for all that share one look at the repository.
    pub repository: String,
}

/// All Services that are there and come from a repository.
pub async fn git(pool: &PgPool) -> sqlx::Result<Vec<GitSource>> {
    let rows = sqlx::query_as::<_, (String, String, Value)>(
        "select namespace, name, object #> '{spec,source,git}' from services
         where gone_at is null and object #> '{spec,source,git}' is not null order by namespace, name",
    );
    let found = rows.fetch_all(pool).await?.into_iter().filter_map(|(namespace, name, git)| {
        let git: Git = serde_json::from_value(git).ok()?;
        let repository = git.repository(&namespace);
        Some(GitSource { namespace, name, url: git.url, repository })
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{mirror, rows};

    #[sqlx::test]
    async fn those_that_come_from_a_repository_are_found(pool: PgPool) {
        let epoch = mirror::open_epoch(&pool).await.unwrap();
        let row = |n: u128, name: &str, source: Value| {
            let service = serde_json::from_value(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
                "metadata": {"name": name, "namespace": "team", "uid": uuid::Uuid::from_u128(n), "resourceVersion": "1"},
                "spec": {"source": source, "playbook": "x.yml", "inventory": {"local": true}},
            }));
            rows::service(&service.unwrap()).unwrap()
        };
        let all = [
            row(1, "blog", json!({"git": {"url": "https://x.example/a"}})),
            row(2, "shop", json!({"git": {"url": "https://x.example/a", "branch": "main"}})),
            row(3, "mine", json!({"git": {"url": "https://x.example/a", "secretRef": {"name": "key"}}})),
            row(4, "tiny", json!({"inline": {"x.yml": "x"}})),
        ];
        mirror::upsert(&pool, epoch, &all).await.unwrap();
        let found = git(&pool).await.unwrap();
        let names: Vec<_> = found.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["blog", "mine", "shop"]);
        assert_eq!(found[0].repository, found[2].repository);
        assert_ne!(found[0].repository, found[1].repository);
    }
}
