//! The verdict: everything that a run came to, made to fit into the termination message.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write, path::Path};

use jiff::Timestamp;
use protocol::verdict::{Failure, Hosts, MAX_BYTES, RunResult, Step, Verdict, pack_steps};
use serde_json::Value;

use crate::{failure, failure::Stop, text::short};

/// Bytes that outputs may take.
const OUTPUTS: usize = 800;
/// Bytes that are left for steps and outputs at least.
const RESERVED: usize = 1_200;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub result: RunResult,
    /// Why, unless it succeeded.
    pub failure: Option<Failure>,
    /// Where Ansible ended by itself.
    pub exit_code: Option<i32>,
    /// Servers.
    pub hosts: Hosts,
    /// When Ansible was started.
    pub started_at: Option<Timestamp>,
    /// When it had ended.
    pub finished_at: Option<Timestamp>,
    /// Whether the site answered after the run.
    pub site_up: Option<bool>,
    /// In planned order.
    pub steps: Vec<Step>,
    /// From `set_stats`.
    pub outputs: BTreeMap<String, Value>,
}

impl Outcome {
    /// Ansible was never started.
    pub fn stopped(stop: &Stop) -> Self {
        let result = if stop.reason == failure::CANCELLED { RunResult::Cancelled } else { RunResult::Failed };
        Self {
            result,
            failure: Some(Failure {
                reason: stop.reason.to_owned(),
                message: short(&stop.message, 500),
                ..Failure::default()
            }),
            exit_code: None,
            hosts: Hosts::default(),
            started_at: None,
            finished_at: None,
            site_up: None,
            steps: Vec::new(),
            outputs: BTreeMap::new(),
        }
    }

    /// The termination message: at most [`MAX_BYTES`], whatever it holds.
    pub fn message(&self, instance: &str) -> Vec<u8> {
        json(&self.verdict(instance))
    }

    /// What the termination message and the final report say.
    pub fn verdict(&self, instance: &str) -> Verdict {
        let mut verdict = Verdict {
            protocol: protocol::PROTOCOL,
            instance: instance.to_owned(),
            result: self.result,
            failure: None,
            exit_code: self.exit_code,
            hosts: Hosts::default(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            site_up: self.site_up,
            steps_total: self.steps.len() as u32,
            steps: String::new(),
            outputs: BTreeMap::new(),
        };
        for (names, characters) in [(20, 500), (8, 500), (3, 300), (1, 150), (0, 60)] {
            verdict.hosts = self.hosts.clone();
            verdict.hosts.failed_names =
                self.hosts.failed_names.iter().take(names).map(|n| short(n, 253)).collect();
            verdict.failure = self.failure.as_ref().map(|failure| Failure {
                reason: failure.reason.clone(),
                step: failure.step.as_deref().map(|step| short(step, characters.min(120))),
                host: failure.host.as_deref().map(|host| short(host, characters.min(253))),
                message: short(&failure.message, characters),
                host_key: failure.host_key.clone().filter(|_| characters >= 300),
            });
            if json(&verdict).len() + RESERVED <= MAX_BYTES {
                break;
            }
        }
        let mut outputs = 0;
        for (name, value) in &self.outputs {
            let size = name.len() + value.to_string().len() + 8;
            if outputs + size <= OUTPUTS {
                outputs += size;
                verdict.outputs.insert(name.clone(), value.clone());
            }
        }
        if json(&verdict).len() > MAX_BYTES {
            verdict.outputs.clear();
        }
        let room = MAX_BYTES.saturating_sub(json(&verdict).len() + r#","steps":"""#.len());
        verdict.steps = pack_steps(&self.steps, room);
        verdict
    }

    /// Leaves the message for the kubelet, in one write.
    pub fn write(&self, path: &Path, instance: &str) {
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .and_then(|mut file| file.write_all(&self.message(instance)));
        if let Err(error) = written {
            eprintln!("fastdeploy: failed to write the verdict to {}: {error}", path.display());
        }
    }
}

fn json(verdict: &Verdict) -> Vec<u8> {
    serde_json::to_vec(verdict).expect("a verdict is plain data")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::verdict::{StepState, unpack_steps};

    use super::*;

    fn outcome(
        failure: Failure,
        hosts: Hosts,
        steps: Vec<Step>,
        outputs: BTreeMap<String, Value>,
    ) -> Outcome {
        Outcome {
            failure: Some(failure),
            hosts,
            steps,
            outputs,
            exit_code: Some(2),
            started_at: Some(Timestamp::UNIX_EPOCH),
            finished_at: Some(Timestamp::UNIX_EPOCH),
            ..Outcome::stopped(&Stop::invalid(""))
        }
    }

    fn step(n: usize, name: &str) -> Step {
        Step {
            key: format!("deploy.yml:{n}#1"),
            name: name.to_owned(),
            state: StepState::Succeeded,
            started_at: None,
            finished_at: None,
            ok: 1,
            changed: 0,
            message: String::new(),
        }
    }

    #[test]
    fn a_usual_run_fits_whole() {
        let steps: Vec<Step> = (0..30).map(|n| step(n, "Install packages")).collect();
        let outputs = BTreeMap::from([("version".to_owned(), Value::from("1.2"))]);
        let message =
            outcome(Failure::default(), Hosts::default(), steps.clone(), outputs.clone()).message("i");
        let verdict: Verdict = serde_json::from_slice(&message).expect("a verdict");
        assert_eq!(unpack_steps(&verdict.steps).expect("packed"), steps);
        assert_eq!(verdict.outputs, outputs);
    }

    proptest! {
        #[test]
        fn it_always_fits_and_is_always_read(
            message in ".{0,3000}", step_name in ".{0,500}", host in ".{0,400}",
            names in prop::collection::vec(".{0,300}", 0..30),
            steps in prop::collection::vec(".{0,100}", 0..100),
            outputs in prop::collection::btree_map(".{0,50}", ".{0,900}".prop_map(Value::from), 0..5),
        ) {
            let failure = Failure { reason: "TaskFailed".to_owned(), step: Some(step_name), host: Some(host), message, host_key: None };
            let hosts = Hosts { failed_names: names, ..Hosts::default() };
            let steps = steps.iter().enumerate().map(|(n, name)| step(n, name)).collect();
            let written = outcome(failure, hosts, steps, outputs).message("6b1e0000-0000-0000-0000-000000000000");
            prop_assert!(written.len() <= MAX_BYTES, "{} bytes", written.len());
            let verdict: Verdict = serde_json::from_slice(&written).expect("a verdict");
            unpack_steps(&verdict.steps).expect("packed");
        }
    }
}
