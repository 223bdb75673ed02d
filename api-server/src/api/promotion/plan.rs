//! What a promotion comes to: which revision, which answers, what stands in its way. Pure.

use std::collections::BTreeMap;

use crds::service::{Input, InputType, Live};
use crds::source::Source;
use crds::{Service, inputs, promotion};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::problem::{FieldError, Problem};

/// Why there is nothing to promote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hindrance {
    /// In one word.
    pub reason: Hindered,
    /// Which field of the two Services is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// A sentence that says what to do.
    pub detail: String,
}

/// Why there is nothing to promote, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Hindered {
    /// Nothing is live at the one that is promoted from.
    NothingLive,
    /// The two do not follow the same source.
    OtherSource,
    /// The one that is promoted to is paused.
    Suspended,
}

/// Which source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevisionChange {
    /// Live where it is promoted to; absent: nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<String>,
    /// Live where it is promoted from.
    pub to: String,
    /// The commit of `to`.
    pub commit: String,
}

/// An answer of the form.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct InputChange {
    /// Which.
    pub name: String,
    /// The question, as people see it.
    pub label: String,
    /// Live where it is promoted to; absent: not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it would be; absent: not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// A live answer that is not taken along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftOut {
    /// Which.
    pub name: String,
    /// Why.
    pub why: WhyNot,
}

/// Why an answer is not taken along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum WhyNot {
    /// The form has no such field.
    Unknown,
    /// The form has one that takes other answers.
    Unfit,
}

/// What a promotion comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub hindrance: Option<Hindrance>,
    /// What is live where it is promoted from.
    pub number: Option<i64>,
    pub revision: Option<RevisionChange>,
    pub changes: Vec<InputChange>,
    /// The answers of the new run, without defaults.
    pub inputs: BTreeMap<String, Value>,
    pub left_out: Vec<LeftOut>,
    pub missing: Vec<FieldError>,
    /// A Secret of the target with its own secret answers.
    pub secret: Option<String>,
    /// Nothing would change.
    pub same: bool,
}

/// Answers that somebody gives instead of the live ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instead {
    pub inputs: BTreeMap<String, Value>,
    pub secret: Option<String>,
}

/// Looks at both.
pub fn plan(from: &Service, to: &Service, instead: &Instead) -> Plan {
    let live = live(from);
    let theirs = live.map(|live| &live.inputs);
    let before = self::live(to);
    let form = &to.spec.inputs;
    let (hindrance, revision) = match (live, source(from, to)) {
        (None, _) => (Some(nothing_live(from)), None),
        (_, Err(hindrance)) => (Some(hindrance), None),
        (Some(_), Ok(_)) if to.spec.suspend => (Some(suspended(to)), None),
        (Some(live), Ok(commit)) => {
            let from = before.map(|before| before.revision.clone());
            (None, commit.map(|commit| RevisionChange { from, to: live.revision.clone(), commit }))
        }
    };
    let (mut inputs, left_out) = answers(form, theirs, &instead.inputs);
    keep(&mut inputs, from, to);
    let changes: Vec<InputChange> = form
        .iter()
        .filter(|input| input.type_ != InputType::Secret)
        .map(|input| InputChange {
            name: input.name.clone(),
            label: input.label.clone().unwrap_or_else(|| input.name.clone()),
            from: before
                .and_then(|before| before.inputs.get(&input.name).or(input.default.as_ref()))
                .cloned(),
            to: inputs.get(&input.name).or(input.default.as_ref()).cloned(),
        })
        .collect();
    let kept = || Some(before?.secret_inputs.as_ref()?.name.clone());
    let secrets: Vec<&Input> = form.iter().filter(|input| input.type_ == InputType::Secret).collect();
    let secret = instead.secret.clone().or_else(|| kept().filter(|_| !secrets.is_empty()));
    let mut missing: Vec<FieldError> = inputs::wrong(form, &inputs)
        .into_iter()
        .map(|(field, message)| FieldError { field, message })
        .collect();
    if secret.is_none() {
        missing.extend(secrets.iter().filter(|input| input.required).map(|input| unanswered(input)));
    }
    let same_source = match (live, before) {
        (Some(live), Some(before)) => {
            let commit = |live: &Live| promotion::commit(&live.revision).map(ToOwned::to_owned);
            commit(live)
                .map_or(live.revision == before.revision, |commit| Some(commit) == self::commit(before))
        }
        _ => false,
    };
    let same = hindrance.is_none() && same_source && changes.iter().all(|change| change.from == change.to);
    Plan {
        hindrance,
        number: live.map(|live| live.number),
        revision,
        changes,
        inputs,
        left_out,
        missing,
        secret,
        same,
    }
}

impl From<Hindrance> for Problem {
    fn from(Hindrance { reason, field, detail }: Hindrance) -> Self {
        let mut problem = match reason {
            Hindered::NothingLive => Self::conflict("NothingLive", detail),
            Hindered::OtherSource => Self::conflict("OtherSource", detail),
            Hindered::Suspended => Self::conflict("Suspended", detail),
        };
        problem.field = field;
        problem
    }
}

