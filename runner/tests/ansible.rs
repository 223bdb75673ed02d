//! One story per test: the real runner, the real Ansible, a real TLS server.

#![allow(missing_docs)]

mod support;

use std::time::{Duration, Instant};

use protocol::{
    event::{HostState, Kind},
    verdict::{MAX_BYTES, RunResult, StepState},
};
use serde_json::json;
use support::{Answers, Fault, Pod};

const FOUR: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, debug: {msg: 1}}
    - {name: Two, command: 'true'}
    - {name: Three, set_stats: {data: {version: 1.2.3}}}
    - {name: 'Four of {{ what }}', command: '{{ fourth }}'}
  handlers:
    - {name: Never, debug: {msg: never}}
";

fn four(fourth: &str) -> Pod {
    Pod::new(FOUR).with("/variables", json!({"fourth": fourth, "what": "{{ 'all' }}"}))
}

const SLOW: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: First, debug: {msg: first began}}
    - {name: Second, command: sleep 2}
    - {name: Third, command: sleep 300}
    - {name: Fourth, debug: {msg: 4}}
";

#[test]
fn a_run_that_succeeds() {
    let run = four("true").run();
    assert_eq!((run.code, run.verdict.result), (Some(0), RunResult::Succeeded), "{}", run.log);
    assert_eq!(run.states(), ["One", "Two", "Three", "Four of all"].map(|name| (name, StepState::Succeeded)));
    assert_eq!(run.steps[1].key, "deploy.yml:6#1");
    assert_eq!((run.steps[1].ok, run.steps[1].changed), (1, 1));
    assert_eq!((run.verdict.hosts.total, run.verdict.hosts.ok), (1, 1));
    assert_eq!(run.verdict.outputs["version"], "1.2.3");
    assert_eq!((run.verdict.exit_code, run.claims), (Some(0), 1));
    let Kind::Plan { steps, .. } =
        &run.events.iter().find(|e| matches!(e.kind, Kind::Plan { .. })).expect("a plan").kind
    else {
        panic!("a plan")
    };
    assert_eq!(steps.len(), 5);
    assert!(steps[4].conditional && steps[4].name == "Never");
    assert!(matches!(
        &run.events.last().expect("events").kind,
        Kind::Finished { verdict } if verdict.result == RunResult::Succeeded
    ));
    assert!(run.log.contains("PLAY RECAP"));
    assert!(run.all_arrived(), "{:?}", run.arrived);
}

#[test]
fn every_event_arrives_once_whatever_happens_to_the_reports() {
    use Fault::{Away, Cut, Forget, Mute};
    let faults = [
        vec![Some(Away), Some(Away), None, Some(Away)],
        vec![Some(Cut), None, Some(Cut), Some(Cut)],
        vec![Some(Mute), None, Some(Mute)],
        vec![None, Some(Forget), None, Some(Mute), Some(Forget)],
    ];
    for faults in faults {
        let run = four("true").faults(&faults).run();
        assert_eq!((run.code, run.verdict.result), (Some(0), RunResult::Succeeded), "{}", run.log);
        assert!(run.all_arrived(), "{faults:?}: {:?}\n{}", run.arrived, run.log);
    }
}

#[test]
fn much_output_arrives_in_reports_of_their_size() {
    let run = four("sh -c 'seq 1 60000 | sed s/$/-of-many/'").run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.all_arrived());
    assert!(run.arrived.1 >= 3, "{} reports", run.arrived.1);
}

#[test]
fn what_nobody_watches_goes_in_fewer_reports() {
    let watched = four("true").run();
    let alone = four("true").faults(&vec![Some(Fault::Alone); 1_000]).run();
    let comes = four("true").faults(&vec![Some(Fault::Comes); 1_000]).run();
    for run in [&watched, &alone, &comes] {
        assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
        assert!(run.all_arrived(), "{:?}", run.arrived);
    }
    let reports = [&alone, &comes, &watched].map(|run| run.arrived.1);
    assert!(reports[0] < reports[2], "alone and watched: {reports:?}");
    // What waited goes when somebody comes.
    assert!(reports[0] < reports[1], "alone, and when somebody comes: {reports:?}");
}

