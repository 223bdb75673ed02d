//! What a run's events come to: its steps, and how far it is. Pure; the same for the api-server's
//! answers, for `status.run` and for whoever else reads the events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Event, HostState, Kind},
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
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Servers where it was fine.
    pub ok: u32,
    /// Servers where it changed something.
    pub changed: u32,
    /// What went wrong first.
    pub message: String,
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
            Kind::Plan { steps } => {
                for planned in steps {
                    let step = self.step(&planned.key);
                    step.name.clone_from(&planned.name);
                    step.section.clone_from(&planned.section);
                    step.conditional = planned.conditional;
                }
            }
            Kind::StepStarted { key, name } => {
                let place = self.place(key);
                let step = &mut self.steps[place];
                step.name.clone_from(name);
                step.state = StepState::Running;
                step.started_at.get_or_insert(event.at);
                self.current = Some(place);
            }
            Kind::HostResult { key, host, state, changed, duration_ms, message } => {
                let step = self.step(key);
                step.ok +=
                    u32::from(matches!(state, HostState::Ok | HostState::Ignored | HostState::Rescued));
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
                    });
                }
            }
            Kind::StepFinished { key, state } => {
                let step = self.step(key);
                step.state = *state;
                step.finished_at = Some(event.at);
            }
            Kind::Output { .. } => {}
            Kind::Finished { verdict } => self.verdict = Some((**verdict).clone()),
        }
    }

    /// What runs only sometimes counts once it has begun.
    pub fn progress(&self) -> Progress {
        let expected = self.steps.iter().filter(|step| !step.conditional || step.state != StepState::Pending);
        let ended = |step: &&FoldedStep| !matches!(step.state, StepState::Pending | StepState::Running);
        Progress { done: expected.clone().filter(ended).count() as u32, total: expected.count() as u32 }
    }

    /// The step that began last and has not ended.
    pub fn current(&self) -> Option<&FoldedStep> {
        self.current.map(|place| &self.steps[place]).filter(|step| step.state == StepState::Running)
    }

    fn step(&mut self, key: &str) -> &mut FoldedStep {
        let place = self.place(key);
        &mut self.steps[place]
    }

    /// Where this step stands; one that is new comes behind the one that began last.
    fn place(&mut self, key: &str) -> usize {
        if let Some(place) = self.steps.iter().position(|step| step.key == key) {
            return place;
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
            message: String::new(),
            hosts: Vec::new(),
        };
        self.steps.insert(place, step);
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

    proptest! {
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
