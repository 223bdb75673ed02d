//! Durations as people write them in a manifest: `90s`, `30m`, `1h30m`.

use std::time::Duration;

/// Hours, minutes and seconds, each at most once, in this order. The CRD's pattern is the same.
pub const PATTERN: &str = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$";

/// Not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a duration; write hours, minutes or seconds, for example 30m or 1h30m")]
pub struct InvalidDuration(String);

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(40).collect());
    let mut seconds: u64 = 0;
    let mut rest = text;
    let mut units = [('h', 3_600), ('m', 60), ('s', 1)].into_iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit = rest[digits..].chars().next().ok_or_else(invalid)?;
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        seconds =
            number.checked_mul(factor).and_then(|more| seconds.checked_add(more)).ok_or_else(invalid)?;
        rest = &rest[digits + 1..];
    }
    if text.is_empty() { Err(invalid()) } else { Ok(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_mins(90)));
        for bad in ["", "5", "m", "1m1h", "1d", "-1s", "1.5h", "30 m", "1m1m"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
