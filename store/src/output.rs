//! Output of runs: lines, in zstd chunks of at most [`MAX_CHUNK`] bytes of text; a longer line has a
//! chunk of its own.

use std::io::Read;

use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Bytes of text in one chunk.
pub const MAX_CHUNK: usize = 64 * 1024;
/// Bytes that a chunk may inflate to: one line, as long as a report can be.
const MAX_INFLATED: u64 = 48 << 20;
/// Bytes of text in one answer; a longer line goes alone.
const MAX_READ: usize = 4 << 20;
/// Chunks that are read at once.
const AT_ONCE: i64 = 64;
/// Characters of a line that was found.
const MAX_HIT: usize = 2_000;
/// Fast: chunks are written by the thousand and read by few.
const LEVEL: i32 = 1;

/// Consecutive lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Number of the first one. Later than asked for where lines are lost.
    pub first: i64,
    /// The lines, without their ends.
    pub lines: Vec<String>,
}

impl Lines {
    /// As a text to be kept; what is lost between `from`, the line that was asked for, and the first one is said.
    pub fn to_text(&self, from: i64) -> String {
        let mut text = String::new();
        if self.first > from {
            text = format!("[lines {from} to {} are lost]\n", self.first - 1);
        }
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Number of the line behind the last one.
    pub fn next(&self) -> i64 {
        self.first + self.lines.len() as i64
    }
}

/// Lines from number `from_line` on: at most `limit_lines`, less where they are very long or some
/// are lost. None: there are none (yet).
pub async fn read(
    pool: &PgPool,
    uid: Uuid,
    attempt: i32,
    from_line: i64,
    limit_lines: i64,
) -> sqlx::Result<Lines> {
    let mut found = Lines { first: from_line.max(1), lines: Vec::new() };
    let (from, limit) = (found.first, usize::try_from(limit_lines).unwrap_or(0));
    if limit == 0 {
        return Ok(found);
    }
    let mut bytes = 0;
    let mut looked = Looked::from(from);
    while let Some(chunk) = looked.next(pool, uid, attempt).await? {
        let next = found.first + found.lines.len() as i64;
        if found.lines.is_empty() {
            found.first = chunk.first_line.max(from);
        } else if chunk.first_line != next {
            break;
        }
        let text = inflate(&chunk.content).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let skip = usize::try_from(from - chunk.first_line).unwrap_or(0);
        for line in text.split('\n').skip(skip) {
            bytes += line.len();
            if found.lines.len() == limit || (bytes > MAX_READ && !found.lines.is_empty()) {
                return Ok(found);
            }
            found.lines.push(line.to_owned());
        }
    }
    Ok(found)
}

/// Chunks one after the other, as they are asked for: some at a time, because PostgreSQL sends all that a statement
/// finds, also to whoever has read enough.
struct Looked {
    /// Number of the first line that is not in those before.
    from: i64,
    there: std::vec::IntoIter<Chunk>,
    /// Behind those that are there are none.
    last: bool,
}

impl Looked {
    fn from(from: i64) -> Self {
        Self { from, there: Vec::new().into_iter(), last: false }
    }

    async fn next(&mut self, pool: &PgPool, uid: Uuid, attempt: i32) -> sqlx::Result<Option<Chunk>> {
        loop {
            for chunk in self.there.by_ref() {
                let end = chunk.first_line + i64::from(chunk.lines);
                // The one in which a lost line would be.
                if end > self.from {
                    self.from = end;
                    return Ok(Some(chunk));
                }
            }
            if self.last {
                return Ok(None);
            }
            (self.there, self.last) = self.some(pool, uid, attempt).await?;
        }
    }

    /// The next ones: as many as [`AT_ONCE`] and [`MAX_READ`] allow, but one at least; and whether they are the last.
    async fn some(
        &self,
        pool: &PgPool,
        uid: Uuid,
        attempt: i32,
    ) -> sqlx::Result<(std::vec::IntoIter<Chunk>, bool)> {
        let chunks = sqlx::query_as!(
            Chunk,
            r#"with run as (select day from runs where uid = $1 and attempt = $2),
             next as (
                 select first_line, lines, content from run_output
                 where day = (select day from run) and uid = $1 and attempt = $2
                     and first_line >= coalesce((
                         select max(first_line) from run_output
                         where day = (select day from run) and uid = $1 and attempt = $2 and first_line <= $3
                     ), 0)
                 order by first_line limit $4
             )
             select first_line as "first_line!", lines as "lines!", content as "content!" from (
                 select *, sum(octet_length(content)) over (order by first_line) - octet_length(content) as before from next
             ) as sized
             where before < $5 order by first_line"#,
            uid,
            attempt,
            self.from,
            AT_ONCE,
            MAX_READ as i64
        );
        let chunks = chunks.fetch_all(pool).await?;
        // Fewer may be because they are large: then the next look finds nothing new.
        let last = chunks.iter().all(|chunk| chunk.first_line + i64::from(chunk.lines) <= self.from);
        Ok((chunks.into_iter(), last))
    }
}

/// A line in which something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its number.
    pub line: i64,
    /// It, cut where it is very long.
    pub text: String,
}

