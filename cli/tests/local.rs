//! The real program with the real Ansible, on this machine and over a real OpenSSH.

#![allow(missing_docs, dead_code)]

#[path = "../../runner/tests/support/ansible.rs"]
mod ansible;
#[path = "../../runner/tests/support/sshd.rs"]
mod sshd;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use sshd::Sshd;

/// A folder of somebody's, with the places where the program puts what is its own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::Builder::new().prefix("d").tempdir_in("/tmp").expect("a folder"));
        for folder in ["tmp", "session"] {
            fs::create_dir(desk.at(folder)).expect("a folder");
        }
        for (path, text) in files {
            fs::create_dir_all(desk.at(path).parent().expect("a parent")).expect("a folder");
            fs::write(desk.at(path), text).expect("written");
        }
        desk
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fastdeploy"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", ansible::directory().display()))
            .env("TMPDIR", self.at("tmp"))
            .env("XDG_RUNTIME_DIR", self.at("session"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end; nothing of it may be left.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it starts");
        assert!(self.is_tidy());
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }

    fn is_tidy(&self) -> bool {
        ["tmp", "session"].iter().all(|folder| empty(&self.at(folder)))
    }
}

fn empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

const SERVICE: &str = r#"
apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: blog}
spec:
  source:
    inline:
      deploy.yml: |
        - hosts: all
          gather_facts: false
          tasks:
            - {name: Greet, debug: {msg: "hello {{ who }}, count {{ count + 1 }}"}}
            - {name: Leak, command: "echo {{ password }} {{ token }} {{ raw }}"}
            - {name: Change, command: 'true'}
  playbook: deploy.yml
  inventory: {local: true}
  variablesFrom: [{secretRef: {name: app}}, {configMapRef: {name: settings}}]
  inputs: [{name: who, type: text, required: true}, {name: count, type: number, default: 1}, {name: token, type: secret, required: true}]
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {raw: "{{ lookup('env', 'HOME') }}"}}
"#;

#[test]
fn a_service_runs_here_as_in_its_pod() {
    let desk =
        Desk::new(&[("service.yaml", SERVICE), ("password", "correct-horse"), ("token", "battery-staple")]);
    let arguments = [
        "run",
        "--local",
        "service.yaml",
        "--secret",
        "app/password=password",
        "--secret-input",
        "token=token",
        "--input",
        "who={{ world }}",
        "--events",
        "events.jsonl",
    ];
    let (code, said) = desk.run(&arguments);
    assert_eq!(code, Some(0), "{said}");
    // What was typed is data, what a ConfigMap says is, too; defaults are filled in.
    assert!(said.contains("hello {{ world }}, count 2"), "{said}");
    let events = fs::read_to_string(desk.at("events.jsonl")).expect("events");
    for place in [&said, &events] {
        assert!(!place.contains("correct-horse") && !place.contains("battery-staple"), "{place}");
    }
    for key in ["deploy.yml:4#1", "deploy.yml:5#1", "deploy.yml:6#1"] {
        assert!(events.contains(key), "{key} in {events}");
    }
    assert!(said.contains("\n  Succeeded   Leak  ok 1, changed 1"), "{said}");
    assert!(said.trim_end().ends_with("\nSucceeded"), "{said}");
}

#[test]
fn what_is_missing_is_said_before_anything_runs() {
    let desk = Desk::new(&[("service.yaml", SERVICE), ("p", "pass-word"), ("t", "to-ken")]);
    let whole = [
        "run",
        "--local",
        "service.yaml",
        "--secret",
        "app/password=p",
        "--secret-input",
        "token=t",
        "--input",
        "who=w",
    ];
    for (arguments, sentence) in [
        (&whole[..3], "Secret app is not there; give it in a further FILE, or with --secret"),
        (&whole[..5], "inputs.who: an answer is required"),
        (&[&whole[..5], &whole[7..]].concat()[..], "here: --secret-input NAME=FILE"),
        (&[&whole[..], &["--input", "count=many"]].concat()[..], "write a number"),
        (&[&whole[..], &["--input", "whom=x"]].concat()[..], "the form has no such field"),
        (&[&whole[..], &["--service", "shop"]].concat()[..], "there is no such Service; the files have blog"),
        (&["run", "service.yaml"][..], "say --local"),
    ] {
        let (code, said) = desk.run(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(sentence) && !said.contains("TASK"), "{sentence}: {said}");
    }
}

