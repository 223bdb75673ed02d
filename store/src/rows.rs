//! What of an object is kept in PostgreSQL. Pure; the same for the mirror and for whoever has just made one. What nobody needs to see, and what would be large, is
//! left out: the playbook's files, variables, the inventory.

use crate::mirror::{Row, Run};
use crds::{Deployment, Service};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Of a Service; nothing if it is not one that an API server has made.
pub fn service(service: &Service) -> Option<Row> {
    let mut object = object(service)?;
    let spec = object.get_mut("spec").and_then(Value::as_object_mut)?;
    spec.remove("variables");
    for part in ["source", "inventory"] {
        if let Some(part) = spec.get_mut(part).and_then(Value::as_object_mut) {
            part.remove("inline");
        }
    }
    Some(Row { service: service.name_any(), ..row(service, object)? })
}

/// Of a Deployment.
pub fn deployment(deployment: &Deployment) -> Option<Row> {
    let status = deployment.status.as_ref();
    let run = Run {
        number: status.and_then(|status| status.number),
        phase: status.and_then(|status| status.phase).map(|phase| phase.as_str().to_owned()),
        created_at: deployment
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        finished_at: status.and_then(|status| status.finished_at),
    };
    let object = object(deployment)?;
    Some(Row { service: deployment.spec.service.clone(), run: Some(run), ..row(deployment, object)? })
}

fn row<K: ResourceExt>(object: &K, json: Value) -> Option<Row> {
    Some(Row {
        uid: object.uid()?.parse().ok()?,
        namespace: object.namespace()?,
        name: object.name_any(),
        service: String::new(),
        resource_version: object.resource_version()?.parse().ok()?,
        object: json,
        run: None,
    })
}

fn object<K: Serialize>(object: &K) -> Option<Value> {
    let mut object = serde_json::to_value(object).ok()?;
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut)?;
    metadata.remove("managedFields");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    without_nul(&mut object);
    Some(object)
}

/// PostgreSQL's JSON knows no NUL.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(fields) => fields.values_mut().for_each(without_nul),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_needs_to_see_is_left_out() {
        let blog: Service = serde_json::from_value(json!({
            "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": "blog", "namespace": "team", "uid": "00000000-0000-0000-0000-000000000001",
                "resourceVersion": "7", "annotations": {LAST_APPLIED: "{}", "a": "b"},
                "managedFields": [{"manager": "kubectl"}]},
            "spec": {"source": {"inline": {"deploy.yml": "x"}}, "playbook": "deploy.yml", "title": "a\u{0}b",
                "inventory": {"inline": {"all": {}}}, "variables": {"port": 1}},
        }))
        .expect("a Service");
        let row = service(&blog).expect("a row");
        assert_eq!((row.resource_version, row.service.as_str()), (7, "blog"));
        let spec = &row.object["spec"];
        assert_eq!((&spec["source"], &spec["inventory"]), (&json!({}), &json!({})));
        assert!(spec.get("variables").is_none());
        assert_eq!(spec["title"], "a\u{fffd}b");
        assert_eq!(row.object["metadata"]["annotations"], json!({"a": "b"}));
        assert!(row.object["metadata"].get("managedFields").is_none());
    }
}
