//! The stream of changes: what happened to objects, numbered in the order of the commits.

use sqlx::PgConnection;
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
