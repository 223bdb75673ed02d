//! Ansible's output on its way to spool and log: text, masked, cut, numbered.

use std::io::Write;

use protocol::event::Kind;

use crate::{lines, mask::Masker, text::Tail};

/// Lines that wait for the rest of a value at most, in bytes.
const HELD: usize = 128 * 1024;

/// The output so far.
pub struct Output<'a> {
    masker: &'a Masker,
    /// Lines that may be the beginning of a value of several lines.
    held: String,
    next_line: u64,
    /// What was printed last.
    pub tail: Tail,
}

impl<'a> Output<'a> {
    /// Nothing yet.
    pub fn new(masker: &'a Masker) -> Self {
        Self { masker, held: String::new(), next_line: 1, tail: Tail::default() }
    }

    /// Takes lines in, joined by `\n`, and returns what can be shown.
    pub fn take(&mut self, lines: &[u8]) -> Option<Kind> {
        for line in lines.split(|&byte| byte == b'\n') {
            self.held.push_str(&lines::to_text(line));
            self.held.push('\n');
        }
        let ready = match self.masker.complete(&self.held) {
            0 if self.held.len() > HELD => self.held.len(),
            ready => ready,
        };
        let rest = self.held.split_off(ready);
        let ready = std::mem::replace(&mut self.held, rest);
        self.show(&ready)
    }

    /// A line of our own.
    pub fn say(&mut self, text: &str) -> Kind {
        let first_line = self.next_line;
        self.next_line += 1;
        Kind::Output { first_line, text: text.to_owned() }
    }

    /// What is left, at the end.
    pub fn flush(&mut self) -> Option<Kind> {
        let rest = std::mem::take(&mut self.held);
        self.show(&rest)
    }

    fn show(&mut self, text: &str) -> Option<Kind> {
        if text.is_empty() {
            return None;
        }
        let masked = self.masker.mask(text);
        let first_line = self.next_line;
        let mut shown = String::with_capacity(masked.len());
        for line in masked.lines() {
            self.tail.push(line);
            let mut line = line.to_owned();
            lines::cut(&mut line);
            if self.next_line > first_line {
                shown.push('\n');
            }
            shown.push_str(&line);
            self.next_line += 1;
        }
        Some(Kind::Output { first_line, text: shown })
    }
}

/// Into the container's log. Nobody listening is no reason to stop.
pub fn log(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Secret;

    #[test]
    fn lines_are_numbered_on() {
        let masker = Masker::new(&[]);
        let mut output = Output::new(&masker);
        assert_eq!(output.take(b"a\nb"), Some(Kind::Output { first_line: 1, text: "a\nb".to_owned() }));
        assert_eq!(output.take(b"c"), Some(Kind::Output { first_line: 3, text: "c".to_owned() }));
        assert_eq!(output.flush(), None);
    }

    #[test]
    fn a_value_that_comes_in_two_reads_is_hidden() {
        let masker = Masker::new(&[Secret { name: "s".to_owned(), value: b"one two\nthree four".to_vec() }]);
        let mut output = Output::new(&masker);
        assert_eq!(output.take(b"x\none two"), Some(Kind::Output { first_line: 1, text: "x".to_owned() }));
        assert_eq!(
            output.take(b"three four\ny"),
            Some(Kind::Output { first_line: 2, text: "********\ny".to_owned() })
        );
    }

    #[test]
    fn a_secret_at_the_cut_leaves_no_head() {
        let masker = Masker::new(&[Secret { name: "s".to_owned(), value: b"topsecretvalue".to_vec() }]);
        let mut output = Output::new(&masker);
        let line = format!("{}topsecretvalue", "x".repeat(lines::LINE_LIMIT - 4));
        let Some(Kind::Output { text, .. }) = output.take(line.as_bytes()) else { panic!("output") };
        assert!(!text.contains("tops"), "{}", &text[text.len() - 60..]);
    }
}
