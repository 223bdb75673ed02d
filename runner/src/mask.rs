//! Hides the values of mounted Secrets, in every form in which they are likely to
//! turn up, before a text goes anywhere.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// What is shown instead.
const MASK: &str = "********";
/// Shorter values are everywhere and cannot be hidden.
pub const SHORTEST: usize = 4;
/// A line of a longer secret that is hidden on its own, as diffs show keys line by line.
const SHORTEST_LINE: usize = 20;
/// Longer values are hidden piece by piece (a multiple of three, for base64).
const PIECE: usize = 3 * 1024;
/// Beyond this much of one value, its rest is not looked for: the automaton would take too much memory.
const LONGEST: usize = 16 * 1024;
/// No form of a value is longer: a piece in which each byte became `\\\\\\\\u0000`.
pub const LONGEST_FORM: usize = 9 * PIECE;
/// Values that come out of ansible-vault in one run.
const MOST_LEARNED: usize = 1_000;

/// A value that must not be seen.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Where it comes from, for people.
    pub name: String,
    /// What it is.
    pub value: Vec<u8>,
}

/// Finds and hides values.
pub struct Masker {
    known: Known,
    /// What became known during the run (see [`Masker::learn`]).
    learned: RwLock<Learned>,
    /// Names of values that are too short to be hidden.
    pub too_short: Vec<String>,
}

/// Values in all their forms.
#[derive(Default)]
struct Known {
    patterns: Option<AhoCorasick>,
    /// Values that stretch over lines, for [`Masker::complete`].
    multiline: Vec<String>,
}

#[derive(Default)]
struct Learned {
    values: BTreeSet<Vec<u8>>,
    /// Nothing, as long as nothing was learned: most runs.
    known: Option<Arc<Known>>,
}

impl Known {
    /// The values that are too short are named.
    fn new(secrets: &[Secret]) -> (Self, Vec<String>) {
        let mut patterns = BTreeSet::new();
        let mut multiline = Vec::new();
        let mut too_short = Vec::new();
        for secret in secrets {
            let value = String::from_utf8_lossy(&secret.value);
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            if value.chars().count() < SHORTEST {
                too_short.push(secret.name.clone());
                continue;
            }
            let value = &value[..floor(value, LONGEST)];
            if value.contains('\n') {
                multiline.push(value.to_owned());
                let lines = value.lines().map(str::trim);
                patterns.extend(
                    lines
                        .filter(|line| line.len() >= SHORTEST_LINE && !line.contains(char::is_whitespace))
                        .map(str::to_owned),
                );
            }
            let mut rest = value;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(floor(rest, PIECE));
                rest = after;
                // The last piece of a long value may be next to nothing.
                if piece.len() >= SHORTEST {
                    forms(piece, &mut patterns);
                }
            }
        }
        let patterns = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                // A key in fifteen forms would make a table of many megabytes.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&patterns)
                .expect("patterns are bounded far below the limits of the automaton")
        });
        (Self { patterns, multiline }, too_short)
    }

    fn find(&self, text: &str, found: &mut Vec<(usize, usize)>) {
        if let Some(patterns) = self.patterns.as_ref().filter(|patterns| patterns.is_match(text)) {
            found.extend(patterns.find_overlapping_iter(text).map(|found| (found.start(), found.end())));
        }
    }

    /// Where in a text a value has only begun.
    fn begun(&self, text: &str) -> Option<usize> {
        let values = self.multiline.iter();
        values
            .flat_map(|value| {
                value.match_indices('\n').filter_map(|(at, _)| {
                    let begun = &value[..=at];
                    text.ends_with(begun).then(|| text.len() - begun.len())
                })
            })
            .min()
    }
}

impl Masker {
    /// Hides these values.
    pub fn new(secrets: &[Secret]) -> Self {
        let (known, too_short) = Known::new(secrets);
        Self { known, learned: RwLock::default(), too_short }
    }

    /// Hides this value, too, from now on. What is more than [`MOST_LEARNED`] of them is left out.
    pub fn learn(&self, value: Vec<u8>) {
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        if learned.values.len() < MOST_LEARNED && learned.values.insert(value) {
            let secrets: Vec<Secret> = learned
                .values
                .iter()
                .map(|value| Secret { name: String::new(), value: value.clone() })
                .collect();
            learned.known = Some(Arc::new(Known::new(&secrets).0));
        }
    }

