//! Scripts: what they are given, and the lines of JSON by which they report steps. The same as with the
//! first fastDeploy: `--config FILE`, and `{"name", "state", "message" | "error_message"}` a line.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use protocol::{
    bundle::{Bundle, NamedStep},
    verdict::{Hosts, RunResult},
};
use serde_json::{Map, Value, json};

use crate::{
    command::Given,
    failure::{self, Stop},
    files,
    loopback::Addresses,
    paths::{Paths, text},
};

/// Environment: the configuration's path, as the first fastDeploy gave it.
const ENV_CONFIG: &str = "DEPLOY_CONFIG_FILE";
/// Characters of a step's name.
const NAME: usize = 255;

/// What a script says of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the step.
    pub name: String,
    /// How it stands.
    pub state: Said,
    /// What it says about it.
    pub message: String,
    /// From the script, for the run's outputs.
    pub outputs: Map<String, Value>,
}

/// How a step stands, in the script's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has begun.
    Running,
    /// It is done; whether something changed, if the script says so.
    Success(bool),
    /// It was left out.
    Skipped,
    /// It went wrong.
    Failure,
}

impl Report {
    /// A line of output, or nothing if it is just output.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        if line.first() != Some(&b'{') {
            return None;
        }
        Self::read(&serde_json::from_slice(line).ok()?)
    }

    /// A value, or nothing if it is no step.
    pub fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let name = fields.get("name")?.as_str()?.trim();
        if name.is_empty() {
            return None;
        }
        let changed = fields.get("changed").and_then(Value::as_bool).unwrap_or(false);
        let state = match fields.get("state") {
            None | Some(Value::Null) => Said::Success(changed),
            Some(state) => match state.as_str()? {
                "running" | "started" => Said::Running,
                "success" | "ok" => Said::Success(changed),
                "changed" => Said::Success(true),
                "skipped" => Said::Skipped,
                "failure" | "failed" | "error" => Said::Failure,
                _ => return None,
            },
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let message = text("error_message").or_else(|| text("message")).unwrap_or_default().to_owned();
        let outputs = fields.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Self { name: crate::text::short(name, NAME), state, message, outputs })
    }
}

/// The steps of a script, from its reports to the lines that our Ansible plugin would write.
#[derive(Debug)]
pub struct Steps {
    script: String,
    list: Vec<Step>,
    /// By name, so that a report finds its step however many there are.
    names: HashMap<String, OfName>,
    /// How many run.
    running: usize,
    /// Of the list, before this none is pending.
    begun: usize,
    /// What the script says came of it.
    pub outputs: Map<String, Value>,
}

/// Steps of one name, as places in the list.
#[derive(Debug, Default)]
struct OfName {
    count: usize,
    running: BTreeSet<usize>,
    pending: BTreeSet<usize>,
}

#[derive(Debug)]
struct Step {
    name: String,
    key: String,
    state: State,
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Running,
    Done,
}

impl Steps {
    /// Those that the Service names; the first one begins at once.
    pub fn new(script: &str, named: &[NamedStep], now_ms: u64) -> (Self, Vec<Value>) {
        let mut it = Self {
            script: script.to_owned(),
            list: Vec::new(),
            names: HashMap::new(),
            running: 0,
            begun: 0,
            outputs: Map::new(),
        };
        for step in named {
            it.add(&step.name);
        }
        let planned =
            |step: &Step| json!({"key": step.key, "name": step.name, "section": "", "conditional": false});
        let mut lines = vec![json!({"t": "plan", "steps": it.list.iter().map(planned).collect::<Vec<_>>()})];
        if !it.list.is_empty() {
            lines.push(it.begin(0, now_ms));
        }
        (it, lines)
    }

    /// Takes a report in. One for a step that runs goes to that; then to one that is expected; what is
    /// neither is a new step. When a step that ran is done, the next expected one begins.
    pub fn take(&mut self, report: Report, now_ms: u64) -> Vec<Value> {
        self.outputs.extend(report.outputs);
        let found = self.names.get(&report.name).and_then(|of| of.running.first().or(of.pending.first()));
        let at = found.copied().unwrap_or_else(|| self.add(&report.name));
        let mut lines = Vec::new();
        let ran = self.list[at].state == State::Running;
        if !ran {
            lines.push(self.begin(at, now_ms));
        }
        let (state, changed) = match report.state {
            Said::Running => return lines,
            Said::Success(changed) => ("Ok", changed),
            Said::Skipped => ("Skipped", false),
            Said::Failure => ("Failed", false),
        };
        let step = &mut self.list[at];
        step.state = State::Done;
        let (key, since) = (step.key.clone(), step.since);
        self.running -= 1;
        if let Some(of) = self.names.get_mut(&step.name) {
            of.running.remove(&at);
        }
        lines.push(json!({
            "t": "result", "key": key, "host": HOST, "state": state, "changed": changed,
            "ms": now_ms.saturating_sub(since), "message": report.message,
        }));
        lines.push(json!({"t": "end", "key": key}));
        if ran
            && state != "Failed"
            && self.running == 0
            && let Some(next) = self.next_pending()
        {
            lines.push(self.begin(next, now_ms));
        }
        lines
    }

