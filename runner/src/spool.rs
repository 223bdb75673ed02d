//! Numbers events and appends them to the spool, before anything else happens to
//! them. Verbose output stops when the spool is full; results never do.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use jiff::Timestamp;
use protocol::event::{Event, Kind};

use crate::deliver::Bell;

/// Bytes of spool beyond which output is no longer kept.
const OUTPUT_CAP: u64 = 256 << 20;
const CAPPED: &str = "[fastDeploy: the output beyond 256 MB is only in the container's log]";

/// The numbered events of one attempt.
pub struct Spool {
    file: File,
    seq: u64,
    bytes: u64,
    capped: bool,
    /// The disk does not take more; what was written stays gapless.
    broken: bool,
    bell: Bell,
}

impl Spool {
    /// An empty one.
    pub fn create(path: &Path, bell: Bell) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Self { file, seq: 0, bytes: 0, capped: false, broken: false, bell })
    }

    /// Numbers an event and writes it. An error is returned once; from then on nothing is written.
    pub fn append(&mut self, mut kind: Kind, at: Timestamp) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        if let Kind::Output { text, .. } = &mut kind
            // Where the last bytes would be enough for a short piece, it stays out, too: it would stand behind a gap.
            && (self.capped || self.bytes + text.len() as u64 > OUTPUT_CAP)
        {
            if self.capped {
                return Ok(());
            }
            self.capped = true;
            CAPPED.clone_into(text);
        }
        let finished = matches!(kind, Kind::Finished { .. });
        let mut line = serde_json::to_vec(&Event { seq: self.seq + 1, at, kind })?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            self.broken = true;
            // Half a line would be a broken event.
            let _ = self.file.set_len(self.bytes);
            // Nothing more will come.
            self.bell.wrote(self.seq, true);
            return Err(error);
        }
        self.seq += 1;
        self.bytes += line.len() as u64;
        self.bell.wrote(self.seq, finished);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Kind {
        Kind::Output { first_line: 1, text: text.to_owned() }
    }

    #[test]
    fn events_are_numbered_without_gaps_even_where_output_was_dropped() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        let mut spool = Spool::create(&path, Bell::default()).expect("created");
        spool.append(output("a"), Timestamp::UNIX_EPOCH).expect("written");
        spool.bytes = OUTPUT_CAP - 1;
        for text in ["too long", "b", "", "too long"] {
            spool.append(output(text), Timestamp::UNIX_EPOCH).expect("written");
            // The marker itself counts, and leaves as much room as there was.
            spool.bytes = OUTPUT_CAP - 1;
        }
        spool
            .append(
                Kind::StepFinished { key: "k".to_owned(), state: protocol::verdict::StepState::Succeeded },
                Timestamp::UNIX_EPOCH,
            )
            .expect("written");
        let text = std::fs::read_to_string(&path).expect("spool");
        let events: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(events[1].kind, output(CAPPED));
    }
}
