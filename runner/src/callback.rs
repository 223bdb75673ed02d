//! The callback plugin: its text, and the lines that it writes into our pipe.

use std::collections::BTreeMap;

use protocol::event::{
    CUT, Declared, ErrorSummary, HostCounts, HostState, Items, MAX_BODY_BYTES, PlannedStep,
};
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
    Plan {
        steps: Vec<PlannedStep>,
        #[serde(default)]
        declared: Vec<Declared>,
    },
    /// A task begins.
    Start {
        key: String,
        name: String,
        /// Where it was not planned.
        #[serde(default)]
        section: String,
        #[serde(default)]
        conditional: bool,
        /// The fact gathering that Ansible adds itself.
        #[serde(default)]
        facts: bool,
    },
    /// A task has a result on a server.
    Result {
        key: String,
        host: String,
        state: HostState,
        changed: bool,
        ms: u64,
        message: String,
        #[serde(flatten)]
        more: Box<More>,
    },
    /// It was not yet fine, and is tried again.
    Retry { key: String, host: String, attempt: u32, of: u32 },
    /// What it changed in files.
    Diff { key: String, host: String, text: String },
    /// A task has all its results.
    End { key: String },
    /// A play matched no server.
    NoHosts { play: String },
    /// The run ends between two tasks, as asked.
    Stopped,
    /// Ansible's statistics.
    Stats { hosts: BTreeMap<String, HostCounts>, outputs: BTreeMap<String, Value> },
    /// The playbook waits for somebody at a keyboard, so the plugin ends the run.
    Keyboard { waits: Vec<String> },
    /// The plugin stumbled.
    CallbackError { hook: String, message: String },
}

/// What not every result has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct More {
    /// How often it was tried, where that was more than once.
    pub attempts: u32,
    /// Of a loop: how its items went.
    pub items: Option<Items>,
    /// What went wrong, with its place.
    pub error: Option<Box<ErrorSummary>>,
    /// What Ansible or the module warns of.
    pub warnings: Vec<String>,
    /// What will not work any more with a later Ansible.
    pub deprecations: Vec<String>,
}

/// Reads a line and hides what must not be seen.
pub fn parse(line: &[u8], masker: &Masker) -> Result<Line, serde_json::Error> {
    let mask = |text: &mut String| {
        let clean = text.replace('\0', "\u{fffd}");
        *text = masker.mask(&clean).into_owned();
    };
    let mut line: Line = serde_json::from_slice(line)?;
    match &mut line {
        Line::Plan { steps, declared } => {
            for step in steps {
                mask(&mut step.name);
                mask(&mut step.section);
            }
            for one in declared {
                mask(&mut one.by);
                for option in &mut one.options {
                    mask(&mut option.name);
                    for said in option.said.values_mut() {
                        *said = masker.mask_value(said);
                    }
                }
            }
        }
        Line::Start { name, section, .. } => {
            mask(name);
            mask(section);
        }
        Line::Result { host, message, more, .. } => {
            mask(host);
            mask(message);
            if let Some(error) = &mut more.error {
                mask(&mut error.message);
                mask(&mut error.excerpt);
                mask(&mut error.help);
            }
            more.warnings.iter_mut().chain(&mut more.deprecations).for_each(mask);
        }
        Line::Retry { host, .. } => mask(host),
        Line::Diff { host, text, .. } => {
            mask(host);
            mask(text);
            cut(text);
        }
        Line::Keyboard { waits } => waits.iter_mut().for_each(mask),
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

/// Cuts a masked body.
fn cut(text: &mut String) {
    if text.len() > MAX_BODY_BYTES {
        text.truncate(crate::mask::floor(text, MAX_BODY_BYTES));
        text.push_str(CUT);
    }
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

    #[test]
    fn what_is_declared_is_masked_and_older_plugins_declare_nothing() {
        let masker = Masker::new(&[Secret { name: "s".to_owned(), value: b"hunter2".to_vec() }]);
        let line = br#"{"t":"plan","steps":[],"declared":[{"by":"role web","options":[{"name":"pw","default":"hunter2"}]}]}"#;
        let Line::Plan { declared, .. } = parse(line, &masker).expect("a line") else { panic!("a plan") };
        assert_eq!(declared[0].options[0].said["default"], "********");
        let Line::Plan { declared, .. } = parse(br#"{"t":"plan","steps":[]}"#, &masker).expect("a line")
        else {
            panic!("a plan")
        };
        assert_eq!(declared, []);
    }

    #[test]
    fn a_body_is_cut_with_a_mark() {
        let line =
            serde_json::json!({"t": "diff", "key": "k", "host": "w", "text": "é".repeat(MAX_BODY_BYTES)});
        let Line::Diff { text, .. } = parse(line.to_string().as_bytes(), &Masker::new(&[])).expect("a line")
        else {
            panic!("a diff")
        };
        assert_eq!(text.len(), MAX_BODY_BYTES + CUT.len());
        assert!(text.ends_with(CUT));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line, &Masker::new(&[]));
        }

        #[test]
        fn what_is_almost_a_line_is_never_a_panic(
            t in prop::sample::select(vec!["plan", "start", "result", "retry", "diff", "end", "stats", "keyboard", "x"]),
            fields in prop::collection::btree_map("key|name|host|state|ms|message|steps|items|error|waits|hosts|outputs|text",
                prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,30}".prop_map(Value::from)], 0..8),
        ) {
            let mut line: serde_json::Map<String, Value> = fields.into_iter().collect();
            line.insert("t".to_owned(), t.into());
            let line = Value::Object(line).to_string();
            if let Ok(line) = parse(line.as_bytes(), &Masker::new(&[])) {
                crate::tracker::Tracker::default().apply(line, jiff::Timestamp::UNIX_EPOCH);
            }
        }
    }
}
