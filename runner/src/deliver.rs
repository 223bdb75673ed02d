//! Delivers what is spooled to the api-server, and never holds Ansible up. The spool stays the one
//! truth: batches are read back from it, so nothing is kept in memory and anything can be sent again.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc::SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use protocol::report::{self, Acked, FOLLOWED_WITHIN, Followed, MAX_REPORT_BYTES};
use ureq::Agent;

use crate::{claim::jittered, clock, run::Input};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is obeyed.
const LONGEST_WISH: Duration = Duration::from_secs(30);
/// How often the log says that the server is not to be had.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// Every so many events, their place in the spool is remembered.
const MARK_EVERY: u64 = 1_000;

/// How long the next report waits for more to go with it: each costs runner, server and database their time, often on
/// machines that Ansible needs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gather {
    at_most: Duration,
    events: u64,
}

impl Gather {
    /// Somebody is watching, or it is late already.
    const NOT: Self = Self { at_most: Duration::ZERO, events: 0 };
    /// Nobody is: a moment later is soon enough, or when somebody comes.
    const ALONE: Self = Self { at_most: Duration::from_secs(1), events: 250 };
}

/// What was written to the spool so far, and who wants to see it.
#[derive(Default)]
struct Written {
    seq: u64,
    finished: bool,
    /// Somebody came to watch, since it was said that nobody does.
    watched: bool,
    /// Whether somebody comes is being asked.
    asking: bool,
}

/// Tells the delivery what there is to deliver.
#[derive(Clone, Default)]
pub struct Bell(Arc<(Mutex<Written>, Condvar)>);

impl Bell {
    /// An event was written.
    pub fn wrote(&self, seq: u64, finished: bool) {
        let (written, bell) = &*self.0;
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        (written.seq, written.finished) = (seq, finished);
        bell.notify_one();
    }

    /// Nobody watches. Answers whether it is to be asked from now on when somebody does.
    fn alone(&self) -> bool {
        let mut written = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.watched = false;
        !std::mem::replace(&mut written.asking, true)
    }

    /// Somebody watches, and that is not asked any more.
    fn watched(&self) {
        let (written, bell) = &*self.0;
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        (written.watched, written.asking) = (true, false);
        bell.notify_one();
    }

    /// Waits until there is more than was acknowledged, and a moment more for what goes with it, but never with the end.
    /// None: there is nothing more to come.
    fn more_than(&self, acked: u64, gather: Gather) -> Option<u64> {
        let (written, bell) = &*self.0;
        let written = written.lock().unwrap_or_else(PoisonError::into_inner);
        let written = bell
            .wait_while(written, |written| written.seq <= acked && !written.finished)
            .unwrap_or_else(PoisonError::into_inner);
        let enough = acked.saturating_add(gather.events);
        let is_few = |written: &mut Written| written.seq <= enough && !written.finished && !written.watched;
        let (written, _) =
            bell.wait_timeout_while(written, gather.at_most, is_few).unwrap_or_else(PoisonError::into_inner);
        (written.seq > acked).then_some(written.seq)
    }
}

/// Where and as whom to deliver.
pub struct Delivery {
    /// Trusts only the authority that the pod was given.
    pub agent: Agent,
    /// Of this attempt.
    pub place: Place,
    /// The deployment token of the claim.
    pub token: String,
    /// This process.
    pub instance: String,
    /// The events, one JSON object per line.
    pub spool: PathBuf,
}

/// Where the server hears of one attempt.
pub struct Place {
    /// What takes reports.
    reports: String,
    /// What says that somebody watches.
    followed: String,
}

impl Place {
    /// Below the server's URL.
    pub fn of(api_url: &str, run_uid: &str, attempt: u32) -> Self {
        Self {
            reports: format!("{api_url}{}", report::path(run_uid, attempt)),
            followed: format!("{api_url}{}", report::followed_path(run_uid, attempt)),
        }
    }
}

/// Whether somebody watches.
enum Somebody {
    Watches,
    NotYet,
    /// This server does not say it.
    Unsaid,
}

/// What one report came to.
#[derive(Debug, PartialEq)]
enum Answer {
    Acked(Acked),
    /// No report will ever be taken again.
    Over(String),
    TryAgain(String, Option<Duration>),
}