fn live(service: &Service) -> Option<&Live> {
    service.status.as_ref()?.live.as_ref()
}

fn commit(live: &Live) -> Option<String> {
    promotion::commit(&live.revision).map(ToOwned::to_owned)
}

/// The commit to take; none: the sources are of a kind that has no revisions to choose from.
fn source(from: &Service, to: &Service) -> Result<Option<String>, Hindrance> {
    let other = |field: &str, detail: String| Hindrance {
        reason: Hindered::OtherSource,
        field: Some(field.to_owned()),
        detail: format!("{detail}."),
    };
    let (theirs, ours) = (&from.spec.source, &to.spec.source);
    match (&theirs.git, &ours.git) {
        (Some(theirs), Some(ours)) => {
            let revision = live(from).map_or("", |live| live.revision.as_str());
            promotion::taken((&from.name_any(), theirs, revision), (&to.name_any(), ours))
                .map(|commit| Some(commit.to_owned()))
                .map_err(|unlike| other(unlike.field, unlike.message))
        }
        _ if kind(theirs) == kind(ours) => Ok(None),
        _ => {
            let detail = format!(
                "source: {} comes from {}, {} from {}; write the same kind of source there",
                from.name_any(),
                kind(theirs),
                to.name_any(),
                kind(ours)
            );
            Err(other("source", detail))
        }
    }
}

fn kind(source: &Source) -> &'static str {
    let Source { git, inline, config_map, image } = source;
    match (git, inline, config_map, image) {
        (Some(_), ..) => "git",
        (_, Some(_), ..) => "inline",
        (_, _, Some(_), _) => "configMap",
        (.., Some(_)) => "image",
        _ => "nowhere",
    }
}

fn nothing_live(from: &Service) -> Hindrance {
    let detail = format!("Nothing is live at {} yet: deploy it first.", from.name_any());
    Hindrance { reason: Hindered::NothingLive, field: None, detail }
}

fn suspended(to: &Service) -> Hindrance {
    let name = to.name_any();
    let detail = format!("{name} is paused, so nothing is deployed. Whoever looks after it can resume it.");
    Hindrance { reason: Hindered::Suspended, field: None, detail }
}

/// The answers that are taken along, and those that are not.
fn answers(
    form: &[Input],
    live: Option<&BTreeMap<String, Value>>,
    instead: &BTreeMap<String, Value>,
) -> (BTreeMap<String, Value>, Vec<LeftOut>) {
    let (mut taken, mut left_out) = (instead.clone(), Vec::new());
    for (name, value) in live.into_iter().flatten().filter(|(name, _)| !instead.contains_key(*name)) {
        let asked = form.iter().find(|input| input.name == *name && input.type_ != InputType::Secret);
        let why = match asked {
            None => WhyNot::Unknown,
            Some(input) if inputs::check(input, value).is_err() => WhyNot::Unfit,
            Some(_) => {
                taken.insert(name.clone(), value.clone());
                continue;
            }
        };
        left_out.push(LeftOut { name: name.clone(), why });
    }
    (taken, left_out)
}

/// What only the target asks for stays as it is live there: nobody at the other one can have answered it.
fn keep(inputs: &mut BTreeMap<String, Value>, from: &Service, to: &Service) {
    let asked_there = |input: &Input| from.spec.inputs.iter().any(|theirs| theirs.name == input.name);
    for input in to.spec.inputs.iter().filter(|input| input.type_ != InputType::Secret && !asked_there(input))
    {
        let own = live(to).and_then(|live| live.inputs.get(&input.name));
        if let Some(own) = own.filter(|own| inputs::check(input, own).is_ok()) {
            inputs.entry(input.name.clone()).or_insert_with(|| own.clone());
        }
    }
}

