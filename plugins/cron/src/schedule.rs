//! Instants from wall-clock times, clock changes included, as Debian's cron has them.
//!
//! When neither minute nor hour begins with `*` the author means a time of day: in a gap it comes once, at the first
//! instant after the gap; in an overlap only in the first pass. Otherwise the author means a rhythm of the wall clock:
//! in an overlap it runs in both passes, and for a gap nothing is added.
//! Invariant: instants rise strictly. Must not know: WIT, the host.

use crate::calendar::{Calendar, Wall};
use crate::expression::Expression;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

/// What is wrong with the params, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub at: &'static str,
    pub column: Option<u32>,
    pub message: String,
    pub hint: Option<String>,
}

pub struct Schedule {
    written: String,
    calendar: Calendar,
    zone: TimeZone,
    timezone: String,
    /// A time of day rather than a rhythm.
    fixed: bool,
}

impl Schedule {
    pub fn read(expression: &str, timezone: &str) -> Result<Self, Vec<Wrong>> {
        // Of this build, whatever lies on the machine: the same schedule on every host.
        let zone = TimeZoneDatabase::bundled().get(timezone).map_err(|_| Wrong {
            at: "/timezone",
            column: None,
            message: format!("`{timezone}` is not a time zone"),
            hint: Some("write an IANA name such as `Europe/Berlin` or `UTC`".into()),
        });
        let calendar = calendar(expression);
        match (zone, calendar) {
            (Ok(zone), Ok((calendar, fixed))) => {
                Ok(Self { written: expression.trim().into(), calendar, zone, timezone: timezone.into(), fixed })
            }
            (zone, calendar) => Err(zone.err().into_iter().chain(calendar.err().into_iter().flatten()).collect()),
        }
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// The same for people, RFC 3339 with the offset that holds there.
    pub fn show(&self, at_ms: i64) -> String {
        match Timestamp::from_millisecond(at_ms) {
            Ok(at) => at.display_with_offset(self.zone.to_offset(at)).to_string(),
            Err(_) => at_ms.to_string(),
        }
    }

    /// The instants strictly after `after_ms`, rising, in milliseconds.
    pub fn after(&self, after_ms: i64) -> impl Iterator<Item = i64> + '_ {
        // What lies beyond the last year of the calendar has no instants; jiff could not even name it.
        let start = Timestamp::from_millisecond(after_ms.clamp(0, 4_102_444_800_000)).unwrap_or(Timestamp::UNIX_EPOCH);
        let next = move |after: &Timestamp| if self.fixed { self.next_fixed(*after) } else { self.next_rhythm(*after) };
        std::iter::successors(next(&start), next).map(Timestamp::as_millisecond)
    }

    /// Wall-clock times in order, each at the one instant that it has.
    fn next_fixed(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = wall_at(after, self.zone.to_offset(after));
        loop {
            wall = self.calendar.after(wall)?;
            let instant = self.instant_of(wall)?;
            if instant > after {
                return Some(instant);
            }
        }
    }

    fn instant_of(&self, wall: Wall) -> Option<Timestamp> {
        let civil = civil(wall)?;
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil).ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, a time in the gap lies before the change; the change is what comes next.
                let before_change = after.to_timestamp(civil).ok()?;
                let change = self.zone.following(before_change).next()?;
                Some(change.timestamp())
            }
        }
    }

    /// From one change of the clock to the next the offset is fixed, and wall-clock times are instants.
    fn next_rhythm(&self, after: Timestamp) -> Option<Timestamp> {
        let mut after = after;
        loop {
            let offset = self.zone.to_offset(after);
            let change = self.zone.following(after).next().map(|change| change.timestamp());
            let wall = self.calendar.after(wall_at(after, offset))?;
            let instant = offset.to_timestamp(civil(wall)?).ok()?;
            match change {
                Some(change) if instant >= change => after = change,
                Some(_) | None => return Some(instant),
            }
            if let Some(instant) = self.at_change(after) {
                return Some(instant);
            }
        }
    }

    /// The instant of the change itself, when the wall clock then shows a fitting time.
    fn at_change(&self, change: Timestamp) -> Option<Timestamp> {
        let wall = wall_at(change, self.zone.to_offset(change));
        (self.calendar.after(wall - 1)? == wall).then_some(change)
    }
}

