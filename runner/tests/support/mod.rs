//! Runs the real binary with the real Ansible, below a directory of its own, against a
//! claim server that speaks real TLS.

#![allow(missing_docs, dead_code)]

pub mod ansible;
mod server;
pub mod sshd;

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use protocol::{
    event::Event,
    pod,
    verdict::{Step, StepState, Verdict, unpack_steps},
};
use serde_json::{Value, json};
pub use server::{Answers, Fault};

/// A run before it starts.
pub struct Pod {
    root: tempfile::TempDir,
    bundle: Value,
    answers: Answers,
    faults: Vec<Option<Fault>>,
    environment: Vec<(String, String)>,
}

/// A run that goes on.
pub struct Running {
    root: tempfile::TempDir,
    child: Child,
    server: server::Server,
}

/// A run that is over.
pub struct Ended {
    pub code: Option<i32>,
    pub verdict: Verdict,
    pub message: String,
    pub steps: Vec<Step>,
    pub events: Vec<Event>,
    pub spool: String,
    pub log: String,
    pub claims: usize,
    /// Events as the server has them, and in how many reports they came.
    pub arrived: (Vec<Value>, usize),
    root: tempfile::TempDir,
}

/// Opens what [`encrypted`] makes.
pub const VAULT_PASSWORD: &str = "0pen sesame";

/// As `ansible-vault encrypt` leaves it.
pub fn encrypted(text: &str) -> String {
    encrypted_for(text, "default", VAULT_PASSWORD)
}

