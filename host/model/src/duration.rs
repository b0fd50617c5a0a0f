//! Spans of time as people write them: `250ms`, `5s`, `10m`, `2h`, `30d`, and compounds such as `1h30m` (decision 21).
//!
//! Kept in whole milliseconds. Units fall from left to right and none comes twice, so each span has one spelling to
//! read.

use serde::{Deserialize, Serialize};
use std::fmt;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest span, 100 years; longer ones are typing errors and would overflow instants.
pub const LONGEST_MS: u64 = 36_525 * 86_400_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("`{0}` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`")]
    Form(String),
    #[error("`{0}` repeats or mixes up units; write them from large to small, such as `1h30m`")]
    Order(String),
    #[error("`{0}` is longer than 100 years")]
    TooLong(String),
}

impl Duration {
    pub const ZERO: Self = Self { ms: 0 };

    pub const fn from_millis(ms: u64) -> Self {
        Self { ms: if ms > LONGEST_MS { LONGEST_MS } else { ms } }
    }

    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    pub const fn as_millis(self) -> u64 {
        self.ms
    }

    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let shown = || text.chars().take(40).collect();
        let form = || Invalid::Form(shown());
        let mut rest = text;
        let mut total: u64 = 0;
        let mut last = None;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| form())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters]).ok_or_else(form)?;
            rest = &rest[letters..];
            if last.is_some_and(|last| last >= unit) {
                return Err(Invalid::Order(shown()));
            }
            last = Some(unit);
            total = total.saturating_add(number.saturating_mul(UNITS[unit].1));
        }
        match (last, total <= LONGEST_MS) {
            (None, _) => Err(form()),
            (Some(_), false) => Err(Invalid::TooLong(shown())),
            (Some(_), true) => Ok(Self { ms: total }),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Duration {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Duration {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        let read = |text| Duration::parse(text).map(Duration::as_millis);
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("1d1ms"), Ok(86_400_001));
        assert_eq!(read("0s"), Ok(0));
        for bad in ["", "5", "s", "5 s", "-5s", "5x", "5s5", "1.5h", "5S", "99999999999999999999s"] {
            assert!(matches!(read(bad), Err(Invalid::Form(_))), "{bad:?}");
        }
        assert!(matches!(read("5s1h"), Err(Invalid::Order(_))));
        assert!(matches!(read("5s5s"), Err(Invalid::Order(_))));
        assert!(matches!(read("40000d"), Err(Invalid::TooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in 0..=LONGEST_MS) {
            let duration = Duration::from_millis(ms);
            proptest::prop_assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
        }
    }
}
