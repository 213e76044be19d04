//! Pauses of a ramp: times of the week, in UTC, in which no step begins. Must not depend on other
//! modules.

/// Minutes of a day.
pub const DAY: u16 = 24 * 60;

const MINUTE_MILLIS: u64 = 60_000;
const DAY_MILLIS: u64 = DAY as u64 * MINUTE_MILLIS;

/// One pause, which repeats every week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Days on which it begins, one bit each; the lowest is Monday.
    pub days: u8,
    /// Its begin, in minutes since midnight.
    pub from: u16,
    /// Its end, in minutes since midnight. Not above `from`: on the next day.
    pub to: u16,
}

/// Pauses of a ramp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(Box<[Pause]>);

impl Pause {
    /// All days.
    pub const EVERY_DAY: u8 = 0x7f;

    /// End of the pause if it contains the time.
    fn end(self, now: u64) -> Option<u64> {
        let days = now / DAY_MILLIS;
        let midnight = days.saturating_mul(DAY_MILLIS);
        let into = now.saturating_sub(midnight) / MINUTE_MILLIS;
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let overnight = to <= from;
        // The epoch began on a Thursday.
        let begins_on = |day: u64| self.days & (1 << (day.saturating_add(3) % 7)) != 0;
        if begins_on(days) && into >= from && (overnight || into < to) {
            let end = midnight.saturating_add(to.saturating_mul(MINUTE_MILLIS));
            let next_day = if overnight { DAY_MILLIS } else { 0 };
            return Some(end.saturating_add(next_day));
        }
        // It began on the day before; 6 days later is the same day of the week.
        (overnight && into < to && begins_on(days.saturating_add(6)))
            .then(|| midnight.saturating_add(to.saturating_mul(MINUTE_MILLIS)))
    }
}

impl Pauses {
    /// These pauses. `None` if they never end.
    pub fn new(pauses: Vec<Pause>) -> Option<Self> {
        let pauses = Self(pauses.into_boxed_slice());
        pauses.end(0).is_some().then_some(pauses)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first time outside the pauses that is not before `time`.
    pub fn after(&self, time: u64) -> u64 {
        self.end(time).unwrap_or(u64::MAX)
    }

    /// The same; `None` if the pauses never end.
    fn end(&self, time: u64) -> Option<u64> {
        let mut end = time;
        loop {
            let mut ends = self.0.iter().filter_map(|pause| pause.end(end));
            let Some(later) = ends.find(|later| *later > end) else {
                return Some(end);
            };
            // Pauses repeat every week: beyond it, there is no gap between them.
            if later.saturating_sub(time) > DAY_MILLIS.saturating_mul(7) {
                return None;
            }
            end = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SATURDAY: u8 = 1 << 5;
    const SUNDAY: u8 = 1 << 6;

    /// A time in the week of Monday, 30 November 2026.
    fn at(day: u64, hour: u64, minute: u64) -> u64 {
        const MONDAY: u64 = 1_795_996_800_000;
        MONDAY + day * DAY_MILLIS + (hour * 60 + minute) * MINUTE_MILLIS
    }

    fn pause(days: u8, from: u16, to: u16) -> Pause {
        Pause { days, from, to }
    }

    #[test]
    fn a_time_within_a_pause_moves_to_its_end() {
        let weekend = pause(SATURDAY | SUNDAY, 0, DAY);
        let night = pause(Pause::EVERY_DAY, 18 * 60, 8 * 60);
        let saturday_night = pause(SATURDAY, 22 * 60, 6 * 60);
        let lunch = pause(Pause::EVERY_DAY, 12 * 60, 13 * 60);
        for (name, pauses, time, expected) in [
            ("no pauses", vec![], at(5, 1, 0), at(5, 1, 0)),
            ("Friday", vec![weekend], at(4, 23, 59), at(4, 23, 59)),
            ("Saturday", vec![weekend], at(5, 0, 0), at(7, 0, 0)),
            ("Sunday", vec![weekend], at(6, 23, 59), at(7, 0, 0)),
            (
                "before the night",
                vec![night],
                at(0, 17, 59),
                at(0, 17, 59),
            ),
            ("the night begins", vec![night], at(0, 18, 0), at(1, 8, 0)),
            ("after midnight", vec![night], at(1, 0, 0), at(1, 8, 0)),
            ("the night ends", vec![night], at(1, 8, 0), at(1, 8, 0)),
            ("the night of Sunday", vec![night], at(7, 3, 0), at(7, 8, 0)),
            (
                "its first day counts",
                vec![saturday_night],
                at(6, 5, 0),
                at(6, 6, 0),
            ),
            (
                "not the day after",
                vec![saturday_night],
                at(6, 23, 0),
                at(6, 23, 0),
            ),
            (
                "nor the day itself",
                vec![saturday_night],
                at(5, 5, 0),
                at(5, 5, 0),
            ),
            (
                "several",
                vec![weekend, night, lunch],
                at(4, 19, 0),
                at(7, 8, 0),
            ),
            (
                "in any order",
                vec![lunch, night, weekend],
                at(4, 19, 0),
                at(7, 8, 0),
            ),
        ] {
            let pauses = Pauses::new(pauses).unwrap();
            assert_eq!(pauses.after(time), expected, "{name}");
        }
        let lunch = Pauses::new(vec![lunch]).unwrap();
        assert_eq!(lunch.after(at(0, 12, 30) + 1), at(0, 13, 0), "milliseconds");
        assert_eq!(lunch.after(u64::MAX), u64::MAX);
    }

    #[test]
    fn pauses_that_never_end_are_refused() {
        let day = pause(Pause::EVERY_DAY, 8 * 60, 18 * 60);
        for (name, pauses, ends) in [
            ("all days", vec![pause(Pause::EVERY_DAY, 0, DAY)], false),
            ("24 hours", vec![pause(Pause::EVERY_DAY, 60, 60)], false),
            (
                "day and night",
                vec![day, pause(Pause::EVERY_DAY, 18 * 60, 8 * 60)],
                false,
            ),
            (
                "all but a minute",
                vec![day, pause(Pause::EVERY_DAY, 18 * 60 + 1, 8 * 60)],
                true,
            ),
            (
                "all but one day",
                vec![pause(Pause::EVERY_DAY & !SUNDAY, 0, DAY)],
                true,
            ),
        ] {
            assert_eq!(Pauses::new(pauses).is_some(), ends, "{name}");
        }
    }
}
