//! A zip that is made as it is sent: what is written into it can be taken out at once, so that however much goes through, little
//! of it is in memory. Each file is hashed on its way.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name in the archive.
    pub name: String,
    /// How long it is, unpacked.
    pub bytes: u64,
    /// The hash of what it holds.
    pub sha256: String,
}

/// A zip that is being made.
pub struct Archive {
    zip: ZipWriter<StreamWriter<Sink>>,
    sink: Sink,
    options: SimpleFileOptions,
    open: Option<(String, u64, Sha256)>,
    /// Those that are complete.
    pub entries: Vec<Entry>,
}

impl Archive {
    /// Its files are of this time.
    pub fn new(at: Timestamp) -> Self {
        let sink = Sink::default();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // Nobody knows beforehand how long an output is.
            .large_file(true)
            .unix_permissions(0o644)
            .last_modified_time(time(at));
        Self { zip: ZipWriter::new_stream(sink.clone()), sink, options, open: None, entries: Vec::new() }
    }

    /// What is written from now on stands in this file.
    pub fn begin(&mut self, name: &str) -> io::Result<()> {
        self.end();
        self.zip.start_file(name, self.options)?;
        self.open = Some((name.to_owned(), 0, Sha256::new()));
        Ok(())
    }

    /// Into the file that is open.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let Some((_, bytes, hash)) = &mut self.open else {
            return Err(io::Error::other("no file of the archive is open"));
        };
        *bytes += content.len() as u64;
        hash.update(content);
        self.zip.write_all(content)
    }

    /// The file that is open is complete.
    pub fn end(&mut self) {
        if let Some((name, bytes, hash)) = self.open.take() {
            self.entries.push(Entry { name, bytes, sha256: hex::encode(hash.finalize()) });
        }
    }

    /// What is ready to be sent.
    pub fn take(&mut self) -> Vec<u8> {
        self.sink.take()
    }

    /// The last of it.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end();
        self.zip.finish()?;
        Ok(self.sink.take())
    }
}

/// Bytes that wait to be sent.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As a zip writes it; one before 1980 it cannot.
fn time(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    let part = |part: i8| part.unsigned_abs();
    let (year, month, day) = (at.year().unsigned_abs(), part(at.month()), part(at.day()));
    DateTime::from_date_and_time(year, month, day, part(at.hour()), part(at.minute()), part(at.second()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    #[test]
    fn what_was_written_can_be_read_and_little_is_kept() {
        let mut archive = Archive::new(Timestamp::from_second(1_800_000_000).unwrap());
        assert!(archive.write(b"nowhere").is_err());
        let (mut sent, mut most) = (Vec::new(), 0);
        archive.begin("output.txt").unwrap();
        for n in 0..200_u32 {
            archive.write(&n.to_le_bytes().repeat(20_000)).unwrap();
            let ready = archive.take();
            most = most.max(ready.len());
            sent.extend(ready);
        }
        archive.begin("empty.txt").unwrap();
        archive.end();
        let entries = archive.entries.clone();
        sent.extend(archive.finish().unwrap());
        assert!(most < 1 << 20, "{most}");
        assert_eq!(
            entries.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect::<Vec<_>>(),
            [("output.txt", 16_000_000), ("empty.txt", 0)]
        );

        let mut read = zip::ZipArchive::new(Cursor::new(sent)).unwrap();
        for entry in entries {
            let mut content = Vec::new();
            read.by_name(&entry.name).unwrap().read_to_end(&mut content).unwrap();
            assert_eq!(
                (content.len() as u64, hex::encode(Sha256::digest(&content))),
                (entry.bytes, entry.sha256)
            );
        }
    }
}
