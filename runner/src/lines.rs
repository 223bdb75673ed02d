//! Reads a pipe line by line without ever holding more than one cut line: Ansible
//! can print 10 MB in one, NULs, and bytes that are no text.

use std::io::{self, Read};

/// What is shown of one line; more is cut.
pub const LINE_LIMIT: usize = 64 * 1024;
/// Stands where a line was cut.
const CUT: &str = " … [line cut by fastDeploy]";

/// Splits a stream into lines.
pub struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    /// The line that has begun.
    line: Vec<u8>,
    /// Bytes kept of one line.
    keep: usize,
}

impl<R: Read> Lines<R> {
    /// Keeps up to so many bytes of each line; the rest of a longer one is dropped.
    pub fn new(from: R, keep: usize) -> Self {
        Self { from, buffer: vec![0; 64 * 1024], line: Vec::new(), keep }
    }

    /// Waits for bytes and hands over each line that they complete, without its newline.
    /// False at the end, after a last line without one.
    pub fn read(&mut self, mut each: impl FnMut(Vec<u8>)) -> io::Result<bool> {
        let count = match self.from.read(&mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other?,
        };
        if count == 0 {
            if !self.line.is_empty() {
                each(std::mem::take(&mut self.line));
            }
            return Ok(false);
        }
        let mut rest = &self.buffer[..count];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            take(&mut self.line, &rest[..end], self.keep);
            each(std::mem::take(&mut self.line));
            rest = &rest[end + 1..];
        }
        take(&mut self.line, rest, self.keep);
        Ok(true)
    }
}

fn take(line: &mut Vec<u8>, bytes: &[u8], keep: usize) {
    let room = keep.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// As text that every database takes.
pub fn to_text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.strip_suffix('\r').unwrap_or(&text).replace('\0', "\u{fffd}")
}

/// Cuts a masked line to what is shown.
pub fn cut(line: &mut String) {
    if line.len() > LINE_LIMIT {
        line.truncate(crate::mask::floor(line, LINE_LIMIT));
        line.push_str(CUT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8], keep: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(bytes, keep);
        let mut read = Vec::new();
        while lines.read(|line| read.push(line)).expect("memory") {}
        read
    }

    #[test]
    fn ten_megabytes_in_one_line_are_cut() {
        let mut bytes = vec![b'x'; 10 << 20];
        bytes.extend(b"\nnext");
        let read = lines(&bytes, 100_000);
        assert_eq!((read[0].len(), read[1].as_slice()), (100_000, b"next".as_slice()));
        let mut text = to_text(&read[0]);
        cut(&mut text);
        assert_eq!(text.len(), LINE_LIMIT + CUT.len());
    }

    #[test]
    fn what_is_no_text_becomes_text() {
        assert_eq!(to_text(b"a\0b\xffc\r"), "a\u{fffd}b\u{fffd}c");
    }

    proptest! {
        #[test]
        fn every_line_arrives(parts in prop::collection::vec("[a-z]{0,50}", 1..50)) {
            let mut expected: Vec<&str> = parts.iter().map(String::as_str).collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let read: Vec<String> = lines(parts.join("\n").as_bytes(), 1_000).iter().map(|l| to_text(l)).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
