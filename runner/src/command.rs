//! What Ansible is told: arguments and environment. Pure; no secret is in either.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use protocol::bundle::Bundle;

use crate::{
    paths::{Paths, text},
    project::Project,
    ssh::Ssh,
};

/// Where programs are looked for, if the image does not say so.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How `ssh` connects, unless the author says otherwise.
const SSH_ARGS: &str = "-C -o ControlMaster=auto -o ControlPersist=60s";

/// Environment of the callback: number of the pipe.
pub const ENV_EVENTS_FD: &str = "FASTDEPLOY_EVENTS_FD";
/// Environment of the callback: number of the socket for what comes out of ansible-vault.
pub const ENV_SECRETS_FD: &str = "FASTDEPLOY_SECRETS_FD";
/// Environment of the callback: it ends the run before the next task once this file exists.
pub const ENV_STOP_FILE: &str = "FASTDEPLOY_STOP_FILE";

/// What was prepared for a run.
#[derive(Debug, Default)]
pub struct Given {
    /// Keys, known servers, an agent.
    pub ssh: Ssh,
    /// The project's own settings.
    pub project: Project,
    /// Directory with the `roles` and `collections` that were installed.
    pub requirements: Option<PathBuf>,
    /// Directory for the facts of this Service's servers that later runs find.
    pub facts: Option<PathBuf>,
}

/// Arguments of `ansible-playbook`.
pub fn arguments(bundle: &Bundle, inventory: &Path, variables: &[PathBuf], paths: &Paths) -> Vec<String> {
    let options = &bundle.options;
    let mut arguments = vec!["-i".to_owned(), text(inventory)];
    for file in variables {
        arguments.extend(["-e".to_owned(), format!("@{}", text(file))]);
    }
    for (n, password) in bundle.credentials.vault.iter().enumerate() {
        let file = text(&paths.vault_secret(n).join(&password.key));
        arguments.push(format!("--vault-id={}@{file}", password.id));
    }
    if let Some(key) = &bundle.credentials.become_key {
        arguments.push(format!("--become-password-file={}", text(&paths.become_secret().join(key))));
    }
    // `--tags=x`: a tag that begins with a dash is still a tag.
    if !options.tags.is_empty() {
        arguments.push(format!("--tags={}", options.tags.join(",")));
    }
    if !options.skip_tags.is_empty() {
        arguments.push(format!("--skip-tags={}", options.skip_tags.join(",")));
    }
    if let Some(forks) = options.forks {
        arguments.push(format!("--forks={forks}"));
    }
    if options.verbosity > 0 {
        arguments.push(format!("-{}", "v".repeat(options.verbosity.min(4).into())));
    }
    if options.check {
        arguments.push("--check".to_owned());
    }
    if options.diff || options.check {
        arguments.push("--diff".to_owned());
    }
    if let Some(limit) = &options.limit {
        arguments.push(format!("--limit={limit}"));
    }
    arguments.extend(["--".to_owned(), bundle.playbook.clone()]);
    arguments
}

