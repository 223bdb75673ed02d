//! What Ansible is told: arguments and environment. Pure; no secret is in either.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use protocol::bundle::Bundle;

use crate::paths::{Paths, text};

/// Environment of the callback: number of the pipe.
pub const ENV_EVENTS_FD: &str = "FASTDEPLOY_EVENTS_FD";
/// Environment of the callback: it ends the run before the next task once this file exists.
pub const ENV_STOP_FILE: &str = "FASTDEPLOY_STOP_FILE";

/// Arguments of `ansible-playbook`.
pub fn arguments(bundle: &Bundle, inventory: &Path, variables: &[PathBuf]) -> Vec<String> {
    let options = &bundle.options;
    let mut arguments = vec!["-i".to_owned(), text(inventory)];
    for file in variables {
        arguments.extend(["-e".to_owned(), format!("@{}", text(file))]);
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
    if options.diff {
        arguments.push("--diff".to_owned());
    }
    arguments.extend(["--".to_owned(), bundle.playbook.clone()]);
    arguments
}

/// Environment of `ansible-playbook`: what the pod has, then ours. The author's word
/// counts for what is a matter of taste, ours for what a run depends on.
pub fn environment(
    pod: &BTreeMap<String, String>,
    ssh: Vec<(&'static str, String)>,
    bundle: &Bundle,
    paths: &Paths,
    events_fd: i32,
) -> BTreeMap<String, String> {
    let taste = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("TMPDIR", text(&paths.work("tmp"))),
        ("ANSIBLE_FORKS", "10".to_owned()),
        ("ANSIBLE_GATHERING", "smart".to_owned()),
        ("ANSIBLE_CACHE_PLUGIN", "jsonfile".to_owned()),
        ("ANSIBLE_CACHE_PLUGIN_CONNECTION", text(&paths.work("facts"))),
        ("ANSIBLE_PYTHON_INTERPRETER", "auto_silent".to_owned()),
        ("ANSIBLE_SSH_ARGS", "-C -o ControlMaster=auto -o ControlPersist=60s".to_owned()),
        ("ANSIBLE_INVENTORY_UNPARSED_FAILED", "True".to_owned()),
    ];
    let fixed = [
        ("HOME", text(&paths.work("home"))),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("ANSIBLE_HOME", text(&paths.work("home/.ansible"))),
        ("ANSIBLE_LOCAL_TEMP", text(&paths.memory("tmp"))),
        ("ANSIBLE_PIPELINING", bundle.options.pipelining.to_string()),
        ("ANSIBLE_SSH_CONTROL_PATH_DIR", text(&paths.memory("cp"))),
        ("ANSIBLE_HOST_KEY_CHECKING", "True".to_owned()),
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("ANSIBLE_FORCE_COLOR", "0".to_owned()),
        ("ANSIBLE_NOCOWS", "1".to_owned()),
        ("ANSIBLE_RETRY_FILES_ENABLED", "0".to_owned()),
        (
            "ANSIBLE_CALLBACK_PLUGINS",
            listed(pod, "ANSIBLE_CALLBACK_PLUGINS", ':', &text(&paths.work("callback"))),
        ),
        ("ANSIBLE_CALLBACKS_ENABLED", listed(pod, "ANSIBLE_CALLBACKS_ENABLED", ',', "fastdeploy")),
        (ENV_EVENTS_FD, events_fd.to_string()),
        (ENV_STOP_FILE, text(&paths.work("stop"))),
    ];
    let mut environment: BTreeMap<String, String> =
        taste.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    environment.extend(pod.clone());
    environment.extend(fixed.into_iter().chain(ssh).map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// What the author lists, and ours.
fn listed(pod: &BTreeMap<String, String>, name: &str, separator: char, ours: &str) -> String {
    match pod.get(name).filter(|value| !value.is_empty()) {
        Some(theirs) => format!("{theirs}{separator}{ours}"),
        None => ours.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        serde_json::from_str(
            r#"{"digest":"d","source":{"files":{}},"playbook":"-odd.yml","inventory":"local","timeoutSeconds":1,
                "options":{"tags":["a","-b"],"skipTags":["c"],"forks":7,"verbosity":9,"diff":true}}"#,
        )
        .expect("a bundle")
    }

    #[test]
    fn arguments_cannot_be_taken_for_options() {
        assert_eq!(
            arguments(&bundle(), Path::new("/m/inventory"), &[PathBuf::from("/m/inputs.json")]),
            [
                "-i",
                "/m/inventory",
                "-e",
                "@/m/inputs.json",
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
        let environment = environment(&pod, Vec::new(), &bundle(), &Paths::below("/"), 7);
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
}
