//! An instant as it stands on the wire: RFC 3339, UTC, always with three digits of a second (decision 18).

use hostler_model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An instant, RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an instant; write RFC 3339, such as `2026-11-21T02:30:00.000Z`")]
pub struct NotATime {
    text: String,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rows hold any 64-bit number; one outside the calendar is shown as its nearest end and not as an error.
        let (first, last) = (jiff::Timestamp::MIN.as_second() * 1_000, jiff::Timestamp::MAX.as_second() * 1_000);
        let bounded = self.0.0.clamp(first, last);
        match jiff::Timestamp::from_millisecond(bounded) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{bounded}ms"),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Time {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| NotATime { text: text.chars().take(60).collect() })?;
        Ok(Self(Timestamp(instant.as_millisecond())))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .description(Some("An instant, RFC 3339 in UTC with milliseconds."))
            .examples([serde_json::json!("2026-11-21T02:30:00.000Z")])
            .into()
    }
}

impl utoipa::ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_three_digits_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            let time = Time(Timestamp(ms));
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert_eq!("2023-11-14T23:13:20.123+01:00".parse(), Ok(Time(Timestamp(1_700_000_000_123))));
    }

    #[test]
    fn what_is_no_instant_is_refused_and_what_lies_outside_the_calendar_is_shown() {
        for bad in ["", "now", "2026-13-01T00:00:00Z", "2026-01-01 nonsense"] {
            assert!(bad.parse::<Time>().is_err(), "{bad:?}");
        }
        assert_eq!(Time(Timestamp(i64::MAX)).to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(Time(Timestamp(i64::MIN)).to_string(), "-009999-01-02T01:59:59.000Z");
    }
}
