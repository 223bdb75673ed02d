//! What a run's events come to: its steps, and how far it is. Pure; the same for the api-server's
//! answers, for `status.run` and for whoever else reads the events.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::{ErrorSummary, Event, HostState, Items, Kind},
    verdict::{StepState, Verdict},
};

/// Results that are kept per step; of more servers only the counts.
pub const MAX_HOSTS: usize = 200;

/// The events so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    /// The last event that was taken.
    pub seq: u64,
    /// In planned order; what was not planned joins where it began.
    pub steps: Vec<FoldedStep>,
    /// The step that began last, by its place.
    current: Option<usize>,
    /// Places by key: a run may have thousands of steps.
    places: HashMap<String, usize>,
    /// The final report.
    pub verdict: Option<Verdict>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldedStep {
    /// `file:line#n`.
    pub key: String,
    /// What people see.
    pub name: String,
    /// Play or role that it belongs to.
    pub section: String,
    /// How it stands.
    pub state: StepState,
    /// Runs only if notified, or only to rescue.
    pub conditional: bool,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Servers where it was fine; where a failure was ignored or handled, too.
    pub ok: u32,
    /// Servers where it changed something.
    pub changed: u32,
    /// Servers where it failed for good, or that could not be reached.
    pub failed: u32,
    /// Servers where it was left out.
    pub skipped: u32,
    /// What went wrong first.
    pub message: String,
    /// Where it is tried again just now: the server that said so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrying: Option<Retrying>,
    /// How it went on the first [`MAX_HOSTS`] servers.
    pub hosts: Vec<FoldedHost>,
}

/// How a step went on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldedHost {
    /// The server.
    pub host: String,
    /// How it went.
    pub state: HostState,
    /// Whether it changed something.
    pub changed: bool,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Short, masked.
    pub message: String,
    /// How often it was tried, where that was more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Of a loop: how its items went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// What went wrong, with its place in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<ErrorSummary>>,
    /// What Ansible or the module warns of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What will not work any more with a later Ansible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deprecations: Vec<String>,
}

/// A server on which a step is tried again just now (`until`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retrying {
    /// The server.
    pub host: String,
    /// How often it was tried so far.
    pub attempt: u32,
    /// How often it is tried at most.
    pub of: u32,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps that have ended.
    pub done: u32,
    /// Steps that are expected, the ended ones among them.
    pub total: u32,
}

impl Fold {
    /// Takes the next event; one that was taken before changes nothing.
    pub fn apply(&mut self, event: &Event) {
        if event.seq <= self.seq {
            return;
        }
        self.seq = event.seq;
        match &event.kind {
            Kind::Plan { steps, .. } => {
                for planned in steps {
                    let step = self.step(&planned.key);
                    step.name.clone_from(&planned.name);
                    step.section.clone_from(&planned.section);
                    step.conditional = planned.conditional;
                }
            }
            Kind::StepStarted { key, name, section, conditional } => {
                let known = self.places.contains_key(key);
                let place = self.place(key);
                let step = &mut self.steps[place];
                step.name.clone_from(name);
                if !known {
                    step.section.clone_from(section);
                    step.conditional = *conditional;
                }
                step.state = StepState::Running;
                step.started_at.get_or_insert(event.at);
                // The next batch of servers (`serial`).
                step.finished_at = None;
                self.current = Some(place);
            }
            Kind::HostRetried { key, host, attempt, of } => {
                let retrying = Retrying { host: host.clone(), attempt: *attempt, of: *of };
                self.step(key).retrying = Some(retrying);
            }
            Kind::HostResult {
                key,
                host,
                state,
                changed,
                duration_ms,
                message,
                attempts,
                items,
                error,
                warnings,
                deprecations,
            } => {
                let step = self.step(key);
                step.retrying.take_if(|retrying| retrying.host == *host);
                match state {
                    HostState::Ok | HostState::Ignored | HostState::Rescued => step.ok += 1,
                    HostState::Failed | HostState::Unreachable => step.failed += 1,
                    HostState::Skipped => step.skipped += 1,
                }
                step.changed += u32::from(*changed);
                let bad = matches!(state, HostState::Failed | HostState::Unreachable);
                if bad && step.message.is_empty() {
                    step.message.clone_from(message);
                }
                if step.hosts.len() < MAX_HOSTS {
                    step.hosts.push(FoldedHost {
                        host: host.clone(),
                        state: *state,
                        changed: *changed,
                        duration_ms: *duration_ms,
                        message: message.clone(),
                        attempts: Some(*attempts).filter(|attempts| *attempts > 1),
                        items: *items,
                        error: error.clone(),
                        warnings: warnings.clone(),
                        deprecations: deprecations.clone(),
                    });
                }
            }
            Kind::StepFinished { key, state } => {
                let step = self.step(key);
                step.state = *state;
                step.finished_at = Some(event.at);
                step.retrying = None;
            }
            Kind::Output { .. } | Kind::Diff { .. } | Kind::Statistics { .. } | Kind::Unknown => {}
            Kind::Finished { verdict } => self.verdict = Some((**verdict).clone()),
        }
    }

