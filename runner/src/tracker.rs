//! From the plugin's lines to steps and events. Pure: the time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use protocol::{
    event::{HostCounts, HostState, Kind, MAX_DECLARED_BYTES, MAX_NOTES},
    verdict::{Hosts, Step, StepState},
};
use serde_json::Value;

use crate::{
    callback::{Line, More},
    text::short,
};

/// Characters of a step's message.
const STEP_MESSAGE: usize = 200;
/// Characters of a message in an event.
const EVENT_MESSAGE: usize = 2_000;
/// Characters of what explains an error, and of a warning.
const EXPLANATION: usize = 4_000;
/// Names of servers that a verdict lists.
const FAILED_NAMES: usize = 20;

/// What is known of a run so far.
#[derive(Debug, Default)]
pub struct Tracker {
    steps: Vec<Tracked>,
    index: HashMap<String, usize>,
    /// Worst that happened on each server.
    hosts: BTreeMap<String, HostState>,
    facts: BTreeSet<String>,
    /// A script has no servers that messages would have to name.
    pub script: bool,
    /// What decides how the run ended.
    pub seen: Seen,
}

/// What decides how a run ended.
#[derive(Debug, Default)]
pub struct Seen {
    /// The first thing that went wrong for good.
    pub first_failure: Option<FirstFailure>,
    /// Ansible's last word.
    pub stats: Option<BTreeMap<String, HostCounts>>,
    /// From `set_stats`.
    pub outputs: BTreeMap<String, Value>,
    /// There was any result at all, facts included.
    pub reported: bool,
    /// Results of real tasks that did something.
    pub worked: u64,
    /// Results of real tasks, skipped ones included.
    pub results: u64,
    /// Plays that matched no server.
    pub no_hosts: Vec<String>,
    /// The plugin ended the run between two tasks.
    pub stopped: bool,
    /// The plugin ended the run because it would wait for somebody at a keyboard: for what.
    pub keyboard: Vec<String>,
}

/// What went wrong first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstFailure {
    /// Name of the step.
    pub step: String,
    /// Name of the server.
    pub host: String,
    /// What was said.
    pub message: String,
    /// The server could not be reached.
    pub unreachable: bool,
}

#[derive(Debug)]
struct Tracked {
    step: Step,
    conditional: bool,
    skipped: u32,
    /// Worst result so far.
    worst: Option<HostState>,
}

impl Tracker {
    /// Takes a line in and says what to tell others.
    pub fn apply(&mut self, line: Line, at: Timestamp) -> Vec<Kind> {
        match line {
            Line::Plan { steps, mut declared } => {
                for planned in &steps {
                    let tracked = self.step(&planned.key, &planned.name);
                    tracked.conditional = planned.conditional;
                }
                let mut room = MAX_DECLARED_BYTES;
                declared.retain(|one| {
                    let size = serde_json::to_string(one).map_or(usize::MAX, |text| text.len());
                    let fits = size <= room;
                    room -= if fits { size } else { 0 };
                    fits
                });
                vec![Kind::Plan { steps, declared }]
            }
            Line::Start { key, name, section, facts, conditional } => {
                if facts {
                    self.facts.insert(key.clone());
                }
                let is_new = !self.index.contains_key(&key);
                let tracked = self.step(&key, &name);
                if is_new {
                    tracked.conditional = conditional;
                }
                tracked.step.name.clone_from(&name);
                tracked.begin(at);
                vec![Kind::StepStarted { key, name, section, conditional }]
            }
            Line::Result { key, host, state, changed, ms, message, more } => {
                self.result(&key, &host, state, changed, &message, at);
                let message = short(&message, EVENT_MESSAGE);
                let More { attempts, items, mut error, warnings, deprecations } = *more;
                if let Some(error) = &mut error {
                    error.message = short(&error.message, EXPLANATION);
                    error.excerpt = short(&error.excerpt, EXPLANATION);
                    error.help = short(&error.help, EXPLANATION);
                }
                vec![Kind::HostResult {
                    key,
                    host,
                    state,
                    changed,
                    duration_ms: ms,
                    message,
                    attempts,
                    items,
                    error,
                    warnings: notes(&warnings),
                    deprecations: notes(&deprecations),
                }]
            }
            Line::Retry { key, host, attempt, of } => vec![Kind::HostRetried { key, host, attempt, of }],
            Line::Diff { key, host, text } => vec![Kind::Diff { key, host, text }],
            Line::End { key } => {
                let Some(&n) = self.index.get(&key) else { return Vec::new() };
                let state = self.steps[n].end(at);
                vec![Kind::StepFinished { key, state }]
            }
            Line::NoHosts { play } => {
                self.seen.no_hosts.push(play);
                Vec::new()
            }
            Line::Stopped => {
                self.seen.stopped = true;
                Vec::new()
            }
            Line::Stats { hosts, outputs } => {
                self.seen.stats = Some(hosts.clone());
                self.seen.outputs = outputs;
                vec![Kind::Statistics { hosts }]
            }
            Line::Keyboard { waits } => {
                self.seen.keyboard = waits;
                Vec::new()
            }
            Line::CallbackError { .. } => Vec::new(),
        }
    }