    fn learned(&self) -> Option<Arc<Known>> {
        self.learned.read().unwrap_or_else(PoisonError::into_inner).known.clone()
    }

    /// The text without the values. Overlapping finds are hidden as one.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = Vec::new();
        self.known.find(text, &mut found);
        if let Some(learned) = self.learned() {
            learned.find(text, &mut found);
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable();
        let mut masked = String::with_capacity(text.len());
        let (mut shown, mut finds) = (0, found.into_iter().peekable());
        while let Some((start, mut end)) = finds.next() {
            while let Some((_, next)) = finds.next_if(|next| next.0 <= end) {
                end = end.max(next);
            }
            masked.push_str(&text[shown..start]);
            masked.push_str(MASK);
            shown = end;
        }
        masked.push_str(&text[shown..]);
        Cow::Owned(masked)
    }

    /// As [`Masker::mask`], for every string in a value, keys included.
    pub fn mask_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(text).into_owned()),
            Value::Array(items) => items.iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (self.mask(name).into_owned(), self.mask_value(value)))
                .collect(),
            // A secret of digits is a number in JSON.
            Value::Number(number) => match self.mask(&number.to_string()) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(masked) => Value::String(masked),
            },
            plain => plain.clone(),
        }
    }

    /// How much of a text can be masked now: a value of several lines that has only begun
    /// at its end has to wait for the rest.
    pub fn complete(&self, text: &str) -> usize {
        let learned = self.learned().and_then(|learned| learned.begun(text));
        self.known.begun(text).into_iter().chain(learned).min().unwrap_or(text.len())
    }
}

/// The values of all Secrets that are mounted below a directory. An inventory and Galaxy's settings are no
/// secret as a whole; their passwords are.
pub fn mounted(directory: &Path) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for (mount, path) in entries(directory) {
        for (key, path) in entries(&path) {
            let Ok(value) = fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&value).into_owned();
            let values = match (mount.as_str(), key.as_str()) {
                ("inventory", _) | ("galaxy", "ansible.cfg") => {
                    assigned_values(&text).map(|value| value.as_bytes().to_vec()).collect()
                }
                ("galaxy", "git-credentials") => text.lines().flat_map(password_in_url).collect(),
                ("galaxy", "url" | "known_hosts") => Vec::new(),
                _ => vec![value],
            };
            let name = format!("{mount}/{key}");
            secrets.extend(values.into_iter().map(|value| Secret { name: name.clone(), value }));
        }
    }
    secrets
}

/// What `https://user:password@host` hides: as it stands there, and as it is.
fn password_in_url(line: &str) -> Vec<Vec<u8>> {
    let login = line.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let Some((_, password)) = login.and_then(|(login, _)| login.split_once(':')) else { return Vec::new() };
    let escaped = password.as_bytes().to_vec();
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = password.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = || u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok();
        if let Some(meant) = hex().filter(|_| byte == b'%') {
            plain.push(meant);
            rest = &after[2..];
        } else {
            plain.push(byte);
            rest = after;
        }
    }
    if plain == escaped { vec![plain] } else { vec![plain, escaped] }
}

fn entries(directory: &Path) -> impl Iterator<Item = (String, std::path::PathBuf)> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with(".."))
}

/// What follows `…password=`, `…token: ` and the like.
fn assigned_values(text: &str) -> impl Iterator<Item = &str> {
    const WORDS: [&str; 5] = ["pass", "secret", "token", "private_key", "api_key"];
    text.lines().flat_map(|line| {
        line.match_indices(['=', ':']).filter_map(move |(at, sign)| {
            let name = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let name = name
                .rsplit(|c: char| c.is_whitespace() || "{,\"'=:".contains(c))
                .next()?
                .to_ascii_lowercase();
            if !WORDS.iter().any(|word| name.contains(word)) {
                return None;
            }
            let value = line[at + sign.len()..].trim_start();
            let value = match value.chars().next()? {
                quote @ ('"' | '\'') => value[1..].split(quote).next()?,
                _ if sign == "=" => value.split_whitespace().next()?,
                _ => value.split([',', '}']).next()?.trim_end(),
            };
            (value.len() >= SHORTEST).then_some(value)
        })
    })
}

