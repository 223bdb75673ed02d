//! How a run ended and why: a pure function of everything that was seen. Success has
//! to be proven by Ansible's own statistics.

use protocol::verdict::{Failure, RunResult};

use crate::{
    control::Cause,
    failure as reason,
    process::Exit,
    text::short,
    tracker::{FirstFailure, Seen},
};

/// Characters of a failure's message.
const MESSAGE: usize = 500;
const SIGKILL: i32 = 9;
const STARVED: &str = "the container had not enough memory and the kernel killed a process of Ansible";

const STARVED_SCRIPT: &str =
    "the container had not enough memory and the kernel killed a process of the script";

/// Everything that was seen.
pub struct Ended<'a> {
    /// How Ansible ended.
    pub exit: Exit,
    /// Whether it was stopped.
    pub cause: Option<Cause>,
    /// What the plugin reported.
    pub seen: &'a Seen,
    /// The last thing that Ansible called an error.
    pub error: Option<String>,
    /// The last lines of output.
    pub last_lines: String,
    /// The kernel killed something for want of memory.
    pub out_of_memory: bool,
    /// It was a preview.
    pub check: bool,
    /// The run was limited by tags.
    pub tagged: bool,
    /// Seconds that the run was allowed.
    pub timeout_seconds: u64,
}

/// The result, and the reason unless it succeeded.
pub fn classify(ended: &Ended) -> (RunResult, Option<Failure>) {
    let (result, failure) = from_what_was_reported(ended);
    // The kernel killed a task's process: Ansible goes on and calls that a failed step.
    let starved = ended.out_of_memory && result == RunResult::Failed;
    let failure = failure.map(|failure| match failure.reason.as_str() {
        reason::TASK_FAILED | reason::ANSIBLE_FAILED if starved => Failure {
            reason: reason::OUT_OF_MEMORY.to_owned(),
            message: short(&format!("{STARVED}: {}", failure.message), MESSAGE),
            ..failure
        },
        _ => failure,
    });
    (result, failure)
}

/// How a script ended: its exit code counts, and a step that it called a failure.
pub fn script(ended: &Ended) -> (RunResult, Option<Failure>) {
    let seen = ended.seen;
    let (code, cause) = (ended.exit, ended.cause);
    if let Some(cause) = cause.filter(|_| code != Exit::Code(0)) {
        return stopped(ended, cause);
    }
    if let Some(first) = &seen.first_failure {
        return failed(Failure {
            step: Some(short(&first.step, 120)),
            ..without_step(reason::TASK_FAILED, &first.message)
        });
    }
    let last = &ended.last_lines;
    match code {
        Exit::Code(0) => (RunResult::Succeeded, None),
        _ if ended.out_of_memory => failed(without_step(reason::OUT_OF_MEMORY, STARVED_SCRIPT)),
        Exit::Code(code) => failed(without_step(
            reason::SCRIPT_FAILED,
            &format!("the script ended with exit code {code}: {last}"),
        )),
        Exit::Signal(SIGKILL) => {
            failed(without_step(reason::RUNNER_LOST, "the script was killed from outside"))
        }
        Exit::Signal(signal) => failed(without_step(
            reason::SCRIPT_FAILED,
            &format!("the script ended by signal {signal}: {last}"),
        )),
    }
}

fn from_what_was_reported(ended: &Ended) -> (RunResult, Option<Failure>) {
    if !ended.seen.keyboard.is_empty() {
        return failed(without_step(reason::KEYBOARD_NEEDED, &ended.seen.keyboard.join("\n")));
    }
    // A result that is already there beats a stop.
    if let (Exit::Code(code), Some(_)) = (ended.exit, &ended.seen.stats) {
        return with_statistics(ended, code);
    }
    if let Some(cause) = ended.cause.or(ended.seen.stopped.then_some(Cause::Cancelled)) {
        return stopped(ended, cause);
    }
    if let Some(first) = &ended.seen.first_failure {
        return failed(step_failure(first));
    }
    failed(match ended.exit {
        _ if ended.out_of_memory => without_step(reason::OUT_OF_MEMORY, STARVED),
        Exit::Signal(SIGKILL) => without_step(reason::RUNNER_LOST, "Ansible was killed from outside"),
        Exit::Signal(signal) => {
            without_step(reason::ANSIBLE_FAILED, &format!("Ansible ended by signal {signal}"))
        }
        Exit::Code(0) => without_step(
            reason::ANSIBLE_FAILED,
            &format!(
                "Ansible ended without statistics, so nothing proves that it succeeded\n{}",
                ended.last_lines
            ),
        ),
        Exit::Code(code) => {
            let said = ended.error.as_deref().unwrap_or(&ended.last_lines);
            if is_vault(said) {
                without_step(reason::VAULT_PASSWORD, said)
            } else if ended.seen.results == 0 && is_syntax(code, said) {
                without_step(reason::SYNTAX_ERROR, said)
            } else {
                without_step(reason::ANSIBLE_FAILED, &format!("Ansible ended with exit code {code}: {said}"))
            }
        }
    })
}

