//! Playbooks and scripts as people have them: each test is one that runs by hand, too.

#![allow(missing_docs)]

mod support;

use std::{process::Command, time::Duration};

use protocol::{
    pod,
    verdict::{RunResult, StepState},
};
use serde_json::json;
use support::{Answers, Pod, encrypted_for};

fn sh(folder: &std::path::Path, script: &str) {
    let done = Command::new("sh").args(["-euc", script]).current_dir(folder).output().expect("sh");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn script(text: &str) -> Pod {
    Pod::new("").with("/source/files", json!({"deploy.sh": text})).with("/script", json!("deploy.sh"))
}

const SITE: &str = "
- name: Before
  hosts: web
  gather_facts: false
  vars_files: [secret.yml]
  tasks:
    - {name: From the vault, assert: {that: [\"first == 'one of prod'\", \"second == 'one of test'\"]}}
    - {name: Beside the inventory, assert: {that: [\"of_group == 'g' and of_host == inventory_hostname\"]}}
    - name: Imported
      import_tasks: tasks/imported.yml
    - name: Included
      include_tasks: tasks/included.yml
      loop: [1, 2]
    - name: Once
      command: 'true'
      run_once: true
    - name: Elsewhere
      command: 'true'
      delegate_to: localhost
    - name: Guarded
      block:
        - {name: Breaks, command: 'false'}
      rescue:
        - {name: Mends, debug: {msg: mended}}
      always:
        - {name: Cleans, debug: {msg: clean}}
    - {name: Notifies, command: 'true', notify: Restarts}
  handlers:
    - {name: Restarts, debug: {msg: restarted}}
- name: After
  hosts: web
  gather_facts: false
  serial: 1
  roles: [site]
";

#[test]
fn a_project_as_it_is_in_the_wild() {
    let inventory = "[web]\na ansible_connection=local\nb ansible_connection=local\n\
                     [web:vars]\nansible_python_interpreter=\"{{ ansible_playbook_python }}\"\n";
    let files = json!({
        "deploy.yml": SITE,
        "hosts/hosts.ini": inventory,
        "hosts/group_vars/web.yml": "of_group: g\n",
        "hosts/host_vars/a.yml": "of_host: a\n",
        "hosts/host_vars/b.yml": "of_host: b\n",
        "group_vars/all/prod.yml": encrypted_for("first: one of prod\n", "prod", "password of prod"),
        "secret.yml": encrypted_for("second: one of test\n", "test", "password of test"),
        "tasks/imported.yml": "- {name: Of the import, debug: {msg: 1}}\n",
        "tasks/included.yml": "- {name: 'Of the include {{ item }}', debug: {msg: 1}}\n",
        "roles/site/tasks/main.yml": "- {name: Of the role, debug: {msg: 1}}\n",
        "ansible.cfg": "[defaults]\nforks = 3\nhost_key_checking = False\nvault_password_file = .not-in-the-repository\n",
    });
    let pod = Pod::new("")
        .with("/source/files", files)
        .with("/inventory", json!({"path": "hosts"}))
        .with(
            "/credentials",
            json!({"vault": [{"id": "prod", "key": "password"}, {"id": "test", "key": "p"}]}),
        )
        .with_file(&format!("{}0/password", pod::VAULT_DIR_PREFIX), "password of prod\n")
        .with_file(&format!("{}1/p", pod::VAULT_DIR_PREFIX), "password of test\n");
    let run = pod.run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.log.contains("host_key_checking in [defaults] of ansible.cfg does not count"), "{}", run.log);
    for name in ["From the vault", "Of the import", "Of the role", "Cleans", "Restarts"] {
        assert!(run.states().contains(&(name, StepState::Succeeded)), "{name}: {:?}", run.states());
    }
    assert!(run.states().contains(&("Breaks", StepState::Rescued)), "{:?}", run.states());
    assert_eq!(run.verdict.hosts.ok, 2);
}

#[test]
fn requirements_come_from_repositories_and_are_kept() {
    let there = tempfile::tempdir().expect("a folder");
    sh(
        there.path(),
        "git init -q -b main role; mkdir role/tasks role/meta
         echo '- {name: Of the fetched role, debug: {msg: 1}}' >role/tasks/main.yml
         echo 'galaxy_info: {author: a, description: d, license: MIT, min_ansible_version: \"2.19\"}' >role/meta/main.yml
         git init -q -b main collection; mkdir -p collection/roles/hello/tasks
         printf 'namespace: acme\\nname: tools\\nversion: 1.0.0\\nreadme: README.md\\nauthors: [a]\\n' >collection/galaxy.yml
         echo x >collection/README.md
         echo '- {name: Of the collection, debug: {msg: 1}}' >collection/roles/hello/tasks/main.yml
         for r in role collection; do git -C $r add -A; git -C $r -c user.name=a -c user.email=a@b commit -qm x; done",
    );
    let at = there.path().display();
    let requirements = format!(
        "roles:\n- {{src: 'git+file://{at}/role', name: fetched, version: main}}\n\
         collections:\n- {{name: 'git+file://{at}/collection', type: git, version: main}}\n"
    );
    let files = json!({
        "deploy.yml": "- {hosts: all, gather_facts: false, roles: [fetched, acme.tools.hello]}\n",
        "requirements.yml": requirements,
    });
    let pod = |cache: &std::path::Path| {
        Pod::new("")
            .with("/source/files", files.clone())
            .with("/requirements", json!("requirements.yml"))
            .linked(pod::CACHE_DIR, cache)
    };
    let cache = tempfile::tempdir().expect("a cache");
    let run = pod(cache.path()).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    let steps = [("Of the fetched role", StepState::Succeeded), ("Of the collection", StepState::Succeeded)];
    assert_eq!(run.states(), steps);
    drop(there);
    let run = pod(cache.path()).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert!(run.log.contains("are in the cache"), "{}", run.log);
    let empty = tempfile::tempdir().expect("another cache");
    let run = pod(empty.path()).run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "RequirementsFailed"), "{}", run.log);
    assert!(run.why().contains("ansible-galaxy could not install"), "{}", run.why());
}

#[test]
fn a_script_reports_steps_and_its_exit_code_counts() {
    let text = r#"#!/bin/sh
test "$1" = --config || exit 9
echo '{"name": "one", "state": "success", "message": "fine"}'
echo 42; echo '[1]'; printf '\377\376\n'; echo '{"name": 3}'
head -c 10485760 /dev/zero | tr '\0' x; echo
echo '{"name": "two", "state": "success"}'
"#;
    let run = script(text).with("/steps", json!([{"name": "one"}, {"name": "two"}, {"name": "never"}])).run();
    assert_eq!((run.code, run.verdict.result), (Some(0), RunResult::Succeeded), "{}", run.why());
    assert_eq!(run.states()[..2], [("one", StepState::Succeeded), ("two", StepState::Succeeded)]);
    assert!(run.all_arrived());

    let run =
        script("#!/bin/sh\necho '{\"name\": \"one\", \"state\": \"success\"}'\necho no disk >&2; exit 3\n")
            .run();
    assert_eq!((run.verdict.result, run.reason()), (RunResult::Failed, "ScriptFailed"), "{}", run.log);
    assert!(run.why().contains("exit code 3") && run.why().contains("no disk"), "{}", run.why());

    let line = r#"{\"name\": \"one\", \"state\": \"failure\", \"error_message\": \"why\"}"#;
    let run = script(&format!("#!/bin/sh\necho \"{line}\"\n")).run();
    assert_eq!(
        (run.verdict.result, run.reason(), run.why()),
        (RunResult::Failed, "TaskFailed", "why"),
        "{}",
        run.log
    );

    let run = script("#!/usr/local/bin/no-fish\n").run();
    assert!(run.why().contains("no-fish"), "{}", run.why());
}

#[test]
fn a_script_reports_to_the_addresses_of_its_configuration() {
    let text = r#"#!/usr/bin/env python3
import json, sys, urllib.error, urllib.request
config = json.load(open(sys.argv[2]))
def ask(method, url, body=None, token=config["access_token"]):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"authorization": "Bearer " + token}, method=method)
    return json.load(urllib.request.urlopen(request))
step = {"name": "posted", "started": "2026-01-01T00:00:00+00:00", "finished": None, "message": ""}
assert ask("POST", config["steps_url"], {**step, "state": "success"}) == {"detail": "step processed"}
try:
    ask("POST", config["steps_url"], {**step, "state": "success"}, token="wrong")
    sys.exit("a wrong token was taken")
except urllib.error.HTTPError as error:
    assert error.code == 401
print(config["context"]["env"]["version"], config["inputs"]["name"], config["deployment_id"])
assert "finished" in ask("PUT", config["deployment_finish_url"])["detail"]
"#;
    let run = script(text)
        .with("/context", json!({"env": {"version": "v7"}}))
        .with("/inputs", json!({"name": "{{ data }}"}))
        .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}", run.log);
    assert_eq!(run.states(), [("posted", StepState::Succeeded)]);
    assert!(run.log.contains("v7 {{ data }} 6b1e"), "{}", run.log);
}

/// In a pod the user's home is where HOME says; where tests run, it is not.
const HOSTS_PROGRAM: &str = r#"#!/bin/sh
cat <<END
{"web": {"hosts": ["a", "b"], "vars": {"ansible_connection": "local",
  "ansible_async_dir": "{{ lookup('env', 'HOME') }}/.ansible_async",
  "ansible_python_interpreter": "{{ ansible_playbook_python }}"}}, "_meta": {"hostvars": {"b": {"tier": "back"}}}}
END
"#;

const FORMS: &str = "
- name: Forms
  hosts: web
  gather_facts: false
  serial: 1
  tasks:
    - {name: Of the plugin, assert: {that: \"(inventory_hostname == 'b') == ('tier_back' in group_names)\"}}
    - {name: In the background, command: sleep 1, async: 30, poll: 1}
    - {name: Later, command: sleep 1, async: 30, poll: 0, register: job}
    - name: Waited for
      async_status: {jid: '{{ job.ansible_job_id }}'}
      register: it
      until: it.finished
      delay: 1
      retries: 20
    - {name: Each, command: 'echo {{ item }}', loop: [1, 2, 3], changed_when: item == 2}
    - {name: Left out, command: 'false', tags: [never, on-demand]}
    - {name: Elsewhere, delegate_to: localhost, run_once: true, set_fact: {told: true}, delegate_facts: true}
    - name: Includes what is found
      include_role: {name: found}
      vars: {which: '{{ inventory_hostname }}'}
    - {name: Changes a file, copy: {content: \"new\\n\", dest: '{{ playbook_dir }}/file'}, tags: [file]}
";

/// An inventory that is a folder: a program, and a plugin that makes groups of what that one says.
#[test]
fn an_inventory_program_and_every_form_of_a_task() {
    let pod = |check: bool| {
        Pod::new(FORMS)
            .with_source("hosts/1-program.sh", HOSTS_PROGRAM)
            .with_source(
                "hosts/2-groups.yml",
                "plugin: ansible.builtin.constructed\nstrict: false\nkeyed_groups: [{prefix: tier, key: tier}]\n",
            )
            .with_source("roles/found/tasks/main.yml", "- {name: 'Found for {{ which }}', debug: {msg: 1}}\n")
            .with_source("file", "old\n")
            .with("/inventory", json!({"path": "hosts"}))
            .with("/options/check", json!(check))
            // Many processes, on a machine that may be busy.
            .with("/timeoutSeconds", json!(300))
            .answering(Answers::grant(Duration::from_mins(5)))
    };
    let run = pod(false).run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}\n{}", run.why(), run.log);
    for name in ["Of the plugin", "In the background", "Waited for", "Each", "Elsewhere", "Changes a file"] {
        assert!(run.states().contains(&(name, StepState::Succeeded)), "{name}: {:?}", run.states());
    }
    assert!(run.states().iter().all(|(name, _)| *name != "Left out"), "{:?}", run.states());
    assert_eq!((run.verdict.hosts.total, run.verdict.hosts.ok), (2, 2));
    // Both batches of one step.
    let each = run.steps.iter().find(|step| step.name == "Each").expect("each");
    assert_eq!((each.ok, each.changed), (2, 2));

    let run = pod(true)
        .with("/options/tags", json!(["on-demand", "file"]))
        .with("/options/limit", json!("b"))
        .run();
    assert!(run.states().iter().any(|(name, _)| *name == "Left out"), "{:?}", run.states());
    assert!(run.log.contains("-old") && run.log.contains("+new"), "a difference\n{}", run.log);
    assert_eq!(run.verdict.hosts.total, 1);
}

#[test]
fn facts_are_kept_for_later_runs() {
    let cache = tempfile::tempdir().expect("a cache");
    let run = || {
        Pod::new("- {hosts: all, tasks: [{debug: {msg: 'on {{ ansible_facts.system }}'}}]}\n")
            .with("/options/factCacheSeconds", json!(600))
            .linked(pod::CACHE_DIR, cache.path())
            .run()
    };
    let first = run();
    assert_eq!(first.verdict.result, RunResult::Succeeded, "{}", first.log);
    assert_eq!(first.states()[0], ("Gathering Facts", StepState::Succeeded));
    let second = run();
    assert!(second.log.contains("on Linux"), "{}", second.log);
    assert!(!second.log.contains("TASK [Gathering Facts]"), "{}", second.log);
    assert_eq!(second.verdict.result, RunResult::Succeeded, "{}", second.log);
}

const REAL: &str = "
- name: Real collections
  hosts: all
  gather_facts: false
  collections: [community.general]
  vars: {file: '{{ playbook_dir }}/app.ini', settings: [[a, '1'], [b, '2']]}
  tasks:
    - name: By its whole name
      community.general.ini_file: {path: '{{ file }}', section: web, option: port, value: '80', mode: '0600'}
    - name: By the name it had before
      ini_file: {path: '{{ file }}', section: web, option: '{{ item.key }}', value: '{{ item.value }}', mode: '0600'}
      loop: '{{ settings | community.general.dict | dict2items }}'
    - name: As a default says
      ansible.builtin.assert:
        that:
          - \"'community.general.ini_file' is community.general.a_module\"
          - \"lookup('community.general.collection_version', 'community.general') is version('11.0.0', '>=')\"
          - \"lookup('ansible.builtin.ini', 'b', section='web', file=file) == '2'\"
    - name: Who may sign in
      ansible.posix.authorized_key:
        user: \"{{ lookup('ansible.builtin.pipe', 'id -un') }}\"
        path: '{{ playbook_dir }}/keys'
        manage_dir: false
        key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
    - name: Needs what is not here
      community.general.xml: {path: '{{ file }}', xpath: /a, count: true}
      ignore_errors: true
";

#[test]
fn collections_that_people_use() {
    let run = Pod::new(REAL)
        .with_source(
            "ansible.cfg",
            "[defaults]\ncallbacks_enabled = ansible.posix.profile_tasks, ansible.posix.timer\n",
        )
        .linked("/collections", &support::ansible::collections())
        .with_environment("ANSIBLE_COLLECTIONS_PATH", "/collections")
        .with("/options/diff", json!(true))
        .run();
    assert_eq!(run.verdict.result, RunResult::Succeeded, "{}\n{}", run.why(), run.log);
    for name in ["By its whole name", "By the name it had before", "As a default says", "Who may sign in"] {
        assert!(
            run.states().contains(&(name, StepState::Succeeded)),
            "{name}: {:?}\n{}",
            run.states(),
            run.log
        );
    }
    // Their own callbacks go on beside ours.
    assert!(run.log.contains("Playbook run took"), "{}", run.log);
    assert!(run.spool.contains("+port = 80"), "{}", run.spool);
    assert!(run.all_arrived());
}