/// Environment of `ansible-playbook`: what the pod has, then ours. The author's word, be it in the Service or in
/// the project's `ansible.cfg`, counts for what is a matter of taste, ours for what a run depends on.
pub fn environment(
    pod: &BTreeMap<String, String>,
    given: &Given,
    bundle: &Bundle,
    paths: &Paths,
    (events_fd, secrets_fd): (i32, i32),
) -> BTreeMap<String, String> {
    let project = &given.project;
    let mut environment = common(pod, given, bundle, paths);
    let theirs = |name: &str, key: &str| {
        pod.get(name).map(String::as_str).or_else(|| project.get("defaults", key)).unwrap_or_default()
    };
    let fixed = [
        (
            "ANSIBLE_CALLBACK_PLUGINS",
            listed(
                theirs("ANSIBLE_CALLBACK_PLUGINS", "callback_plugins"),
                ':',
                &text(&paths.work("callback")),
            ),
        ),
        (
            "ANSIBLE_CALLBACKS_ENABLED",
            listed(theirs("ANSIBLE_CALLBACKS_ENABLED", "callbacks_enabled"), ',', "fastdeploy"),
        ),
        (ENV_EVENTS_FD, events_fd.to_string()),
        (ENV_SECRETS_FD, secrets_fd.to_string()),
        (ENV_STOP_FILE, text(&paths.work("stop"))),
    ];
    environment.extend(fixed.into_iter().map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// What every Ansible of ours gets, also one that a script starts.
pub fn common(
    pod: &BTreeMap<String, String>,
    given: &Given,
    bundle: &Bundle,
    paths: &Paths,
) -> BTreeMap<String, String> {
    let project = &given.project;
    // With the section and the key by which a project says the same.
    let taste = [
        ("PATH", PATH.to_owned(), None),
        ("TMPDIR", text(&paths.work("tmp")), None),
        ("ANSIBLE_FORKS", "10".to_owned(), Some(("defaults", "forks"))),
        ("ANSIBLE_GATHERING", "smart".to_owned(), Some(("defaults", "gathering"))),
        ("ANSIBLE_CACHE_PLUGIN", "jsonfile".to_owned(), Some(("defaults", "fact_caching"))),
        ("ANSIBLE_CACHE_PLUGIN_CONNECTION", text(&paths.work("facts")), Some(("defaults", "fact_caching"))),
        ("ANSIBLE_PYTHON_INTERPRETER", "auto_silent".to_owned(), Some(("defaults", "interpreter_python"))),
        ("ANSIBLE_INVENTORY_UNPARSED_FAILED", "True".to_owned(), Some(("inventory", "unparsed_is_failed"))),
    ];
    let mut environment: BTreeMap<String, String> = taste
        .into_iter()
        .filter(|(_, _, said)| said.is_none_or(|(section, key)| project.get(section, key).is_none()))
        .map(|(name, value, _)| (name.to_owned(), value))
        .collect();
    environment.extend(pod.clone());

    let of_ssh = |name: &str, key: &str, default: &str| {
        let theirs = pod.get(name).map(String::as_str).or_else(|| project.get("ssh_connection", key));
        format!("{} {}", given.ssh.options, theirs.unwrap_or(default)).trim().to_owned()
    };
    let mut fixed = vec![
        ("HOME", text(&paths.work("home"))),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("ANSIBLE_HOME", text(&paths.work("home/.ansible"))),
        ("ANSIBLE_LOCAL_TEMP", text(&paths.memory("tmp"))),
        ("ANSIBLE_PIPELINING", bundle.options.pipelining.to_string()),
        ("ANSIBLE_SSH_CONTROL_PATH_DIR", text(&paths.memory("cp"))),
        ("ANSIBLE_SSH_CONTROL_PATH", String::new()),
        ("ANSIBLE_SSH_ARGS", of_ssh("ANSIBLE_SSH_ARGS", "ssh_args", SSH_ARGS)),
        ("ANSIBLE_SSH_COMMON_ARGS", of_ssh("ANSIBLE_SSH_COMMON_ARGS", "ssh_common_args", "")),
        ("ANSIBLE_HOST_KEY_CHECKING", "True".to_owned()),
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("ANSIBLE_FORCE_COLOR", "0".to_owned()),
        ("ANSIBLE_NOCOWS", "1".to_owned()),
        ("ANSIBLE_RETRY_FILES_ENABLED", "0".to_owned()),
        // Nobody sits at a keyboard.
        ("ANSIBLE_ASK_PASS", "False".to_owned()),
        ("ANSIBLE_BECOME_ASK_PASS", "False".to_owned()),
        ("ANSIBLE_ASK_VAULT_PASS", "False".to_owned()),
        ("ANSIBLE_ENABLE_TASK_DEBUGGER", "False".to_owned()),
    ];
    // A file that people keep beside the project and out of the repository: without it Ansible would not start.
    if let Some(first) = bundle.credentials.vault.first()
        && project.get("defaults", "vault_password_file").is_some()
    {
        fixed.push(("ANSIBLE_VAULT_PASSWORD_FILE", text(&paths.vault_secret(0).join(&first.key))));
    }
    if let Some(at) = &given.requirements {
        let before = |name: &str, key: &str, default: &str| {
            let theirs = pod.get(name).map(String::as_str).or_else(|| project.get("defaults", key));
            theirs
                .unwrap_or(default)
                .split([':', '\n'])
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(":")
        };
        let roles =
            before("ANSIBLE_ROLES_PATH", "roles_path", "roles:/usr/share/ansible/roles:/etc/ansible/roles");
        let collections =
            before("ANSIBLE_COLLECTIONS_PATH", "collections_path", "/usr/share/ansible/collections");
        fixed.push(("ANSIBLE_ROLES_PATH", format!("{}:{roles}", text(&at.join("roles")))));
        fixed.push(("ANSIBLE_COLLECTIONS_PATH", format!("{}:{collections}", text(&at.join("collections")))));
    }
    if let (Some(facts), Some(seconds)) = (&given.facts, bundle.options.fact_cache_seconds) {
        fixed.push(("ANSIBLE_CACHE_PLUGIN", "jsonfile".to_owned()));
        fixed.push(("ANSIBLE_CACHE_PLUGIN_CONNECTION", text(facts)));
        fixed.push(("ANSIBLE_CACHE_PLUGIN_TIMEOUT", seconds.to_string()));
    }
    let ssh = given.ssh.environment.iter().cloned();
    environment.extend(fixed.into_iter().chain(ssh).map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// What the author lists, and ours.
fn listed(theirs: &str, separator: char, ours: &str) -> String {
    if theirs.is_empty() { ours.to_owned() } else { format!("{theirs}{separator}{ours}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        serde_json::from_str(
            r#"{"digest":"d","source":{"files":{}},"playbook":"-odd.yml","inventory":"local","timeoutSeconds":1,
                "options":{"tags":["a","-b"],"skipTags":["c"],"forks":7,"verbosity":9,"diff":true},
                "credentials":{"vault":[{"id":"prod","key":"password"}],"becomeKey":"sudo"}}"#,
        )
        .expect("a bundle")
    }

    #[test]
    fn arguments_cannot_be_taken_for_options() {
        assert_eq!(
            arguments(
                &bundle(),
                Path::new("/m/inventory"),
                &[PathBuf::from("/m/inputs.json")],
                &Paths::below("/")
            ),
            [
                "-i",
                "/m/inventory",
                "-e",
                "@/m/inputs.json",
                "--vault-id=prod@/run/fastdeploy/secrets/vault-0/password",
                "--become-password-file=/run/fastdeploy/secrets/become/sudo",
                "--tags=a,-b",
                "--skip-tags=c",
                "--forks=7",
                "-vvvv",
                "--diff",
                "--",
                "-odd.yml"
            ]
        );
    }

    #[test]
    fn the_author_decides_on_taste_and_not_on_safety() {
        let pod = [
            ("ANSIBLE_FORKS", "50"),
            ("ANSIBLE_HOST_KEY_CHECKING", "False"),
            ("ANSIBLE_CALLBACKS_ENABLED", "profile_tasks"),
            ("TZ", "UTC"),
        ];
        let pod = pod.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let environment = environment(&pod, &Given::default(), &bundle(), &Paths::below("/"), (7, 8));
        for (name, value) in [
            ("ANSIBLE_FORKS", "50"),
            ("ANSIBLE_HOST_KEY_CHECKING", "True"),
            ("ANSIBLE_CALLBACKS_ENABLED", "profile_tasks,fastdeploy"),
            ("TZ", "UTC"),
            ("FASTDEPLOY_EVENTS_FD", "7"),
            ("ANSIBLE_PIPELINING", "true"),
            ("ANSIBLE_SSH_CONTROL_PATH_DIR", "/run/fastdeploy/memory/cp"),
        ] {
            assert_eq!(environment[name], value, "{name}");
        }
    }

    #[test]
    fn the_projects_settings_count_for_taste_and_never_come_before_ours_for_ssh() {
        let project = "[defaults]\nforks=3\ncallbacks_enabled=timer\nroles_path=a:b\nvault_password_file=.vault\n\
                       [ssh_connection]\nssh_args=-o StrictHostKeyChecking=no\n";
        let given = Given {
            ssh: Ssh { options: "-o StrictHostKeyChecking=yes".to_owned(), ..Ssh::default() },
            project: Project::parse(project),
            requirements: Some(PathBuf::from("/r")),
            facts: Some(PathBuf::from("/f")),
        };
        let environment = environment(&BTreeMap::new(), &given, &bundle(), &Paths::below("/"), (7, 8));
        assert!(!environment.contains_key("ANSIBLE_FORKS"));
        for (name, value) in [
            ("ANSIBLE_CALLBACKS_ENABLED", "timer,fastdeploy"),
            ("ANSIBLE_SSH_ARGS", "-o StrictHostKeyChecking=yes -o StrictHostKeyChecking=no"),
            ("ANSIBLE_ROLES_PATH", "/r/roles:a:b"),
            ("ANSIBLE_VAULT_PASSWORD_FILE", "/run/fastdeploy/secrets/vault-0/password"),
            ("ANSIBLE_CACHE_PLUGIN_CONNECTION", "/work/facts"),
        ] {
            assert_eq!(environment[name], value, "{name}");
        }
    }
}