    /// Ansible has ended: what still runs was cut off (by us, or by its own failure), and
    /// what was planned and never came was left out, if all went well.
    pub fn finish(&mut self, cut_off: bool, well: bool, at: Timestamp) -> Vec<Kind> {
        let mut told = Vec::new();
        for tracked in &mut self.steps {
            match tracked.step.state {
                StepState::Running => {
                    let mut state = tracked.end(at);
                    if matches!(state, StepState::Succeeded | StepState::Skipped) && !well {
                        state = if cut_off { StepState::Cancelled } else { StepState::Failed };
                        tracked.step.state = state;
                    }
                    told.push(Kind::StepFinished { key: tracked.step.key.clone(), state });
                }
                StepState::Pending if well => tracked.step.state = StepState::Skipped,
                _ => {}
            }
        }
        told
    }

    /// The steps for the verdict: all but handlers and rescues that were never needed.
    pub fn steps(&self) -> Vec<Step> {
        self.steps
            .iter()
            .filter(|tracked| !tracked.conditional || tracked.step.started_at.is_some())
            .map(|tracked| tracked.step.clone())
            .collect()
    }

    /// Counted from Ansible's statistics, or from the results where Ansible did not come to them.
    pub fn hosts(&self) -> Hosts {
        let (mut hosts, mut names) = (Hosts::default(), Vec::new());
        let mut count = |name: &String, unreachable: bool, failed: bool| {
            hosts.total += 1;
            match (unreachable, failed) {
                (true, _) => hosts.unreachable += 1,
                (_, true) => hosts.failed += 1,
                _ => hosts.ok += 1,
            }
            if unreachable || failed {
                names.push(name.clone());
            }
        };
        match &self.seen.stats {
            Some(stats) => {
                for (name, counts) in stats {
                    count(name, counts.unreachable > 0, counts.failures > 0);
                }
            }
            None => {
                for (name, worst) in &self.hosts {
                    count(name, *worst == HostState::Unreachable, *worst == HostState::Failed);
                }
            }
        }
        names.truncate(FAILED_NAMES);
        hosts.failed_names = names;
        hosts
    }

    fn step(&mut self, key: &str, name: &str) -> &mut Tracked {
        let n = *self.index.entry(key.to_owned()).or_insert_with(|| {
            self.steps.push(Tracked::planned(key, name));
            self.steps.len() - 1
        });
        &mut self.steps[n]
    }

    fn result(
        &mut self,
        key: &str,
        host: &str,
        state: HostState,
        changed: bool,
        message: &str,
        at: Timestamp,
    ) {
        self.seen.reported = true;
        if !self.facts.contains(key) {
            self.seen.results += 1;
            self.seen.worked +=
                u64::from(matches!(state, HostState::Ok | HostState::Ignored | HostState::Rescued));
        }
        let worst = self.hosts.entry(host.to_owned()).or_insert(state);
        if matches!(state, HostState::Failed | HostState::Unreachable) {
            *worst = state;
        }
        let of = if self.script { String::new() } else { format!("{host}: ") };
        let tracked = self.step(key, "");
        if tracked.step.state == StepState::Pending {
            tracked.begin(at);
        }
        tracked.take(&of, state, changed, message, at);
        if matches!(state, HostState::Failed | HostState::Unreachable) && self.seen.first_failure.is_none() {
            let step = self.step(key, "").step.name.clone();
            self.seen.first_failure = Some(FirstFailure {
                step,
                host: host.to_owned(),
                message: message.to_owned(),
                unreachable: state == HostState::Unreachable,
            });
        }
    }
}

/// Each short, and not too many.
fn notes(notes: &[String]) -> Vec<String> {
    notes.iter().take(MAX_NOTES).map(|note| short(note, EVENT_MESSAGE)).collect()
}

impl Tracked {
    fn planned(key: &str, name: &str) -> Self {
        let step = Step {
            key: key.to_owned(),
            name: name.to_owned(),
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
            ok: 0,
            changed: 0,
            message: String::new(),
        };
        Self { step, conditional: false, skipped: 0, worst: None }
    }

