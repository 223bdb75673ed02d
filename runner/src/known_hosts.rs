//! `known_hosts`: lines of the Service itself in the place of what a ConfigMap or Secret says of the same servers, and
//! by which key a server was known. As OpenSSH reads such a file, and no more of it than that takes. Pure.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What is revoked stays so, whatever else is said of a server.
const REVOKED: &str = "@revoked";

/// A line, in its parts.
struct Line<'a> {
    marker: Option<&'a str>,
    hosts: &'a str,
    /// Type, key, and what follows.
    rest: &'a str,
}

fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let cut = |text: &'_ str| text.find([' ', '\t']);
    let (marker, line) = match line.strip_prefix('@') {
        Some(_) => (Some(&line[..cut(line)?]), line[cut(line)?..].trim_start()),
        None => (None, line),
    };
    let at = cut(line)?;
    Some(Line { marker, hosts: &line[..at], rest: line[at..].trim_start() })
}

/// The file with the Service's own lines. Of the servers that these name nothing else counts but a revocation: else an
/// old key would go on being believed beside the new one.
pub fn merged(file: &str, pinned: &[String]) -> String {
    let lines = pinned.iter().filter_map(|line| parse(line));
    let servers: Vec<String> =
        lines.flat_map(|line| line.hosts.split(',')).map(str::to_ascii_lowercase).collect();
    let mut merged = String::new();
    for line in file.lines() {
        match parse(line) {
            Some(parsed) if parsed.marker != Some(REVOKED) => {
                let Some(hosts) = without(parsed.hosts, &servers) else { continue };
                if hosts == parsed.hosts {
                    merged += line;
                } else {
                    let words = parsed.marker.into_iter().chain([hosts.as_str(), parsed.rest]);
                    merged += &words.collect::<Vec<_>>().join(" ");
                }
            }
            _ => merged += line,
        }
        merged.push('\n');
    }
    for line in pinned {
        merged += line;
        merged.push('\n');
    }
    merged
}

/// The hosts of a line, but for these servers; none: nobody is left.
fn without(hosts: &str, servers: &[String]) -> Option<String> {
    if hosts.starts_with('|') {
        return (!servers.iter().any(|server| hashed(hosts, server))).then(|| hosts.to_owned());
    }
    let is_one = |pattern: &&str| servers.iter().any(|server| server.eq_ignore_ascii_case(pattern));
    let left: Vec<&str> = hosts.split(',').filter(|pattern| !is_one(pattern)).collect();
    if !left.iter().any(|pattern| !pattern.is_empty() && !pattern.starts_with('!')) {
        return None;
    }
    let mut left = left.join(",");
    // Of a pattern with wildcards the others remain.
    for server in servers {
        if names(&left, server) {
            left.push_str(",!");
            left.push_str(server);
        }
    }
    Some(left)
}