fn with_statistics(ended: &Ended, code: i32) -> (RunResult, Option<Failure>) {
    let seen = ended.seen;
    let stats = seen.stats.as_ref().expect("asked by the caller");
    if code != 0 {
        if let Some(first) = &seen.first_failure {
            return failed(step_failure(first));
        }
        // The plugin stumbled, the statistics still name the server.
        let host = |unreachable: bool| {
            let mut counts = stats.iter();
            counts
                .find(|(_, c)| if unreachable { c.unreachable > 0 } else { c.failures > 0 })
                .map(|(name, _)| name)
        };
        let said = ended.error.as_deref().unwrap_or(&ended.last_lines);
        let of =
            |reason: &str, host: &str| Failure { host: Some(host.to_owned()), ..without_step(reason, said) };
        return failed(match (host(false), host(true)) {
            (Some(host), _) => of(reason::TASK_FAILED, host),
            (None, Some(host)) => of(unreachable_reason(said), host),
            _ => {
                without_step(reason::ANSIBLE_FAILED, &format!("Ansible ended with exit code {code}: {said}"))
            }
        });
    }
    // Where the plugin reported no result at all, the statistics have to do.
    let worked =
        seen.worked > 0 || (!seen.reported && stats.values().map(|counts| counts.ok).sum::<u64>() > 0);
    if worked {
        return (RunResult::Succeeded, None);
    }
    // Without a result the statistics are empty, whether or not a server matched.
    let message = if ended.tagged && seen.results == 0 && seen.no_hosts.is_empty() {
        "no task has the wanted tags".to_owned()
    } else if stats.is_empty() {
        match seen.no_hosts.iter().filter(|play| !play.is_empty()).map(String::as_str).collect::<Vec<_>>() {
            plays if plays.is_empty() => "no server of the inventory matched the playbook".to_owned(),
            plays => format!("no server of the inventory matched the playbook (plays: {})", plays.join(", ")),
        }
    } else if seen.results > 0 && ended.check {
        "a preview says nothing of these steps: Ansible leaves them out in check mode".to_owned()
    } else if seen.results > 0 {
        "every task was skipped by its own condition".to_owned()
    } else {
        "the playbook has no task for these servers".to_owned()
    };
    (RunResult::NothingDone, Some(without_step(reason::NOTHING_DONE, &message)))
}

fn stopped(ended: &Ended, cause: Cause) -> (RunResult, Option<Failure>) {
    match cause {
        Cause::Cancelled if ended.seen.stopped => {
            (RunResult::Cancelled, Some(without_step(reason::CANCELLED, "stopped after a step, as asked")))
        }
        Cause::Cancelled => {
            (RunResult::Cancelled, Some(without_step(reason::CANCELLED, "stopped, as asked")))
        }
        Cause::Timeout => failed(without_step(
            reason::TIMEOUT,
            &format!("the run took longer than the {} seconds that it may take", ended.timeout_seconds),
        )),
        Cause::Terminated => failed(without_step(reason::RUNNER_LOST, "the pod was asked to stop")),
    }
}

fn failed(failure: Failure) -> (RunResult, Option<Failure>) {
    (RunResult::Failed, Some(failure))
}

fn without_step(reason: &str, message: &str) -> Failure {
    Failure { reason: reason.to_owned(), message: short(message, MESSAGE), ..Failure::default() }
}

fn step_failure(first: &FirstFailure) -> Failure {
    let said = &first.message;
    let (reason, message) = if is_become(said) {
        (reason::BECOME_FAILED, said.clone())
    } else if is_vault(said) {
        (reason::VAULT_PASSWORD, said.clone())
    } else if first.unreachable {
        let reason = unreachable_reason(&first.message);
        (reason, unreachable_message(reason, &first.message))
    } else {
        (reason::TASK_FAILED, first.message.clone())
    };
    Failure {
        step: Some(short(&first.step, 120)).filter(|step| !step.is_empty()),
        host: Some(first.host.clone()),
        ..without_step(reason, &message)
    }
}

