//! `/api/v1/deployments/{uid}/comparison`: what two runs of a Service have not in common.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::read::{DeploymentRow, Snapshot};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use super::view::{self, Deployment};
use super::{App, Path, Query, deployments};
use crate::people::Person;

/// Most differences of one answer.
const MOST: usize = 500;
/// Longest value that is shown, in characters.
const LONGEST: usize = 2_000;

/// With which.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// uid of another Deployment, usually an earlier one.
    with: Uuid,
}

/// Two runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The other one.
    pub before: Deployment,
    /// This one.
    pub after: Deployment,
    /// What is not the same in what they were given: inputs, revision, and all that is frozen for a run.
    pub differences: Vec<Difference>,
    /// false: what one of them ran is no longer kept, so only inputs and revision could be compared.
    pub whole: bool,
}

/// Something that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Where: `inputs.version`, `options.forks`, `source.files.deploy.yml`.
    pub path: String,
    /// As it was; absent: it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// As it is; absent: it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Compare a run with another.
#[utoipa::path(get, path = "/deployments/{uid}/comparison", tag = "deployments", operation_id = "compareDeployments",
    params(("uid" = Uuid, Path), With),
    responses((status = 200, body = Comparison), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn compare(
    State(app): State<App>,
    who: Person,
    Path(uid): Path<Uuid>,
    Query(With { with }): Query<With>,
) -> Result<Json<Comparison>, Problem> {
    let mut snapshot = Snapshot::begin(app.pool()?).await?;
    let after = deployments::find(&app, &who, &mut snapshot, uid).await?;
    let before = deployments::find(&app, &who, &mut snapshot, with).await?;
    drop(snapshot);
    let (old, new) = (given(&app, &before).await?, given(&app, &after).await?);
    let whole = old.whole && new.whole;
    let mut differences = Vec::new();
    differ("", Some(&old.value), Some(&new.value), &mut differences);
    if !whole {
        differences.retain(|found| found.path.starts_with("inputs") || found.path == "revision");
    }
    let view = |row| view::deployment(row).ok_or_else(|| Problem::not_found("deployment"));
    Ok(Json(Comparison { before: view(&before)?, after: view(&after)?, differences, whole }))
}

struct Given {
    value: Value,
    whole: bool,
}

/// What a run was given: its bundle, and what people know of it.
async fn given(app: &App, row: &DeploymentRow) -> Result<Given, Problem> {
    let text = |pointer: &str| row.object.pointer(pointer).and_then(Value::as_str);
    let bundle = match text("/status/bundle") {
        Some(name) => store::bundles::content(app.pool()?, name).await?,
        None => None,
    };
    let bundle = bundle.and_then(|content| serde_json::from_str::<Value>(&content).ok());
    let whole = bundle.is_some();
    let mut value = bundle.filter(Value::is_object).unwrap_or_else(|| serde_json::json!({}));
    for (field, pointer) in [("revision", "/status/revision"), ("digest", "/status/digest")] {
        value[field] = row.object.pointer(pointer).cloned().unwrap_or_default();
    }
    if !whole {
        let inputs =
            ["/status/inputs", "/spec/inputs"].iter().find_map(|pointer| row.object.pointer(pointer));
        value["inputs"] = inputs.cloned().unwrap_or_else(|| serde_json::json!({}));
    }
    Ok(Given { value, whole })
}

fn differ(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if before == after || found.len() == MOST {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differ(&path, old.get(key), new.get(key), found);
        }
        return;
    }
    let path = path.to_owned();
    found.push(Difference { path, before: before.map(short), after: after.map(short) });
}

fn short(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().nth(LONGEST).is_some() => {
            Value::String(text.chars().take(LONGEST).chain(['…']).collect())
        }
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn paths(before: &Value, after: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differ("", Some(before), Some(after), &mut found);
        found.into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn what_is_not_the_same_is_named_by_its_place() {
        let before = json!({"inputs": {"version": "v1", "size": 1}, "options": {"forks": 5}, "list": [1, 2]});
        let after =
            json!({"inputs": {"version": "v2", "fast": true}, "options": {"forks": 5}, "list": [1, 3]});
        assert_eq!(paths(&before, &after), ["inputs.fast", "inputs.size", "inputs.version", "list"]);
        assert_eq!(paths(&before, &before), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn both_ways_find_the_same(a in "[a-c]{0,3}", b in "[a-c]{0,3}", n in 0..3_i64) {
            let (one, two) = (json!({a.clone(): n, "x": {b.clone(): n}}), json!({b: 1, "x": {a: n}}));
            prop_assert_eq!(paths(&one, &two), paths(&two, &one));
        }
    }
}