/// A value as it is, and as JSON, YAML, shells, URLs and base64 write it.
fn forms(value: &str, into: &mut BTreeSet<String>) {
    let json = |text: &str| {
        let quoted = Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    // Ansible shows JSON, and what it shows may be JSON in JSON.
    let once = json(value);
    let twice = json(&once);
    into.insert(json(&twice));
    into.insert(twice);
    into.insert(ascii_json(&once));
    into.insert(once);
    into.insert(value.replace('\'', "''"));
    let quoted = value.replace('\'', "'\"'\"'");
    into.insert(json(&quoted));
    into.insert(quoted);
    into.insert(value.replace('\'', "\\'").replace('\n', "\\n"));
    into.insert(escaped(value, |c| "\"\\$`".contains(c)));
    // As `printf %q` writes it, and Ansible's own ways of quoting for a shell.
    into.insert(escaped(value, |c| !(c.is_alphanumeric() || "_@%+=:,./-".contains(c))));
    into.insert(escaped(value, |c| c.is_ascii() && !(c.is_ascii_alphanumeric() || "_-./".contains(c))));
    into.insert(html(value));
    for (keep_slash, upper, plus) in [
        (false, true, false),
        (true, true, false),
        (false, false, false),
        (true, false, false),
        (false, true, true),
    ] {
        into.insert(url(value, keep_slash, upper, plus));
    }
    // Inside of a longer text, base64 looks different at each of three offsets.
    for offset in 0..3_usize {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(value.as_bytes());
        let encoded = STANDARD.encode(&padded);
        let whole = &encoded[(offset * 8).div_ceil(6)..padded.len() * 8 / 6];
        if whole.len() >= SHORTEST {
            into.insert(whole.replace('+', "-").replace('/', "_"));
            into.insert(whole.to_owned());
        }
    }
    into.insert(value.to_owned());
}

fn escaped(value: &str, what: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if what(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn html(value: &str) -> String {
    value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// As Python writes JSON: `\u00e9`.
fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(ascii, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
    }
    ascii
}

fn url(value: &str, keep_slash: bool, upper: bool, plus: bool) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            b'/' if keep_slash => escaped.push('/'),
            b' ' if plus => escaped.push('+'),
            _ if upper => write!(escaped, "%{byte:02X}").expect("a String takes everything"),
            _ => write!(escaped, "%{byte:02x}").expect("a String takes everything"),
        }
    }
    escaped
}