#[test]
fn a_fenced_runner_reports_no_more_and_does_not_wait() {
    let began = Instant::now();
    let run = four("true").faults(&[Some(Fault::Fence)]).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.arrived.0.is_empty());
    assert!(run.log.contains("another process has this attempt"), "{}", run.log);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_pod_that_is_asked_to_end_does_not_wait_for_its_reports() {
    let away = vec![Some(Fault::Away); 1_000];
    let running = four("true").faults(&away).start().until("PLAY RECAP").until("reports wait since");
    // The verdict is there, and the process stays to deliver.
    let run = running.until_verdict().terminate().wait();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.log.contains("were not delivered"), "{}", run.log);
}

#[test]
fn the_fourth_task_fails() {
    let run = four("sh -c 'echo disk is full >&2; exit 3'").run();
    assert_eq!(
        (run.code, run.verdict.result, run.reason()),
        (Some(1), RunResult::Failed, "TaskFailed"),
        "{}",
        run.log
    );
    let failure = run.verdict.failure.as_ref().expect("a failure");
    assert_eq!(failure.step.as_deref(), Some("Four of all"));
    assert_eq!(failure.host.as_deref(), Some("localhost"));
    assert!(failure.message.contains("disk is full"), "{}", failure.message);
    assert_eq!(run.states()[3], ("Four of all", StepState::Failed));
    assert_eq!((run.verdict.hosts.failed, run.verdict.exit_code), (1, Some(2)));
    assert_eq!(run.verdict.hosts.failed_names, ["localhost"]);
}

#[test]
fn no_server_matches() {
    let run = Pod::new("- {name: Web servers, hosts: web, tasks: [{debug: {msg: 1}}]}").run();
    assert_eq!(
        (run.code, run.verdict.result, run.reason()),
        (Some(1), RunResult::NothingDone, "NothingDone")
    );
    assert!(run.why().contains("no server") && run.why().contains("Web servers"), "{}", run.why());
}

#[test]
fn no_task_has_the_tag() {
    let run = four("true").with("/options/tags", json!(["nosuch"])).run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::NothingDone, "NothingDone"), "{}", run.log);
    assert!(
        run.verdict.failure.is_some_and(|f| f.message.contains("tags") || f.message.contains("no server"))
    );
}

#[test]
fn a_playbook_that_cannot_be_read() {
    let run = Pod::new("- hosts: all\n  tasks:\n    - name: x\n     debug: {}\n").run();
    assert_eq!((run.code, run.reason()), (Some(1), "SyntaxError"), "{}", run.log);
    assert!(run.why().contains("deploy.yml:4"), "{}", run.why());
    let run = Pod::new("- hosts: all\n  tasks:\n    - nosuchmodule: {}\n").run();
    assert_eq!(run.reason(), "SyntaxError", "{}", run.log);
    assert!(run.why().contains("nosuchmodule") && run.why().contains("deploy.yml:3"), "{}", run.why());
}

#[test]
fn cancelled_after_the_step() {
    let run = Pod::new(SLOW).start().until("TASK [Second]").cancel("AfterStep").wait();
    assert_eq!(
        (run.code, run.verdict.result, run.reason()),
        (Some(1), RunResult::Cancelled, "Cancelled"),
        "{}",
        run.log
    );
    assert_eq!(
        run.states(),
        [
            ("First", StepState::Succeeded),
            ("Second", StepState::Succeeded),
            ("Third", StepState::Pending),
            ("Fourth", StepState::Pending)
        ]
    );
    assert_eq!(run.verdict.hosts.ok, 1);
}

#[test]
fn cancelled_now() {
    let running = Pod::new(SLOW).start().until("TASK [Third]");
    let began = Instant::now();
    let run = running.cancel("Now").wait();
    // Long before the step would have ended. A signal that comes just while Ansible forks can be lost in the child; then
    // it is killed ten seconds later.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Cancelled, "Cancelled"), "{}", run.log);
    assert_eq!(run.states()[2], ("Third", StepState::Cancelled));
    assert_eq!(run.states()[3], ("Fourth", StepState::Pending));
}

#[test]
fn nothing_outlives_a_run() {
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: Daemon, shell: 'setsid sh -c \"trap : INT TERM; sleep 98765\" >/dev/null 2>&1 & true'}
    - {name: Stubborn, shell: 'echo stubborn; trap : INT TERM; sleep 98764; sleep 98764'}
";
    let run = Pod::new(playbook).start().until("TASK [Stubborn]").cancel("Now").wait();
    assert_eq!(run.verdict.result, RunResult::Cancelled);
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        assert!(!command.contains("98764") && !command.contains("98765"), "{command}");
    }
}

