//! The wall-clock times that fit an expression, walked by the `cron` library.
//!
//! The library counts weekdays from Sunday = 1 and joins the two day fields by AND only. Debian joins them by OR when
//! neither begins with `*`; then there are two walks, one for each field, and the earlier time comes first.
//! Invariant: every walk ends, at the latest with the year 2099. Must not know: time zones.

use crate::expression::{Expression, Field, YEAR_FIRST, YEAR_LAST};
use chrono::{DateTime, Utc};
use cron::Schedule;
use std::str::FromStr;

/// Seconds of a wall clock since 1970-01-01T00:00, as if there were no zone.
pub type Wall = i64;

pub struct Calendar {
    walks: Vec<Schedule>,
}

impl Calendar {
    /// None when the library does not take what we translated, which would be a defect of ours.
    pub fn new(expression: &Expression) -> Option<Self> {
        let any = "*".to_string();
        let day = list(&expression.day, 0);
        let weekday = list(&expression.weekday, 1);
        let either = !expression.day.starred && !expression.weekday.starred;
        let days = if either { vec![(day, any.clone()), (any, weekday)] } else { vec![(day, weekday)] };
        let walks = days.into_iter().map(|(day, weekday)| walk(expression, &day, &weekday)).collect::<Option<_>>()?;
        Some(Self { walks })
    }

    /// The first fitting time strictly after `wall`.
    pub fn after(&self, wall: Wall) -> Option<Wall> {
        let after = DateTime::<Utc>::from_timestamp(wall, 0)?;
        self.walks.iter().filter_map(|walk| walk.after(&after).next()).map(|next| next.timestamp()).min()
    }

    /// Whether no time fits at all, such as 30 February.
    pub fn is_empty(&self) -> bool {
        self.after(-1).is_none()
    }
}

fn walk(expression: &Expression, day: &str, weekday: &str) -> Option<Schedule> {
    let years = expression.year.as_ref().map_or_else(|| format!("{YEAR_FIRST}-{YEAR_LAST}"), |year| list(year, 0));
    let (minute, hour, month) = (list(&expression.minute, 0), list(&expression.hour, 0), list(&expression.month, 0));
    Schedule::from_str(&format!("0 {minute} {hour} {day} {month} {weekday} {years}")).ok()
}

fn list(field: &Field, shift: u16) -> String {
    field.values.iter().map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(expression: &str, from: &str, count: usize) -> Vec<String> {
        let calendar = Calendar::new(&Expression::parse(expression).expect("good")).expect("translated");
        let start: DateTime<Utc> = format!("{from}T00:00:00Z").parse().expect("a date");
        let next = |wall: &Wall| calendar.after(*wall);
        std::iter::successors(calendar.after(start.timestamp() - 1), next)
            .take(count)
            .map(|wall| DateTime::<Utc>::from_timestamp(wall, 0).expect("in range").format("%a %d %b %Y").to_string())
            .collect()
    }

    #[test]
    fn days_of_month_and_week_are_joined_as_debian_does() {
        // Neither begins with a star: the 13th, or a Friday.
        assert_eq!(days("0 0 13 * fri", "2026-11-01", 3), ["Fri 06 Nov 2026", "Fri 13 Nov 2026", "Fri 20 Nov 2026"]);
        assert_eq!(days("0 0 1 * mon", "2026-11-01", 2), ["Sun 01 Nov 2026", "Mon 02 Nov 2026"]);
        // One does, although it is not all days: both must hold.
        assert_eq!(days("0 0 */2 * mon", "2026-11-01", 2), ["Mon 09 Nov 2026", "Mon 23 Nov 2026"]);
        assert_eq!(days("0 0 * * 7", "2026-11-02", 1), ["Sun 08 Nov 2026"]);
    }

    #[test]
    fn what_never_comes_is_found_out_and_ends() {
        let empty = |text| Calendar::new(&Expression::parse(text).expect("good")).expect("translated").is_empty();
        assert!(empty("0 0 30 2 *"));
        assert!(empty("0 0 31 4,6,9,11 *"));
        assert!(empty("0 0 29 2 * 2027"));
        assert!(!empty("0 0 29 2 *"));
        assert!(!empty("0 0 30 2 mon"));
    }
}
