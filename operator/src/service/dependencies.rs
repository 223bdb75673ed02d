//! Services that a Service depends on, from the cache of all of them. Pure.

use std::sync::Arc;

use crds::{
    Phase, Service,
    conditions::{READY, find},
};

/// Circles longer than this are not looked for.
const DEEP: usize = 100;

/// Why it may not start by itself yet: a sentence for each that is not ready.
pub fn missing(service: &Service, find: impl Fn(&str) -> Option<Arc<Service>>) -> Vec<String> {
    let why = |name: &str| {
        let Some(other) = find(name) else { return Some(format!("waits for {name}, which is not there")) };
        let status = other.status.as_ref();
        if status.is_some_and(|status| status.active.as_ref().is_some_and(|active| !active.check)) {
            return Some(format!("waits for {name}, which has a run on"));
        }
        let current = status.is_some_and(|s| Some(s.observed_generation) == other.metadata.generation);
        let ready = status.and_then(|status| self::find(&status.conditions, READY));
        let deployed = status.is_some_and(|status| {
            status.live.is_some() && status.last.as_ref().is_none_or(|last| last.phase == Phase::Succeeded)
        });
        match ready {
            Some(ready) if current && ready.status == "True" && deployed => None,
            Some(ready) if current => Some(format!("waits for {name}: {}", ready.message)),
            _ => Some(format!("waits for {name}, which is being looked at")),
        }
    };
    service.spec.depends_on.iter().filter_map(|dependency| why(&dependency.name)).collect()
}

/// A circle that leads from a Service back to itself: its names, the first one again at the end.
pub fn circle(
    name: &str,
    service: &Service,
    find: impl Fn(&str) -> Option<Arc<Service>>,
) -> Option<Vec<String>> {
    let mut open: Vec<Vec<String>> =
        service.spec.depends_on.iter().map(|d| vec![name.to_owned(), d.name.clone()]).collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = open.pop() {
        let here = path.last()?;
        if here == name {
            return Some(path);
        }
        if path.len() > DEEP || !seen.insert(here.clone()) {
            continue;
        }
        for next in find(here).iter().flat_map(|service| &service.spec.depends_on) {
            let mut longer = path.clone();
            longer.push(next.name.clone());
            open.push(longer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn world(list: &[(&str, &[&str])]) -> BTreeMap<String, Arc<Service>> {
        let service = |name: &str, depends: &[&str]| -> Service {
            let depends: Vec<_> = depends.iter().map(|name| json!({"name": name})).collect();
            serde_json::from_value(json!({
                "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
                "metadata": {"name": name, "generation": 1},
                "spec": {"source": {"inline": {}}, "playbook": "p", "inventory": {"local": true}, "dependsOn": depends},
                "status": {
                    "observedGeneration": 1,
                    "conditions": [{"type": "Ready", "status": "True", "reason": "Deployed", "message": "m", "lastTransitionTime": "2026-11-23T12:00:00Z"}],
                    "live": {"deployment": {"name": "d", "uid": "u"}, "number": 1, "digest": "d", "revision": "r", "since": "2026-11-23T12:00:00Z"},
                },
            }))
            .expect("a Service")
        };
        list.iter().map(|(name, depends)| ((*name).to_owned(), Arc::new(service(name, depends)))).collect()
    }

    #[test]
    fn circles_are_found_by_those_who_are_in_them_and_named() {
        let world =
            world(&[("a", &["b"]), ("b", &["c", "x"]), ("c", &["a"]), ("x", &[]), ("outside", &["a"])]);
        let look = |name: &str| circle(name, &world[name], |name| world.get(name).cloned());
        assert_eq!(look("a"), Some(["a", "b", "c", "a"].map(str::to_owned).to_vec()));
        assert!(look("b").is_some() && look("c").is_some());
        assert_eq!(look("x"), None);
        assert_eq!(look("outside"), None);
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut world = world(&[("app", &["db", "gone"]), ("db", &[])]);
        let look =
            |world: &BTreeMap<String, Arc<Service>>| missing(&world["app"], |name| world.get(name).cloned());
        assert_eq!(look(&world), ["waits for gone, which is not there"]);
        let mut db = (*world["db"]).clone();
        db.metadata.generation = Some(2);
        world.insert("db".into(), Arc::new(db));
        assert!(look(&world)[0].contains("db, which is being looked at"));
    }
}