/// In the words of sudo and of Ansible's become plugins.
fn is_become(said: &str) -> bool {
    [
        "Missing sudo password",
        "Incorrect sudo password",
        "sudo: a password is required",
        "is not in the sudoers file",
        "sudo: not found",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// In the words of ansible-vault.
fn is_vault(said: &str) -> bool {
    ["no vault secrets found", "Decryption failed (no vault secrets", "Decryption failed on"]
        .iter()
        .any(|words| said.contains(words))
}

/// In OpenSSH's words.
fn unreachable_reason(said: &str) -> &'static str {
    if said.contains("Host key verification failed")
        || said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
    {
        reason::HOST_KEY_CHANGED
    } else if said.contains("Permission denied (") || said.contains("Too many authentication failures") {
        reason::AUTHENTICATION_FAILED
    } else {
        reason::HOST_UNREACHABLE
    }
}

/// OpenSSH's wall of @ signs hides what it says.
fn unreachable_message(reason: &str, said: &str) -> String {
    let changed = said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED");
    match reason {
        reason::HOST_KEY_CHANGED if changed => {
            "the server's host key is not the one in known_hosts: it was set up anew, or something stands between".to_owned()
        }
        reason::HOST_KEY_CHANGED if said.contains("host key is known for") => {
            format!("the server's host key is not in known_hosts: {said}")
        }
        _ => said.to_owned(),
    }
}

fn is_syntax(code: i32, said: &str) -> bool {
    const WORDS: [&str; 9] = [
        "YAML parsing failed",
        "Syntax Error",
        "syntax error",
        "conflicting action statements",
        "couldn't resolve module/action",
        "is not a valid attribute",
        "no module/action detected",
        "unexpected parameter type in action",
        "A playbook must be a list of plays",
    ];
    code == 4 || WORDS.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use protocol::event::HostCounts;

    fn stats(ok: u64, failures: u64, unreachable: u64) -> BTreeMap<String, HostCounts> {
        BTreeMap::from([(
            "web1".to_owned(),
            HostCounts { ok, failures, unreachable, ..HostCounts::default() },
        )])
    }

    fn first(unreachable: bool, message: &str) -> FirstFailure {
        let (step, host) = ("Install".to_owned(), "web1".to_owned());
        FirstFailure { step, host, message: message.to_owned(), unreachable }
    }

    fn done() -> Seen {
        Seen { stats: Some(stats(3, 0, 0)), reported: true, worked: 3, results: 3, ..Seen::default() }
    }

    fn facts_only() -> Seen {
        Seen { stats: Some(stats(1, 0, 0)), reported: true, ..Seen::default() }
    }

    struct Case {
        name: &'static str,
        exit: Exit,
        cause: Option<Cause>,
        seen: Seen,
        error: Option<&'static str>,
        out_of_memory: bool,
        tagged: bool,
    }

    fn case(name: &'static str, exit: i32, seen: Seen) -> Case {
        Case {
            name,
            exit: Exit::Code(exit),
            cause: None,
            seen,
            error: None,
            out_of_memory: false,
            tagged: false,
        }
    }

    fn ended(case: &Case) -> (RunResult, Option<Failure>) {
        classify(&Ended {
            exit: case.exit,
            cause: case.cause,
            seen: &case.seen,
            error: case.error.map(str::to_owned),
            last_lines: "last lines".to_owned(),
            out_of_memory: case.out_of_memory,
            check: false,
            tagged: case.tagged,
            timeout_seconds: 60,
        })
    }

    #[test]
    fn every_end_has_its_reason() {
        use RunResult::{Cancelled, Failed, NothingDone, Succeeded};
        let nothing =
            || Seen { stats: Some(BTreeMap::new()), no_hosts: vec!["web".to_owned()], ..Seen::default() };
        let failure = |unreachable: bool, message: &str| Seen {
            stats: Some(stats(1, u64::from(!unreachable), unreachable.into())),
            first_failure: Some(first(unreachable, message)),
            ..Seen::default()
        };
        let table = [
            (case("fine", 0, done()), Succeeded, "", ""),
            (case("no server", 0, nothing()), NothingDone, "NothingDone", "plays: web"),
            (Case { tagged: true, ..case("no tag", 0, facts_only()) }, NothingDone, "NothingDone", "tags"),
            (case("skipped", 0, Seen { worked: 0, ..done() }), NothingDone, "NothingDone", "condition"),
            (case("no statistics", 0, Seen::default()), Failed, "AnsibleFailed", "nothing proves"),
            (case("task", 2, failure(false, "disk full")), Failed, "TaskFailed", "disk full"),
            (
                case("route", 4, failure(true, "ssh: connect to host: No route to host")),
                Failed,
                "HostUnreachable",
                "No route",
            ),
            (
                case("key", 4, failure(true, "web1: Permission denied (publickey).")),
                Failed,
                "AuthenticationFailed",
                "denied",
            ),
            (
                case(
                    "changed",
                    4,
                    failure(
                        true,
                        "@@@ REMOTE HOST IDENTIFICATION HAS CHANGED! @@@ Host key verification failed.",
                    ),
                ),
                Failed,
                "HostKeyChanged",
                "not the one in known_hosts",
            ),
            (
                case(
                    "unknown",
                    4,
                    failure(
                        true,
                        "No ED25519 host key is known for web1 and you have requested strict checking.",
                    ),
                ),
                Failed,
                "HostUnreachable",
                "host key",
            ),
            (
                case(
                    "strict",
                    4,
                    failure(true, "No ED25519 host key is known for web1\r\nHost key verification failed."),
                ),
                Failed,
                "HostKeyChanged",
                "not in known_hosts",
            ),
            (
                Case {
                    error: Some("YAML parsing failed\nOrigin: d.yml:3:1"),
                    ..case("yaml", 4, Seen::default())
                },
                Failed,
                "SyntaxError",
                "d.yml:3:1",
            ),
            (
                Case {
                    error: Some("couldn't resolve module/action 'x'"),
                    ..case("module", 1, Seen::default())
                },
                Failed,
                "SyntaxError",
                "couldn't resolve",
            ),
            (
                Case { error: Some("the vault password is wrong"), ..case("other", 1, Seen::default()) },
                Failed,
                "AnsibleFailed",
                "vault",
            ),
            (case("other without words", 250, Seen::default()), Failed, "AnsibleFailed", "last lines"),
            (
                Case { cause: Some(Cause::Cancelled), ..case("now", 99, Seen::default()) },
                Cancelled,
                "Cancelled",
                "as asked",
            ),
            (
                case("after step", 99, Seen { stopped: true, ..Seen::default() }),
                Cancelled,
                "Cancelled",
                "after a step",
            ),
            (Case { cause: Some(Cause::Cancelled), ..case("too late", 0, done()) }, Succeeded, "", ""),
            (
                Case { cause: Some(Cause::Timeout), ..case("late", 99, Seen::default()) },
                Failed,
                "Timeout",
                "60 seconds",
            ),
            (
                Case {
                    exit: Exit::Signal(9),
                    cause: Some(Cause::Timeout),
                    ..case("killed", 0, Seen::default())
                },
                Failed,
                "Timeout",
                "",
            ),
            (
                Case { cause: Some(Cause::Terminated), ..case("drain", 99, Seen::default()) },
                Failed,
                "RunnerLost",
                "asked to stop",
            ),
            (
                Case { exit: Exit::Signal(9), ..case("kill", 0, Seen::default()) },
                Failed,
                "RunnerLost",
                "outside",
            ),
            (
                Case { exit: Exit::Signal(9), out_of_memory: true, ..case("oom", 0, Seen::default()) },
                Failed,
                "OutOfMemory",
                "memory",
            ),
            (
                Case { out_of_memory: true, ..case("worker oom", 1, Seen::default()) },
                Failed,
                "OutOfMemory",
                "",
            ),
            (
                Case { exit: Exit::Signal(11), ..case("crash", 0, Seen::default()) },
                Failed,
                "AnsibleFailed",
                "11",
            ),
            (
                case("plugin stumbled", 2, Seen { stats: Some(stats(1, 1, 0)), ..Seen::default() }),
                Failed,
                "TaskFailed",
                "last lines",
            ),
        ];
        for (case, result, reason, message) in table {
            let (got, failure) = ended(&case);
            let failure = failure.unwrap_or_default();
            assert_eq!((got, failure.reason.as_str()), (result, reason), "{}", case.name);
            assert!(failure.message.contains(message), "{}: {}", case.name, failure.message);
        }
    }

    #[test]
    fn a_failed_task_names_step_and_server() {
        let seen =
            Seen { stats: Some(stats(1, 1, 0)), first_failure: Some(first(false, "no")), ..Seen::default() };
        let (_, failure) = ended(&case("task", 2, seen));
        let failure = failure.expect("a failure");
        assert_eq!((failure.step.as_deref(), failure.host.as_deref()), (Some("Install"), Some("web1")));
    }
}
