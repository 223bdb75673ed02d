//! From what two watches said to what is to be written. Pure.

use std::collections::BTreeMap;

use store::mirror::{Kind, Row};
use store::sqlx::types::Uuid;

/// What a watch says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A full list begins.
    Listing(Kind),
    /// An object as it is; as part of a full list, or because it changed.
    Seen(Kind, Row),
    /// An object is there, and we cannot read it.
    Unreadable(Kind, Uuid),
    /// An object was deleted; the resourceVersion of its end.
    Gone(Kind, Uuid, i64),
    /// The full list has ended.
    Listed(Kind),
}

/// What is to be written, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Each object once.
    Upsert(Vec<Row>),
    /// Deleted ones.
    Gone(Kind, BTreeMap<Uuid, i64>),
    /// All but these are gone.
    GoneBut(Kind, Vec<Uuid>),
}

/// Which objects the full lists that are being read have had so far.
#[derive(Debug, Default)]
pub struct Lists(BTreeMap<Kind, Vec<Uuid>>);

enum Latest {
    Seen(Row),
    Gone(Kind, i64),
}

impl Lists {
    /// What follows from what was heard. Of what an object was in between, nothing remains.
    pub fn writes(&mut self, heard: impl IntoIterator<Item = Heard>) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut latest = BTreeMap::new();
        for heard in heard {
            match heard {
                Heard::Listing(kind) => {
                    self.0.insert(kind, Vec::new());
                }
                Heard::Seen(kind, row) => {
                    if let Some(listed) = self.0.get_mut(&kind) {
                        listed.push(row.uid);
                    }
                    latest.insert(row.uid, Latest::Seen(row));
                }
                Heard::Unreadable(kind, uid) => {
                    if let Some(listed) = self.0.get_mut(&kind) {
                        listed.push(uid);
                    }
                }
                Heard::Gone(kind, uid, version) => {
                    latest.insert(uid, Latest::Gone(kind, version));
                }
                Heard::Listed(kind) => {
                    flush(&mut latest, &mut writes);
                    writes.extend(self.0.remove(&kind).map(|listed| Write::GoneBut(kind, listed)));
                }
            }
        }
        flush(&mut latest, &mut writes);
        writes
    }
}

fn flush(latest: &mut BTreeMap<Uuid, Latest>, writes: &mut Vec<Write>) {
    let (mut rows, mut gone) = (Vec::new(), BTreeMap::<Kind, BTreeMap<Uuid, i64>>::new());
    for (uid, latest) in std::mem::take(latest) {
        match latest {
            Latest::Seen(row) => rows.push(row),
            Latest::Gone(kind, version) => {
                gone.entry(kind).or_default().insert(uid, version);
            }
        }
    }
    if !rows.is_empty() {
        writes.push(Write::Upsert(rows));
    }
    writes.extend(gone.into_iter().map(|(kind, gone)| Write::Gone(kind, gone)));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn row(n: u128, resource_version: i64) -> Row {
        Row {
            uid: Uuid::from_u128(n),
            namespace: "team".into(),
            name: n.to_string(),
            service: n.to_string(),
            resource_version,
            object: Value::Null,
            run: None,
        }
    }

    #[test]
    fn a_batch_has_each_object_once_as_it_is_now() {
        let service = Kind::Service;
        let seen = |n, version| Heard::Seen(service, row(n, version));
        let writes = Lists::default().writes([
            seen(1, 1),
            seen(2, 2),
            seen(1, 3),
            Heard::Gone(service, Uuid::from_u128(2), 4),
            Heard::Gone(service, Uuid::from_u128(3), 5),
            seen(3, 6),
        ]);
        assert_eq!(
            writes,
            [
                Write::Upsert(vec![row(1, 3), row(3, 6)]),
                Write::Gone(service, BTreeMap::from([(Uuid::from_u128(2), 4)])),
            ]
        );
    }

    #[test]
    fn a_full_list_over_several_batches_says_what_is_gone() {
        let service = Kind::Service;
        let mut lists = Lists::default();
        lists.writes([Heard::Listing(service), Heard::Seen(service, row(1, 1))]);
        let writes = lists.writes([Heard::Seen(service, row(2, 2)), Heard::Listed(service)]);
        let both = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(writes, [Write::Upsert(vec![row(2, 2)]), Write::GoneBut(service, both)]);
        // One that cannot be read is there all the same.
        let unreadable = Heard::Unreadable(service, Uuid::from_u128(7));
        let writes = lists.writes([Heard::Listing(service), unreadable, Heard::Listed(service)]);
        assert_eq!(writes, [Write::GoneBut(service, vec![Uuid::from_u128(7)])]);
        // A watch that broke in the middle of a list begins anew.
        lists.writes([Heard::Listing(service), Heard::Seen(service, row(9, 1))]);
        let writes = lists.writes([Heard::Listing(service), Heard::Listed(service)]);
        assert_eq!(writes, [Write::Upsert(vec![]), Write::GoneBut(service, vec![])][1..]);
    }
}
