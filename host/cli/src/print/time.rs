//! Spans and instants as a person reads them. Instants are in UTC and say so, as in JSON and in the logs.

use hostler_model::{Duration, Timestamp};

/// Two units at most, since nobody reads the third: `820ms`, `4.2s`, `3m05s`, `2h10m`, `5d3h`.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms}ms"),
        1..=59 => format!("{}.{}s", seconds, ms % 1_000 / 100),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How long ago, or in how long: `3m05s ago`, `in 2h10m`, `now`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if (at.0 - now.0).abs() < 1_000 {
        "now".into()
    } else if at < now {
        format!("{} ago", span(now.since(at)))
    } else {
        format!("in {}", span(at.since(now)))
    }
}

/// `2026-03-01 12:30:05Z`
pub(crate) fn utc(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        let read = |ms| span(Duration::from_millis(ms));
        let read: Vec<_> = [0, 820, 4_250, 185_000, 7_800_000, 442_800_000].map(read).into();
        assert_eq!(read, ["0ms", "820ms", "4.2s", "3m05s", "2h10m", "5d3h"]);
    }

    #[test]
    fn an_instant_says_that_it_is_in_utc() {
        assert_eq!(utc(Timestamp(1_767_225_605_250)), "2026-01-01 00:00:05Z");
    }

    #[test]
    fn an_instant_is_told_from_now() {
        let now = Timestamp(1_000_000);
        assert_eq!(relative(Timestamp(1_000_500), now), "now");
        assert_eq!(relative(Timestamp(940_000), now), "1m00s ago");
        assert_eq!(relative(Timestamp(1_005_000), now), "in 5.0s");
    }
}