#[test]
fn a_run_that_takes_too_long() {
    let run = Pod::new(SLOW).with("/timeoutSeconds", json!(4)).run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "Timeout"), "{}", run.log);
    let run = Pod::new(SLOW).answering(Answers::grant(Duration::from_secs(4))).run();
    assert_eq!(run.reason(), "Timeout", "the server's deadline counts too: {}", run.log);
}

#[test]
fn a_pod_that_is_stopped() {
    let run = Pod::new(SLOW).start().until("TASK [Third]").terminate().wait();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "RunnerLost"), "{}", run.log);
}

#[test]
fn secrets_are_hidden_everywhere() {
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: 'Show {{ canary }}', debug: {msg: 'raw {{ canary }} and {{ canary | b64encode }} and {{ canary | urlencode }}'}}
    - {name: Templates are not run, assert: {that: \"template == '{' ~ '{ 1 + 1 }' ~ '}'\"}}
    - {name: Newline stays, assert: {that: \"canary is search('\\n$', multiline=False)\"}}
    - {name: Out, set_stats: {data: {token: '{{ canary | trim }}'}}}
    - {name: Fail, fail: {msg: 'cannot sign in with {{ canary }}'}}
";
    let canary = "C4nary-\"quoted\"/ß";
    let run = Pod::new(playbook)
        .with("/credentials", json!({"variableSecrets": 1}))
        .with_file("/run/fastdeploy/secrets/variables-0/canary", &format!("{canary}\n"))
        .with_file("/run/fastdeploy/secrets/variables-0/template", "{{ 1 + 1 }}")
        .with_file("/run/fastdeploy/secrets/variables-0/..2026/ignored-name", "x")
        .run();
    assert_eq!(run.reason(), "TaskFailed", "{}", run.log);
    assert_eq!(run.states()[4].0, "Fail", "{}", run.log);
    assert!(run.why().contains("cannot sign in with ********"), "{}", run.why());
    assert_eq!(run.verdict.outputs["token"], "********");
    let steps = serde_json::to_string(&run.steps).expect("steps");
    for place in [&run.log, &run.message, &run.spool, &steps] {
        assert!(place.contains("********") || place == &run.message);
        for form in ["C4nary", "QzRuYXJ5", "quoted"] {
            assert!(!place.contains(form), "{form} in\n{place}");
        }
    }
}

#[test]
fn what_a_person_typed_is_no_template() {
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: Say, debug: {msg: 'typed: {{ typed }}, deep: {{ deep.list[0] }}, kept: {{ kept }}'}}
";
    let run = Pod::new(playbook)
        .with("/variables", json!({"typed": "from the author", "kept": "{{ 6 * 7 }}"}))
        .with(
            "/inputs",
            json!({"typed": "{{ lookup('pipe','id') }}", "deep": {"list": ["{{ lookup('pipe','id') }}"]}}),
        )
        .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(
        run.log.contains("typed: {{ lookup('pipe','id') }}, deep: {{ lookup('pipe','id') }}, kept: 42"),
        "{}",
        run.log
    );
    assert!(!run.log.contains("uid="), "{}", run.log);
}

#[test]
fn a_refused_claim_never_starts_ansible() {
    for status in [403, 409] {
        let run = Pod::new(FOUR).answering(Answers::refuse(status, "it is not your turn")).run();
        assert_eq!(
            (run.code, run.verdict.result, run.reason()),
            (Some(1), RunResult::Failed, "ClaimRefused")
        );
        assert_eq!(run.why(), "it is not your turn");
        assert!(!run.ansible_started());
        assert!(run.events.is_empty());
    }
}

#[test]
fn an_api_that_is_away_is_waited_for() {
    let running = four("true").answering(Answers::fail()).start().until("waiting for permission");
    std::thread::sleep(Duration::from_millis(500));
    let run = running.answer(Answers::grant(Duration::from_mins(1))).wait();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.claims > 2, "{}", run.claims);

    let run = four("true")
        .answering(Answers::fail())
        .start()
        .until("waiting for permission")
        .cancel("AfterStep")
        .wait();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Cancelled, "Cancelled"));
    assert!(!run.ansible_started());
}