    fn begin(&mut self, at: Timestamp) {
        self.step.state = StepState::Running;
        self.step.started_at.get_or_insert(at);
        self.step.finished_at = None;
    }

    fn take(&mut self, of: &str, state: HostState, changed: bool, message: &str, at: Timestamp) {
        match state {
            HostState::Ok => self.step.ok += 1,
            HostState::Skipped => self.skipped += 1,
            _ => {}
        }
        self.step.changed += u32::from(changed && state == HostState::Ok);
        self.step.finished_at = Some(at);
        if self.worst.is_none_or(|worst| rank(worst) < rank(state)) {
            self.worst = Some(state);
            if !message.is_empty() {
                self.step.message = short(&format!("{of}{message}"), STEP_MESSAGE);
            }
        }
    }

    fn end(&mut self, at: Timestamp) -> StepState {
        self.step.finished_at.get_or_insert(at);
        self.step.state = match self.worst {
            Some(HostState::Failed) => StepState::Failed,
            Some(HostState::Unreachable) => StepState::Unreachable,
            Some(HostState::Rescued) => StepState::Rescued,
            Some(HostState::Skipped) => StepState::Skipped,
            // An ignored failure does not matter, and a task without results (an include) is fine.
            Some(HostState::Ignored | HostState::Ok) | None => StepState::Succeeded,
        };
        self.step.state
    }
}

