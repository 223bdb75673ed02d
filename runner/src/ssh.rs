//! SSH, as OpenSSH wants it: keys, an agent where a key has a passphrase, `known_hosts`, and a client
//! configuration in which ours comes first. Strict unless the author chose otherwise.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use protocol::{bundle::Credentials, pod};

use crate::{
    failure::{self, Stop},
    files, known_hosts,
    paths::{Paths, text},
};

/// How long an agent may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(5);

/// What Ansible and scripts are given.
#[derive(Debug, Default)]
pub struct Ssh {
    /// Options of `ssh` that come before all others: OpenSSH takes the first that it sees.
    pub options: String,
    /// For Ansible.
    pub environment: Vec<(&'static str, String)>,
    /// Socket of an agent that has the key.
    pub agent: Option<String>,
    /// The agent, where it is ours. It ends with the run, like all that we start.
    pub process: Option<Child>,
}

/// Prepares the files, and an agent if one is needed. `path`: where programs are looked for.
/// `script`: what is run knows nothing of Ansible, so an agent has to hold the key.
pub fn prepare(
    credentials: &Credentials,
    pod: &BTreeMap<String, String>,
    script: bool,
    paths: &Paths,
) -> Result<Ssh, Stop> {
    let mut ssh = Ssh { agent: credentials.agent_socket.clone(), ..Ssh::default() };
    if let Some(socket) = &credentials.agent_socket
        && !Path::new(socket).exists()
    {
        return Err(Stop::invalid(format!(
            "credentials.ssh.agentSocket: there is no {socket} in the pod; bring it with runner.volumes"
        )));
    }
    let mut identity = None;
    if credentials.ssh {
        let mounted = paths.mounted_ssh_key();
        let key = fs::read_to_string(&mounted)
            .map_err(|error| Stop::invalid(format!("failed to read the SSH key of the Secret: {error}")))?;
        let file = paths.memory("ssh-key");
        files::write_private(&file, with_one_newline(&key).as_bytes())?;
        let passphrase = mounted.with_file_name(pod::SSH_PASSPHRASE);
        let locked = has_passphrase(&key);
        if locked && !passphrase.is_file() {
            return Err(Stop::because(
                failure::SECRET_MISSING,
                format!(
                    "the SSH key has a passphrase: put it into the same Secret, under the key {}",
                    pod::SSH_PASSPHRASE
                ),
            ));
        }
        if locked || script {
            let (process, socket) = agent(&file, locked.then_some(passphrase.as_path()), pod, paths)?;
            ssh.agent = Some(socket);
            ssh.process = Some(process);
        }
        if !locked {
            ssh.environment.push(("ANSIBLE_PRIVATE_KEY_FILE", text(&file)));
            identity = Some(file);
        }
    }
    if let Some(socket) = &ssh.agent {
        ssh.environment.push(("SSH_AUTH_SOCK", socket.clone()));
    }
    if let Some(user) = &credentials.ssh_user {
        ssh.environment.push(("ANSIBLE_REMOTE_USER", user.clone()));
    }
    let known_hosts = recognised(credentials, paths)?;
    let strict = if credentials.trust_on_first_use { "accept-new" } else { "yes" };
    let config = paths.memory("ssh-config");
    let content =
        configuration(&known_hosts, strict, identity.as_deref(), credentials.ssh_config.as_deref(), paths);
    files::write_private(&config, content.as_bytes())?;
    ssh.options = format!(
        "-F {} -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking={strict}",
        text(&config),
        text(&known_hosts)
    );
    Ok(ssh)
}

/// What was known of servers in this run, for people who compare.
pub fn known(paths: &Paths) -> String {
    let own = paths.memory("known_hosts");
    let path = if own.is_file() { own } else { paths.mounted_known_hosts() };
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// As a file that jump hosts are reached with as well: `ssh` hands it on, and not its options. The first
/// value counts, so ours stand before the author's.
fn configuration(
    known_hosts: &Path,
    strict: &str,
    identity: Option<&Path>,
    authors: Option<&str>,
    paths: &Paths,
) -> String {
    let mut content = format!(
        "Host *\n    UserKnownHostsFile {}\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking {strict}\n",
        text(known_hosts)
    );
    if let Some(identity) = identity {
        content += &["    IdentityFile ", &text(identity), "\n"].concat();
    }
    if let Some(authors) = authors {
        content.push_str(authors);
        content.push_str("\nHost *\n");
    }
    for include in paths.ssh_configs() {
        content += &["    Include ", &include, "\n"].concat();
    }
    content
}

/// What of the author's configuration does not count.
pub fn overruled(credentials: &Credentials) -> Vec<String> {
    const OURS: [&str; 3] = ["userknownhostsfile", "globalknownhostsfile", "stricthostkeychecking"];
    let lines = credentials.ssh_config.iter().flat_map(|text| text.lines());
    let words = lines.filter_map(|line| line.trim().split(|c: char| c.is_whitespace() || c == '=').next());
    let mut said: Vec<String> = words
        .filter(|word| OURS.contains(&word.to_ascii_lowercase().as_str()))
        .map(|word| {
            format!(
                "[fastDeploy] {word} in credentials.ssh.config does not count: servers are recognised by credentials.knownHosts"
            )
        })
        .collect();
    said.dedup();
    said
}

/// The file in which servers are recognised.
fn recognised(credentials: &Credentials, paths: &Paths) -> Result<PathBuf, Stop> {
    let mounted = paths.mounted_known_hosts();
    if credentials.known_hosts && !mounted.is_file() {
        return Err(Stop::invalid("the known_hosts that the Service names has no key \"known_hosts\""));
    }
    if credentials.known_hosts && !credentials.trust_on_first_use && credentials.pinned.is_empty() {
        return Ok(mounted);
    }
    // OpenSSH adds what it meets for the first time; without any it is strict and knows nobody.
    let mut known = if credentials.known_hosts {
        fs::read(&mounted).map_err(|error| Stop::io("read", &mounted, &error))?
    } else {
        Vec::new()
    };
    if !credentials.pinned.is_empty() {
        known = known_hosts::merged(&String::from_utf8_lossy(&known), &credentials.pinned).into_bytes();
    }
    let path = paths.memory("known_hosts");
    files::write_private(&path, &known)?;
    Ok(path)
}

/// Starts an agent that holds the key, and answers its socket.
fn agent(
    key: &Path,
    passphrase: Option<&Path>,
    pod: &BTreeMap<String, String>,
    paths: &Paths,
) -> Result<(Child, String), Stop> {
    let path = paths.memory("agent");
    let socket = text(&path);
    let mut process = program("ssh-agent", &["-D", "-a", &socket], &[], pod)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| no_openssh("ssh-agent", &error))?;
    let until = crate::clock::boottime() + LISTENS_WITHIN;
    while UnixStream::connect(&path).is_err() {
        if crate::clock::boottime() > until || process.try_wait().is_ok_and(|ended| ended.is_some()) {
            let _ = process.kill();
            return Err(Stop::because(failure::RUNNER_LOST, "failed to start ssh-agent"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let added = add(key, passphrase, &socket, pod, paths);
    if added.is_err() {
        let _ = process.kill().and_then(|()| process.wait());
        let _ = fs::remove_file(&path);
    }
    added.map(|()| (process, socket))
}

fn add(
    key: &Path,
    passphrase: Option<&Path>,
    socket: &str,
    pod: &BTreeMap<String, String>,
    paths: &Paths,
) -> Result<(), Stop> {
    let mut environment = vec![("SSH_AUTH_SOCK", socket.to_owned())];
    if let Some(passphrase) = passphrase {
        let ask = paths.memory("askpass");
        // Once: ssh-add asks again and again for a passphrase that is wrong.
        let asked = paths.memory("askpass-asked");
        let _ = fs::remove_file(&asked);
        let (asked, passphrase) = (text(&asked), text(passphrase));
        let script =
            format!("#!/bin/sh\n[ ! -e '{asked}' ] || exit 1\n: >'{asked}'\nexec cat '{passphrase}'\n");
        files::write_private(&ask, script.as_bytes())?;
        files::make_executable(&ask)?;
        environment.extend([
            ("SSH_ASKPASS", text(&ask)),
            ("SSH_ASKPASS_REQUIRE", "force".to_owned()),
            ("DISPLAY", "none".to_owned()),
        ]);
    }
    let added = program("ssh-add", &["-q", &text(key)], &environment, pod)
        .output()
        .map_err(|error| no_openssh("ssh-add", &error))?;
    if added.status.success() {
        return Ok(());
    }
    // A passphrase that is wrong is asked for again and again, until ssh-add gives up without a word.
    let said = String::from_utf8_lossy(&added.stderr);
    let said = said.trim();
    Err(Stop::invalid(if passphrase.is_some() && (said.is_empty() || said.contains("passphrase")) {
        "the passphrase of the SSH key is not the right one".to_owned()
    } else {
        format!("the SSH key cannot be used: {}", crate::text::short(said, 300))
    }))
}

fn program(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, String)],
    pod: &BTreeMap<String, String>,
) -> Command {
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", pod.get("PATH").map_or(crate::command::PATH, String::as_str))
        .env("LC_ALL", "C.UTF-8")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    command
}

fn no_openssh(program: &str, error: &std::io::Error) -> Stop {
    Stop::because(
        failure::IMAGE_UNSUITABLE,
        format!("failed to start {program}: the image needs openssh-client ({error})"),
    )
}

/// Whether a private key is encrypted: OpenSSH's own form names its cipher, older ones say so.
fn has_passphrase(key: &str) -> bool {
    if key.contains("ENCRYPTED") {
        return true;
    }
    let Some((_, rest)) = key.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") else { return false };
    let body: String =
        rest.split("-----").next().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    let Ok(bytes) = STANDARD.decode(body) else { return false };
    // "openssh-key-v1\0", then the length of the cipher's name and the name.
    let Some(rest) = bytes.strip_prefix(b"openssh-key-v1\0") else { return false };
    rest.get(4..8).is_some_and(|name| name != b"none")
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

    fn options(credentials: &Credentials, paths: &Paths) -> String {
        prepare(credentials, &BTreeMap::new(), false, paths).expect("prepared").options
    }

    fn keygen(file: &Path, passphrase: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", &text(file)])
            .status()
            .expect("ssh-keygen");
        assert!(made.success());
    }

    #[test]
    fn the_key_ends_with_one_newline() {
        let (_dir, paths) = root();
        let credentials = Credentials { ssh: true, ..Credentials::default() };
        prepare(&credentials, &BTreeMap::new(), false, &paths).expect("prepared");
        assert_eq!(fs::read_to_string(paths.memory("ssh-key")).expect("key"), "KEY\nBODY\n");
        assert_eq!(with_one_newline("a\n\n"), "a\n");
    }

    #[test]
    fn strict_is_the_default_even_without_known_hosts() {
        let (_dir, paths) = root();
        let options = options(&Credentials::default(), &paths);
        assert!(options.ends_with("StrictHostKeyChecking=yes"), "{options}");
        assert_eq!(fs::read(paths.memory("known_hosts")).expect("empty"), b"");
    }

    #[test]
    fn trust_on_first_use_writes_into_a_copy() {
        let (dir, paths) = root();
        fs::create_dir_all(dir.path().join("run/fastdeploy/known-hosts")).expect("mount");
        fs::write(paths.mounted_known_hosts(), "web1 ssh-ed25519 A\n").expect("known");
        let credentials =
            Credentials { known_hosts: true, trust_on_first_use: true, ..Credentials::default() };
        let options = options(&credentials, &paths);
        assert!(options.contains("memory/known_hosts") && options.ends_with("accept-new"), "{options}");
        assert_eq!(fs::read(paths.memory("known_hosts")).expect("copy"), b"web1 ssh-ed25519 A\n");
    }

    #[test]
    fn lines_of_the_service_win_over_those_of_the_file() {
        let (dir, paths) = root();
        let pinned = vec!["web1 ssh-ed25519 NEW".to_owned()];
        let alone = Credentials { pinned: pinned.clone(), ..Credentials::default() };
        assert!(options(&alone, &paths).ends_with("StrictHostKeyChecking=yes"));
        assert_eq!(fs::read(paths.memory("known_hosts")).expect("file"), b"web1 ssh-ed25519 NEW\n");
        fs::create_dir_all(dir.path().join("run/fastdeploy/known-hosts")).expect("mount");
        fs::write(paths.mounted_known_hosts(), "web1,web2 ssh-ed25519 OLD\n").expect("known");
        for trust_on_first_use in [false, true] {
            let both = Credentials {
                known_hosts: true,
                pinned: pinned.clone(),
                trust_on_first_use,
                ..Credentials::default()
            };
            assert!(options(&both, &paths).contains("memory/known_hosts"));
            assert_eq!(known(&paths), "web2 ssh-ed25519 OLD\nweb1 ssh-ed25519 NEW\n");
        }
    }

    #[test]
    fn ours_stands_before_the_authors_configuration() {
        let (_dir, paths) = root();
        let credentials = Credentials {
            ssh_config: Some("Host web\n  ProxyJump bastion\n  StrictHostKeyChecking no\n".to_owned()),
            ..Credentials::default()
        };
        options(&credentials, &paths);
        let config = fs::read_to_string(paths.memory("ssh-config")).expect("config");
        let at = |text: &str| config.find(text).unwrap_or_else(|| panic!("{text} in {config}"));
        assert!(at("StrictHostKeyChecking yes") < at("ProxyJump bastion"));
        assert_eq!(overruled(&credentials).len(), 1);
        // As OpenSSH itself understands it.
        let shown = Command::new("ssh")
            .args(["-G", "-F", &text(&paths.memory("ssh-config")), "web"])
            .output()
            .expect("ssh");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("stricthostkeychecking true") || shown.contains("stricthostkeychecking yes"),
            "{shown}"
        );
        assert!(shown.contains("proxyjump bastion"), "{shown}");
    }

    #[test]
    fn a_key_with_a_passphrase_is_held_by_an_agent() {
        let (_dir, paths) = root();
        fs::remove_file(paths.mounted_ssh_key()).expect("the other");
        keygen(&paths.mounted_ssh_key(), "open sesame");
        let credentials = Credentials { ssh: true, ..Credentials::default() };
        let prepare = || prepare(&credentials, &BTreeMap::new(), false, &paths);
        let stop = prepare().expect_err("no passphrase");
        assert!(stop.message.contains("ssh-passphrase"), "{}", stop.message);
        let passphrase = paths.mounted_ssh_key().with_file_name(pod::SSH_PASSPHRASE);
        fs::write(&passphrase, "wrong one\n").expect("passphrase");
        let stop = prepare().expect_err("wrong passphrase");
        assert!(stop.message.contains("not the right one"), "{}", stop.message);
        fs::write(&passphrase, "open sesame\n").expect("passphrase");
        let ssh = prepare().expect("prepared");
        let (mut process, socket) = (ssh.process.expect("a process"), ssh.agent.expect("an agent"));
        let listed =
            Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket).output().expect("ssh-add");
        process.kill().and_then(|()| process.wait()).expect("it ends");
        assert!(String::from_utf8_lossy(&listed.stdout).contains("ED25519"), "{listed:?}");
        assert!(ssh.environment.iter().all(|(name, _)| *name != "ANSIBLE_PRIVATE_KEY_FILE"));
    }
}
