//! What a runner reports, parsed once: a body becomes a [`NewReport`], or a refusal.

use std::io::Read;

use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use protocol::PROTOCOL;
use protocol::event::{Event, Kind};
use protocol::report::{MAX_INFLATED_BYTES, Report};
use serde::Deserialize;
use store::events::{Body, NewEvent};
use store::runs::NewReport;
use uuid::Uuid;

use crate::claim::answer::Refusal;
use crate::identity::token::RunClaims;

/// A report that may be stored, and its events as they came.
#[derive(Debug)]
pub struct Parsed {
    /// For the store.
    pub report: NewReport,
    /// For whoever follows the run here.
    pub events: Vec<Event>,
}

/// From the token's word on who reports, and the body.
pub fn parse(claims: &RunClaims, zstd: bool, body: &[u8]) -> Result<Parsed, Refusal> {
    let uid = uid(claims)?;
    let Report { instance, first_available, first_seq, events, .. } =
        if zstd { read(&inflate(body)?)? } else { read(body)? };
    if instance != claims.instance {
        return Err(Refusal::fenced("The token was given to another process."));
    }
    let number = |seq: u64| i64::try_from(seq).ok().filter(|seq| (1..i64::MAX / 2).contains(seq));
    let (Some(first_available), Some(_)) = (number(first_available), number(first_seq)) else {
        return Err(Refusal::bad_request("firstAvailable, firstSeq: write numbers from 1."));
    };
    let in_order = events.iter().enumerate().all(|(n, event)| event.seq == first_seq + n as u64);
    if !in_order {
        return Err(Refusal::bad_request("events: number them from firstSeq on, without gaps."));
    }
    let last = events.iter().position(|event| matches!(event.kind, Kind::Finished { .. }));
    if last.is_some_and(|last| last + 1 != events.len()) {
        return Err(Refusal::bad_request("events: nothing may follow the final report."));
    }
    let issued = Timestamp::from_second(claims.iat).unwrap_or(Timestamp::UNIX_EPOCH);
    let report = NewReport {
        uid,
        attempt: i32::try_from(claims.attempt).unwrap_or(i32::MAX),
        instance,
        namespace: claims.ns.clone(),
        day: issued.to_zoned(TimeZone::UTC).date(),
        first_available,
        finished: last.is_some(),
        events: events.iter().map(stored).collect::<Result<_, _>>()?,
    };
    Ok(Parsed { report, events })
}

/// Of which run.
pub fn uid(claims: &RunClaims) -> Result<Uuid, Refusal> {
    Uuid::parse_str(&claims.sub).map_err(|_| Refusal::bad_request("The path names no run: write its uid."))
}

fn stored(event: &Event) -> Result<NewEvent, Refusal> {
    let body = match &event.kind {
        Kind::Output { first_line, text } => {
            let first_line = i64::try_from(*first_line).ok().filter(|line| *line > 0);
            let first_line =
                first_line.ok_or_else(|| Refusal::bad_request("events: firstLine is a number from 1."))?;
            Body::Output { first_line, text: text.clone() }
        }
        kind => {
            let json =
                serde_json::to_string(kind).map_err(|error| Refusal::bad_request(error.to_string()))?;
            // PostgreSQL's JSON knows no NUL.
            Body::Json(if json.contains("\\u0000") { json.replace("\\u0000", "\\ufffd") } else { json })
        }
    };
    Ok(NewEvent { seq: event.seq as i64, at: event.at, body })
}

/// The version is looked at first: another one may have another shape.
fn read(json: &[u8]) -> Result<Report, Refusal> {
    #[derive(Deserialize)]
    struct Version {
        protocol: u32,
    }
    let wrong =
        |error: serde_json::Error| Refusal::bad_request(format!("The body is not a report: {error}."));
    let Version { protocol } = serde_json::from_slice(json).map_err(wrong)?;
    if protocol != PROTOCOL {
        return Err(Refusal::bad_request(format!(
            "protocol: this server speaks {PROTOCOL}, not {protocol}."
        )));
    }
    serde_json::from_slice(json).map_err(wrong)
}

fn inflate(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let wrong = |_| Refusal::bad_request("The body is not compressed as its content-encoding says (zstd).");
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(body).map_err(wrong)?;
    decoder.take(MAX_INFLATED_BYTES as u64 + 1).read_to_end(&mut json).map_err(wrong)?;
    if json.len() > MAX_INFLATED_BYTES {
        let message = format!("A report has at most {MAX_INFLATED_BYTES} bytes.");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", message));
    }
    Ok(json)
}
