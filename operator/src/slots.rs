//! How many runs may be on at once, in a namespace and in the cluster: namespaces take turns, so that
//! a busy team does not keep the others waiting. Soft: it counts what this process has seen.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use crds::Service;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;

/// How many runs may be on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In one namespace.
    pub namespace: usize,
    /// In the cluster.
    pub cluster: usize,
}

/// What a Service has to do with it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is on, nothing waits.
    Idle,
    /// A run waits for its turn.
    Waits,
    /// A run is on.
    Active,
}

type Key = (String, String);

/// Who is on, who waits, and whose turn it is. Pure.
#[derive(Debug)]
struct Ledger {
    limits: Limits,
    active: BTreeMap<String, BTreeSet<String>>,
    /// Told that they may begin, and not on yet.
    offered: BTreeSet<Key>,
    waiting: BTreeMap<String, VecDeque<String>>,
    /// The namespace that was served last.
    last: String,
}

impl Ledger {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            active: BTreeMap::new(),
            offered: BTreeSet::new(),
            waiting: BTreeMap::new(),
            last: String::new(),
        }
    }

    fn on(&self, namespace: &str) -> usize {
        let offered = self.offered.iter().filter(|(of, _)| of == namespace).count();
        self.active.get(namespace).map_or(0, BTreeSet::len) + offered
    }

    fn all(&self) -> usize {
        self.active.values().map(BTreeSet::len).sum::<usize>() + self.offered.len()
    }

    /// Notes how a Service stands; answers whether it may begin, and who else may now.
    fn note(&mut self, namespace: &str, name: &str, standing: Standing) -> (bool, Vec<Key>) {
        let key = (namespace.to_owned(), name.to_owned());
        let waits = self.waiting.get(namespace).is_some_and(|list| list.iter().any(|n| n == name));
        if standing != Standing::Active
            && let Some(active) = self.active.get_mut(namespace)
        {
            active.remove(name);
            if active.is_empty() {
                self.active.remove(namespace);
            }
        }
        if standing != Standing::Waits && waits {
            self.leave(&key);
        }
        match standing {
            Standing::Idle => {
                self.offered.remove(&key);
            }
            Standing::Active => {
                self.offered.remove(&key);
                self.active.entry(key.0.clone()).or_default().insert(key.1.clone());
            }
            Standing::Waits if !waits && !self.offered.contains(&key) => {
                self.waiting.entry(key.0.clone()).or_default().push_back(key.1.clone());
            }
            Standing::Waits => {}
        }
        let mut now = Vec::new();
        while let Some(next) = self.next() {
            self.leave(&next);
            self.last.clone_from(&next.0);
            self.offered.insert(next.clone());
            if next != key {
                now.push(next);
            }
        }
        // Who is on has its place, for this run or the next.
        (standing == Standing::Active || self.offered.contains(&key), now)
    }

    /// Forgets all others.
    fn keep(&mut self, is_there: impl Fn(&str, &str) -> bool) {
        self.active.retain(|namespace, names| {
            names.retain(|name| is_there(namespace, name));
            !names.is_empty()
        });
        self.offered.retain(|(namespace, name)| is_there(namespace, name));
        self.waiting.retain(|namespace, names| {
            names.retain(|name| is_there(namespace, name));
            !names.is_empty()
        });
    }

    fn leave(&mut self, (namespace, name): &Key) {
        if let Some(list) = self.waiting.get_mut(namespace) {
            list.retain(|n| n != name);
            if list.is_empty() {
                self.waiting.remove(namespace);
            }
        }
    }

    /// The one whose turn it is: the first of the next namespace that has room.
    fn next(&self) -> Option<Key> {
        if self.all() >= self.limits.cluster {
            return None;
        }
        let after = (std::ops::Bound::Excluded(self.last.clone()), std::ops::Bound::Unbounded);
        let around = self.waiting.range::<String, _>(after).chain(self.waiting.range(..=self.last.clone()));
        let mut open = around.filter(|(namespace, _)| self.on(namespace) < self.limits.namespace);
        open.next().and_then(|(namespace, list)| Some((namespace.clone(), list.front()?.clone())))
    }
}

