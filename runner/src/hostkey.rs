//! The key of a server that was not recognised, for people to compare and perhaps to trust. It is asked for anew,
//! without any login; nothing here believes it.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use protocol::{bundle::Credentials, verdict::HostKey};
use sha2::{Digest, Sha256};

/// The best first.
const TYPES: [&str; 3] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"];
/// Characters of a line that a verdict has room for.
const LINE: usize = 700;

/// What the server shows that `ssh` complained of. Behind a jump host nobody can ask it from here.
pub fn shown(
    said: &str,
    credentials: &Credentials,
    environment: &BTreeMap<String, String>,
) -> Option<HostKey> {
    if credentials.ssh_config.is_some() {
        return None;
    }
    let (host, port) = address(said)?;
    let asked = Command::new("ssh-keyscan")
        .args(["-T", "5", "-t", "ed25519,ecdsa,rsa", "-p", &port.to_string(), "--", &host])
        .env_clear()
        .envs(environment.get("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    best(&String::from_utf8_lossy(&asked.stdout))
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

fn best(scanned: &str) -> Option<HostKey> {
    let of_type = |wanted: &str| {
        scanned.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (_, kind, key) = (words.next()?, words.next()?, words.next()?);
            (kind == wanted && line.len() <= LINE).then(|| (line.trim(), key))
        })
    };
    let (line, key) = TYPES.iter().find_map(|kind| of_type(kind))?;
    let hash = Sha256::digest(STANDARD.decode(key).ok()?);
    Some(HostKey { fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)), line: line.to_owned() })
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
    fn the_best_key_is_shown_with_its_fingerprint() {
        let scanned = "# web1:22 SSH-2.0\nweb1 ssh-rsa AAAAB3\n\
            web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n";
        let key = best(scanned).expect("a key");
        assert_eq!(key.fingerprint, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert!(key.line.starts_with("web1 ssh-ed25519 "), "{}", key.line);
        assert_eq!(best("garbage\nweb1 ssh-ed25519 ???\n"), None);
    }
}
