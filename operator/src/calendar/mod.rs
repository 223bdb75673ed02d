//! When something may or should happen, in the time zones of people. Pure.

pub mod schedule;
pub mod windows;

use jiff::tz::TimeZone;

use frozen::Fault;

/// A time zone by its IANA name.
fn zone(name: &str, field: &str) -> Result<TimeZone, Fault> {
    TimeZone::get(name).map_err(|_| Fault {
        reason: crds::Reason::InvalidSpec,
        message: format!("{field}: {name} is no time zone; write one as Europe/Berlin, or UTC"),
    })
}