    /// No step becomes pending again, so none is looked at twice.
    fn next_pending(&mut self) -> Option<usize> {
        while self.list.get(self.begun)?.state != State::Pending {
            self.begun += 1;
        }
        Some(self.begun)
    }

    fn add(&mut self, name: &str) -> usize {
        let at = self.list.len();
        let of = self.names.entry(name.to_owned()).or_default();
        of.count += 1;
        of.pending.insert(at);
        let key = format!("{}:{name}#{}", self.script, of.count);
        self.list.push(Step { name: name.to_owned(), key, state: State::Pending, since: 0 });
        at
    }

    fn begin(&mut self, at: usize, now_ms: u64) -> Value {
        let step = &mut self.list[at];
        step.state = State::Running;
        step.since = now_ms;
        self.running += 1;
        if let Some(of) = self.names.get_mut(&step.name) {
            of.pending.remove(&at);
            of.running.insert(at);
        }
        json!({"t": "start", "key": step.key, "name": step.name})
    }
}

/// Where a script's steps happen, in events.
pub const HOST: &str = "localhost";

/// A script has no statistics: it is the one place where anything happened.
pub fn hosts(result: RunResult) -> Hosts {
    let failed = u32::from(result == RunResult::Failed);
    Hosts { total: 1, ok: 1 - failed, failed, ..Hosts::default() }
}

