//! Whether a run may start now, and if not, when. Pure.

use crds::policy::{AppliesTo, Day, Effect, Window};
use jiff::{SignedDuration, Timestamp, civil};

use super::zone;
use frozen::Fault;

/// No window repeats after more than a week.
const HORIZON: i64 = 8;

/// Whether a run may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Now,
    /// Not before.
    At(Timestamp),
    /// Never, as it is written.
    Never,
}

/// Whether a run may start, that a person asked for or that nobody did.
pub fn permit(windows: &[Window], by_person: bool, now: Timestamp) -> Result<Permit, Fault> {
    let all = windows.iter().map(Hours::read).collect::<Result<Vec<_>, _>>()?;
    let ours: Vec<_> =
        all.into_iter().filter(|hours| !by_person || hours.applies_to == AppliesTo::Everyone).collect();
    let permitted = |time: Timestamp| {
        let inside = |effect| ours.iter().filter(move |h| h.effect == effect).any(|h| h.contains(time));
        let must_be_in_one = ours.iter().any(|hours| hours.effect == Effect::Allow);
        (!must_be_in_one || inside(Effect::Allow)) && !inside(Effect::Deny)
    };
    if permitted(now) {
        return Ok(Permit::Now);
    }
    let mut edges: Vec<_> =
        ours.iter().flat_map(|hours| hours.edges(now)).filter(|edge| *edge > now).collect();
    edges.sort_unstable();
    Ok(edges.into_iter().find(|edge| permitted(*edge)).map_or(Permit::Never, Permit::At))
}

/// A window that can be read.
struct Hours {
    days: Vec<Day>,
    from: civil::Time,
    /// Minutes after `from`.
    minutes: i64,
    zone: jiff::tz::TimeZone,
    effect: Effect,
    applies_to: AppliesTo,
}

impl Hours {
    fn read(window: &Window) -> Result<Self, Fault> {
        let minutes = |text: &str| -> Option<i64> {
            let (hours, minutes) = text.split_once(':')?;
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            ((0..=24).contains(&hours) && (0..60).contains(&minutes) && hours * 60 + minutes <= 1_440)
                .then_some(hours * 60 + minutes)
        };
        let fault = |field: &str, text: &str| Fault {
            reason: crds::Reason::InvalidSpec,
            message: format!("policy.windows.{field}: {text} is no time of the day; write it as 08:00"),
        };
        let from = minutes(&window.from).filter(|from| *from < 1_440);
        let from = from.ok_or_else(|| fault("from", &window.from))?;
        let to = minutes(&window.to).ok_or_else(|| fault("to", &window.to))?;
        let length = if to > from { to - from } else { to + 1_440 - from };
        Ok(Self {
            days: window.days.clone(),
            from: civil::time((from / 60) as i8, (from % 60) as i8, 0, 0),
            minutes: length,
            zone: zone(&window.time_zone, "policy.windows.timeZone")?,
            effect: window.effect,
            applies_to: window.applies_to,
        })
    }

    /// From and to of the window that begins on that day, if one does. On the clock of the wall: a day
    /// on which the clocks change is an hour longer or shorter.
    fn on(&self, day: civil::Date) -> Option<(Timestamp, Timestamp)> {
        let today = Day::of(day.weekday());
        if !self.days.is_empty() && !self.days.contains(&today) {
            return None;
        }
        let from = day.to_datetime(self.from);
        let to = from.checked_add(SignedDuration::from_mins(self.minutes)).ok()?;
        let time = |wall| Some(self.zone.to_zoned(wall).ok()?.timestamp());
        Some((time(from)?, time(to)?))
    }

    fn around(&self, time: Timestamp, days: std::ops::RangeInclusive<i64>) -> Vec<(Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(time).date();
        days.filter_map(|n| self.on(today.checked_add(SignedDuration::from_hours(24 * n)).ok()?)).collect()
    }

    fn contains(&self, time: Timestamp) -> bool {
        self.around(time, -1..=0).into_iter().any(|(from, to)| from <= time && time < to)
    }

