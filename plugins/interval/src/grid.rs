//! Which instants an interval has: anchor + n · every, n any whole number, or from 1 where the anchor is the creation.
//!
//! Invariant: pure; no clock. Must not know: WIT, the host.

use jiff::Timestamp;
use serde_json::Value;

const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const LONGEST_MS: i64 = 36_525 * 86_400_000;
const MINIMUM: &str = "1s";
/// The last instant that RFC 3339 can write, the end of the year 9999.
const LAST_MS: i64 = 253_402_207_200_999;

/// What is wrong with the params or settings, and where (a JSON pointer into them).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub at: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grid {
    written: String,
    every_ms: i64,
    anchor_ms: i64,
    /// Nothing comes at or before this instant.
    floor_ms: i64,
}

impl Grid {
    pub fn read(params: &Value, settings: &Value, created_ms: i64) -> Result<Self, Wrong> {
        let wrong = |at, message: String| Wrong { at, message, hint: None };
        let written = params["every"].as_str().unwrap_or_default();
        let every_ms = parse_duration(written).map_err(|message| wrong("/every", message))?;
        let minimum = settings["minimum"].as_str().unwrap_or(MINIMUM);
        let minimum_ms =
            parse_duration(minimum).map_err(|message| wrong("", format!("setting `minimum`: {message}")))?;
        if every_ms < minimum_ms.max(1) {
            return Err(Wrong {
                at: "/every",
                message: format!("`{written}` is shorter than the operator's minimum of `{minimum}`"),
                hint: Some(format!("write `{minimum}` or more")),
            });
        }
        let written = written.to_string();
        let Some(anchor) = params["anchor"].as_str() else {
            return Ok(Self { written, every_ms, anchor_ms: created_ms, floor_ms: created_ms });
        };
        let anchor: Timestamp = anchor.parse().map_err(|_| Wrong {
            at: "/anchor",
            message: format!("`{anchor}` is not an instant"),
            hint: Some("write date, time and offset as in `2026-01-01T00:05:00Z`".into()),
        })?;
        Ok(Self { written, every_ms, anchor_ms: anchor.as_millisecond(), floor_ms: i64::MIN })
    }

    /// `every` as the author wrote it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The instants strictly after `after_ms`, rising.
    pub fn after(&self, after_ms: i64) -> impl Iterator<Item = i64> + use<> {
        let (every, anchor) = (self.every_ms, self.anchor_ms);
        let after = after_ms.clamp(0, LAST_MS).max(self.floor_ms);
        let steps = (after - anchor).div_euclid(every) + 1;
        let first = anchor.saturating_add(steps.saturating_mul(every));
        std::iter::successors(Some(first), move |at| at.checked_add(every)).take_while(|at| *at <= LAST_MS)
    }
}

/// The same for people, RFC 3339 in UTC.
pub fn show(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| at.to_string())
}

/// Numbers with units from large to small, none twice: `250ms`, `1h30m`.
fn parse_duration(text: &str) -> Result<i64, String> {
    let form = || {
        format!("`{text}` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`")
    };
    let mut rest = text;
    let mut total: i64 = 0;
    let mut last = None;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().map_err(|_| form())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters]).ok_or_else(form)?;
        rest = &rest[letters..];
        if last.is_some_and(|last| last >= unit) {
            return Err(format!("`{text}` repeats or mixes up units; write them from large to small, such as `1h30m`"));
        }
        last = Some(unit);
        total = total.saturating_add(number.saturating_mul(UNITS[unit].1));
    }
    match last {
        None => Err(form()),
        Some(_) if total > LONGEST_MS => Err(format!("`{text}` is longer than 100 years")),
        Some(_) => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grid(params: &Value) -> Grid {
        Grid::read(params, &json!({}), 1_000).expect("good params")
    }

    fn first(grid: &Grid, after: i64) -> Vec<i64> {
        grid.after(after).take(3).collect()
    }

    #[test]
    fn instants_are_counted_from_the_creation() {
        let minute = grid(&json!({"every": "1m"}));
        assert_eq!(first(&minute, 1_000), [61_000, 121_000, 181_000]);
        assert_eq!(first(&minute, 0), [61_000, 121_000, 181_000]);
        assert_eq!(first(&minute, 60_999), [61_000, 121_000, 181_000]);
        assert_eq!(first(&minute, 61_000), [121_000, 181_000, 241_000]);
    }

    #[test]
    fn an_anchor_fixes_the_instants_before_and_after_it() {
        let hourly = grid(&json!({"every": "1h", "anchor": "1970-01-01T05:05:00Z"}));
        assert_eq!(first(&hourly, 0), [300_000, 3_900_000, 7_500_000]);
        assert_eq!(first(&hourly, 300_000), [3_900_000, 7_500_000, 11_100_000]);
        let same = grid(&json!({"every": "1h", "anchor": "1970-01-01T06:05:00+01:00"}));
        assert_eq!(first(&same, 0), first(&hourly, 0));
    }

    #[test]
    fn instants_end_where_dates_end() {
        let long = grid(&json!({"every": "36525d"}));
        assert!(long.after(0).count() < 100);
        assert_eq!(long.after(i64::MAX).count(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let wrong = |params: Value, settings: Value| Grid::read(&params, &settings, 0).expect_err("wrong params");
        assert_eq!(wrong(json!({"every": "5"}), json!({})).at, "/every");
        assert_eq!(wrong(json!({"every": "0s"}), json!({})).at, "/every");
        assert_eq!(wrong(json!({"every": "999ms"}), json!({})).hint.as_deref(), Some("write `1s` or more"));
        let short = wrong(json!({"every": "30s"}), json!({"minimum": "1m"}));
        assert_eq!(short.message, "`30s` is shorter than the operator's minimum of `1m`");
        assert_eq!(wrong(json!({"every": "1h", "anchor": "soon"}), json!({})).at, "/anchor");
        assert_eq!(wrong(json!({"every": "1h"}), json!({"minimum": "x"})).at, "");
    }
}