impl Delivery {
    /// Delivers on a thread of its own, until all is delivered or nothing is taken any more; then says so.
    pub fn start(self, bell: Bell, tell: SyncSender<Input>) -> JoinHandle<()> {
        thread::spawn(move || {
            match Arc::new(self).deliver(&bell) {
                Ok(()) => {}
                Err(why) => eprintln!("fastdeploy: the reports of this run are not delivered: {why}"),
            }
            let _ = tell.send(Input::Delivered);
        })
    }

    fn deliver(self: &Arc<Self>, bell: &Bell) -> Result<(), String> {
        let mut spool =
            SpoolReader::open(&self.spool).map_err(|e| format!("failed to read the spool: {e}"))?;
        let (mut acked, mut pause, mut away) = (0, FIRST_PAUSE, Away::default());
        // Nothing yet: it opens the connection and makes the run known, so that the first event finds both.
        if let Answer::Over(why) = self.send(1, &[]) {
            return Err(why);
        }
        let mut gather = Gather::NOT;
        while let Some(written) = bell.more_than(acked, gather) {
            let (events, last) =
                spool.batch(acked + 1, written).map_err(|e| format!("failed to read the spool: {e}"))?;
            match self.send(acked + 1, &events) {
                // Lower than before: the server lost what it had, and takes up where we say.
                Answer::Acked(Acked { acked: now, followed }) if now <= last => {
                    gather = if followed || now < written {
                        Gather::NOT
                    } else {
                        self.alone(bell);
                        Gather::ALONE
                    };
                    if now == acked {
                        thread::sleep(jittered(pause));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    } else {
                        pause = FIRST_PAUSE;
                    }
                    acked = now;
                    away = Away::default();
                }
                Answer::Acked(Acked { acked, .. }) => {
                    return Err(format!("event {acked} was acknowledged, which was never sent"));
                }
                Answer::Over(why) => return Err(why),
                Answer::TryAgain(why, wish) => {
                    away.say(&why);
                    thread::sleep(wish.unwrap_or_else(|| jittered(pause)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Has it said from now on when somebody comes to watch.
    fn alone(self: &Arc<Self>, bell: &Bell) {
        if bell.alone() {
            let (delivery, bell) = (Arc::clone(self), bell.clone());
            thread::spawn(move || delivery.wait_for_somebody(&bell));
        }
    }

    /// A server that cannot say it is not asked again: then news are a moment late for whoever comes.
    fn wait_for_somebody(&self, bell: &Bell) {
        loop {
            match self.somebody() {
                Ok(Somebody::Watches) => return bell.watched(),
                // Whatever it said that at once would be asked all day.
                Ok(Somebody::NotYet) => thread::sleep(FIRST_PAUSE),
                Ok(Somebody::Unsaid) => return,
                Err(_) => thread::sleep(jittered(LONGEST_PAUSE)),
            }
        }
    }

    /// Waits as long as the server does.
    fn somebody(&self) -> Result<Somebody, ureq::Error> {
        let asked = self
            .agent
            .get(&self.place.followed)
            .config()
            .timeout_global(Some(FOLLOWED_WITHIN + LONGEST_PAUSE))
            .build()
            .header("authorization", format!("Bearer {}", self.token))
            .call();
        let mut response = asked?;
        let status = response.status().as_u16();
        if status == 429 || status >= 500 {
            return Err(ureq::Error::StatusCode(status));
        }
        let answer = response.body_mut().read_to_vec()?;
        Ok(match serde_json::from_slice::<Followed>(&answer) {
            Ok(Followed { followed: true }) if status == 200 => Somebody::Watches,
            Ok(Followed { followed: false }) if status == 200 => Somebody::NotYet,
            _ => Somebody::Unsaid,
        })
    }

    fn send(&self, first_seq: u64, events: &[u8]) -> Answer {
        // The events stand in the spool as JSON: they are passed on as they are.
        let mut body = format!(
            r#"{{"protocol":{},"instance":"{}","firstAvailable":1,"firstSeq":{first_seq},"events":["#,
            protocol::PROTOCOL,
            self.instance
        )
        .into_bytes();
        body.extend_from_slice(events);
        body.extend_from_slice(b"]}");
        let compressed = match zstd::bulk::compress(&body, 1) {
            Ok(compressed) => compressed,
            Err(error) => return Answer::Over(format!("failed to compress: {error}")),
        };
        let sent = self
            .agent
            .post(&self.place.reports)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("content-encoding", "zstd")
            .send(&compressed);
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => {
                return Answer::TryAgain(format!("failed to reach {}: {error}", self.place.reports), None);
            }
        };
        let status = response.status().as_u16();
        let wish =
            response.headers().get("retry-after").and_then(|wish| wish.to_str().ok()).map(str::to_owned);
        match response.body_mut().read_to_vec() {
            Ok(body) => read(status, wish.as_deref(), &body),
            Err(error) => Answer::TryAgain(format!("failed to read the answer: {error}"), None),
        }
    }
}

/// What an answer means.
fn read(status: u16, wish: Option<&str>, body: &[u8]) -> Answer {
    let seconds = wish.and_then(|wish| wish.parse().ok()).map(Duration::from_secs);
    let wish = seconds.map(|wish| wish.min(LONGEST_WISH));
    match status {
        200 => match serde_json::from_slice::<Acked>(body) {
            Ok(acked) => Answer::Acked(acked),
            Err(error) => Answer::TryAgain(format!("failed to understand the answer: {error}"), None),
        },
        404 => Answer::Over("the server takes no reports".to_owned()),
        409 => Answer::Over("another process has this attempt".to_owned()),
        410 => Answer::Over("the server has the last report already".to_owned()),
        400 | 413 | 422 => Answer::Over(format!("the server does not understand them ({status})")),
        _ => Answer::TryAgain(format!("the answer was {status}"), wish),
    }
}

/// Since when the server is not to be had, and when that was said last.
#[derive(Default)]
struct Away {
    since: Option<Duration>,
    said: Option<Duration>,
}

impl Away {
    fn say(&mut self, why: &str) {
        let now = clock::boottime();
        let since = *self.since.get_or_insert(now);
        if self.said.is_none_or(|said| now.saturating_sub(said) >= SAY_EVERY) {
            eprintln!(
                "fastdeploy: reports wait since {} s, the run goes on: {why}",
                now.saturating_sub(since).as_secs()
            );
            self.said = Some(now);
        }
    }
}

/// Reads events back. Remembers the places of a few, to be able to go back.
struct SpoolReader {
    file: BufReader<File>,
    /// Number of the event that is read next.
    next: u64,
    /// Where it begins.
    at: u64,
    /// Numbers of events and where they begin.
    marks: Vec<(u64, u64)>,
}

impl SpoolReader {
    fn open(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::new(File::open(path)?), next: 1, at: 0, marks: vec![(1, 0)] })
    }

    /// Events from `first` on, at most up to `last`, joined by commas; and the number of the last of them.
    fn batch(&mut self, first: u64, last: u64) -> io::Result<(Vec<u8>, u64)> {
        self.go_to(first)?;
        let (mut events, mut line) = (Vec::new(), Vec::new());
        while self.next <= last {
            let (next, at) = (self.next, self.at);
            self.line(&mut line)?;
            if !events.is_empty() && events.len() + line.len() > MAX_REPORT_BYTES {
                self.file.seek(SeekFrom::Start(at))?;
                (self.next, self.at) = (next, at);
                break;
            }
            if !events.is_empty() {
                events.push(b',');
            }
            events.append(&mut line);
        }
        Ok((events, self.next - 1))
    }

    fn go_to(&mut self, seq: u64) -> io::Result<()> {
        if seq == self.next {
            return Ok(());
        }
        let place = self.marks.partition_point(|(mark, _)| *mark <= seq);
        (self.next, self.at) = self.marks[place.saturating_sub(1)];
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut line = Vec::new();
        while self.next < seq {
            self.line(&mut line)?;
        }
        Ok(())
    }

    /// The next event, without its end of line.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        let bytes = self.file.read_until(b'\n', line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an event is missing"));
        }
        self.next += 1;
        self.at += bytes as u64;
        if self.next % MARK_EVERY == 1 && self.marks.last().is_some_and(|(mark, _)| *mark < self.next) {
            self.marks.push((self.next, self.at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn spool(events: u64, size: usize) -> (tempfile::TempDir, SpoolReader) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        let mut file = File::create(&path).expect("created");
        for seq in 1..=events {
            writeln!(file, r#"{{"seq":{seq},"x":"{}"}}"#, "x".repeat(size)).expect("written");
        }
        let reader = SpoolReader::open(&path).expect("opened");
        (dir, reader)
    }

    fn numbers(batch: &[u8]) -> Vec<u64> {
        let batch: Vec<serde_json::Value> =
            serde_json::from_slice(&[b"[", batch, b"]"].concat()).expect("JSON");
        batch.iter().map(|event| event["seq"].as_u64().expect("a number")).collect()
    }

    #[test]
    fn batches_follow_each_other_and_are_not_too_large() {
        let (_dir, mut reader) = spool(3_000, 1_000);
        let mut seen = Vec::new();
        while seen.len() < 3_000 {
            let (batch, last) = reader.batch(seen.len() as u64 + 1, 3_000).expect("a batch");
            assert!(batch.len() <= MAX_REPORT_BYTES);
            seen.extend(numbers(&batch));
            assert_eq!(seen.last(), Some(&last));
        }
        assert_eq!(seen, (1..=3_000).collect::<Vec<_>>());
    }

    #[test]
    fn it_goes_back_to_any_event_and_forth_again() {
        let (_dir, mut reader) = spool(5_000, 10);
        for first in [1, 4_999, 1_000, 1_001, 1_002, 5_000, 1, 2_500, 3] {
            let (batch, last) = reader.batch(first, (first + 7).min(5_000)).expect("a batch");
            assert_eq!(numbers(&batch), (first..=last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_few_are_delivered_without_more_to_come_and_the_end_is_one() {
        let bell = Bell::default();
        bell.wrote(1, false);
        assert_eq!(bell.more_than(0, Gather::NOT), Some(1));
        bell.wrote(3, true);
        let forever = Gather { at_most: Duration::MAX, events: 250 };
        assert_eq!((bell.more_than(2, forever), bell.more_than(3, forever)), (Some(3), None));
    }

    #[test]
    fn where_nobody_watches_much_goes_together_and_the_end_waits_for_nothing() {
        let gather = Gather { at_most: Duration::MAX, events: 3 };
        let bell = Bell::default();
        let writes = {
            let bell = bell.clone();
            thread::spawn(move || (1..=6).for_each(|seq| bell.wrote(seq, seq == 6)))
        };
        let mut seen = 0;
        while let Some(now) = bell.more_than(seen, gather) {
            assert!(now > seen + 3 || now == 6, "{seen} to {now}");
            seen = now;
        }
        writes.join().expect("a writer");
        assert_eq!(seen, 6);
    }

    #[test]
    fn what_waits_for_more_goes_when_somebody_comes_to_watch() {
        let forever = Gather { at_most: Duration::MAX, events: 250 };
        let bell = Bell::default();
        bell.wrote(1, false);
        assert!(bell.alone() && !bell.alone(), "asked once");
        let comes = {
            let bell = bell.clone();
            thread::spawn(move || bell.watched())
        };
        assert_eq!(bell.more_than(0, forever), Some(1));
        comes.join().expect("somebody");
        assert!(bell.alone(), "gone again: asked anew");
    }

    #[test]
    fn one_large_event_goes_alone() {
        let (_dir, mut reader) = spool(2, MAX_REPORT_BYTES * 2);
        assert_eq!(numbers(&reader.batch(1, 2).expect("a batch").0), [1]);
        assert_eq!(numbers(&reader.batch(2, 2).expect("a batch").0), [2]);
    }

    #[test]
    fn answers_are_understood() {
        let acked = |followed| Answer::Acked(Acked { acked: 7, followed });
        assert_eq!(read(200, None, br#"{"acked":7}"#), acked(true));
        assert_eq!(read(200, None, br#"{"acked":7,"followed":false}"#), acked(false));
        assert!(matches!(read(200, None, b"<html>"), Answer::TryAgain(..)));
        for status in [400, 404, 409, 410, 413] {
            assert!(matches!(read(status, None, b""), Answer::Over(_)), "{status}");
        }
        for status in [401, 403, 429, 500, 502, 503] {
            assert!(matches!(read(status, None, b""), Answer::TryAgain(_, None)), "{status}");
        }
        assert!(matches!(read(503, Some("9999"), b""), Answer::TryAgain(_, Some(LONGEST_WISH))));
    }
}
