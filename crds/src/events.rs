//! The catalogue of events: everything that is told to anybody (outbox, WebSocket, notifications,
//! audit) has its name here, and nothing else invents one. `docs/events.md` is generated from it.
//! And what has happened to an object, as a pure function of how it is: milestones that it has
//! passed and had not passed before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::names;

/// Of the catalogue: an event's meaning never changes within one version; new ones may come.
pub const VERSION: u32 = 1;
/// What stands before each name in a CloudEvent.
const PREFIX: &str = "dev.fastdeploy";

macro_rules! events {
    ($($name:ident $word:literal: $meaning:literal;)*) => {
        /// What can happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum EventType { $($name),* }

        impl EventType {
            /// All of them, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is stored and told: `deployment.started`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

events! {
    UserCreated "user.created": "An account was made.";
    UserUpdated "user.updated": "An account was changed: its password, its rights, or whether it may sign in.";
    UserDeleted "user.deleted": "An account was removed.";
    UserSignedIn "user.signedIn": "Somebody signed in.";
    UserSignedOut "user.signedOut": "Somebody signed out.";
    UserRefused "user.refused": "Somebody tried to sign in, or showed a copied session, and was refused.";
    RoleBound "role.bound": "Somebody was given a role.";
    RoleUnbound "role.unbound": "A role was taken from somebody.";
    TokenIssued "token.issued": "A token for programs was made.";
    TokenRevoked "token.revoked": "A token for programs was revoked.";
    ServiceCreated "service.created": "A Service is new.";
    ServiceUpdated "service.updated": "What a Service says was changed.";
    ServiceDeleted "service.deleted": "A Service was removed. Its servers are as they were.";
    DeploymentRequested "deployment.requested": "A run was asked for, by a person, a change or a schedule.";
    DeploymentAwaitingApproval "deployment.awaitingApproval": "A run waits until somebody agrees to it.";
    DeploymentApproved "deployment.approved": "Somebody agreed to a run.";
    DeploymentRejected "deployment.rejected": "Somebody refused a run.";
    DeploymentQueued "deployment.queued": "A run has its number and waits for its turn.";
    DeploymentStarted "deployment.started": "Ansible was permitted to start.";
    DeploymentFinished "deployment.finished": "A run succeeded.";
    DeploymentFailed "deployment.failed": "A run ended without success: it failed, or nothing was done.";
    DeploymentCancelled "deployment.cancelled": "A run was stopped, replaced or superseded.";
    DeploymentOutputRead "deployment.outputRead": "Somebody read a run's technical output. Audit only.";
    StepStarted "step.started": "A step began. In a run's own stream only.";
    StepUpdated "step.updated": "A server reported on a step. In a run's own stream only.";
    StepFinished "step.finished": "A step ended. In a run's own stream only.";
    DriftFound "drift.found": "The servers no longer are what the live Deployment left.";
    DriftGone "drift.gone": "The servers are as they should be again.";
    SourceChanged "source.changed": "The source has something new.";
    SourceUnreachable "source.unreachable": "The source, or a Secret for it, cannot be read.";
    SourceAnnounced "source.announced": "A Git server said by webhook that something was pushed.";
}

impl EventType {
    /// The type of its CloudEvent: `dev.fastdeploy.deployment.started.v1`.
    pub fn cloud_type(self) -> String {
        format!("{PREFIX}.{}.v{VERSION}", self.as_str())
    }

    /// The event of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == word)
    }
}

/// Something that has happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// What.
    pub event: EventType,
    /// When, as far as the object says.
    pub at: Option<Timestamp>,
    /// What tells it from the same happening at another time; empty where it happens once.
    pub key: String,
}

/// What has happened to a Deployment that it had not happened to when it was `old`.
pub fn of_deployment(old: Option<&Value>, new: &Value) -> Vec<Milestone> {
    difference(&old.map(deployment).unwrap_or_default(), deployment(new))
}

/// What has happened to a Service that it had not happened to when it was `old`.
pub fn of_service(old: Option<&Value>, new: &Value) -> Vec<Milestone> {
    let (before, mut now) = (old.map(service).unwrap_or_default(), service(new));
    // A state that is over has a second event; and a Service that is new is not an updated one.
    if old.is_none() {
        now.remove(&EventType::ServiceUpdated);
        now.remove(&EventType::SourceChanged);
    } else if before.contains_key(&EventType::DriftFound) && !now.contains_key(&EventType::DriftFound) {
        let in_sync = condition(new, "InSync").filter(|condition| condition["status"] == "True");
        if let Some(condition) = in_sync {
            now.insert(EventType::DriftGone, changed(condition));
        }
    }
    difference(&before, now)
}

type Passed = BTreeMap<EventType, (Option<Timestamp>, String)>;

fn difference(before: &Passed, now: Passed) -> Vec<Milestone> {
    let new = now.into_iter().filter(|(event, (_, key))| before.get(event).is_none_or(|(_, old)| old != key));
    new.map(|(event, (at, key))| Milestone { event, at, key }).collect()
}

fn deployment(object: &Value) -> Passed {
    let status = &object["status"];
    let created = time(&object["metadata"]["creationTimestamp"]);
    let mut passed = Passed::new();
    let mut pass = |event, at| {
        passed.insert(event, (at, String::new()));
    };
    pass(EventType::DeploymentRequested, created);
    let (phase, approval) = (status["phase"].as_str().unwrap_or_default(), &status["approval"]);
    if phase == "AwaitingApproval" || approval.is_object() {
        pass(EventType::DeploymentAwaitingApproval, created);
    }
    match approval["decision"].as_str() {
        Some("Approved") => pass(EventType::DeploymentApproved, time(&approval["at"])),
        Some("Rejected") => pass(EventType::DeploymentRejected, time(&approval["at"])),
        _ => {}
    }
    let started = time(&status["startedAt"]).or_else(|| time(&status["run"]["claimedAt"]));
    if matches!(phase, "Queued" | "Preparing" | "Running") || status["attempt"].is_number() {
        pass(EventType::DeploymentQueued, created);
    }
    if started.is_some() {
        pass(EventType::DeploymentStarted, started);
    }
    let ended = time(&status["finishedAt"]);
    match phase {
        "Succeeded" => pass(EventType::DeploymentFinished, ended),
        "Failed" | "NothingDone" => pass(EventType::DeploymentFailed, ended),
        "Cancelled" => pass(EventType::DeploymentCancelled, ended),
        _ => {}
    }
    passed
}

fn service(object: &Value) -> Passed {
    let mut passed = Passed::new();
    let created = time(&object["metadata"]["creationTimestamp"]);
    passed.insert(EventType::ServiceCreated, (created, String::new()));
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    passed.insert(EventType::ServiceUpdated, (None, generation.to_string()));
    let source = &object["status"]["source"];
    if let Some(tree) = source["tree"].as_str().or_else(|| source["revision"].as_str()) {
        passed.insert(EventType::SourceChanged, (None, tree.to_owned()));
    }
    if let Some(condition) = condition(object, "InSync").filter(|condition| condition["reason"] == "Drifted")
    {
        passed.insert(EventType::DriftFound, changed(condition));
    }
    let unreachable = |condition: &&Value| {
        let reason = condition["reason"].as_str().unwrap_or_default();
        let message = condition["message"].as_str().unwrap_or_default();
        matches!(reason, "SourceUnavailable" | "SourceNotFound")
            || reason == "ProgressingWithRetry" && message.starts_with("Source")
    };
    if let Some(condition) = condition(object, "Ready").filter(unreachable) {
        passed.insert(EventType::SourceUnreachable, changed(condition));
    }
    passed
}

/// Who wrote a Service's spec as it is now, as far as that is known: a later change by somebody who was not asked for
/// a name is not theirs.
pub fn changer(object: &Value) -> Option<&str> {
    let metadata = &object["metadata"];
    let said = |annotation: &str| metadata["annotations"][annotation].as_str();
    let of = said(names::ANNOTATION_CHANGED_GENERATION)?.parse::<i64>().ok()?;
    let by = said(names::ANNOTATION_CHANGED_BY)?;
    (metadata["generation"].as_i64() == Some(of)).then(|| by.strip_prefix(names::USER_PREFIX).unwrap_or(by))
}

fn condition<'a>(object: &'a Value, of: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == of)
}