fn calendar(expression: &str) -> Result<(Calendar, bool), Vec<Wrong>> {
    let at = "/expression";
    let parsed = Expression::parse(expression).map_err(|mistakes| {
        let wrong =
            |m: crate::expression::Mistake| Wrong { at, column: Some(m.column), message: m.message, hint: m.hint };
        mistakes.into_iter().map(wrong).collect::<Vec<_>>()
    })?;
    let whole = |message: &str| vec![Wrong { at, column: None, message: message.into(), hint: None }];
    let calendar = Calendar::new(&parsed).ok_or_else(|| whole("the expression cannot be walked"))?;
    if calendar.is_empty() {
        return Err(whole("the expression never comes: no such day exists"));
    }
    Ok((calendar, !parsed.minute.starred && !parsed.hour.starred))
}

fn wall_at(at: Timestamp, offset: Offset) -> Wall {
    at.as_second() + i64::from(offset.seconds())
}

fn civil(wall: Wall) -> Option<DateTime> {
    Timestamp::from_second(wall).ok().map(|at| Offset::UTC.to_datetime(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, timezone: &str, after: &str, expected: &[&str]) {
        let schedule = Schedule::read(expression, timezone).expect("good params");
        let after: Timestamp = after.parse().expect("an instant");
        let found: Vec<_> =
            schedule.after(after.as_millisecond()).take(expected.len()).map(|at| schedule.show(at)).collect();
        assert_eq!(found, expected, "{expression} {timezone}");
    }

    #[test]
    fn a_time_of_day_in_the_gap_comes_once_right_after_it() {
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00:00Z",
            &["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        );
        check(
            "0,30 2 * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
        );
    }

    #[test]
    fn a_time_of_day_in_the_overlap_comes_in_the_first_pass_only() {
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        );
    }

    #[test]
    fn a_rhythm_follows_the_wall_clock() {
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ],
        );
        check(
            "15 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T01:15:00+01:00", "2026-03-29T03:15:00+02:00"],
        );
    }

    #[test]
    fn a_day_that_a_zone_left_out_is_a_gap() {
        check(
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            &["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"],
        );
    }

    #[test]
    fn years_end_a_schedule_and_the_impossible_is_refused() {
        let schedule = Schedule::read("0 0 1 1 * 2027", "UTC").expect("good params");
        let after: Timestamp = "2026-11-21T00:00:00Z".parse().expect("an instant");
        assert_eq!(schedule.after(after.as_millisecond()).count(), 1);
        let wrongs = Schedule::read("0 0 30 2 *", "Mars/Base").err().expect("wrong params");
        assert_eq!(wrongs.iter().map(|wrong| wrong.at).collect::<Vec<_>>(), ["/timezone", "/expression"]);
    }

    #[test]
    fn half_hour_changes_and_ends_of_time_hold() {
        check(
            "*/20 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:30:00Z",
            &["2026-04-05T01:40:00+11:00", "2026-04-05T01:40:00+10:30", "2026-04-05T02:00:00+10:30"],
        );
        check(
            "*/15 2 * * *",
            "Pacific/Chatham",
            "2010-04-03T12:50:00Z",
            &["2010-04-04T02:45:00+13:45", "2010-04-04T02:45:00+12:45", "2010-04-05T02:00:00+12:45"],
        );
        let schedule = Schedule::read("* * * * *", "UTC").expect("good params");
        assert_eq!(schedule.after(i64::MAX).next(), None);
    }
}