#[test]
fn rescued_and_ignored_failures_are_no_failures() {
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: Breaks, command: 'false'}
      rescue:
        - {name: Mends, debug: {msg: mended}}
    - {name: Shrugged off, command: 'false', ignore_errors: true}
    - {name: Left out, debug: {msg: 1}, when: false}
    - {name: Goes on, debug: {msg: 1}, changed_when: true, notify: Told}
  handlers:
    - {name: Told, debug: {msg: told}}
";
    let run = Pod::new(playbook).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert_eq!(
        run.states(),
        [
            ("Breaks", StepState::Rescued),
            ("Mends", StepState::Succeeded),
            ("Shrugged off", StepState::Succeeded),
            ("Left out", StepState::Skipped),
            ("Goes on", StepState::Succeeded),
            ("Told", StepState::Succeeded)
        ]
    );
    let ignored =
        run.events.iter().any(|e| matches!(&e.kind, Kind::HostResult { state: HostState::Ignored, .. }));
    assert!(ignored);
}

#[test]
fn a_server_that_cannot_be_reached() {
    let run = four("true")
        .with(
            "/inventory",
            json!({"inline": {"all": {"hosts": {"web1": {"ansible_host": "127.0.0.1", "ansible_port": 1}}}}}),
        )
        .run();
    assert_eq!(run.reason(), "HostUnreachable", "{}", run.log);
    assert_eq!(run.verdict.hosts.failed_names, ["web1"]);
    // The first task runs here, not there.
    assert_eq!(run.states()[1], ("Two", StepState::Unreachable));
}

/// All results of a step.
fn results<'a>(run: &'a support::Ended, key: &str) -> Vec<&'a Kind> {
    let kinds = run.events.iter().map(|event| &event.kind);
    kinds.filter(|kind| matches!(kind, Kind::HostResult { key: of, .. } if of == key)).collect()
}

#[test]
fn all_that_a_play_can_hold_is_known_before_its_first_task() {
    let run = Pod::new(
        "
- name: Prepare
  hosts: all
  roles: [web]
  tasks:
    - import_tasks: more.yml
    - block:
        - {name: Try, command: 'true'}
      rescue:
        - {name: Mend, command: 'true'}
      always:
        - {name: Clean up, command: 'true'}
    - include_tasks: found.yml
    - {name: Not now, command: 'true', tags: [never]}
  handlers:
    - {name: Restart, command: 'true'}
- import_playbook: second.yml
",
    )
    .with_source("roles/web/tasks/main.yml", "- {name: Install, command: 'true'}\n")
    .with_source("more.yml", "- {name: Imported, command: 'true'}\n")
    .with_source("found.yml", "- {name: Found, command: 'true'}\n")
    .with_source(
        "second.yml",
        "- {name: Second, hosts: all, gather_facts: false, tasks: [{name: Last, command: 'true'}]}\n",
    )
    .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    // But for output: it comes by a pipe of its own.
    let first = run.events.iter().map(|event| &event.kind).find(|kind| !matches!(kind, Kind::Output { .. }));
    let Some(Kind::Plan { steps, .. }) = first else { panic!("expected the plan first, saw {first:?}") };
    let planned: Vec<_> =
        steps.iter().map(|s| (s.key.as_str(), s.section.as_str(), s.name.as_str(), s.conditional)).collect();
    assert_eq!(
        planned,
        [
            ("deploy.yml:2#1", "Prepare", "Gathering Facts", false),
            ("roles/web/tasks/main.yml:1#1", "web", "Install", false),
            ("more.yml:1#1", "Prepare", "Imported", false),
            ("deploy.yml:8#1", "Prepare", "Try", false),
            ("deploy.yml:10#1", "Prepare", "Mend", true),
            ("deploy.yml:12#1", "Prepare", "Clean up", false),
            ("deploy.yml:13#1", "Prepare", "include_tasks", false),
            ("deploy.yml:16#1", "Prepare", "Restart", true),
            ("second.yml:1#1", "Second", "Last", false),
        ]
    );
    // What is included while it runs joins where it began, with its section.
    let mut fold = protocol::fold::Fold::default();
    run.events.iter().for_each(|event| fold.apply(event));
    let found = fold.steps.iter().position(|step| step.key == "found.yml:1#1").expect("found");
    assert_eq!(fold.steps[found - 1].key, "deploy.yml:13#1");
    assert_eq!((fold.steps[found].section.as_str(), fold.steps[found].name.as_str()), ("Prepare", "Found"));
}

