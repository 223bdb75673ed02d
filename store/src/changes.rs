//! The stream of changes: what happened to objects, numbered in the order of the commits.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// An object that is other than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// `Service` or `Deployment`.
    pub kind: &'static str,
    /// Of the object.
    pub uid: Uuid,
    /// Where it is.
    pub namespace: String,
    /// Its own name, or that of a Deployment's Service.
    pub service: String,
}

/// Numbers changes and tells whoever listens, with the commit. To be called last in a transaction:
/// from here to the commit, everybody else who has a change to number waits.
pub async fn append(tx: &mut PgConnection, changed: &[Changed]) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let kinds: Vec<String> = changed.iter().map(|change| change.kind.to_owned()).collect();
    let uids: Vec<Uuid> = changed.iter().map(|change| change.uid).collect();
    let namespaces: Vec<String> = changed.iter().map(|change| change.namespace.clone()).collect();
    let services: Vec<String> = changed.iter().map(|change| change.service.clone()).collect();
    sqlx::query!(
        "with numbers as (update stream set last = last + cardinality($1::text[]) returning last),
         added as (
             insert into changes (seq, kind, uid, namespace, service)
             select numbers.last - cardinality($1::text[]) + place, kind, uid, namespace, service
             from numbers, unnest($1::text[], $2::uuid[], $3::text[], $4::text[])
                 with ordinality as change (kind, uid, namespace, service, place)
             returning seq
         )
         select pg_notify('changes', '') from (select max(seq) from added) as any_of_them",
        &kinds,
        &uids,
        &namespaces,
        &services
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets changes that are older; who is still behind them loads anew. Answers how many.
pub async fn prune(pool: &PgPool, before: Timestamp) -> sqlx::Result<u64> {
    let pruned = sqlx::query!(
        "with gone as (delete from changes where at < $1 returning seq)
         update stream set pruned = greatest(pruned, (select max(seq) from gone))
         where exists (select from gone)
         returning (select count(*) from gone) as gone",
        before.to_sqlx() as _
    );
    let pruned = pruned.fetch_optional(pool).await?;
    Ok(pruned.and_then(|row| row.gone).map_or(0, i64::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Snapshot;

    fn changed(n: u128) -> Changed {
        Changed { kind: "Service", uid: Uuid::from_u128(n), namespace: "team".into(), service: "blog".into() }
    }

    #[sqlx::test]
    async fn what_is_pruned_is_known_to_be_gone(pool: PgPool) {
        let mut tx = pool.begin().await.unwrap();
        append(&mut tx, &[changed(1), changed(2), changed(1)]).await.unwrap();
        tx.commit().await.unwrap();
        let mut snapshot = Snapshot::begin(&pool).await.unwrap();
        assert_eq!((snapshot.position.seq, snapshot.pruned), (3, 0));
        let last: Vec<_> = snapshot.changed_after(0, 10).await.unwrap();
        assert_eq!(
            last.iter().map(|change| (change.seq, change.uid)).collect::<Vec<_>>(),
            [(2, Uuid::from_u128(2)), (3, Uuid::from_u128(1))]
        );
        sqlx::query!("update changes set at = now() - interval '2 days' where seq < 3")
            .execute(&pool)
            .await
            .unwrap();
        let yesterday = Timestamp::now() - jiff::SignedDuration::from_hours(24);
        assert_eq!(prune(&pool, yesterday).await.unwrap(), 2);
        assert_eq!(prune(&pool, yesterday).await.unwrap(), 0);
        let snapshot = Snapshot::begin(&pool).await.unwrap();
        assert_eq!((snapshot.position.seq, snapshot.pruned), (3, 2));
    }
}
