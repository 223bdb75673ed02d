//! Lines of `known_hosts` that stand in a Service itself (`credentials.knownHosts.inline`): whether one is one, whom it
//! is about, and how a new key takes the place of an old one. Pure.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use regex::Regex;
use sha2::{Digest, Sha256};

/// So many lines stand in a Service at most.
pub const MOST: usize = 100;
/// Longest line, in bytes.
pub const LONGEST: usize = 2_000;
/// What a line looks like; the custom resource has the same rule. Whole names only: of a pattern, or of a name that is
/// hashed, nobody could say which lines elsewhere it replaces.
pub const SHAPE: &str = r"^([A-Za-z0-9_.:%-]+|\[[A-Za-z0-9_.:%-]+\]:[0-9]{1,5})(,([A-Za-z0-9_.:%-]+|\[[A-Za-z0-9_.:%-]+\]:[0-9]{1,5}))* +(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh[.]com) +AAAA[A-Za-z0-9+/]{16,}={0,2}( [^[:cntrl:]]*)?$";
/// What to write instead of a line that is none.
pub const ADVICE: &str = "write a line as ssh-keyscan prints it: the server, the type of its key, the key, for example web1.example.com ssh-ed25519 AAAA…; no wildcards, hashed names or markers (they may stand in the ConfigMap)";

static LINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(SHAPE).expect("it is tested"));

/// A line that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The servers, as OpenSSH looks for them: `web1`, `[web1]:2222`.
    pub names: Vec<&'a str>,
    /// `ssh-ed25519` and the like.
    pub kind: &'a str,
    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    pub fingerprint: String,
    /// Type and key, perhaps with a comment.
    rest: &'a str,
}

/// The custom resource's rule for all lines, in CEL.
pub(crate) fn rule() -> String {
    format!("self.all(line, line.matches(r'{SHAPE}'))")
}

/// What it says where they break it.
pub(crate) fn refusal() -> String {
    format!("credentials.knownHosts.inline: {ADVICE}")
}

/// Reads a line; an error says what to write instead.
pub fn parse(line: &str) -> Result<Line<'_>, String> {
    if line.len() > LONGEST || !LINE.is_match(line) {
        return Err(ADVICE.to_owned());
    }
    let (names, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let mut words = rest.split_whitespace();
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let key = STANDARD.decode(key).map_err(|_| format!("the key is cut off or not base64; {ADVICE}"))?;
    // It begins with its type, after four bytes with the length of that.
    if key.get(4..4 + kind.len()) != Some(kind.as_bytes()) {
        return Err(format!("the key is not of the type {kind}; {ADVICE}"));
    }
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&key)));
    Ok(Line { names: names.split(',').collect(), kind, fingerprint, rest })
}

/// The lines with a new one; what they had of its servers goes. An error says what to write instead.
pub fn with(lines: &[String], new: &str) -> Result<Vec<String>, String> {
    let added = parse(new)?;
    let is_new = |name: &&str| added.names.iter().any(|added| added.eq_ignore_ascii_case(name));
    let mut kept = Vec::new();
    for line in lines {
        let Ok(parsed) = parse(line) else {
            kept.push(line.clone());
            continue;
        };
        let names: Vec<_> = parsed.names.iter().copied().filter(|name| !is_new(name)).collect();
        if names.len() == parsed.names.len() {
            kept.push(line.clone());
        } else if !names.is_empty() {
            kept.push(format!("{} {}", names.join(","), parsed.rest));
        }
    }
    kept.push(new.to_owned());
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_line_is_read_with_its_servers_and_its_fingerprint() {
        for (names, expected) in [
            ("web1", vec!["web1"]),
            ("web1.example.com,10.0.0.5", vec!["web1.example.com", "10.0.0.5"]),
            ("[web1]:2222,[fe80::1%eth0]:22", vec!["[web1]:2222", "[fe80::1%eth0]:22"]),
        ] {
            for comment in ["", " root@web1", "  "] {
                let line = format!("{names} {KEY}{comment}");
                let parsed = parse(&line).expect(&line);
                assert_eq!(parsed.names, expected);
                assert_eq!(parsed.kind, "ssh-ed25519");
                assert_eq!(parsed.fingerprint, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
            }
        }
    }

    #[test]
    fn what_is_no_line_is_refused_with_what_to_write() {
        let two = format!("web1 {KEY}\nweb2 {KEY}");
        let long = format!("web1 {KEY} {}", "x".repeat(LONGEST));
        let tail = KEY.split_once(' ').expect("two words").1;
        for wrong in [
            "",
            "web1",
            KEY,
            "web1 ssh-ed25519",
            "web1 ssh-ed25519 AAAA",
            &two,
            &long,
            &format!("*.example.com {KEY}"),
            &format!("web?,web1 {KEY}"),
            &format!("!web1 {KEY}"),
            &format!("|1|c2FsdA==|aGFzaA== {KEY}"),
            &format!("@revoked web1 {KEY}"),
            &format!("@cert-authority web1 {KEY}"),
            &format!("# web1 {KEY}"),
            &format!("web1, {KEY}"),
            &format!("web1 ssh-dss {tail}"),
            &format!("web1 ssh-rsa {tail}"),
            &format!("web1 {}", &KEY[..KEY.len() - 2]),
            &format!("web1\t{KEY}"),
        ] {
            let said = parse(wrong).expect_err(wrong);
            assert!(said.contains("as ssh-keyscan prints it"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_new_key_takes_the_place_of_the_old_one_of_its_server_only() {
        let lines = |lines: &[&str]| lines.iter().map(|name| format!("{name} {KEY}")).collect::<Vec<_>>();
        let before = lines(&["web1", "web2,WEB1,10.0.0.5", "[web1]:2222", "web11"]);
        let after = with(&before, &format!("web1 {KEY} new")).expect("added");
        let mut expected = lines(&["web2,10.0.0.5", "[web1]:2222", "web11"]);
        expected.push(format!("web1 {KEY} new"));
        assert_eq!(after, expected);
        // Once more is no more.
        assert_eq!(with(&after, &format!("web1 {KEY} new")).expect("added"), after);
        assert!(with(&after, "web1").is_err());
    }
}