/// Whether the hosts of a line, no hash, mean this server.
fn names(hosts: &str, server: &str) -> bool {
    let server = server.to_ascii_lowercase();
    let mut found = false;
    for pattern in hosts.split(',') {
        let (negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
        if fits(pattern.to_ascii_lowercase().as_bytes(), server.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

/// `*` is anything, `?` one character. Where a `*` takes too little it takes one more; only the last one has to.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut again) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((after, from)) = again else { return false };
                again = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// `|1|salt|hash`: HMAC-SHA1 of the name.
fn hashed(hosts: &str, server: &str) -> bool {
    let mut parts = hosts.splitn(4, '|').skip(2).map(|part| STANDARD.decode(part));
    let (Some(Ok(salt)), Some(Ok(hash))) = (parts.next(), parts.next()) else { return false };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.update(server.to_ascii_lowercase().as_bytes());
    mac.verify_slice(&hash).is_ok()
}

/// The fingerprint of the key by which a server is known: of this type, else of any.
pub fn known(file: &str, server: &str, kind: &str) -> Option<String> {
    let of_server = file.lines().filter_map(parse).filter(|line| {
        line.marker.is_none()
            && if line.hosts.starts_with('|') {
                hashed(line.hosts, server)
            } else {
                names(line.hosts, server)
            }
    });
    let keys: Vec<(&str, String)> = of_server
        .filter_map(|line| {
            let mut words = line.rest.split_whitespace();
            let (kind, key) = (words.next()?, words.next()?);
            Some((kind, fingerprint(key)?))
        })
        .collect();
    keys.iter().find(|(of, _)| *of == kind).or(keys.first()).map(|(_, fingerprint)| fingerprint.clone())
}

/// Of a key in base64, as `ssh-keygen -l` shows it.
pub fn fingerprint(key: &str) -> Option<String> {
    let hash = Sha256::digest(STANDARD.decode(key).ok()?);
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const NEW: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHGe1pJ5C1aGqwwSjxBpUhRsd1pcu0vLl6CZUnhbgMQS";

    fn hash(name: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"any salt of twenty b").expect("any length");
        mac.update(name.as_bytes());
        let encoded =
            [&b"any salt of twenty b"[..], &mac.finalize().into_bytes()].map(|b| STANDARD.encode(b));
        format!("|1|{}|{}", encoded[0], encoded[1])
    }

    fn pinned(file: &str, names: &[&str]) -> String {
        let pinned: Vec<String> = names.iter().map(|name| format!("{name} {NEW}")).collect();
        let merged = merged(file, &pinned);
        let mine = pinned.join("\n") + "\n";
        merged.strip_suffix(&mine).unwrap_or_else(|| panic!("{mine} is not the end of {merged}")).to_owned()
    }

    #[test]
    fn what_the_service_says_of_a_server_takes_the_place_of_all_else() {
        for (file, expected) in [
            // The server alone, in any spelling; others beside it stay.
            ("web1", None),
            ("WEB1", None),
            ("web1,10.0.0.5", Some("10.0.0.5")),
            ("web11", Some("web11")),
            ("[web1]:2222", Some("[web1]:2222")),
            // A pattern goes on counting for the others.
            ("*.example.com", Some("*.example.com")),
            ("web*", Some("web*,!web1")),
            ("web?,db", Some("web?,db,!web1")),
            ("web*,!web1", Some("web*,!web1")),
            ("web1,!web2", None),
        ] {
            let left = pinned(&format!("{file} {OLD} a comment\n"), &["web1"]);
            assert_eq!(
                left,
                expected.map(|e| format!("{e} {OLD} a comment\n")).unwrap_or_default(),
                "{file}"
            );
        }
        assert_eq!(pinned(&format!("{} {OLD}\n", hash("web1")), &["web1"]), "");
        let other = format!("{} {OLD}\n", hash("web2"));
        assert_eq!(pinned(&other, &["web1"]), other);
        assert_eq!(pinned(&format!("{} {OLD}\n", hash("[web1]:2222")), &["[web1]:2222"]), "");
    }

    #[test]
    fn a_revocation_counts_whatever_is_said_and_an_authority_not_where_a_key_is_pinned() {
        let revoked = format!("@revoked web1 {OLD}\n");
        assert_eq!(pinned(&revoked, &["web1"]), revoked);
        assert_eq!(
            pinned(&format!("@cert-authority  web* {OLD}\n"), &["web1"]),
            format!("@cert-authority web*,!web1 {OLD}\n")
        );
        let rest = "# web1 was here\n\ngarbage\n|1|x|y ssh-rsa\n";
        assert_eq!(pinned(rest, &["web1"]), rest);
    }

    #[test]
    fn a_server_was_known_by_its_key_of_that_type() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==";
        let file = format!("@revoked web1 {NEW}\nweb1 {rsa}\n{} {OLD}\n", hash("web1"));
        let of = |key: &str| fingerprint(key.split(' ').nth(1).expect("a key"));
        assert_eq!(known(&file, "web1", "ssh-ed25519"), of(OLD));
        assert_eq!(known(&file, "web1", "ssh-rsa"), of(rsa));
        assert_eq!(known(&file, "web1", "ecdsa-sha2-nistp256"), of(rsa));
        assert_eq!(known(&file, "web2", "ssh-rsa"), None);
    }

    /// What OpenSSH itself finds in the file.
    #[test]
    fn openssh_finds_the_new_key_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("known_hosts");
        let hashes = ["web1", "[web1]:2222", "web2"].map(|name| format!("{} {OLD}\n", hash(name))).concat();
        let file = format!("web1,web2 {OLD}\nWeb1 {OLD}\nweb? {OLD}\n* {OLD}\n[web1]:* {OLD}\n{hashes}");
        let pins = ["web1", "[web1]:2222"].map(|name| format!("{name} {NEW}"));
        std::fs::write(&path, merged(&file, &pins)).expect("written");
        for (name, expected) in [("web1", NEW), ("[web1]:2222", NEW), ("web2", OLD), ("[web1]:22", OLD)] {
            let found = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(&path).output();
            let found = String::from_utf8(found.expect("ssh-keygen").stdout).expect("text");
            let keys: Vec<&str> = found
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| line.split_once(' ').expect("a line").1)
                .collect();
            assert!(!keys.is_empty() && keys.iter().all(|key| *key == expected), "{name}: {found}");
        }
    }

    fn keys(file: &str, server: &str) -> Vec<String> {
        let of = |line: &Line<'_>| {
            if line.hosts.starts_with('|') { hashed(line.hosts, server) } else { names(line.hosts, server) }
        };
        file.lines().filter_map(parse).filter(of).map(|line| line.rest.to_owned()).collect()
    }

    proptest! {
        #[test]
        fn of_a_pinned_server_only_the_pin_counts_and_of_others_what_counted_before(
            lines in proptest::collection::vec(("(!?[ab*?]{1,3}(,!?[ab*?]{1,3}){0,2})|h[ab]{1,2}", 0..9_u8), 0..8),
            pins in proptest::collection::btree_set("[ab]{1,2}", 0..3),
        ) {
            let line = |(hosts, key): &(String, u8)| {
                let hosts = hosts.strip_prefix('h').map_or_else(|| hosts.clone(), hash);
                format!("{hosts} ssh-rsa {key}\n")
            };
            let file = lines.iter().map(line).collect::<Vec<_>>().concat();
            let own: Vec<String> = pins.iter().map(|pin| format!("{pin} ssh-rsa mine")).collect();
            let merged = merged(&file, &own);
            for server in ["a", "b", "aa", "ab", "ba", "bb", "aaa", "aba"] {
                let expected = if pins.contains(server) { vec!["ssh-rsa mine".to_owned()] } else { keys(&file, server) };
                prop_assert_eq!(keys(&merged, server), expected, "{} in {:?}", server, merged);
            }
        }

        #[test]
        fn nothing_in_a_file_makes_it_panic(file in ".{0,200}", pin in ".{0,40}") {
            let _ = merged(&file, std::slice::from_ref(&pin));
            let _ = known(&file, &pin, "ssh-rsa");
        }
    }
}