/// When a condition became so: as a time, and as what tells it from another time.
fn changed(condition: &Value) -> (Option<Timestamp>, String) {
    let at = &condition["lastTransitionTime"];
    (time(at), at.as_str().unwrap_or_default().to_owned())
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// What is told of a Deployment with each of its events: what people want to know, no inputs.
pub fn deployment_data(object: &Value) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    without_null(json!({
        "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"],
        "service": spec["service"],
        "namespace": object["metadata"]["namespace"],
        "number": status["number"],
        "phase": status["phase"],
        "reason": status["reason"],
        "note": spec["reason"],
        "mode": spec["mode"],
        "requestedBy": requested_by(object),
        "approval": status["approval"],
        "revision": status["revision"],
        "startedAt": status["startedAt"],
        "finishedAt": status["finishedAt"],
        "hosts": status["hosts"],
        "failure": status["failure"],
    }))
}

/// Who asked for it: what its status says; of one that the operator has not looked at yet, what its annotations prove.
fn requested_by(object: &Value) -> Value {
    let (known, metadata) = (&object["status"]["requestedBy"], &object["metadata"]);
    if !known.is_null() {
        return known.clone();
    }
    let annotation = |key: &str| metadata["annotations"][key].as_str();
    // Only the name that the trigger makes proves that the operator made it.
    let service = object["spec"]["service"].as_str().unwrap_or_default();
    let is_made_by = |trigger: &str, owner: &Value| {
        let uid = owner["uid"].as_str().unwrap_or_default();
        metadata["name"] == names::deployment(service, uid, trigger).as_str()
    };
    let owners = metadata["ownerReferences"].as_array();
    let automatic = annotation(names::ANNOTATION_TRIGGER)
        .is_some_and(|trigger| owners.into_iter().flatten().any(|owner| is_made_by(trigger, owner)));
    let name = match annotation(names::ANNOTATION_REQUESTED_BY) {
        _ if automatic => "fastDeploy",
        Some(person) => person.strip_prefix(names::USER_PREFIX).unwrap_or(person),
        None => return Value::Null,
    };
    json!({ "name": name })
}