/// What a script is started with.
#[derive(Debug)]
pub struct Prepared {
    /// The script.
    pub program: String,
    /// `--config FILE`.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// Lays out what the script is given. `inventory`, `variables`: files that it may hand to Ansible.
pub fn prepare(
    bundle: &Bundle,
    root: &Path,
    (pod, given): (&BTreeMap<String, String>, &Given),
    (inventory, variables): (&Path, &[std::path::PathBuf]),
    addresses: &Addresses,
    (uid, token): (&str, &str),
    paths: &Paths,
) -> Result<Prepared, Stop> {
    let script = bundle.script.as_deref().unwrap_or_default();
    let program = root.join(script);
    executable(&program, script)?;
    let mut environment = crate::command::common(pod, given, bundle, paths);
    let mut config = json!({
        "deployment_id": uid,
        "access_token": token,
        "deploy_script": script,
        "steps_url": addresses.steps,
        "deployment_finish_url": addresses.finish,
        "context": context(&bundle.context),
        "path_for_deploy": environment.get("PATH"),
        "inputs": bundle.inputs,
        "inventory": text(inventory),
        "variables_files": variables.iter().map(|file| text(file)).collect::<Vec<_>>(),
    });
    if let Some(socket) = &given.ssh.agent {
        config["ssh_auth_sock"] = socket.as_str().into();
    }
    let file = paths.memory("config.json");
    files::write_private(&file, config.to_string().as_bytes())?;
    let file = text(&file);
    environment.insert(ENV_CONFIG.to_owned(), file.clone());
    environment.insert("GIT_SSH_COMMAND".to_owned(), format!("ssh {}", given.ssh.options));
    // A proxy is for the servers, not for us.
    for name in ["no_proxy", "NO_PROXY"] {
        let theirs = environment.get(name).map(|theirs| format!("{theirs},")).unwrap_or_default();
        environment.insert(name.to_owned(), format!("{theirs}127.0.0.1"));
    }
    Ok(Prepared { program: text(&program), arguments: vec!["--config".to_owned(), file], environment })
}

/// As the first fastDeploy's clients sent it: always with `env`.
fn context(context: &BTreeMap<String, Value>) -> Value {
    let mut context: Map<String, Value> = context.clone().into_iter().collect();
    context.entry("env").or_insert_with(|| json!({}));
    Value::Object(context)
}

/// Files from a ConfigMap cannot say that they are executable; those of an image have to.
fn executable(program: &Path, script: &str) -> Result<(), Stop> {
    let can = |metadata: &fs::Metadata| {
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
    };
    if fs::metadata(program).is_ok_and(|metadata| can(&metadata)) {
        return Ok(());
    }
    files::make_executable(program).map_err(|_| {
        Stop::invalid(format!("the script {script:?} is not executable: chmod +x it in its image"))
    })
}

/// Why a script could not be started.
pub fn not_started(program: &str, error: &std::io::Error) -> Stop {
    let first = fs::read(program).unwrap_or_default();
    let first = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first).trim().to_owned();
    let said = match error.raw_os_error() {
        Some(nix::libc::ENOENT) if first.starts_with("#!") => {
            format!(
                "its first line is {:?}, and that program is not in the image",
                crate::text::short(&first, 100)
            )
        }
        Some(nix::libc::ENOEXEC) => {
            "it is no program: write a first line that says what runs it, such as #!/bin/sh".to_owned()
        }
        _ => error.to_string(),
    };
    Stop::because(failure::SCRIPT_FAILED, format!("the script could not be started: {said}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(names: &[&str]) -> Vec<NamedStep> {
        names.iter().map(|name| NamedStep { name: (*name).to_owned(), description: None }).collect()
    }

    fn report(line: &str) -> Report {
        Report::parse(line.as_bytes()).unwrap_or_else(|| panic!("a step: {line}"))
    }

    /// `start one`, `Ok one`, …
    fn told(lines: &[Value]) -> Vec<String> {
        let name = |line: &Value| line["key"].as_str().unwrap_or_default().to_owned();
        let word =
            |line: &Value| line["state"].as_str().or(line["t"].as_str()).unwrap_or_default().to_owned();
        lines
            .iter()
            .filter(|line| line["t"] != "end")
            .map(|line| format!("{} {}", word(line), name(line)))
            .collect()
    }

    #[test]
    fn expected_steps_run_one_after_the_other() {
        let (mut steps, first) = Steps::new("d.sh", &named(&["one", "two"]), 0);
        assert_eq!(told(&first), ["plan ", "start d.sh:one#1"]);
        let lines = steps.take(report(r#"{"name": "one", "state": "success", "message": "done"}"#), 1_500);
        assert_eq!(told(&lines), ["Ok d.sh:one#1", "start d.sh:two#1"]);
        assert_eq!((lines[0]["ms"].as_u64(), lines[0]["message"].as_str()), (Some(1_500), Some("done")));
        let lines = steps.take(report(r#"{"name": "extra", "state": "success"}"#), 1_600);
        assert_eq!(told(&lines), ["start d.sh:extra#1", "Ok d.sh:extra#1"]);
        let lines = steps.take(
            report(r#"{"name": "two", "state": "failure", "message": "x", "error_message": "why"}"#),
            2_000,
        );
        assert_eq!(told(&lines), ["Failed d.sh:two#1"]);
        assert_eq!(lines[0]["message"], "why");
        let lines = steps.take(report(r#"{"name": "one", "state": "running"}"#), 2_000);
        assert_eq!(told(&lines), ["start d.sh:one#2"], "the same name again is another step");
    }

    #[test]
    fn what_is_no_step_is_output() {
        let lines: [&[u8]; 12] = [
            b"42",
            b"true",
            b"[1]",
            b"\"x\"",
            b"",
            b"{",
            b"{}",
            b"{\"name\": 1}",
            b"{\"name\": \"\"}",
            b"{\"name\": \"a\", \"state\": \"mended\"}",
            b"{\"name\": \"a\", \"state\": 3}",
            b"{\"name\": \"\xff\"}",
        ];
        for line in lines {
            assert_eq!(Report::parse(line), None, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(report(r#" {"name": "a", "misc": {"x": 1}} "#).state, Said::Success(false));
        assert_eq!(report(r#"{"name": "a", "state": "changed"}"#).state, Said::Success(true));
    }

    #[test]
    fn a_script_that_cannot_start_is_told_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("deploy.fish");
        fs::write(&program, "#!/usr/local/bin/no-fish\necho\n").expect("written");
        files::make_executable(&program).expect("executable");
        let error = std::process::Command::new(&program).spawn().expect_err("no fish");
        let stop = not_started(&text(&program), &error);
        assert!(stop.message.contains("/usr/local/bin/no-fish"), "{}", stop.message);
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,300}", state in ".{0,10}") {
            let _ = Report::parse(&line);
            let line = json!({"name": name, "state": state}).to_string();
            let (mut steps, _) = Steps::new("s", &[], 0);
            if let Some(report) = Report::parse(line.as_bytes()) {
                steps.take(report, 1);
            }
        }
    }

    /// As it was written first: plain, and quadratic. What the other does is compared with it.
    struct Plain {
        script: String,
        list: Vec<Step>,
        outputs: Map<String, Value>,
    }

    impl Plain {
        fn new(script: &str, named: &[NamedStep], now_ms: u64) -> (Self, Vec<Value>) {
            let mut it = Self { script: script.to_owned(), list: Vec::new(), outputs: Map::new() };
            for step in named {
                it.add(&step.name);
            }
            let planned = |step: &Step| json!({"key": step.key, "name": step.name, "section": "", "conditional": false});
            let mut lines =
                vec![json!({"t": "plan", "steps": it.list.iter().map(planned).collect::<Vec<_>>()})];
            if !it.list.is_empty() {
                lines.push(it.begin(0, now_ms));
            }
            (it, lines)
        }

        fn take(&mut self, report: Report, now_ms: u64) -> Vec<Value> {
            self.outputs.extend(report.outputs);
            let of = |state: State| {
                self.list.iter().position(|step| step.state == state && step.name == report.name)
            };
            let found = of(State::Running).or_else(|| of(State::Pending));
            let at = found.unwrap_or_else(|| self.add(&report.name));
            let mut lines = Vec::new();
            let ran = self.list[at].state == State::Running;
            if !ran {
                lines.push(self.begin(at, now_ms));
            }
            let (state, changed) = match report.state {
                Said::Running => return lines,
                Said::Success(changed) => ("Ok", changed),
                Said::Skipped => ("Skipped", false),
                Said::Failure => ("Failed", false),
            };
            let step = &mut self.list[at];
            step.state = State::Done;
            let (key, since) = (step.key.clone(), step.since);
            lines.push(json!({
                "t": "result", "key": key, "host": HOST, "state": state, "changed": changed,
                "ms": now_ms.saturating_sub(since), "message": report.message,
            }));
            lines.push(json!({"t": "end", "key": key}));
            let others_run = self.list.iter().any(|step| step.state == State::Running);
            if ran
                && state != "Failed"
                && !others_run
                && let Some(next) = self.list.iter().position(|step| step.state == State::Pending)
            {
                lines.push(self.begin(next, now_ms));
            }
            lines
        }

        fn add(&mut self, name: &str) -> usize {
            let nth = self.list.iter().filter(|step| step.name == name).count() + 1;
            let key = format!("{}:{name}#{nth}", self.script);
            self.list.push(Step { name: name.to_owned(), key, state: State::Pending, since: 0 });
            self.list.len() - 1
        }

        fn begin(&mut self, at: usize, now_ms: u64) -> Value {
            let step = &mut self.list[at];
            step.state = State::Running;
            step.since = now_ms;
            json!({"t": "start", "key": step.key, "name": step.name})
        }
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            Just(Said::Running),
            any::<bool>().prop_map(Said::Success),
            Just(Said::Skipped),
            Just(Said::Failure)
        ]
    }

    proptest! {
        #[test]
        fn however_it_looks_for_them_it_says_the_same(
            named in proptest::collection::vec("[abc]", 0..8),
            reports in proptest::collection::vec(("[abcd]", said()), 0..60),
        ) {
            let named: Vec<_> = named.into_iter().map(|name| NamedStep { name, description: None }).collect();
            let (mut steps, first) = Steps::new("d.sh", &named, 0);
            let (mut plain, expected) = Plain::new("d.sh", &named, 0);
            prop_assert_eq!(first, expected);
            for (now, (name, state)) in (1..).zip(reports) {
                let report = Report { name, state, message: String::new(), outputs: Map::new() };
                prop_assert_eq!(steps.take(report.clone(), now), plain.take(report, now));
            }
        }
    }

    /// Nanoseconds for each of so many names, all of them different.
    fn each(names: u32, mut take: impl FnMut(Report)) -> f64 {
        let began = std::time::Instant::now();
        for n in 0..names {
            let state = Said::Success(false);
            take(Report { name: format!("Step {n}"), state, message: String::new(), outputs: Map::new() });
        }
        began.elapsed().as_nanos() as f64 / f64::from(names)
    }

    /// With FASTDEPLOY_STEPS and `--nocapture` a benchmark: benches/README.md.
    #[test]
    fn so_many_steps_cost_as_much_each_as_a_few() {
        let many =
            std::env::var("FASTDEPLOY_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
        let linear = |names: u32| {
            let (mut steps, _) = Steps::new("d.sh", &[], 0);
            each(names, |report| drop(steps.take(report, 0)))
        };
        let (mut plain, _) = Plain::new("d.sh", &[], 0);
        let before = each(many / 50, |report| drop(plain.take(report, 0)));
        let (few, all) = (linear(many / 50), linear(many));
        let (ratio, gain) = (all / few, before / few);
        eprintln!(
            "{many} steps: {all:.0} ns each, x {ratio:.2} of what it is with a fiftieth; there the plain way takes x {gain:.1}"
        );
        // Quadratic would be x 50.
        assert!(ratio < 15.0, "x {ratio}");
    }
}