/// For whoever writes the form: told with the plan, whichever way a role is named, and nothing of a secret.
#[test]
fn what_playbook_and_roles_declare_is_told_with_the_plan() {
    let run = Pod::new(
        "
- hosts: all
  gather_facts: false
  roles: [web]
  tasks:
    - import_role: {name: db, tasks_from: prepare.yml}
    - include_role: {name: cache}
      when: false
- import_playbook: second.yml
",
    )
    .with_source("second.yml", "- {hosts: all, gather_facts: false, roles: [web]}\n")
    .with_source("deploy.meta.yml", "argument_specs: {deploy: {options: {version: {description: [Which, one]}}}}\n")
    .with_source("roles/web/tasks/main.yml", "- {command: 'true'}\n")
    .with_source(
        "roles/web/meta/argument_specs.yml",
        "argument_specs: {main: {options: {web_port: {type: int, default: 8080, version_added: x}, web_pw: {no_log: yes, default: hush}}}}\n",
    )
    .with_source("roles/db/tasks/prepare.yml", "- {command: 'true'}\n")
    .with_source(
        "roles/db/meta/main.yml",
        "argument_specs: {main: {options: {db_size: {}}}, prepare: {options: {db_path: {choices: [a, b]}}}}\n",
    )
    .with_source("roles/cache/tasks/main.yml", "- {command: 'true'}\n")
    .with_source("roles/cache/meta/argument_specs.yaml", "argument_specs: {main: {options: {cache: {type: bool}}}}\n")
    .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    let mut plans = run.events.iter().filter_map(|event| match &event.kind {
        Kind::Plan { declared, .. } => Some(declared),
        _ => None,
    });
    let declared = plans.next_back().expect("a plan");
    assert_eq!(
        serde_json::to_value(declared).expect("JSON"),
        json!([
            {"by": "deploy.meta.yml", "options": [{"name": "version", "description": ["Which", "one"]}]},
            {"by": "role web", "options": [
                {"name": "web_port", "type": "int", "default": 8080}, {"name": "web_pw", "no_log": true}]},
            {"by": "role db", "options": [{"name": "db_path", "choices": ["a", "b"]}]},
            {"by": "role cache", "options": [{"name": "cache", "type": "bool"}]},
        ])
    );
}

#[test]
fn what_is_declared_in_a_way_that_nobody_understands_is_in_nobodys_way() {
    for odd in [
        "argument_specs: [1]\n",
        "argument_specs: {deploy: {options: [a]}}\n",
        "- 1\n",
        "argument_specs: {deploy: 3}\n",
    ] {
        let run = four("true").with_source("deploy.meta.yml", odd).run();
        assert_eq!(run.verdict.result, RunResult::Succeeded, "{odd}: {}", run.log);
    }
}

#[test]
fn what_waits_for_a_keyboard_is_refused_before_the_first_task() {
    let run = Pod::new(
        "
- name: Site
  hosts: all
  gather_facts: false
  vars_prompt:
    - {name: version, private: false}
    - {name: password}
    - {name: given, private: false}
  tasks:
    - {name: First, command: 'true'}
    - {name: Wait a second, pause: {seconds: 1}}
    - {name: Sure?, pause: {prompt: go on}}
    - {name: Sure again?, pause: , when: false}
    - {name: Sure thrice?, pause: , tags: [never]}
",
    )
    .with("/inputs", json!({"given": "here"}))
    .run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "KeyboardNeeded"), "{}", run.log);
    for words in [
        "deploy.yml:2: vars_prompt asks for version",
        "name: version",
        "variablesFrom",
        "deploy.yml:12: Sure?",
    ] {
        assert!(run.why().contains(words), "{words} in {}", run.why());
    }
    for words in ["given", "Wait a second", "again", "thrice"] {
        assert!(!run.why().contains(words), "{words} in {}", run.why());
    }
    assert!(!run.events.iter().any(|event| matches!(event.kind, Kind::StepStarted { .. })), "nothing began");

    let run = Pod::new("- {hosts: all, gather_facts: false, tasks: [{name: Before, command: 'true'}, {include_tasks: more.yml}, {name: After, command: 'true'}]}")
        .with_source("more.yml", "- {name: Sure?, pause: , when: ask}\n")
        .with("/variables", json!({"ask": true}))
        .run();
    assert_eq!(run.reason(), "KeyboardNeeded", "{}", run.log);
    assert!(run.steps.iter().all(|step| step.name != "After" || step.state == StepState::Pending));
}