fn over_ssh(sshd: &Sshd, known_hosts: &str) -> (Option<i32>, String) {
    let service = format!(
        "apiVersion: fastdeploy.dev/v1alpha1\nkind: Service\nmetadata: {{name: far}}\nspec:\n  \
         source: {{git: {{url: 'https://git.example.com/far', path: site}}}}\n  playbook: deploy.yml\n  \
         inventory: {{inline: {{all: {{hosts: {{web1: {{ansible_host: 127.0.0.1, ansible_port: {}, ansible_python_interpreter: '{{{{ ansible_playbook_python }}}}'}}}}}}}}}}\n  \
         credentials: {{ssh: {{secretRef: {{name: key}}}}, knownHosts: {{configMapRef: {{name: hosts}}}}}}\n",
        sshd.port
    );
    let desk = Desk::new(&[
        ("service.yaml", &service),
        ("known_hosts", known_hosts),
        ("id", &sshd.private_key()),
        ("checkout/site/deploy.yml", "- {hosts: all, gather_facts: false, tasks: [{name: Ping, ping: }]}\n"),
    ]);
    let (code, said) = desk.run(&["run", "--local", "service.yaml"]);
    assert!(code == Some(2) && said.contains("check https://git.example.com/far out"), "{said}");
    desk.run(&[
        "run",
        "--local",
        "service.yaml",
        "--source",
        "checkout",
        "--secret",
        "key/ssh-privatekey=id",
        "--config-map",
        "hosts/known_hosts=known_hosts",
    ])
}

#[test]
fn servers_are_reached_and_recognised_as_ever() {
    let sshd = Sshd::start();
    let (code, said) = over_ssh(&sshd, &sshd.known_hosts(sshd.port));
    assert!(code == Some(0) && said.contains("Succeeded   Ping  ok 1"), "{said}");
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let (code, said) = over_ssh(&sshd, &format!("[127.0.0.1]:{} {other}\n", sshd.port));
    assert!(code == Some(1) && said.contains("Failed (HostKeyChanged)"), "{said}");
    let shown = format!("It shows {}, and was known as SHA256:+DiY3wvvV6TuJJhbpZisF", sshd.fingerprint());
    assert!(said.contains(&shown), "{said}");
}

#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    let service = SERVICE.replace("{name: Change, command: 'true'}", "{name: Wait, command: sleep 1000}");
    let desk = Desk::new(&[("service.yaml", &service), ("p", "pass-word"), ("t", "to-ken")]);
    let log = fs::File::create(desk.at("log")).expect("a log");
    let mut child = desk
        .command(&[
            "run",
            "--local",
            "service.yaml",
            "--secret",
            "app/password=p",
            "--secret-input",
            "token=t",
            "--input",
            "who=w",
        ])
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("it starts");
    let read = || fs::read_to_string(desk.at("log")).expect("a log");
    let began = Instant::now();
    while !read().contains("TASK [Wait]") {
        assert!(began.elapsed() < Duration::from_mins(2), "{}", read());
        thread::sleep(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{}", read());
    assert!(read().contains("Cancelled (Cancelled)"), "{}", read());
    assert!(desk.is_tidy());
}

#[test]
fn files_are_checked() {
    let wrong = SERVICE
        .replace("playbook: deploy.yml", "playbook: site.yml")
        .replace("metadata: {name: blog}", "metadata: {name: blog, labls: {}}");
    let desk = Desk::new(&[
        ("right.yaml", SERVICE),
        ("wrong.yaml", &wrong),
        ("none.yaml", "{apiVersion: v1, kind: Pod}"),
    ]);
    let (code, said) = desk.run(&["validate", "right.yaml"]);
    assert!(code == Some(0) && said.contains("1 Service(s) and 0 Deployment(s)"), "{said}");
    let (code, said) = desk.run(&["validate", "right.yaml", "wrong.yaml"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("wrong.yaml: metadata.labls: there is no such field"), "{said}");
    assert!(
        said.contains("wrong.yaml: playbook: site.yml is not in the source; it has deploy.yml"),
        "{said}"
    );
    assert_eq!(desk.run(&["validate", "none.yaml"]).0, Some(2));
}

#[test]
fn what_we_show_people_is_right() {
    let desk = Desk::new(&[]);
    let samples =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples")).expect("samples");
    let mut services = 0;
    for file in samples.map(|file| file.expect("a file").path()).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&file).expect("text");
        if text.contains("kind: Service\n") && text.contains("fastdeploy.dev/v1alpha1") {
            let (code, said) = desk.run(&["validate", file.to_str().expect("text")]);
            assert_eq!(code, Some(0), "{said}");
            services += 1;
        }
    }
    assert!(services > 1);
}

#[test]
fn a_form_is_made_of_a_project() {
    let desk = Desk::new(&[
        ("p/site.yml", "- {name: Site, hosts: all, roles: [web]}\n"),
        (
            "p/roles/web/meta/argument_specs.yml",
            "argument_specs: {main: {options: {port: {type: int, default: 80}, list: {type: list}}}}\n",
        ),
    ]);
    let (code, said) = desk.run(&["inputs", "p"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("inputs:\n- name: port\n  type: number\n  default: 80\n"), "{said}");
    assert!(said.contains("a list cannot be typed into a form"), "{said}");
    let (code, said) = desk.run(&["inputs", "p", "--playbook", "x.yml"]);
    assert!(code == Some(2) && said.contains("the project has site.yml"), "{said}");
}
