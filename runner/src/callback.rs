//! The callback plugin: its text, and the lines that it writes into our pipe.

use std::collections::BTreeMap;

use protocol::event::{HostState, PlannedStep};
use serde::Deserialize;
use serde_json::Value;

use crate::mask::Masker;

/// The plugin, as it is written beside the run.
pub const PLUGIN: &str = include_str!("../callback/fastdeploy.py");

/// A line of the plugin.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "t", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Line {
    /// All plays, before the first task.
    Plan { steps: Vec<PlannedStep> },
    /// A task begins.
    Start {
        key: String,
        name: String,
        #[serde(default)]
        conditional: bool,
        /// The fact gathering that Ansible adds itself.
        #[serde(default)]
        facts: bool,
    },
    /// A task has a result on a server.
    Result { key: String, host: String, state: HostState, changed: bool, ms: u64, message: String },
    /// A task has all its results.
    End { key: String },
    /// A play matched no server.
    NoHosts { play: String },
    /// The run ends between two tasks, as asked.
    Stopped,
    /// Ansible's statistics.
    Stats { hosts: BTreeMap<String, Counts>, outputs: BTreeMap<String, Value> },
    /// The plugin stumbled.
    CallbackError { hook: String, message: String },
}

/// Ansible's statistics of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Results that were fine, changed ones included.
    #[serde(default)]
    pub ok: u64,
    /// Failed and not rescued.
    #[serde(default)]
    pub failures: u64,
    /// Times that it could not be reached.
    #[serde(default)]
    pub unreachable: u64,
}

/// Reads a line and hides what must not be seen.
pub fn parse(line: &[u8], masker: &Masker) -> Result<Line, serde_json::Error> {
    let mask = |text: &mut String| {
        let clean = text.replace('\0', "\u{fffd}");
        *text = masker.mask(&clean).into_owned();
    };
    let mut line: Line = serde_json::from_slice(line)?;
    match &mut line {
        Line::Plan { steps } => {
            for step in steps {
                mask(&mut step.name);
                mask(&mut step.section);
            }
        }
        Line::Start { name, .. } => mask(name),
        Line::Result { host, message, .. } => {
            mask(host);
            mask(message);
        }
        Line::NoHosts { play } => mask(play),
        Line::Stats { hosts, outputs } => {
            *hosts = std::mem::take(hosts)
                .into_iter()
                .map(|(mut host, counts)| {
                    mask(&mut host);
                    (host, counts)
                })
                .collect();
            *outputs = std::mem::take(outputs)
                .into_iter()
                .map(|(name, value)| (masker.mask(&name).into_owned(), masker.mask_value(&value)))
                .collect();
        }
        Line::CallbackError { message, .. } => mask(message),
        Line::End { .. } | Line::Stopped => {}
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mask::Secret;

    #[test]
    fn lines_are_read_and_masked() {
        let masker = Masker::new(&[Secret { name: "s".to_owned(), value: b"hunter2".to_vec() }]);
        let line = br#"{"t":"result","key":"a.yml:1#1","host":"web1","state":"Failed","changed":false,"ms":12,"message":"pw hunter2\u0000"}"#;
        let Line::Result { message, state, ms, .. } = parse(line, &masker).expect("a line") else {
            panic!("a result")
        };
        assert_eq!((message.as_str(), state, ms), ("pw ********\u{fffd}", HostState::Failed, 12));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line, &Masker::new(&[]));
        }
    }
}
