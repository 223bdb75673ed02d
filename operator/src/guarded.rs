//! Watches in which an object that we cannot read does not stop the others: one that was written by a newer
//! version of us, or by hand past what the schema can check. It is as if it were not there, but for a line in the
//! log each time it is seen; its Service's own passes fail, and say so.

use std::fmt::Debug;

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// Seconds that a watch lasts. It ends by itself and is taken up where it was, so that one in which nothing happens is
/// heard from before the client's patience is over (`--kubernetes-patience`): not every API server sends bookmarks in time.
const WATCH_SECONDS: u32 = 60;

/// How everything is watched.
pub fn renewed() -> Config {
    Config::default().timeout(WATCH_SECONDS)
}

/// A watch of those that can be read, taken up again when it breaks.
pub fn watch<K>(api: Api<DeserializeGuard<K>>) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, renewed()).default_backoff().filter_map(|event| async {
        match event {
            Ok(event) => match readable(event) {
                Ok(event) => Some(Ok(event)),
                Err(invalid) => {
                    report::<K>(&invalid);
                    None
                }
            },
            Err(error) => Some(Err(error)),
        }
    })
}

/// The same event, of an object that can be read; else what is wrong with it.
pub fn readable<K>(event: Event<DeserializeGuard<K>>) -> Result<Event<K>, Box<InvalidObject>> {
    let read = |guard: DeserializeGuard<K>| guard.0.map_err(Box::new);
    Ok(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
    })
}

/// Says it, for people: nobody else will.
pub fn report<K: Resource<DynamicType = ()>>(invalid: &InvalidObject) {
    let (kind, meta) = (K::kind(&()), &invalid.metadata);
    let name = format!(
        "{kind}/{}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    );
    tracing::error!(object = %name, error = %invalid.error, "{name} cannot be read and is left alone: {}", invalid.error);
}

#[cfg(test)]
mod tests {
    use crds::Deployment;
    use serde_json::json;

    use super::*;

    fn deployment(attempt: i64) -> DeserializeGuard<Deployment> {
        serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "run", "uid": "1"},
            "spec": {"service": "blog"}, "status": {"attempt": attempt},
        }))
        .expect("a guard never fails on what Kubernetes sends")
    }

    #[test]
    fn one_that_cannot_be_read_is_no_event_and_no_error() {
        assert!(matches!(readable(Event::InitApply(deployment(1))), Ok(Event::InitApply(_))));
        let invalid = readable(Event::InitApply(deployment(5_000_000_000))).expect_err("more than fits");
        assert_eq!(invalid.metadata.name.as_deref(), Some("run"));
        assert!(matches!(readable(Event::<DeserializeGuard<Deployment>>::InitDone), Ok(Event::InitDone)));
    }
}
