//! Ticks of a schedule. Pure.

use crds::{Reason, policy::Schedule};
use cronexpr::{Crontab, MakeTimestamp};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use super::zone;
use frozen::Fault;

/// Ticks that were missed are looked through this far back for the last of them.
const FAR_BACK: SignedDuration = SignedDuration::from_hours(26);

/// A schedule that can be read.
#[derive(Debug)]
pub struct Ticks {
    cron: Crontab,
    zone: TimeZone,
}

impl Ticks {
    /// Reads it. Ticks are reckoned on the clock of the wall and only then brought into the zone: an hour
    /// that is left out in spring is caught up right after it, one that comes twice counts once.
    pub fn read(schedule: &Schedule) -> Result<Self, Fault> {
        let zone = zone(&schedule.time_zone, "policy.schedule.timeZone")?;
        let fault = |why: &str| Fault {
            reason: Reason::InvalidSpec,
            message: format!(
                "policy.schedule.cron: `{}` is no schedule ({why}); write minute, hour, day, month and day of the week, for example 0 4 * * *",
                schedule.cron
            ),
        };
        if schedule.cron.split_whitespace().count() != 5 {
            return Err(fault("it takes five words"));
        }
        let cron = cronexpr::parse_crontab(&format!("{} UTC", schedule.cron))
            .map_err(|error| fault(error.to_string().lines().last().unwrap_or_default().trim()))?;
        let ticks = Self { cron, zone };
        // The 31st of February never comes.
        if ticks.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(fault("it never comes"));
        }
        Ok(ticks)
    }

    /// The first tick after a time.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let plain = self.after_from(self.zone.to_datetime(time), time);
        // What spring leaves out is caught up among the ticks that come after it, before or behind them.
        let spring = [Some(time), plain].into_iter().flatten().find_map(|near| self.spring(near, time));
        let Some((begin, end)) = spring else { return plain };
        [plain, self.after_from(begin, time), self.after_from(end, time)].into_iter().flatten().min()
    }

    /// The first tick after a time among those that a wall shows after `wall`.
    fn after_from(&self, mut wall: civil::DateTime, time: Timestamp) -> Option<Timestamp> {
        // A wall that shows the same hour twice gives a tick that has passed already.
        for _ in 0..200 {
            wall = self.next_on_wall(wall)?;
            let tick = self.zone.to_zoned(wall).ok()?.timestamp();
            if tick > time {
                return Some(tick);
            }
        }
        None
    }

    /// Where ticks after `time` begin on the wall before and behind a change to summer time, if `near` is where
    /// that change's left out hour is caught up.
    fn spring(&self, near: Timestamp, time: Timestamp) -> Option<(civil::DateTime, civil::DateTime)> {
        let moment = SignedDuration::from_nanos(1);
        let change = self.zone.preceding(near.checked_add(moment).ok()?).next()?;
        let before = change.timestamp().checked_sub(moment).ok()?;
        let old = self.zone.to_offset(before);
        let left_out = i64::from(change.offset().seconds()) - i64::from(old.seconds());
        let caught_up = change.timestamp().checked_add(SignedDuration::from_secs(left_out.max(0))).ok()?;
        let from = time.max(before);
        (near < caught_up).then(|| (old.to_datetime(from), change.offset().to_datetime(from)))
    }

    /// The last tick that is due, if one was missed since `next` was expected.
    pub fn due(&self, next: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if next > now {
            return None;
        }
        let mut last = next;
        let mut from = next.max(now.saturating_sub(FAR_BACK).unwrap_or(next));
        while let Some(tick) = self.after(from).filter(|tick| *tick <= now) {
            last = tick;
            from = tick;
        }
        Some(last)
    }

    /// Whether it is one of ours: a stored one may be of an earlier schedule.
    pub fn has(&self, tick: Timestamp) -> bool {
        tick.checked_sub(SignedDuration::from_nanos(1)).is_ok_and(|before| self.after(before) == Some(tick))
    }

    fn next_on_wall(&self, wall: civil::DateTime) -> Option<civil::DateTime> {
        let as_if = TimeZone::UTC.to_timestamp(wall).ok()?;
        let next = self.cron.find_next(MakeTimestamp::from(as_if)).ok()?;
        Some(next.datetime())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(cron: &str, zone: &str) -> Ticks {
        Ticks::read(&Schedule { cron: cron.into(), time_zone: zone.into() }).expect("a schedule")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_in_berlin_is_a_day_in_berlin() {
        let daily = ticks("30 2 * * *", "Europe/Berlin");
        // Spring: 02:30 is left out on the 28th, and caught up at 03:30 summer time.
        assert_eq!(daily.after(at("2027-03-27T12:00:00Z")), Some(at("2027-03-28T01:30:00Z")));
        assert_eq!(daily.after(at("2027-03-28T01:30:00Z")), Some(at("2027-03-29T00:30:00Z")));
        // Autumn: 02:30 comes twice on the 31st of October and counts once.
        assert_eq!(daily.after(at("2027-10-30T12:00:00Z")), Some(at("2027-10-31T00:30:00Z")));
        assert_eq!(daily.after(at("2027-10-31T00:30:00Z")), Some(at("2027-11-01T01:30:00Z")));
    }

    #[test]
    fn what_is_caught_up_is_seen_from_within_the_hour() {
        // 02:01 is left out on the 14th of March 2088 and caught up at 03:01; somebody asks at 03:00:59.
        let daily = ticks("1 2 * * *", "America/New_York");
        assert_eq!(daily.after(at("2088-03-14T07:00:59Z")), Some(at("2088-03-14T07:01:00Z")));
        assert_eq!(daily.after(at("2088-03-14T07:01:00Z")), Some(at("2088-03-15T06:01:00Z")));
        // Half an hour is left out: 02:20 is caught up at 02:50, behind the 02:40 that was not left out.
        let island = ticks("20,40 2 * * *", "Australia/Lord_Howe");
        let mut time = at("2027-10-02T15:29:00Z");
        let mut seen = Vec::new();
        for _ in 0..3 {
            time = island.after(time).expect("a tick");
            seen.push(time);
        }
        assert_eq!(
            seen,
            [at("2027-10-02T15:40:00Z"), at("2027-10-02T15:50:00Z"), at("2027-10-03T15:20:00Z")]
        );
    }

    #[test]
    fn every_quarter_of_an_hour_goes_on_through_both_changes() {
        let often = ticks("*/15 * * * *", "Europe/Berlin");
        let mut time = at("2027-03-28T00:50:00Z");
        let mut seen = Vec::new();
        for _ in 0..3 {
            time = often.after(time).expect("a tick");
            seen.push(time);
        }
        assert_eq!(
            seen,
            [at("2027-03-28T01:00:00Z"), at("2027-03-28T01:15:00Z"), at("2027-03-28T01:30:00Z")]
        );
    }

    #[test]
    fn ticks_that_were_missed_run_once_the_last_one() {
        let hourly = ticks("0 * * * *", "UTC");
        let (next, now) = (at("2026-11-20T01:00:00Z"), at("2026-11-23T12:34:00Z"));
        assert_eq!(hourly.due(next, now), Some(at("2026-11-23T12:00:00Z")));
        assert_eq!(hourly.due(at("2026-11-23T13:00:00Z"), now), None);
        let monthly = ticks("0 0 1 * *", "UTC");
        assert_eq!(monthly.due(at("2026-11-01T00:00:00Z"), now), Some(at("2026-11-01T00:00:00Z")));
        assert!(hourly.has(next) && !hourly.has(now));
    }

    #[test]
    fn nonsense_is_told_from_a_schedule() {
        for (cron, zone, word) in [
            ("* * * *", "UTC", "five words"),
            ("61 * * * *", "UTC", "no schedule"),
            ("often", "UTC", "five words"),
            ("0 0 31 2 *", "UTC", "never comes"),
            ("0 4 * * *", "Mars/Base", "no time zone"),
            ("@daily x x x x", "UTC", "no schedule"),
        ] {
            let fault = Ticks::read(&Schedule { cron: cron.into(), time_zone: zone.into() }).expect_err(cron);
            assert!(fault.message.contains(word), "{}", fault.message);
            assert!(!fault.message.contains('\n'), "{}", fault.message);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(cron in ".{0,30}", zone in ".{0,12}") {
            let _ = Ticks::read(&Schedule { cron, time_zone: zone });
        }

        #[test]
        fn the_next_tick_is_later_and_is_one(start in 0_i64..4_000_000_000, minute in 0..60_u8, hour in 0..24_u8, zone in 0..3_usize) {
            let zone = ["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"][zone];
            let ticks = ticks(&format!("{minute} {hour} * * *"), zone);
            let start = Timestamp::from_second(start).expect("a time");
            let next = ticks.after(start).expect("a tick");
            proptest::prop_assert!(next > start && next.duration_since(start) < SignedDuration::from_hours(50));
            proptest::prop_assert!(ticks.has(next));
        }
    }
}