/// The most bytes, up to `max`, that end between two characters.
pub fn floor(text: &str, max: usize) -> usize {
    text.floor_char_boundary(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(values: &[&str]) -> Masker {
        let secrets: Vec<Secret> =
            values.iter().map(|v| Secret { name: "s".to_owned(), value: v.as_bytes().to_vec() }).collect();
        Masker::new(&secrets)
    }

    #[test]
    fn a_value_is_hidden_in_every_form() {
        let masker = masker(&["pa\"ss wörd/x\n"]);
        for text in [
            r#"pa"ss wörd/x"#,
            r#"{"msg": "pa\"ss wörd/x"}"#,
            r#"{"msg": "pa\"ss w\u00f6rd/x"}"#,
            r#""{\"m\": \"pa\\\"ss wörd/x\"}""#,
            "pa%22ss%20w%C3%B6rd%2Fx",
            "pa%22ss%20w%c3%b6rd/x",
            "pa%22ss+w%C3%B6rd%2Fx",
        ] {
            let shown = masker.mask(text);
            assert!(shown.contains(MASK) && !shown.contains("ss"), "{text} → {shown}");
        }
    }

    #[test]
    fn a_value_is_hidden_as_shells_and_pages_write_it() {
        let masker = masker(&["p$a ss'w\"x&1"]);
        for text in [
            r#"p$a ss'"'"'w"x&1"#,
            r#"p\$a ss'w\"x&1"#,
            r#"p\$a\ ss\'w\"x\&1"#,
            r#"p$a ss'w"x&amp;1"#.replace('\'', "&#39;").replace('"', "&quot;").as_str(),
            "p$a ss''w\"x&1",
        ] {
            assert_eq!(masker.mask(text), MASK, "{text}");
        }
    }

    #[test]
    fn what_is_learned_is_hidden_from_then_on_together_with_what_was_known() {
        let masker = masker(&["known-value"]);
        assert_eq!(masker.mask("of the vault, known-value"), "of the vault, ********");
        masker.learn(b"of the vault".to_vec());
        masker.learn(b"abc".to_vec());
        masker.learn(b"first\nsecond".to_vec());
        assert_eq!(masker.mask("of the vault, known-value abc"), "********, ******** abc");
        assert_eq!(masker.mask(&STANDARD.encode("of the vault")), "********");
        assert_eq!(masker.complete("x\nfirst\n"), 2);
    }

    #[test]
    fn no_form_is_longer_than_is_said() {
        let mut found = BTreeSet::new();
        for value in ["\u{1}".repeat(PIECE), "'".repeat(PIECE), "é".repeat(PIECE / 2)] {
            forms(&value, &mut found);
        }
        let longest = found.iter().map(String::len).max();
        assert!(longest.is_some_and(|longest| longest <= LONGEST_FORM), "{longest:?}");
    }

    #[test]
    fn base64_is_hidden_at_every_offset() {
        let masker = masker(&["hunter2hunter2"]);
        for around in ["", "u:", "user:", "me:"] {
            let encoded = STANDARD.encode(format!("{around}hunter2hunter2 and more"));
            let shown = masker.mask(&encoded).into_owned();
            assert!(shown.contains(MASK), "{around}: {shown}");
        }
    }

    #[test]
    fn overlapping_values_leave_no_tail() {
        let masker = masker(&["abcdef", "defghi", "abcd"]);
        assert_eq!(masker.mask("x abcdefghi y abcd z"), "x ******** y ******** z");
    }

    #[test]
    fn short_values_are_named_and_left() {
        let masker = masker(&["abc", ""]);
        assert_eq!(masker.too_short, ["s"]);
        assert_eq!(masker.mask("abc"), "abc");
    }

    #[test]
    fn the_body_of_a_key_is_hidden_line_by_line() {
        let key = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\nshort\n-----END KEY-----\n";
        let masker = masker(&[key]);
        assert_eq!(masker.mask("+AAAAB3NzaC1yc2EAAAADAQABAAAB"), "+********");
        assert_eq!(masker.mask("short"), "short");
        assert_eq!(masker.mask(&format!("<{key}>")), "<********\n>");
    }

    #[test]
    fn a_value_of_several_lines_is_waited_for() {
        let masker = masker(&["first line\nsecond line\nthird"]);
        assert_eq!(masker.complete("x\nfirst line\n"), 2);
        assert_eq!(masker.complete("x\nfirst line\nsecond line\n"), 2);
        assert_eq!(masker.complete("x\nfirst line\nother\n"), 19);
    }

    #[test]
    fn an_inventory_hides_its_passwords_only() {
        let text = "web1 ansible_host=10.0.0.5 ansible_password=\"tr0ub4 dor\" x=1\n  ansible_become_pass: s3cr3t\n{\"db_token\": \"tok3n\"}";
        assert_eq!(assigned_values(text).collect::<Vec<_>>(), ["tr0ub4 dor", "s3cr3t", "tok3n"]);
        // What stands behind a sign within the value is no value of its own.
        assert_eq!(assigned_values("db_password=a=inventory").collect::<Vec<_>>(), ["a=inventory"]);
    }

    #[test]
    fn values_are_masked_deep() {
        let masker = masker(&["12345678", "topsecret"]);
        let value = serde_json::json!({"a": ["x topsecret"], "n": 12_345_678, "m": 7});
        assert_eq!(
            masker.mask_value(&value),
            serde_json::json!({"a": ["x ********"], "n": "********", "m": 7})
        );
    }

    #[test]
    fn a_long_value_is_hidden_piece_by_piece() {
        let value: String = (0..PIECE * 2 + 10).map(|n| char::from(b'!' + (n * n % 89) as u8)).collect();
        let masker = masker(&[&value]);
        let shown = masker.mask(&value).into_owned();
        assert!(shown.len() < 20, "{} left", shown.len());
        let base64 = STANDARD.encode(&value);
        assert!(masker.mask(&base64).len() < 40);
    }

    proptest! {
        #[test]
        fn no_value_survives(value in "[a-z\"'/ é\\\\]{4,40}", before in ".{0,20}", after in ".{0,20}") {
            let value = value.trim();
            prop_assume!(value.chars().count() >= SHORTEST);
            let masker = masker(&[value]);
            let text = format!("{before}{value}{after}");
            // What is left may spell it anew only around the mask.
            for part in masker.mask(&text).split(MASK) {
                prop_assert!(!part.contains(value));
            }
        }
    }
}