    /// What runs only sometimes counts once it has begun.
    pub fn progress(&self) -> Progress {
        let expected = self.steps.iter().filter(|step| !step.conditional || step.state != StepState::Pending);
        let ended = |step: &&FoldedStep| !matches!(step.state, StepState::Pending | StepState::Running);
        Progress { done: expected.clone().filter(ended).count() as u32, total: expected.count() as u32 }
    }

    /// Key of the step that began last: what was not planned comes behind it.
    pub fn last_begun(&self) -> Option<&str> {
        self.current.map(|place| self.steps[place].key.as_str())
    }

    /// The step that runs; of several, the last in their order.
    pub fn current(&self) -> Option<&FoldedStep> {
        self.steps.iter().rev().find(|step| step.state == StepState::Running)
    }

    fn step(&mut self, key: &str) -> &mut FoldedStep {
        let place = self.place(key);
        &mut self.steps[place]
    }

    /// Where this step stands; one that is new comes behind the one that began last.
    fn place(&mut self, key: &str) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = self.current.map_or(self.steps.len(), |current| current + 1);
        let step = FoldedStep {
            key: key.to_owned(),
            name: String::new(),
            section: String::new(),
            state: StepState::Pending,
            conditional: false,
            started_at: None,
            finished_at: None,
            ok: 0,
            changed: 0,
            failed: 0,
            skipped: 0,
            message: String::new(),
            retrying: None,
            hosts: Vec::new(),
        };
        self.steps.insert(place, step);
        for (n, step) in self.steps.iter().enumerate().skip(place + 1) {
            self.places.insert(step.key.clone(), n);
        }
        self.places.insert(key.to_owned(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn events() -> Vec<Event> {
        let kinds = json!([
            {"kind": "plan", "steps": [{"key": "a:1#1", "name": "A"}, {"key": "a:2#1", "name": "B"}, {"key": "a:9#1", "name": "H", "conditional": true}]},
            {"kind": "stepStarted", "key": "a:1#1", "name": "A of all"},
            {"kind": "hostResult", "key": "a:1#1", "host": "w1", "state": "Ok", "changed": true, "durationMs": 5},
            {"kind": "output", "firstLine": 1, "text": "ok: [w1]"},
            {"kind": "hostResult", "key": "a:1#1", "host": "w2", "state": "Failed", "changed": false, "durationMs": 5, "message": "disk full"},
            {"kind": "stepFinished", "key": "a:1#1", "state": "Failed"},
            {"kind": "stepStarted", "key": "b:3#1", "name": "included"},
        ]);
        let kinds = kinds.as_array().expect("a list").iter().enumerate();
        kinds
            .map(|(n, kind)| {
                let mut event = kind.clone();
                event["seq"] = json!(n + 1);
                event["at"] = json!("2026-11-24T08:00:00Z");
                serde_json::from_value(event).expect("an event")
            })
            .collect()
    }

    fn fold(events: &[Event]) -> Fold {
        let mut fold = Fold::default();
        for event in events {
            fold.apply(event);
        }
        fold
    }

    #[test]
    fn steps_stand_in_planned_order_and_what_was_not_planned_where_it_began() {
        let fold = fold(&events());
        let keys: Vec<_> = fold.steps.iter().map(|step| (step.key.as_str(), step.state)).collect();
        assert_eq!(
            keys,
            [
                ("a:1#1", StepState::Failed),
                ("b:3#1", StepState::Running),
                ("a:2#1", StepState::Pending),
                ("a:9#1", StepState::Pending),
            ]
        );
        let first = &fold.steps[0];
        assert_eq!(
            (first.ok, first.changed, first.message.as_str(), first.hosts.len()),
            (1, 1, "disk full", 2)
        );
        assert_eq!(fold.progress(), Progress { done: 1, total: 3 });
        assert_eq!(fold.current().map(|step| step.name.as_str()), Some("included"));
    }

    /// The page folds by the same rules (`web/src/lib/fold.ts`): both come to what stands in the file.
    /// `FASTDEPLOY_WRITE=1 cargo test -p protocol vectors` writes anew what this one comes to.
    #[test]
    fn the_vectors_that_are_shared_with_the_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/fold.json");
        let mut cases: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
        for case in cases.as_array_mut().expect("cases") {
            let events: Vec<Event> = serde_json::from_value(case["events"].clone()).expect("events");
            let fold = fold(&events);
            let Progress { done, total } = fold.progress();
            let came_to = json!({
                "steps": fold.steps, "done": done, "total": total,
                "current": fold.current().map(|step| &step.key), "lastBegun": fold.last_begun(),
            });
            if std::env::var_os("FASTDEPLOY_WRITE").is_some() {
                case["expected"] = came_to;
            } else {
                assert_eq!(came_to, case["expected"], "{}", case["name"]);
            }
        }
        if std::env::var_os("FASTDEPLOY_WRITE").is_some() {
            let text = serde_json::to_string_pretty(&cases).expect("JSON");
            std::fs::write(path, text + "\n").expect("written");
        }
    }

    fn any_event() -> impl Strategy<Value = serde_json::Value> {
        let key = (0..5_u8).prop_map(|n| format!("d:{n}#1"));
        let host = (0..3_u8).prop_map(|n| format!("w{n}"));
        let state =
            prop::sample::select(vec!["Ok", "Skipped", "Failed", "Ignored", "Rescued", "Unreachable"]);
        prop_oneof![
            prop::collection::vec(key.clone(), 0..5).prop_map(|keys| {
                let steps: Vec<_> = keys.iter().map(|key| json!({"key": key, "name": "n"})).collect();
                json!({"kind": "plan", "steps": steps})
            }),
            (key.clone(), any::<bool>())
                .prop_map(|(key, maybe)| json!({"kind": "stepStarted", "key": key, "name": "n", "conditional": maybe})),
            (key.clone(), host.clone(), state, any::<bool>()).prop_map(|(key, host, state, changed)| {
                json!({"kind": "hostResult", "key": key, "host": host, "state": state, "changed": changed, "durationMs": 1})
            }),
            (key.clone(), host)
                .prop_map(|(key, host)| json!({"kind": "hostRetried", "key": key, "host": host, "attempt": 1, "of": 2})),
            key.prop_map(|key| json!({"kind": "stepFinished", "key": key, "state": "Succeeded"})),
            "[a-z]{1,12}".prop_map(|kind| json!({"kind": format!("x-{kind}"), "more": [kind]})),
        ]
    }

    proptest! {
        #[test]
        fn any_events_come_to_something_sound(kinds in prop::collection::vec(any_event(), 0..60)) {
            let mut fold = Fold::default();
            for (n, mut event) in kinds.into_iter().enumerate() {
                event["seq"] = json!(n + 1);
                event["at"] = json!("2026-11-24T08:00:00Z");
                fold.apply(&serde_json::from_value(event).expect("an event"));
                let Progress { done, total } = fold.progress();
                prop_assert!(done <= total && total as usize <= fold.steps.len());
                for (place, step) in fold.steps.iter().enumerate() {
                    prop_assert_eq!(fold.places[&step.key], place);
                }
            }
        }

        #[test]
        fn garbage_is_no_event_and_never_a_panic(text in ".{0,200}", kind in "[a-zA-Z]{0,12}", value in ".{0,20}") {
            let _ = serde_json::from_str::<Event>(&text);
            let event = json!({"seq": 1, "at": "2026-11-24T08:00:00Z", "kind": kind, "key": value, "steps": value});
            if let Ok(event) = serde_json::from_value::<Event>(event) {
                Fold::default().apply(&event);
            }
        }

        #[test]
        fn events_that_come_again_change_nothing(again in prop::collection::vec(0..7_usize, 0..20)) {
            let events = events();
            let mut fold = fold(&events);
            let before = fold.clone();
            for n in again {
                fold.apply(&events[n]);
            }
            prop_assert_eq!(fold, before);
        }
    }
}
