//! What of a Service's object people see and write, and what stays with Kubernetes. Pure.

use crds::names;
use kube::Resource;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::api::problem::FieldError;

/// Of the metadata, what people write.
const OURS: [&str; 4] = ["name", "namespace", "labels", "annotations"];
/// Annotations that programs keep for themselves: they are not shown, and stay when a manifest is changed.
const KEPT: [&str; 4] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    names::ANNOTATION_REQUESTED_AT,
    names::ANNOTATION_CHANGED_BY,
    names::ANNOTATION_CHANGED_GENERATION,
];

/// The object without its status and without what Kubernetes keeps for itself.
pub fn shown(object: Value) -> Value {
    let Value::Object(mut object) = object else { return object };
    object.remove("status");
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|key, _| OURS.contains(&key.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.retain(|key, _| !KEPT.contains(&key.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Value::Object(object)
}

/// Of what is shown, and of which object: a status that is written by the operator is no change. (With the
/// resourceVersion, an editor that is open during a run could never save.)
pub fn etag(object: &Value) -> String {
    let uid = object.pointer("/metadata/uid").cloned().unwrap_or_default();
    let text = json!([uid, shown(object.clone())]).to_string();
    format!("\"{}\"", &hex::encode(Sha256::digest(text))[..32])
}

/// Where a manifest that is sent wants to be.
pub fn place(sent: &Value) -> Result<(String, String), Vec<FieldError>> {
    let mut errors = kind(sent);
    let mut name = |field: &str| {
        let found = sent["metadata"][field].as_str().unwrap_or_default();
        if !names::is_object_name(found) {
            let field = format!("metadata.{field}");
            errors.push(error(&field, "write a name of small letters, digits and dashes, for example blog."));
        }
        found.to_owned()
    };
    let place = (name("namespace"), name("name"));
    if errors.is_empty() { Ok(place) } else { Err(errors) }
}

/// What is to be written of a manifest that is sent: apiVersion, kind, spec, and of the metadata what people write.
/// Everything else that it has is refused by its name, but for what Kubernetes itself adds to what it shows.
pub fn wanted(sent: &Value, (namespace, name): (&str, &str)) -> Result<Value, Vec<FieldError>> {
    let mut errors = kind(sent);
    for (field, expected) in [("namespace", namespace), ("name", name)] {
        if sent["metadata"].get(field).is_some_and(|found| found != expected) {
            let field = format!("metadata.{field}");
            errors.push(error(&field, &format!("this is {expected}, which cannot be changed: leave it so.")));
        }
    }
    if !sent["spec"].is_object() {
        errors.push(error("spec", "write what is to be deployed."));
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    for key in sent.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str())) {
        errors.push(error(key, "there is no such field; look for a slip of the pen."));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut metadata = json!({"name": name, "namespace": namespace});
    // What they have to be is for Kubernetes to say.
    for part in ["labels", "annotations"] {
        if let Some(part_sent) = sent["metadata"].get(part).filter(|sent| !sent.is_null()) {
            metadata[part] = part_sent.clone();
        }
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !KEPT.contains(&key.as_str()));
    }
    Ok(json!({"apiVersion": api_version(), "kind": "Service", "metadata": metadata, "spec": sent["spec"]}))
}

/// The same in the place of what is there: with what people do not see of that.
pub fn over(there: &Value, mut wanted: Value) -> Value {
    let old = &there["metadata"];
    for field in ["uid", "resourceVersion", "finalizers", "ownerReferences"] {
        if let Some(old) = old.get(field) {
            wanted["metadata"][field] = old.clone();
        }
    }
    for annotation in KEPT {
        if let Some(old) = old["annotations"].get(annotation) {
            annotate(&mut wanted, annotation, old.clone());
        }
    }
    wanted
}

/// Annotations that are none (what was sent may be anything) are left for Kubernetes to refuse.
fn annotate(wanted: &mut Value, annotation: &str, value: Value) {
    let annotations = &mut wanted["metadata"]["annotations"];
    if annotations.is_null() || annotations.is_object() {
        annotations[annotation] = value;
    }
}

/// The same with who has written it, and which generation that makes.
pub fn signed(mut wanted: Value, who: &str, generation: i64) -> Value {
    annotate(&mut wanted, names::ANNOTATION_CHANGED_BY, json!(who));
    annotate(&mut wanted, names::ANNOTATION_CHANGED_GENERATION, json!(generation.to_string()));
    wanted
}

fn api_version() -> String {
    crds::Service::api_version(&()).into_owned()
}

fn kind(sent: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, expected) in [("apiVersion", api_version()), ("kind", "Service".to_owned())] {
        if sent[field] != *expected {
            errors.push(error(field, &format!("write {expected}.")));
        }
    }
    errors
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: format!("{field}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Value {
        json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": "blog", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 2,
                "managedFields": [{}], "finalizers": ["x/y"], "labels": {"a": "b"},
                "annotations": {"fastdeploy.dev/requestedAt": "1"}},
            "spec": {"playbook": "deploy.yml"}, "status": {"lastNumber": 3}})
    }

    #[test]
    fn what_is_shown_is_what_people_write() {
        let shown = shown(there());
        assert_eq!(
            shown,
            json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
                "metadata": {"name": "blog", "namespace": "team", "labels": {"a": "b"}}, "spec": {"playbook": "deploy.yml"}})
        );
        // And what was not touched is what was there.
        let again = over(&there(), wanted(&shown, ("team", "blog")).unwrap());
        assert_eq!(again["metadata"]["finalizers"], json!(["x/y"]));
        assert_eq!(again["metadata"]["annotations"], json!({"fastdeploy.dev/requestedAt": "1"}));
        assert_eq!(
            (&again["metadata"]["uid"], &again["metadata"]["resourceVersion"]),
            (&json!("u"), &json!("7"))
        );
    }

    #[test]
    fn only_what_people_write_is_a_change() {
        let before = etag(&there());
        let mut after = there();
        after["status"]["lastNumber"] = json!(4);
        after["metadata"]["resourceVersion"] = json!("8");
        after["metadata"]["annotations"]["fastdeploy.dev/requestedAt"] = json!("2");
        assert_eq!(before, etag(&signed(after, "anna", 3)));
        for (pointer, value) in
            [("/spec/playbook", "x.yml"), ("/metadata/labels/a", "c"), ("/metadata/uid", "other")]
        {
            let mut after = there();
            *after.pointer_mut(pointer).unwrap() = json!(value);
            assert_ne!(before, etag(&after), "{pointer}");
        }
    }

    #[test]
    fn annotations_that_are_none_break_nothing() {
        for odd in [json!("x"), json!(7), json!([1]), json!(true)] {
            let sent = json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
                "metadata": {"annotations": odd}, "spec": {}});
            let again = signed(over(&there(), wanted(&sent, ("team", "blog")).unwrap()), "anna", 3);
            assert_eq!(again["metadata"]["annotations"], odd);
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let fields = |sent: Value| {
            let errors = wanted(&sent, ("team", "blog")).unwrap_err();
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(json!({})), ["apiVersion", "kind", "spec"]);
        let mut sent = there();
        sent["metadata"]["name"] = json!("shop");
        sent["spce"] = json!({});
        assert_eq!(fields(sent), ["metadata.name", "spce"]);
        let errors = place(&json!({"metadata": {"name": "../x"}})).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["apiVersion", "kind", "metadata.namespace", "metadata.name"]);
    }
}
