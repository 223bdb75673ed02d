//! What is read of words from outside, for `fuzz/`: each of these takes anything and never panics. What must hold of
//! the answer is asserted here.

use jiff::Timestamp;
use protocol::{event::Kind, fold::Fold};

use crate::{
    callback, lines,
    mask::{self, Masker, Secret},
    output::Output,
    script,
    tracker::Tracker,
};

/// Values that nobody may see; the second has two lines.
const SECRETS: [&str; 2] = ["tops3cret-value", "of two\nlines"];

fn masker() -> Masker {
    Masker::new(&SECRETS.map(|value| Secret { name: "s".to_owned(), value: value.as_bytes().to_vec() }))
}

fn lines_of(mut data: &[u8], keep: usize) -> Vec<Vec<u8>> {
    let mut lines = lines::Lines::new(&mut data, keep);
    let mut found = Vec::new();
    while lines.read(|line| found.push(line)).unwrap_or(false) {}
    assert!(found.iter().all(|line| line.len() <= keep && !line.contains(&b'\n')), "more than a line");
    found
}

/// Lines of the callback plugin, to the steps and results that they come to.
pub fn event_lines(data: &[u8]) {
    let (masker, mut tracker, mut fold) = (masker(), Tracker::default(), Fold::default());
    let mut seq = 0;
    let mut take = |kinds: Vec<Kind>, fold: &mut Fold| {
        for kind in kinds {
            seq += 1;
            fold.apply(&protocol::event::Event { seq, at: Timestamp::UNIX_EPOCH, kind });
        }
    };
    for line in lines_of(data, 1 << 16) {
        if let Ok(line) = callback::parse(&line, &masker) {
            take(tracker.apply(line, Timestamp::UNIX_EPOCH), &mut fold);
        }
    }
    take(tracker.finish(true, false, Timestamp::UNIX_EPOCH), &mut fold);
    let _ = (tracker.steps(), tracker.hosts());
}

/// Lines of a script's output, to the lines of the callback plugin that they become: those must be understood.
pub fn script_lines(data: &[u8]) {
    let masker = masker();
    let (mut steps, first) = script::Steps::new("deploy.sh", &[], 0);
    let mut told = first;
    for line in lines_of(data, 1 << 16) {
        if let Some(report) = script::Report::parse(&line) {
            told.extend(steps.take(report, 1));
        }
    }
    for line in told {
        callback::parse(line.to_string().as_bytes(), &masker).expect("our own words");
    }
}

/// Output: numbered without gaps, cut, and without the secret.
pub fn output(data: &[u8]) {
    let masker = masker();
    let mut output = Output::new(&masker);
    let mut next = 1;
    let keep = lines::LINE_LIMIT + mask::LONGEST_FORM + 1;
    let mut shown = String::new();
    let mut take = |kind: Option<Kind>| {
        if let Some(Kind::Output { first_line, text }) = kind {
            assert_eq!(first_line, next, "lines are numbered without gaps");
            next += text.split('\n').count() as u64;
            assert!(!text.contains('\0'), "no database takes NUL");
            shown.push_str(&text);
            shown.push('\n');
        }
    };
    for line in lines_of(data, keep) {
        take(output.take(&line));
    }
    take(output.flush());
    assert!(!shown.contains(SECRETS[0]), "a secret came through");
}

#[cfg(test)]
mod tests {
    /// The seeds of `fuzz/`, without a fuzzer.
    #[test]
    fn what_fuzzing_begins_with_is_taken() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds");
        for (target, parse) in [
            ("event_lines", super::event_lines as fn(&[u8])),
            ("script_lines", super::script_lines),
            ("output", super::output),
        ] {
            let files = std::fs::read_dir(format!("{seeds}/{target}")).expect("seeds");
            for file in files {
                parse(&std::fs::read(file.expect("a file").path()).expect("a seed"));
            }
        }
    }
}