    fn edges(&self, now: Timestamp) -> Vec<Timestamp> {
        self.around(now, -1..=HORIZON).into_iter().flat_map(|(from, to)| [from, to]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(yaml: &str) -> Vec<Window> {
        serde_yaml::from_str(yaml).expect("windows")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    const OFFICE: &str =
        "[{days: [Mon, Tue, Wed, Thu, Fri], from: '08:00', to: '18:00', timeZone: Europe/Berlin}]";

    #[test]
    fn office_hours_are_for_what_nobody_asked_for() {
        let office = windows(OFFICE);
        // A Monday in winter: 08:00 in Berlin is 07:00 in Greenwich.
        assert_eq!(permit(&office, false, at("2026-11-23T07:00:00Z")), Ok(Permit::Now));
        assert_eq!(
            permit(&office, false, at("2026-11-23T06:59:59Z")),
            Ok(Permit::At(at("2026-11-23T07:00:00Z")))
        );
        // Friday evening: until Monday. People may.
        let friday = at("2026-11-27T17:00:00Z");
        assert_eq!(permit(&office, false, friday), Ok(Permit::At(at("2026-11-30T07:00:00Z"))));
        assert_eq!(permit(&office, true, friday), Ok(Permit::Now));
        // In summer an hour earlier in Greenwich.
        assert_eq!(
            permit(&office, false, at("2026-06-22T05:00:00Z")),
            Ok(Permit::At(at("2026-06-22T06:00:00Z")))
        );
    }

    #[test]
    fn a_night_goes_over_midnight_and_a_freeze_beats_what_is_allowed() {
        let night = windows("[{days: [Sat], from: '22:00', to: '02:00'}]");
        assert_eq!(
            permit(&night, false, at("2026-11-29T01:59:00Z")),
            Ok(Permit::Now),
            "Sunday, still Saturday's"
        );
        assert_eq!(
            permit(&night, false, at("2026-11-29T02:00:00Z")),
            Ok(Permit::At(at("2026-12-05T22:00:00Z")))
        );
        let freeze = windows(
            "[{from: '00:00', to: '24:00'}, {from: '12:00', to: '13:00', effect: Deny, appliesTo: Everyone}]",
        );
        assert_eq!(
            permit(&freeze, true, at("2026-11-23T12:30:00Z")),
            Ok(Permit::At(at("2026-11-23T13:00:00Z")))
        );
        assert_eq!(permit(&freeze, false, at("2026-11-23T13:00:00Z")), Ok(Permit::Now));
        let never = windows("[{from: '00:00', to: '24:00', effect: Deny}]");
        assert_eq!(permit(&never, false, at("2026-11-23T12:30:00Z")), Ok(Permit::Never));
        assert_eq!(permit(&[], false, at("2026-11-23T12:30:00Z")), Ok(Permit::Now));
    }

    #[test]
    fn nonsense_is_told() {
        for bad in [
            "[{from: '25:00', to: '26:00'}]",
            "[{from: '8', to: '9'}]",
            "[{from: '08:00', to: '09:00', timeZone: Mars}]",
        ] {
            assert!(permit(&windows(bad), false, Timestamp::UNIX_EPOCH).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_said_to_be_permitted_later_is_permitted_then(
            from in 0..24_u8, to in 0..25_u8, deny in proptest::bool::ANY, seconds in 1_700_000_000_i64..1_900_000_000,
        ) {
            let effect = if deny { "Deny" } else { "Allow" };
            let windows = windows(&format!(
                "[{{days: [Mon, Wed, Sun], from: '{from:02}:00', to: '{to:02}:00', effect: {effect}, timeZone: Europe/Berlin}}]"
            ));
            let now = Timestamp::from_second(seconds).expect("a time");
            match permit(&windows, false, now).expect("windows") {
                Permit::Now => {}
                Permit::At(then) => {
                    proptest::prop_assert!(then > now);
                    proptest::prop_assert_eq!(permit(&windows, false, then).expect("windows"), Permit::Now);
                }
                Permit::Never => proptest::prop_assert!(false, "there is always a Tuesday"),
            }
        }
    }
}