fn unanswered(input: &Input) -> FieldError {
    let field = format!("inputs.{}", input.name);
    let message = format!(
        "{field}: an answer is required, and secrets are never taken along: put it into a Secret under this name, and \
         name the Secret in secretInputs.secretRef"
    );
    FieldError { field, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OLD: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn service(name: &str, spec: Value, live: Value) -> Service {
        let mut service = json!({"apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {"source": {"git": {"url": "https://git.example.com/blog.git", "branch": "main"}},
                "playbook": "deploy.yml", "inventory": {"local": true}},
            "status": {"live": {"deployment": {"name": "d", "uid": "u"}, "number": 7, "digest": "d",
                "revision": format!("main@sha1:{COMMIT}"), "since": "2027-01-15T08:00:00Z"}}});
        for (at, more) in [("spec", spec), ("live", live)] {
            let place = if at == "spec" { &mut service["spec"] } else { &mut service["status"]["live"] };
            match more {
                Value::Object(more) => place.as_object_mut().unwrap().extend(more),
                _ => *place = Value::Null,
            }
        }
        serde_json::from_value(service).unwrap()
    }

    #[test]
    fn live_answers_are_taken_along_as_far_as_the_form_knows_them() {
        let asked = json!({"inputs": [{"name": "version", "type": "text"}, {"name": "who", "type": "text"}]});
        let from =
            service("staging", asked, json!({"inputs": {"version": "v2", "size": "big", "debug": true}}));
        let form = json!({"inputs": [
            {"name": "version", "type": "text", "required": true, "label": "Version"}, {"name": "size", "type": "number", "default": 3},
            {"name": "pin", "type": "secret", "required": true}, {"name": "who", "type": "text", "required": true}]});
        let to = service(
            "production",
            form,
            json!({"revision": format!("main@sha1:{OLD}"), "inputs": {"version": "v1", "who": "us"}}),
        );
        let found = plan(&from, &to, &Instead::default());
        assert_eq!(
            found.revision,
            Some(RevisionChange {
                from: Some(format!("main@sha1:{OLD}")),
                to: format!("main@sha1:{COMMIT}"),
                commit: COMMIT.into()
            })
        );
        assert_eq!(found.inputs, serde_json::from_value(json!({"version": "v2"})).unwrap());
        assert_eq!(
            serde_json::to_value(&found.changes).unwrap(),
            json!([
            {"name": "version", "label": "Version", "from": "v1", "to": "v2"}, {"name": "size", "label": "size", "from": 3, "to": 3},
            {"name": "who", "label": "who", "from": "us"}])
        );
        assert_eq!(
            serde_json::to_value(&found.left_out).unwrap(),
            json!([{"name": "debug", "why": "Unknown"}, {"name": "size", "why": "Unfit"}])
        );
        let fields: Vec<_> = found.missing.iter().map(|error| error.field.as_str()).collect();
        assert_eq!((fields, found.hindrance, found.same), (vec!["inputs.who", "inputs.pin"], None, false));

        let inputs = serde_json::from_value(json!({"who": "all", "size": 4})).unwrap();
        let found = plan(&from, &to, &Instead { inputs, secret: Some("pins".into()) });
        assert_eq!(
            found.inputs,
            serde_json::from_value(json!({"version": "v2", "size": 4, "who": "all"})).unwrap()
        );
        assert_eq!((found.missing, found.secret.as_deref()), (vec![], Some("pins")));
    }

    #[test]
    fn what_only_the_target_asks_for_stays_as_it_is_there() {
        let from = service(
            "staging",
            json!({"inputs": [{"name": "version", "type": "text"}]}),
            json!({"inputs": {"version": "v2"}}),
        );
        let asked = json!({"inputs": [{"name": "version", "type": "text"},
            {"name": "size", "type": "number", "required": true}, {"name": "who", "type": "text"}]});
        let to = |live: Value| service("production", asked.clone(), json!({"inputs": live}));
        let found = plan(&from, &to(json!({"version": "v2", "size": 3})), &Instead::default());
        assert_eq!(found.inputs, serde_json::from_value(json!({"version": "v2", "size": 3})).unwrap());
        assert_eq!((found.missing, found.same), (vec![], true));
        // What somebody says now counts; what does not fit any more is asked for.
        let inputs = serde_json::from_value(json!({"size": 4})).unwrap();
        let instead = Instead { inputs, secret: None };
        let found = plan(&from, &to(json!({"version": "v2", "size": 3})), &instead);
        assert_eq!((found.inputs["size"].clone(), found.same), (json!(4), false));
        let found = plan(&from, &to(json!({"size": "big"})), &Instead::default());
        assert_eq!(found.missing.len(), 1);
    }

    #[test]
    fn its_own_secrets_stay_and_the_same_is_the_same() {
        let form = json!({"inputs": [{"name": "pin", "type": "secret", "required": true}]});
        let from = service("staging", form.clone(), json!({"secretInputs": {"name": "theirs"}}));
        let to = service("production", form, json!({"secretInputs": {"name": "ours"}}));
        let found = plan(&from, &to, &Instead::default());
        assert_eq!((found.secret.as_deref(), found.missing, found.same), (Some("ours"), vec![], true));
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        let from = service("staging", json!({}), json!({}));
        let hindered = |from: &Service, to: &Service| {
            plan(from, to, &Instead::default()).hindrance.map(|found| (found.reason, found.field))
        };
        let empty = service("staging", json!({}), Value::Null);
        let inline = json!({"source": {"inline": {"deploy.yml": "[]"}}});
        let to = service("production", json!({}), Value::Null);
        assert_eq!(hindered(&from, &to), None);
        assert_eq!(hindered(&empty, &to), Some((Hindered::NothingLive, None)));
        let other = service("production", inline.clone(), json!({}));
        assert_eq!(hindered(&from, &other), Some((Hindered::OtherSource, Some("source".into()))));
        let other = service(
            "production",
            json!({"source": {"git": {"url": "https://git.example.com/x.git", "branch": "main"}}}),
            json!({}),
        );
        assert_eq!(hindered(&from, &other), Some((Hindered::OtherSource, Some("source.git.url".into()))));
        assert_eq!(
            hindered(&from, &service("production", json!({"suspend": true}), json!({}))),
            Some((Hindered::Suspended, None))
        );
        // Without Git the answers are all there is to take along.
        let both = (service("staging", inline.clone(), json!({})), service("production", inline, json!({})));
        let found = plan(&both.0, &both.1, &Instead::default());
        assert_eq!((found.hindrance, found.revision), (None, None));
    }
}