const fn rank(state: HostState) -> u8 {
    match state {
        HostState::Skipped => 0,
        HostState::Ok => 1,
        HostState::Ignored => 2,
        HostState::Rescued => 3,
        HostState::Unreachable => 4,
        HostState::Failed => 5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{callback::parse, mask::Masker};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn told(tracker: &mut Tracker, lines: &[&str]) -> Vec<Kind> {
        let masker = Masker::new(&[]);
        let lines = lines.iter().enumerate();
        lines
            .flat_map(|(n, line)| {
                tracker.apply(parse(line.as_bytes(), &masker).expect("a line"), at(n as i64))
            })
            .collect()
    }

    const PLAN: &str = r#"{"t":"plan","steps":[{"key":"d:1#1","name":"A {{ x }}"},{"key":"d:2#1","name":"B"},{"key":"d:9#1","name":"H","conditional":true}]}"#;

    #[test]
    fn as_much_as_fits_is_told_of_what_is_declared() {
        let one = |by: &str, size: usize| serde_json::json!({"by": by, "options": [{"name": "a", "description": "x".repeat(size)}]});
        let declared = [one("first", 20_000), one("large", 40_000), one("small", 10)];
        let line = serde_json::json!({"t": "plan", "steps": [], "declared": declared}).to_string();
        let events = told(&mut Tracker::default(), &[&line]);
        let [Kind::Plan { declared, .. }] = events.as_slice() else { panic!("a plan: {events:?}") };
        assert_eq!(declared.iter().map(|one| one.by.as_str()).collect::<Vec<_>>(), ["first", "small"]);
    }

    #[test]
    fn a_run_becomes_steps() {
        let mut tracker = Tracker::default();
        let events = told(
            &mut tracker,
            &[
                PLAN,
                r#"{"t":"start","key":"d:1#1","name":"A 1"}"#,
                r#"{"t":"result","key":"d:1#1","host":"w1","state":"Ok","changed":true,"ms":5,"message":""}"#,
                r#"{"t":"result","key":"d:1#1","host":"w2","state":"Skipped","changed":false,"ms":5,"message":""}"#,
                r#"{"t":"end","key":"d:1#1"}"#,
                r#"{"t":"start","key":"d:2#1","name":"B"}"#,
                r#"{"t":"result","key":"d:2#1","host":"w1","state":"Failed","changed":false,"ms":5,"message":"disk full"}"#,
                r#"{"t":"end","key":"d:2#1"}"#,
                r#"{"t":"stats","hosts":{"w1":{"ok":1,"failures":1,"unreachable":0},"w2":{"ok":0}},"outputs":{"v":1}}"#,
            ],
        );
        assert_eq!(events.len(), 9, "with the statistics");
        assert_eq!(events[7], Kind::StepFinished { key: "d:2#1".to_owned(), state: StepState::Failed });
        let steps = tracker.steps();
        assert_eq!(steps.len(), 2, "the handler was not needed");
        assert_eq!(
            steps[0],
            Step {
                key: "d:1#1".to_owned(),
                name: "A 1".to_owned(),
                state: StepState::Succeeded,
                started_at: Some(at(1)),
                finished_at: Some(at(3)),
                ok: 1,
                changed: 1,
                message: String::new()
            }
        );
        assert_eq!((steps[1].state, steps[1].message.as_str()), (StepState::Failed, "w1: disk full"));
        let hosts = tracker.hosts();
        assert_eq!(
            (hosts.total, hosts.ok, hosts.failed, hosts.failed_names),
            (2, 1, 1, vec!["w1".to_owned()])
        );
        assert_eq!(tracker.seen.first_failure.expect("a failure").step, "B");
        assert_eq!(tracker.seen.worked, 1);
    }

    #[test]
    fn the_first_cause_in_time_wins() {
        let mut tracker = Tracker::default();
        told(
            &mut tracker,
            &[
                r#"{"t":"start","key":"d:1#1","name":"A"}"#,
                r#"{"t":"result","key":"d:1#1","host":"w2","state":"Ignored","changed":false,"ms":5,"message":"never mind"}"#,
                r#"{"t":"result","key":"d:1#1","host":"w1","state":"Unreachable","changed":false,"ms":5,"message":"no route"}"#,
                r#"{"t":"result","key":"d:1#1","host":"w3","state":"Failed","changed":false,"ms":5,"message":"no"}"#,
            ],
        );
        let first = tracker.seen.first_failure.as_ref().expect("a failure");
        assert!(first.unreachable && first.host == "w1");
        let hosts = tracker.hosts();
        assert_eq!((hosts.total, hosts.ok, hosts.failed, hosts.unreachable), (3, 1, 1, 1));
    }

    #[test]
    fn a_step_that_was_cut_off_is_cancelled_and_the_rest_stays_pending() {
        let mut tracker = Tracker::default();
        told(&mut tracker, &[PLAN, r#"{"t":"start","key":"d:1#1","name":"A"}"#]);
        let events = tracker.finish(true, false, at(9));
        assert_eq!(events, [Kind::StepFinished { key: "d:1#1".to_owned(), state: StepState::Cancelled }]);
        assert_eq!(tracker.steps()[1].state, StepState::Pending);
    }

    #[test]
    fn facts_are_no_work() {
        let mut tracker = Tracker::default();
        told(
            &mut tracker,
            &[
                r#"{"t":"start","key":"d:1#1","name":"Gathering Facts","facts":true}"#,
                r#"{"t":"result","key":"d:1#1","host":"w1","state":"Ok","changed":false,"ms":5,"message":""}"#,
            ],
        );
        assert_eq!((tracker.seen.worked, tracker.seen.results), (0, 0));
    }

    #[test]
    fn rescued_and_ignored_are_told_from_failed() {
        let mut tracker = Tracker::default();
        told(
            &mut tracker,
            &[
                r#"{"t":"result","key":"d:1#1","host":"w1","state":"Rescued","changed":false,"ms":5,"message":"oops"}"#,
                r#"{"t":"end","key":"d:1#1"}"#,
                r#"{"t":"result","key":"d:2#1","host":"w1","state":"Ignored","changed":false,"ms":5,"message":"meh"}"#,
                r#"{"t":"end","key":"d:2#1"}"#,
            ],
        );
        let steps = tracker.steps();
        assert_eq!((steps[0].state, steps[1].state), (StepState::Rescued, StepState::Succeeded));
        assert_eq!(steps[1].message, "w1: meh");
        assert!(tracker.seen.first_failure.is_none());
    }

    fn any_line() -> impl Strategy<Value = Line> {
        let key = (0..4_u8).prop_map(|n| format!("d:{n}#1"));
        let state = prop::sample::select(vec![
            HostState::Ok,
            HostState::Skipped,
            HostState::Failed,
            HostState::Ignored,
            HostState::Rescued,
            HostState::Unreachable,
        ]);
        prop_oneof![
            (key.clone(), any::<bool>()).prop_map(|(key, facts)| Line::Start {
                name: key.clone(),
                key,
                section: String::new(),
                facts,
                conditional: facts
            }),
            (key.clone(), state, any::<bool>()).prop_map(|(key, state, changed)| Line::Result {
                key,
                host: "w".to_owned(),
                state,
                changed,
                ms: 0,
                message: "m".to_owned(),
                more: Box::default(),
            }),
            key.prop_map(|key| Line::End { key }),
            Just(Line::Stopped),
        ]
    }

    proptest! {
        #[test]
        fn no_step_runs_after_the_end(lines in prop::collection::vec(any_line(), 0..60), cut in any::<bool>(), well in any::<bool>()) {
            let mut tracker = Tracker::default();
            for line in lines {
                tracker.apply(line, at(1));
            }
            tracker.finish(cut, well, at(2));
            prop_assert!(tracker.steps().iter().all(|step| step.state != StepState::Running));
        }
    }
}