/// As `ansible-vault encrypt --encrypt-vault-id` leaves it.
pub fn encrypted_for(text: &str, id: &str, password: &str) -> String {
    use std::io::Write;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password");
    fs::write(&file, password).expect("written");
    let mut child = Command::new(ansible::directory().join("ansible-vault"))
        .args(["encrypt", "--output", "-", "--encrypt-vault-id", id])
        .arg(format!("--vault-id={id}@{}", file.display()))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ansible-vault");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

impl Pod {
    /// A pod that deploys this playbook onto itself.
    pub fn new(playbook: &str) -> Self {
        let pod = Self {
            root: tempfile::Builder::new().prefix("run").tempdir_in("/tmp").expect("a directory"),
            bundle: json!({
                "digest": "v1:sha256:0", "source": {"files": {"deploy.yml": playbook}}, "playbook": "deploy.yml",
                "inventory": "local", "timeoutSeconds": 60, "options": {"pipelining": true},
            }),
            answers: Answers::grant(Duration::from_mins(1)),
            faults: Vec::new(),
            environment: Vec::new(),
        };
        for directory in [pod::MEMORY_DIR, pod::WORK_DIR, pod::SPOOL_DIR, pod::DOWNWARD_DIR, "/dev"] {
            fs::create_dir_all(pod.at(directory)).expect("a directory");
        }
        pod.file(&format!("{}/{}", pod::TOKEN_DIR, pod::TOKEN_FILE), "claim-token\n");
        pod
    }

    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        self.bundle.pointer_mut(parent).expect("a parent")[name] = value;
        self
    }

    pub fn with_file(self, path: &str, text: &str) -> Self {
        self.file(path, text);
        self
    }

    /// One more file of the source.
    pub fn with_source(mut self, path: &str, text: &str) -> Self {
        self.bundle["source"]["files"][path] = text.into();
        self
    }

    /// In the place of Ansible: for more than Ansible can say in a test's time.
    pub fn with_program(self, program: &str) -> Self {
        self.with_executable("ansible-playbook", program)
    }

    /// A program that is found before the one of the system.
    pub fn with_executable(mut self, name: &str, program: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("/bin/{name}");
        self.file(&path, program);
        fs::set_permissions(self.at(&path), fs::Permissions::from_mode(0o755)).expect("executable");
        let (first, path) = (self.at("/bin"), std::env::var("PATH").unwrap_or_default());
        let path = format!("{}:{}:{path}", first.display(), ansible::directory().display());
        self.environment.push(("PATH".to_owned(), path));
        self
    }

    /// What the author wrote into the pod's environment; a path is one of this pod.
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        let value = if value.starts_with('/') {
            self.at(value).to_string_lossy().into_owned()
        } else {
            value.to_owned()
        };
        self.environment.push((name.to_owned(), value));
        self
    }

    /// A folder of the pod that outlives it.
    pub fn linked(self, path: &str, to: &std::path::Path) -> Self {
        std::os::unix::fs::symlink(to, self.at(path)).expect("linked");
        self
    }

    pub fn answering(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// What goes wrong with its reports, one after the other; then nothing more.
    pub fn faults(mut self, faults: &[Option<Fault>]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    pub fn start(self) -> Running {
        self.file(&format!("{}/{}", pod::BUNDLE_DIR, pod::BUNDLE_KEY), &self.bundle.to_string());
        let server = server::Server::start(self.answers, self.faults);
        let log = fs::File::create(self.root.path().join("log")).expect("a log");
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new(env!("CARGO_BIN_EXE_fastdeploy-runner"))
            .env_clear()
            .env("PATH", format!("{}:{path}", ansible::directory().display()))
            .env("FASTDEPLOY_ROOT", self.root.path())
            .env(pod::ENV_RUN_UID, "6b1e")
            .env(pod::ENV_ATTEMPT, "1")
            .env(pod::ENV_API_URL, &server.url)
            .env(pod::ENV_API_CA, &server.authority)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the runner");
        Running { root: self.root, child, server }
    }

    pub fn run(self) -> Ended {
        self.start().wait()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("written");
    }
}

impl Running {
    /// Waits until a text is in the log.
    pub fn until(self, text: &str) -> Self {
        let began = Instant::now();
        while !self.log().contains(text) {
            assert!(began.elapsed() < Duration::from_mins(1), "no {text:?} in\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Waits until the termination message is written.
    pub fn until_verdict(self) -> Self {
        let path = self.root.path().join(pod::TERMINATION_LOG.trim_start_matches('/'));
        let began = Instant::now();
        while fs::read(&path).map_or(0, |text| text.len()) == 0 {
            assert!(began.elapsed() < Duration::from_mins(1), "no verdict in\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    pub fn cancel(self, how: &str) -> Self {
        let path = self.root.path().join(format!(".{}/{}", pod::DOWNWARD_DIR, pod::CANCEL_FILE));
        fs::write(path, how).expect("written");
        self
    }

    pub fn terminate(self) -> Self {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self
    }

    pub fn answer(self, answers: Answers) -> Self {
        self.server.answer(answers);
        self
    }

    /// Waits for its end, and answers with its exit code and the most memory that it had, in kB.
    pub fn peak(mut self) -> (Option<i32>, u64) {
        let status = format!("/proc/{}/status", self.child.id());
        let mut peak = 0;
        loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = now.unwrap_or(peak);
            if let Some(code) = self.child.try_wait().expect("our child") {
                return (code.code(), peak);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn wait(mut self) -> Ended {
        let code = self.child.wait().expect("it ends").code();
        let log = self.log();
        let read = |path: &str| fs::read_to_string(self.root.path().join(path.trim_start_matches('/')));
        let message = read(pod::TERMINATION_LOG).unwrap_or_else(|_| panic!("no verdict; log:\n{log}"));
        let verdict: Verdict = serde_json::from_str(&message).expect("a verdict");
        let spool = read(&format!("{}/events.jsonl", pod::SPOOL_DIR)).unwrap_or_default();
        let events: Vec<Event> =
            spool.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        for (n, event) in events.iter().enumerate() {
            assert_eq!(event.seq, n as u64 + 1, "no gaps");
        }
        let steps = unpack_steps(&verdict.steps).expect("steps");
        Ended {
            code,
            steps,
            verdict,
            message,
            events,
            spool,
            log,
            claims: self.server.claims(),
            arrived: self.server.arrived(),
            root: self.root,
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.root.path().join("log")).unwrap_or_default()).into_owned()
    }
}

impl Ended {
    /// Name and state of each step.
    pub fn states(&self) -> Vec<(&str, StepState)> {
        self.steps.iter().map(|step| (step.name.as_str(), step.state)).collect()
    }

    /// The server has every event as it stands in the spool.
    pub fn all_arrived(&self) -> bool {
        let spooled: Vec<Value> =
            self.spool.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        !spooled.is_empty() && self.arrived.0 == spooled
    }

    /// Reason of the failure, or nothing.
    pub fn reason(&self) -> &str {
        self.verdict.failure.as_ref().map_or("", |failure| failure.reason.as_str())
    }

    /// Message of the failure, or nothing.
    pub fn why(&self) -> &str {
        self.verdict.failure.as_ref().map_or("", |failure| failure.message.as_str())
    }

    /// Whether Ansible was started at all.
    pub fn ansible_started(&self) -> bool {
        self.verdict.started_at.is_some() || self.root.path().join("work/source").exists()
    }
}