#[test]
fn what_a_result_says_besides() {
    let run = Pod::new(
        "
- hosts: all
  gather_facts: false
  tasks:
    - {name: Loop, command: 'true', loop: [1, 2, 3], when: item != 2}
    - {name: Again, command: 'false', retries: 2, delay: 0, register: r, until: r.rc == 0, ignore_errors: true}
    - {name: File, copy: {content: \"one\\n\", dest: '{{ lookup(\"env\", \"TMPDIR\") }}/f'}, diff: true}
    - {name: Hidden, command: 'echo {{ arg }}', no_log: true}
    - {name: Undefined, debug: {msg: '{{ nosuch.thing }}'}}
",
    )
    .with("/variables", json!({"arg": "s3cr3t-arg"}))
    .run();
    let Kind::HostResult { items: Some(items), .. } = results(&run, "deploy.yml:5#1")[0] else {
        panic!("a loop: {}", run.log)
    };
    assert_eq!((items.total, items.changed, items.skipped, items.failed), (3, 2, 1, 0));
    let tries = run.events.iter().filter(|e| matches!(e.kind, Kind::HostRetried { of: 3, .. })).count();
    assert_eq!(tries, 2);
    let Kind::HostResult { attempts: 2, state: HostState::Ignored, message, .. } =
        results(&run, "deploy.yml:6#1")[0]
    else {
        panic!("tried twice: {}", run.log)
    };
    assert_eq!(message, "exit code 1");
    let diff = run.events.iter().find_map(|event| match &event.kind {
        Kind::Diff { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert!(diff.is_some_and(|text| text.contains("+one")), "{diff:?}");
    let Kind::HostResult { state: HostState::Failed, error: Some(error), .. } =
        results(&run, "deploy.yml:9#1")[0]
    else {
        panic!("an error: {}", run.log)
    };
    assert!(error.message.contains("'nosuch' is undefined"), "{error:?}");
    assert!(
        error.excerpt.starts_with("Origin: deploy.yml:9:") && error.excerpt.contains("nosuch.thing"),
        "{error:?}"
    );
    let statistics = run.events.iter().find_map(|event| match &event.kind {
        Kind::Statistics { hosts } => hosts.get("localhost"),
        _ => None,
    });
    assert_eq!(statistics.map(|counts| (counts.ok, counts.failures, counts.ignored)), Some((4, 1, 1)));
    // Arguments are in nothing that we send.
    assert!(!run.spool.contains("s3cr3t-arg"), "{}", run.spool);
}

#[test]
fn what_comes_out_of_the_vault_is_hidden_too() {
    let run = Pod::new(
        "
- hosts: all
  gather_facts: false
  vars_files: [vault.yml]
  roles: [quiet] # With a role, the variables are read before there is a callback plugin.
  tasks:
    - {name: 'Named {{ db_password }}', debug: {msg: '<{{ db_password }}> <{{ db_password | b64encode }}> on {{ db_host }}'}}
    - {name: Echo, command: 'echo {{ inline }}'}
    - {name: Shown, debug: {var: inline}}
    - {name: Fail, fail: {msg: 'no: {{ inline }} {{ deep.token }}'}}
",
    )
    .with_source("roles/quiet/tasks/main.yml", "[]\n")
    .with_source("vault.yml", &support::encrypted("db_password: pa55w0rd\ndb_host: db\ndeep: {token: t0k3n}\n"))
    .with_source(
        "group_vars/all.yml",
        &format!("inline: !vault |\n  {}\n", support::encrypted("1nl1ne-value").trim().replace('\n', "\n  ")),
    )
    .with_file("/vault-password", support::VAULT_PASSWORD)
    .with_environment("ANSIBLE_VAULT_PASSWORD_FILE", "/vault-password")
    .run();
    assert_eq!(run.reason(), "TaskFailed", "{}", run.log);
    assert_eq!(run.states().last().map(|(name, _)| *name), Some("Fail"), "{}", run.log);
    assert!(run.log.contains("on db"), "{}", run.log);
    let steps = serde_json::to_string(&run.steps).expect("steps");
    for place in [&run.log, &run.message, &run.spool, &steps] {
        for form in ["pa55w0rd", "cGE1NXcwcm", "1nl1ne-value", "t0k3n"] {
            assert!(!place.contains(form), "{form} in\n{place}");
        }
    }
}

#[test]
fn what_is_too_short_to_be_hidden_is_said_at_the_start() {
    let run = four("true")
        .with("/credentials", json!({"variableSecrets": 1}))
        .with_file("/run/fastdeploy/secrets/variables-0/pin", "123")
        .run();
    let Some(Kind::Output { first_line: 1, text }) = run.events.iter().map(|event| &event.kind).next() else {
        panic!("output: {}", run.log)
    };
    assert!(text.contains("variables-0/pin has fewer than 4 characters"), "{text}");
}

#[test]
fn a_playbook_that_is_not_there() {
    let run = four("true").with("/playbook", json!("site.yml")).run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "InvalidSpec"));
    assert!(run.why().contains("it has: deploy.yml"), "{}", run.why());
    assert!(matches!(run.events.last().expect("an end").kind, Kind::Finished { .. }));
}

#[test]
fn awful_output_is_carried() {
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - {name: Long, debug: {msg: \"{{ 'x' * 10000000 }}\"}}
    - {name: Many, debug: {msg: \"{{ range(100000) | list }}\"}}
    - {name: Odd, debug: {msg: \"a\\0b\"}}
    - {name: Bytes, shell: \"printf 'a\\\\377\\\\000b\\\\033[31mc'; exit 3\", ignore_errors: true}
";
    let run = Pod::new(playbook).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.message);
    let odd = results(&run, "deploy.yml:8#1");
    let [Kind::HostResult { state: HostState::Ignored, message, .. }] = odd[..] else { panic!("{odd:?}") };
    assert!(!message.contains('\0'), "{message}");
    assert!(!run.log.contains("failed to understand"));
    assert!(run.log.contains("[line cut by fastDeploy]"));
    assert!(run.log.contains("        99999"));
    assert!(run.message.len() <= MAX_BYTES);
    let mut next = 1;
    for event in &run.events {
        if let Kind::Output { first_line, text } = &event.kind {
            assert_eq!(*first_line, next, "lines are numbered without gaps");
            next += text.split('\n').count() as u64;
        }
    }
    assert!(next > 100_000);
}

/// `FASTDEPLOY_FIREHOSE=1000,1000000` for as many megabytes of output and events as are promised.
#[test]
fn a_firehose_does_not_fill_the_memory() {
    let firehose = std::env::var("FASTDEPLOY_FIREHOSE").unwrap_or_else(|_| "60,20000".to_owned());
    let (megabytes, events) = firehose.split_once(',').expect("two numbers");
    let program = r#"#!/usr/bin/env python3
import json, os, sys, threading
if sys.argv[1:] == ["--version"]: sys.exit(print("ansible-playbook [core 2.19.14]"))
MEGABYTES, EVENTS = MANY
fd = int(os.environ["FASTDEPLOY_EVENTS_FD"])
def send(**line): os.write(fd, json.dumps(line).encode() + b"\n")
def events():
    for n in range(EVENTS // 2):
        key = "deploy.yml:%d#1" % (n % 500)
        if n < 500: send(t="start", key=key, name="Step %d" % n)
        for host in ("w1", "w2"):
            send(t="result", key=key, host=host, state="Ok", changed=False, ms=3, message="all is as it should be")
    send(t="stats", hosts={"w1": {"ok": 1}}, outputs={})
thread = threading.Thread(target=events)
thread.start()
short = b"".join(b"line %d of what nobody reads\n" % n for n in range(30000))
for n in range(MEGABYTES): sys.stdout.buffer.write(short[:2**20] if n % 10 else b"\n" * 2**20)
thread.join()
"#;
    let program = program.replace("MANY", &format!("{megabytes}, {events}"));
    let began = Instant::now();
    let (code, peak) = four("true")
        .with_program(&program)
        .with("/timeoutSeconds", json!(3600))
        .answering(Answers::grant(Duration::from_hours(1)))
        .with("/credentials", json!({"variableSecrets": 1}))
        .with_file("/run/fastdeploy/secrets/variables-0/password", "one-that-is-looked-for")
        .faults(&vec![Some(Fault::Drop); 100_000])
        .start()
        .peak();
    println!("{firehose} MB of output and events: at most {peak} kB, {:?}", began.elapsed());
    assert_eq!(code, Some(0));
    // What is promised is of the program as it is shipped.
    let most = if cfg!(debug_assertions) { 25_000 } else { 15 * 1024 };
    assert!(peak < most, "{peak} kB");
}