/// The ledger, and whom it wakes.
pub struct Slots {
    ledger: Mutex<Ledger>,
    wake: mpsc::UnboundedSender<ObjectRef<Service>>,
    services: Store<Service>,
}

impl Slots {
    /// `wake` is told whose turn it is; `services` are all that there are.
    pub fn new(
        limits: Limits,
        wake: mpsc::UnboundedSender<ObjectRef<Service>>,
        services: Store<Service>,
    ) -> Self {
        Self { ledger: Mutex::new(Ledger::new(limits)), wake, services }
    }

    /// Notes how a Service stands; answers whether it may begin a run.
    pub fn note(&self, namespace: &str, name: &str, standing: Standing) -> bool {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut may, mut others) = ledger.note(namespace, name, standing);
        if !may && standing == Standing::Waits {
            // A Service that was deleted says nothing any more.
            let services = &self.services;
            ledger.keep(|namespace, name| services.get(&ObjectRef::new(name).within(namespace)).is_some());
            let (now, more) = ledger.note(namespace, name, standing);
            may = now;
            others.extend(more);
        }
        for (namespace, name) in others {
            let _ = self.wake.send(ObjectRef::new(&name).within(&namespace));
        }
        may
    }

    /// Whether a run of that Service may begin, as far as was said.
    pub fn may(&self, namespace: &str, name: &str) -> bool {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = ledger.waiting.get(namespace).is_some_and(|list| list.iter().any(|n| n == name));
        !waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(namespace: usize, cluster: usize) -> Ledger {
        Ledger::new(Limits { namespace, cluster })
    }

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.into(), name.into())
    }

    #[test]
    fn namespaces_take_turns() {
        let mut ledger = ledger(10, 1);
        assert_eq!(ledger.note("a", "1", Standing::Waits), (true, vec![]));
        ledger.note("a", "1", Standing::Active);
        for name in ["2", "3", "4"] {
            assert!(!ledger.note("a", name, Standing::Waits).0);
        }
        assert!(!ledger.note("b", "1", Standing::Waits).0);
        assert!(!ledger.note("c", "1", Standing::Waits).0);
        let mut order = Vec::new();
        let mut on = key("a", "1");
        while let Some(next) = ledger.note(&on.0, &on.1, Standing::Idle).1.pop() {
            ledger.note(&next.0, &next.1, Standing::Active);
            order.push(format!("{}{}", next.0, next.1));
            on = next;
        }
        assert_eq!(order, ["b1", "c1", "a2", "a3", "a4"]);
    }

    #[test]
    fn a_full_namespace_leaves_room_for_others() {
        let mut ledger = ledger(1, 10);
        assert!(ledger.note("a", "1", Standing::Waits).0);
        assert!(!ledger.note("a", "2", Standing::Waits).0);
        assert!(ledger.note("b", "1", Standing::Waits).0);
        // Whoever was told and does not want any more lets the next one in.
        assert_eq!(ledger.note("a", "1", Standing::Idle), (false, vec![key("a", "2")]));
        assert!(ledger.note("a", "2", Standing::Waits).0, "it still may");
    }

    proptest::proptest! {
        #[test]
        fn never_more_than_the_limits_and_nobody_waits_beside_an_empty_place(
            steps in proptest::collection::vec((0..3_u8, 0..4_u8, 0..3_u8), 0..200),
        ) {
            let mut ledger = ledger(2, 3);
            for (namespace, name, standing) in steps {
                let (namespace, name) = (namespace.to_string(), name.to_string());
                let may = ledger.offered.contains(&(namespace.clone(), name.clone()));
                let on = ledger.active.get(&namespace).is_some_and(|set| set.contains(&name));
                let standing = match standing {
                    0 => Standing::Idle,
                    // Only who may begins.
                    1 if may || on => Standing::Active,
                    _ if on => Standing::Active,
                    _ => Standing::Waits,
                };
                ledger.note(&namespace, &name, standing);
                proptest::prop_assert!(ledger.all() <= 3);
                for namespace in ["0", "1", "2"] {
                    proptest::prop_assert!(ledger.on(namespace) <= 2);
                }
                proptest::prop_assert!(ledger.next().is_none());
            }
        }
    }
}