/// What is told of a Service with each of its events.
pub fn service_data(object: &Value) -> Value {
    let message = |of| condition(object, of).map(|condition| condition["message"].clone());
    without_null(json!({
        "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"],
        "namespace": object["metadata"]["namespace"],
        "title": object["spec"]["title"],
        "revision": object["status"]["source"]["revision"],
        "ready": message("Ready"),
        "inSync": message("InSync"),
    }))
}

fn without_null(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

/// The page of the docs.
pub fn markdown() -> String {
    use std::fmt::Write;
    let mut table = format!(
        "# Events\n\nGenerated from `crds/src/events.rs`, version {VERSION}. Everything that is told to anybody has its name here: \
         the stream of changes, notifications (as CloudEvents, docs/api.md), and the audit log. Within a version a name \
         keeps its meaning; new ones may come.\n\n| event | CloudEvents type | what it means |\n|---|---|---|\n"
    );
    for event in EventType::ALL {
        let _ = writeln!(table, "| `{}` | `{}` | {} |", event.as_str(), event.cloud_type(), event.meaning());
    }
    table.push_str(
        "\n## What they carry\n\n`deployment.*`: `name`, `uid`, `service`, `namespace`, `number`, `phase`, `reason`, `note` (why, as the \
         person wrote it), `mode`, `requestedBy`, `approval`, `revision`, `startedAt`, `finishedAt`, `hosts`, `failure`; never inputs. \
         `service.*`, `drift.*`, `source.*`: `name`, `uid`, `namespace`, `title`, `revision`, and the sentences of the conditions Ready and \
         InSync. `user.*`, `role.*`, `token.*`: who it is about; never a password, a hash or a token. What is not known is left out.\n\n\
         An event's id is made of what it is about and what happened, so one that is sent twice has the same id. What happened in between \
         two looks at an object (asked for, queued, started, finished) is told in that order, each once.\n",
    );
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventType as E;

    fn events(milestones: &[Milestone]) -> Vec<EventType> {
        milestones.iter().map(|milestone| milestone.event).collect()
    }

    #[test]
    fn every_name_is_of_one_shape_and_can_be_read_back() {
        for event in EventType::ALL {
            assert_eq!(EventType::parse(event.as_str()), Some(*event));
            let (noun, verb) = event.as_str().split_once('.').expect("noun.verb");
            assert!([noun, verb].iter().all(|word| word.bytes().all(|b| b.is_ascii_alphabetic())));
            assert!(event.meaning().ends_with('.'), "{}", event.as_str());
        }
        assert_eq!(E::DeploymentStarted.cloud_type(), "dev.fastdeploy.deployment.started.v1");
        assert_eq!(EventType::parse("deployment.vanished"), None);
    }

    #[allow(clippy::needless_pass_by_value, reason = "json! is written in place")]
    fn run(status: Value) -> Value {
        json!({"metadata": {"name": "blog-1", "creationTimestamp": "2027-01-15T08:00:00Z"}, "spec": {"service": "blog"}, "status": status})
    }

    #[test]
    fn what_happens_to_a_run_is_told_once_and_nothing_in_between_is_left_out() {
        let new = run(json!({}));
        let queued = run(json!({"phase": "Queued", "number": 1}));
        let running = run(
            json!({"phase": "Running", "number": 1, "attempt": 1, "run": {"claimedAt": "2027-01-15T08:00:05Z"}}),
        );
        let done = run(
            json!({"phase": "Succeeded", "number": 1, "attempt": 1, "startedAt": "2027-01-15T08:00:05Z", "finishedAt": "2027-01-15T08:01:00Z"}),
        );
        assert_eq!(events(&of_deployment(None, &new)), [E::DeploymentRequested]);
        assert_eq!(events(&of_deployment(Some(&new), &queued)), [E::DeploymentQueued]);
        assert_eq!(events(&of_deployment(Some(&queued), &running)), [E::DeploymentStarted]);
        let ended = of_deployment(Some(&running), &done);
        assert_eq!(events(&ended), [E::DeploymentFinished]);
        assert_eq!(ended[0].at, "2027-01-15T08:01:00Z".parse().ok());
        assert_eq!(
            events(&of_deployment(None, &done)),
            [E::DeploymentRequested, E::DeploymentQueued, E::DeploymentStarted, E::DeploymentFinished]
        );
        assert_eq!(events(&of_deployment(Some(&done), &done)), []);
        for (phase, event) in [
            ("Failed", E::DeploymentFailed),
            ("NothingDone", E::DeploymentFailed),
            ("Cancelled", E::DeploymentCancelled),
        ] {
            assert_eq!(events(&of_deployment(Some(&new), &run(json!({"phase": phase})))), [event]);
        }
    }

    #[test]
    fn approval_is_told_whatever_was_seen_of_it() {
        let approved = run(
            json!({"phase": "Queued", "approval": {"decision": "Approved", "by": "anna", "at": "2027-01-15T08:00:03Z"}}),
        );
        let waiting = run(json!({"phase": "AwaitingApproval"}));
        assert_eq!(
            events(&of_deployment(Some(&waiting), &approved)),
            [E::DeploymentApproved, E::DeploymentQueued]
        );
        assert_eq!(
            events(&of_deployment(Some(&run(json!({}))), &approved)),
            [E::DeploymentAwaitingApproval, E::DeploymentApproved, E::DeploymentQueued]
        );
        let refused = run(json!({"phase": "Cancelled", "approval": {"decision": "Rejected", "by": "anna"}}));
        assert_eq!(
            events(&of_deployment(Some(&waiting), &refused)),
            [E::DeploymentRejected, E::DeploymentCancelled]
        );
    }

    #[test]
    fn a_service_is_new_changed_and_drifts_and_comes_back() {
        let service = |generation: i64, tree: &str, in_sync: Value| {
            json!({"metadata": {"name": "blog", "generation": generation}, "spec": {},
                "status": {"source": {"tree": tree}, "conditions": [in_sync]}})
        };
        let fine = json!({"type": "InSync", "status": "True", "reason": "Deployed", "lastTransitionTime": "2027-01-15T08:00:00Z"});
        let drifted = json!({"type": "InSync", "status": "False", "reason": "Drifted", "lastTransitionTime": "2027-01-15T09:00:00Z"});
        let first = service(1, "a", fine.clone());
        assert_eq!(events(&of_service(None, &first)), [E::ServiceCreated]);
        assert_eq!(
            events(&of_service(Some(&first), &service(2, "b", fine.clone()))),
            [E::ServiceUpdated, E::SourceChanged]
        );
        let off = service(1, "a", drifted);
        assert_eq!(events(&of_service(Some(&first), &off)), [E::DriftFound]);
        assert_eq!(events(&of_service(Some(&off), &off)), []);
        assert_eq!(events(&of_service(Some(&off), &first)), [E::DriftGone]);
        let away =
            service(1, "a", json!({"type": "Ready", "status": "False", "reason": "SourceUnavailable"}));
        assert_eq!(events(&of_service(Some(&first), &away)), [E::SourceUnreachable]);
    }

    #[test]
    fn who_asked_for_a_run_is_known_from_its_first_moment() {
        let made = |name: &str, annotations: Value, status: Value| {
            let mut run = run(status);
            run["metadata"]["name"] = name.into();
            run["metadata"]["annotations"] = annotations;
            run["metadata"]["ownerReferences"] = json!([{"kind": "Service", "name": "blog", "uid": "u"}]);
            deployment_data(&run)["requestedBy"]["name"].clone()
        };
        let by = |person: &str| json!({"fastdeploy.dev/requested-by": person});
        assert_eq!(made("run", by("fastdeploy:anna"), json!({})), "anna");
        assert_eq!(made("run", by("anna"), json!({"requestedBy": {"name": "bob"}})), "bob");
        assert_eq!(made("run", json!({}), json!({})), Value::Null);
        let trigger = json!({"fastdeploy.dev/trigger": "digest:a"});
        assert_eq!(
            made(&names::deployment("blog", "u", "digest:a"), trigger.clone(), json!({})),
            "fastDeploy"
        );
        // Anybody can write that.
        assert_eq!(made("run", trigger, json!({})), Value::Null);
    }

    #[test]
    fn nothing_that_people_typed_into_the_form_is_told() {
        let mut deployment = run(json!({"phase": "Failed", "failure": {"message": "disk full"}}));
        deployment["spec"]["inputs"] = json!({"password": "secret"});
        let data = deployment_data(&deployment);
        assert_eq!(data["failure"]["message"], "disk full");
        assert!(!data.to_string().contains("secret") && data.get("number").is_none());
    }
}