/// Lines from number `from_line` on that contain `needle`, whatever the case; at most `limit`.
pub async fn search(
    pool: &PgPool,
    uid: Uuid,
    attempt: i32,
    needle: &str,
    from_line: i64,
    limit: usize,
) -> sqlx::Result<Vec<Hit>> {
    let needle = needle.to_lowercase();
    let mut looked = Looked::from(from_line.max(1));
    let mut hits = Vec::new();
    while let Some(chunk) = looked.next(pool, uid, attempt).await? {
        let text = inflate(&chunk.content).map_err(|error| sqlx::Error::Decode(error.into()))?;
        // Other requests go on while a long output is looked through.
        tokio::task::yield_now().await;
        for (line, text) in (chunk.first_line..).zip(text.split('\n')) {
            if line >= from_line && text.to_lowercase().contains(&needle) {
                hits.push(Hit { line, text: text.chars().take(MAX_HIT).collect() });
                if hits.len() == limit {
                    return Ok(hits);
                }
            }
        }
    }
    Ok(hits)
}

/// How many lines a text has.
pub(crate) fn count(text: &str) -> i64 {
    1 + text.bytes().filter(|&byte| byte == b'\n').count() as i64
}

/// A row of `run_output`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    first_line: i64,
    lines: i32,
    content: Vec<u8>,
}

/// Texts with the numbers of their first lines, in order, as chunks.
pub(crate) fn chunks(texts: &[(i64, &str)]) -> std::io::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let (mut first, mut next, mut text) = (0, 0, String::new());
    let mut close = |first: i64, next: i64, text: &str| -> std::io::Result<()> {
        if next > first {
            let content = zstd::bulk::compress(text.as_bytes(), LEVEL)?;
            chunks.push(Chunk { first_line: first, lines: (next - first) as i32, content });
        }
        Ok(())
    };
    for (first_line, lines) in texts {
        if *first_line != next {
            close(first, next, &text)?;
            text.clear();
            (first, next) = (*first_line, *first_line);
        }
        for line in lines.split('\n') {
            if next > first && text.len() + 1 + line.len() > MAX_CHUNK {
                close(first, next, &text)?;
                text.clear();
                first = next;
            }
            if next > first {
                text.push('\n');
            }
            text.push_str(line);
            next += 1;
        }
    }
    close(first, next, &text)?;
    Ok(chunks)
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    day: Date,
    uid: Uuid,
    attempt: i32,
    chunks: Vec<Chunk>,
) -> sqlx::Result<()> {
    let Columns { first_lines, lines, content } = Columns::of(chunks);
    sqlx::query!(
        "insert into run_output (day, uid, attempt, first_line, lines, content)
         select $1, $2, $3, first_line, lines, content
         from unnest($4::bigint[], $5::integer[], $6::bytea[]) as chunk (first_line, lines, content)",
        day.to_sqlx() as _,
        uid,
        attempt,
        &first_lines,
        &lines,
        &content
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Chunks as PostgreSQL takes many at once.
pub(crate) struct Columns {
    pub(crate) first_lines: Vec<i64>,
    pub(crate) lines: Vec<i32>,
    pub(crate) content: Vec<Vec<u8>>,
}

impl Columns {
    pub(crate) fn of(chunks: Vec<Chunk>) -> Self {
        Self {
            first_lines: chunks.iter().map(|chunk| chunk.first_line).collect(),
            lines: chunks.iter().map(|chunk| chunk.lines).collect(),
            content: chunks.into_iter().map(|chunk| chunk.content).collect(),
        }
    }
}

fn inflate(content: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    zstd::stream::read::Decoder::new(content)?.take(MAX_INFLATED + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_INFLATED {
        return Err(std::io::Error::other("a chunk of output inflates beyond all bounds"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[Chunk]) -> Vec<(i64, String)> {
        let mut lines = Vec::new();
        for chunk in chunks {
            let text = inflate(&chunk.content).unwrap();
            assert_eq!(count(&text), i64::from(chunk.lines));
            assert!(text.len() <= MAX_CHUNK || chunk.lines == 1, "{} bytes", text.len());
            lines.extend(
                text.split('\n').enumerate().map(|(n, l)| (chunk.first_line + n as i64, l.to_owned())),
            );
        }
        lines
    }

    #[test]
    fn texts_that_follow_each_other_share_a_chunk_others_do_not() {
        let made = chunks(&[(1, "a\nb"), (3, ""), (4, "c"), (9, "d")]).unwrap();
        assert_eq!(made.iter().map(|c| (c.first_line, c.lines)).collect::<Vec<_>>(), [(1, 4), (9, 1)]);
        assert!(chunks(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_goes_alone() {
        let long = "x".repeat(MAX_CHUNK + 1);
        let made = chunks(&[(1, &format!("a\n{long}\nb"))]).unwrap();
        assert_eq!(
            made.iter().map(|c| (c.first_line, c.lines)).collect::<Vec<_>>(),
            [(1, 1), (2, 1), (3, 1)]
        );
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = zstd::bulk::compress(&vec![b' '; (MAX_INFLATED + 2) as usize], LEVEL).unwrap();
        assert!(bomb.len() < 100_000);
        assert!(inflate(&bomb).is_err());
    }

    proptest! {
        #[test]
        fn every_line_comes_back_under_its_number(
            texts in prop::collection::vec((0..3_i64, "[a-z\n]{0,40}", 1..2_000_usize), 0..20),
        ) {
            let texts: Vec<(i64, String)> = texts.into_iter().scan(1, |next, (skip, text, times)| {
                let text = text.repeat(times);
                let first = *next + skip;
                *next = first + count(&text);
                Some((first, text))
            }).collect();
            let expected: Vec<(i64, String)> = texts.iter().flat_map(|(first, text)| {
                text.split('\n').enumerate().map(|(n, l)| (first + n as i64, l.to_owned())).collect::<Vec<_>>()
            }).collect();
            let borrowed: Vec<(i64, &str)> = texts.iter().map(|(first, text)| (*first, text.as_str())).collect();
            prop_assert_eq!(lines_of(&chunks(&borrowed).unwrap()), expected);
        }
    }
}
