//! Short texts for people, and what Ansible printed last.

use std::collections::VecDeque;

/// At most so many characters, without the ends of lines and the spaces that surround them.
pub fn short(text: &str, characters: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(characters.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The last lines of output and the last error that Ansible printed, masked.
#[derive(Debug, Default)]
pub struct Tail {
    last: VecDeque<String>,
    error: Vec<String>,
}

const LAST_LINES: usize = 8;
const ERROR_LINES: usize = 8;
const LINE: usize = 400;

impl Tail {
    /// Takes a line of output in.
    pub fn push(&mut self, line: &str) {
        let line = line.trim_end();
        if line.starts_with("[ERROR]") || line.starts_with("ERROR!") {
            self.error.clear();
            self.error.push(short(line, LINE));
        } else if !self.error.is_empty() && self.error.len() < ERROR_LINES && !line.is_empty() {
            self.error.push(short(line, LINE));
        }
        if !line.is_empty() {
            self.last.push_back(short(line, LINE));
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
    }

    /// What Ansible called an error, if anything.
    pub fn error(&self) -> Option<String> {
        let error = self.error.join("\n");
        let plain = error.trim_start_matches("[ERROR]:").trim_start_matches("ERROR!").trim();
        (!plain.is_empty()).then(|| plain.to_owned())
    }

    /// The last lines.
    pub fn last(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(short("  äöü  ", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äö…");
    }

    #[test]
    fn the_last_error_is_kept_with_its_place() {
        let mut tail = Tail::default();
        for line in
            ["PLAY", "[ERROR]: first", "[ERROR]: YAML parsing failed", "Origin: deploy.yml:3:1", "", "3 x"]
        {
            tail.push(line);
        }
        assert_eq!(tail.error().expect("an error"), "YAML parsing failed\nOrigin: deploy.yml:3:1\n3 x");
    }
}
