//! The SSH key and `known_hosts`, as OpenSSH wants them: strict unless the author chose otherwise.

use std::fs;

use protocol::bundle::Credentials;

use crate::{
    failure::Stop,
    files,
    paths::{Paths, text},
};

/// Prepares the files and returns the environment that makes Ansible use them.
pub fn prepare(credentials: &Credentials, paths: &Paths) -> Result<Vec<(&'static str, String)>, Stop> {
    let mut environment = Vec::new();
    if credentials.ssh {
        let mounted = paths.mounted_ssh_key();
        let key = fs::read_to_string(&mounted)
            .map_err(|error| Stop::invalid(format!("failed to read the SSH key of the Secret: {error}")))?;
        let path = paths.memory("ssh-key");
        files::write_private(&path, with_one_newline(&key).as_bytes())?;
        environment.push(("ANSIBLE_PRIVATE_KEY_FILE", text(&path)));
    }
    if let Some(user) = &credentials.ssh_user {
        environment.push(("ANSIBLE_REMOTE_USER", user.clone()));
    }

    let mounted = paths.mounted_known_hosts();
    let known_hosts = if credentials.known_hosts && !credentials.trust_on_first_use {
        if !mounted.is_file() {
            return Err(Stop::invalid("the known_hosts that the Service names has no key \"known_hosts\""));
        }
        mounted
    } else {
        // OpenSSH adds what it meets for the first time; without any it is strict and knows nobody.
        let known = if credentials.known_hosts {
            fs::read(&mounted).map_err(|error| Stop::io("read", &mounted, &error))?
        } else {
            Vec::new()
        };
        let path = paths.memory("known_hosts");
        files::write_private(&path, &known)?;
        path
    };
    let strict = if credentials.trust_on_first_use { "accept-new" } else { "yes" };
    environment.push((
        "ANSIBLE_SSH_COMMON_ARGS",
        format!(
            "-o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking={strict}",
            text(&known_hosts)
        ),
    ));
    Ok(environment)
}

/// OpenSSH refuses a key without a final newline, and people paste them so.
fn with_one_newline(key: &str) -> String {
    format!("{}\n", key.replace("\r\n", "\n").trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(dir.path());
        fs::create_dir_all(paths.memory("")).expect("memory");
        fs::create_dir_all(paths.secrets().join("ssh")).expect("secrets");
        fs::write(paths.mounted_ssh_key(), "KEY\r\nBODY").expect("key");
        (dir, paths)
    }

    fn args(credentials: &Credentials, paths: &Paths) -> String {
        let environment = prepare(credentials, paths).expect("prepared");
        environment.into_iter().find(|(name, _)| *name == "ANSIBLE_SSH_COMMON_ARGS").expect("always").1
    }

    #[test]
    fn the_key_ends_with_one_newline() {
        let (_dir, paths) = root();
        let credentials = Credentials { ssh: true, ..Credentials::default() };
        prepare(&credentials, &paths).expect("prepared");
        assert_eq!(fs::read_to_string(paths.memory("ssh-key")).expect("key"), "KEY\nBODY\n");
        assert_eq!(with_one_newline("a\n\n"), "a\n");
    }

    #[test]
    fn strict_is_the_default_even_without_known_hosts() {
        let (_dir, paths) = root();
        let args = args(&Credentials::default(), &paths);
        assert!(args.ends_with("StrictHostKeyChecking=yes"), "{args}");
        assert_eq!(fs::read(paths.memory("known_hosts")).expect("empty"), b"");
    }

    #[test]
    fn trust_on_first_use_writes_into_a_copy() {
        let (dir, paths) = root();
        fs::create_dir_all(dir.path().join("run/fastdeploy/known-hosts")).expect("mount");
        fs::write(paths.mounted_known_hosts(), "web1 ssh-ed25519 A\n").expect("known");
        let credentials =
            Credentials { known_hosts: true, trust_on_first_use: true, ..Credentials::default() };
        let args = args(&credentials, &paths);
        assert!(args.contains("memory/known_hosts") && args.ends_with("accept-new"), "{args}");
        assert_eq!(fs::read(paths.memory("known_hosts")).expect("copy"), b"web1 ssh-ed25519 A\n");
    }
}
