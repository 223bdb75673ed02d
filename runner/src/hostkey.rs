//! The key of a server that was not recognised, for people to compare and perhaps to trust. It is asked for anew,
//! without any login; nothing here believes it.

use std::{
    collections::BTreeMap,
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use protocol::{bundle::Credentials, verdict::HostKey};

use crate::known_hosts;

/// The best first: as `ssh-keyscan` is asked for it, and as a line of `known_hosts` names it.
const TYPES: [(&str, &str); 3] =
    [("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")];
/// Characters of a line that a verdict has room for.
const LINE: usize = 700;
/// How long a server is asked at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one connection may take.
const CONNECTION: Duration = Duration::from_secs(5);
/// Before a server that did not answer is asked again; then twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(200);

/// What the server shows that `ssh` complained of. Behind a jump host nobody can ask it from here.
/// `known`: the known_hosts of this run.
pub fn shown(
    said: &str,
    credentials: &Credentials,
    known: &str,
    environment: &BTreeMap<String, String>,
) -> Option<HostKey> {
    if credentials.ssh_config.is_some() {
        return None;
    }
    let (host, port) = address(said)?;
    let until = crate::clock::boottime() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        let why = match ask(&host, port, environment, until) {
            Ok(mut key) => {
                key.known = before(known, &key.line);
                return Some(key);
            }
            Err(why) => why,
        };
        let left = until.saturating_sub(crate::clock::boottime());
        if left <= pause || matches!(why, Silence::ForGood(_)) {
            let (Silence::ForNow(why) | Silence::ForGood(why)) = why;
            eprintln!("fastdeploy: the key that {host} port {port} shows could not be read: {why}");
            return None;
        }
        thread::sleep(pause);
        pause *= 2;
    }
}

/// Why there is no key.
#[derive(Debug, PartialEq, Eq)]
enum Silence {
    /// It may answer when it is asked again.
    ForNow(String),
    /// It will not.
    ForGood(String),
}

/// Asks for one type after the other, each with a connection of its own: a server that is busy lets
/// connections that are not signed in drop (sshd's MaxStartups), the sooner the more there are.
fn ask(
    host: &str,
    port: u16,
    environment: &BTreeMap<String, String>,
    until: Duration,
) -> Result<HostKey, Silence> {
    for (kind, name) in TYPES {
        let left = until.saturating_sub(crate::clock::boottime()).min(CONNECTION);
        let asked = Command::new("ssh-keyscan")
            .args(["-T", &left.as_secs().max(1).to_string(), "-t", kind, "-p", &port.to_string(), "--", host])
            .env_clear()
            .envs(environment.get("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Silence::ForGood(format!("failed to start ssh-keyscan: {error}")))?;
        let (out, said) = said_by(asked);
        if let Some(key) = key(&out, name) {
            return Ok(key);
        }
        if !greeted(&out, &said) {
            let said = said.lines().last().unwrap_or("no answer").trim();
            return Err(Silence::ForNow(said.to_owned()));
        }
    }
    Err(Silence::ForGood("it has no key of a type that is known here".to_owned()))
}

/// What a process says on both its outputs until its end. How it ended is nobody's business here: the runner reaps
/// all that descends from it ([`crate::process::reap`]), and may have been quicker.
fn said_by(mut process: Child) -> (String, String) {
    let errors = process.stderr.take().map(|pipe| thread::spawn(move || text(pipe)));
    let out = process.stdout.take().map(text).unwrap_or_default();
    let said = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    let _ = process.wait();
    (out, said)
}

fn text(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the server said who it is (`# host:port SSH-2.0-…`): then it is its last word on that type.
fn greeted(out: &str, said: &str) -> bool {
    let greeting = |line: &str| line.starts_with('#') && line.contains(" SSH-");
    out.lines().chain(said.lines()).any(greeting)
}

/// From OpenSSH's words: `No ED25519 host key is known for [10.0.0.5]:2222 and …`, `Host key for web1 has changed and …`.
fn address(said: &str) -> Option<(String, u16)> {
    let after =
        ["host key is known for ", "Host key for "].iter().find_map(|words| said.split_once(words))?.1;
    let name = after.split_whitespace().next()?;
    let (host, port) = match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (name, 22),
    };
    let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".:_%-".contains(c));
    (plain && !host.starts_with('-')).then(|| (host.to_owned(), port))
}

/// The key of this type, if it was shown.
fn key(scanned: &str, wanted: &str) -> Option<HostKey> {
    let (line, key) = scanned.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (_, kind, key) = (words.next()?, words.next()?, words.next()?);
        (kind == wanted && line.len() <= LINE).then(|| (line.trim(), key))
    })?;
    Some(HostKey { fingerprint: known_hosts::fingerprint(key)?, line: line.to_owned(), known: None })
}

/// By which key the server of this line was known.
fn before(known: &str, line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    known_hosts::known(known, words.next()?, words.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_one_that_ssh_names() {
        assert_eq!(
            address(
                "No ED25519 host key is known for [10.0.0.5]:2222 and you have requested strict checking."
            ),
            Some(("10.0.0.5".to_owned(), 2222))
        );
        assert_eq!(
            address("@@@\nHost key for web1.example.com has changed and you have requested strict checking."),
            Some(("web1.example.com".to_owned(), 22))
        );
        for odd in
            ["", "Host key for ", "Host key for -x has", "Host key for a;b has", "Host key for [x]:y has"]
        {
            assert_eq!(address(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_key_is_shown_with_its_fingerprint() {
        let scanned = "# web1:22 SSH-2.0\nweb1 ssh-rsa AAAAB3\n\
            web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n";
        let shown = key(scanned, "ssh-ed25519").expect("a key");
        assert_eq!(shown.fingerprint, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert!(shown.line.starts_with("web1 ssh-ed25519 "), "{}", shown.line);
        assert_eq!(key(scanned, "ecdsa-sha2-nistp256"), None);
        assert_eq!(key("garbage\nweb1 ssh-ed25519 ???\n", "ssh-ed25519"), None);
    }

    #[test]
    fn a_server_that_said_nothing_is_told_from_one_without_such_a_key() {
        assert!(greeted("# web1:22 SSH-2.0-OpenSSH_9.2\n", ""));
        assert!(greeted("", "# web1:22 SSH-2.0-OpenSSH_9.2\nno matching host key type found\n"));
        assert!(!greeted("", "web1: Connection closed by remote host\n"));
        assert!(!greeted("", "connect to address 10.0.0.5 port 22: Connection refused\n"));
    }

    /// The reaper of orphans takes whatever ends, also what is none.
    #[test]
    fn a_process_that_was_reaped_by_others_is_heard_all_the_same() {
        let process = Command::new("sh")
            .args(["-c", "echo out; echo err >&2"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh");
        let pid = nix::unistd::Pid::from_raw(process.id().cast_signed());
        nix::sys::wait::waitpid(pid, None).expect("it ends");
        assert_eq!(said_by(process), ("out\n".to_owned(), "err\n".to_owned()));
    }
}
