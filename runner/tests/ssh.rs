//! Servers that are reached over SSH, and those that are not: each says why, also where the machine is busy.

#![allow(missing_docs)]

mod support;

use std::sync::atomic::Ordering;

use protocol::{pod, verdict::RunResult};
use serde_json::json;
use support::{Pod, sshd::Sshd};

const PING: &str = "- {hosts: all, gather_facts: false, tasks: [{name: Ping, ping: }]}\n";

fn on(port: u16) -> Pod {
    // The server is this machine: with the Python that is known to work here.
    let python = "{{ ansible_playbook_python }}";
    let host =
        json!({"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_python_interpreter": python});
    Pod::new(PING).with("/inventory", json!({"inline": {"all": {"hosts": {"web1": host}}}}))
}

fn known(pod: Pod, text: &str) -> Pod {
    pod.with_file(&format!("{}/{}", pod::KNOWN_HOSTS_DIR, pod::KNOWN_HOSTS_KEY), text)
}

fn with_key(pod: Pod, sshd: &Sshd, known_hosts: &str) -> Pod {
    let pod = pod
        .with("/credentials", json!({"ssh": true, "knownHosts": true}))
        .with_file(&format!("{}/{}", pod::SSH_DIR, pod::SSH_KEY), &sshd.private_key());
    known(pod, known_hosts)
}

#[test]
fn a_server_that_is_known_is_deployed_to() {
    let sshd = Sshd::start();
    let run = with_key(on(sshd.port), &sshd, &sshd.known_hosts(sshd.port)).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
}

/// As an `ssh` on a busy machine: it has closed its input, and is not at its end yet.
#[test]
fn an_ssh_that_takes_its_time_to_end_is_heard() {
    for (said, reason) in [
        ("root@127.0.0.1: Permission denied (publickey).", "AuthenticationFailed"),
        ("ssh: connect to host 127.0.0.1 port 22: Connection refused", "HostUnreachable"),
        ("Host key verification failed.", "HostKeyChanged"),
    ] {
        let ssh = format!("#!/bin/sh\nexec 0<&-\necho '{said}' >&2\nsleep 0.3\nexit 255\n");
        let run = on(22).with_executable("ssh", &ssh).run();
        assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, reason), "{}", run.log);
        assert!(run.why().contains(said), "{}", run.why());
    }
}

#[test]
fn the_key_of_a_server_that_is_too_busy_at_first_is_shown_all_the_same() {
    let sshd = Sshd::start();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    // Ansible's own connection gets through; then three in a row do not.
    let (port, count) = sshd.dropping(&[1, 2, 3]);
    let run = with_key(on(port), &sshd, &format!("[127.0.0.1]:{port} {other}\n")).run();
    assert_eq!(run.reason(), "HostKeyChanged", "{}", run.log);
    let key = run.verdict.failure.as_ref().and_then(|failure| failure.host_key.as_ref());
    let key = key
        .unwrap_or_else(|| panic!("no key after {} connections\n{}", count.load(Ordering::SeqCst), run.log));
    assert_eq!(key.fingerprint, sshd.fingerprint());
    assert_eq!(key.known.as_deref(), Some("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"));
    assert_eq!(count.load(Ordering::SeqCst), 5);
    // What it shows is what one would pin, in the place of the other or beside it.
    let run = with_key(on(port), &sshd, &format!("{}\n", key.line)).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    let pinning = json!({"ssh": true, "knownHosts": true, "pinned": [key.line]});
    let run = with_key(on(port), &sshd, &format!("[127.0.0.1]:{port} {other}\n"))
        .with("/credentials", pinning)
        .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
}

/// Else whoever has the old key, for example whoever took over the machine that was replaced, would go on being believed.
#[test]
fn where_the_service_pins_a_key_the_one_of_before_is_refused() {
    let sshd = Sshd::start();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let pinning =
        json!({"ssh": true, "knownHosts": true, "pinned": [format!("[127.0.0.1]:{} {other}", sshd.port)]});
    let run =
        with_key(on(sshd.port), &sshd, &sshd.known_hosts(sshd.port)).with("/credentials", pinning).run();
    assert_eq!(run.reason(), "HostKeyChanged", "{}", run.log);
}

#[test]
fn why_no_key_is_shown_is_in_the_log() {
    let said = "No ED25519 host key is known for [127.0.0.1]:1 and you have requested strict checking.";
    let ssh = format!("#!/bin/sh\necho '{said}' >&2\necho 'Host key verification failed.' >&2\nexit 255\n");
    let run = on(1).with_executable("ssh", &ssh).run();
    assert_eq!(run.reason(), "HostKeyChanged", "{}", run.log);
    assert!(
        run.log.contains("the key that 127.0.0.1 port 1 shows could not be read: no answer"),
        "{}",
        run.log
    );
}
