//! How bytes, instants and attributes stand in a case: text where it is text, JSON where that is meant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_model::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

const BASE64: &str = "$base64";

/// A string is its own bytes, `{"$base64": "…"}` is what that says, anything else is its JSON text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Value::String(text) = value {
            return Ok(Self(text.into_bytes()));
        }
        match value.get(BASE64).and_then(Value::as_str) {
            Some(text) => STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom),
            None => Ok(Self(value.to_string().into_bytes())),
        }
    }
}

/// Bytes as a result shows them.
pub(crate) fn shown(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({BASE64: STANDARD.encode(bytes)}),
    }
}

/// The other way round.
pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, String> {
    Bytes::deserialize(value).map(|bytes| bytes.0).map_err(|error| error.to_string())
}

/// RFC 3339, or milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Time(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |value: &Value| {
            serde::de::Error::custom(format!("{value} is no instant; write RFC 3339, such as `2026-11-21T02:30:00Z`"))
        };
        let value = Value::deserialize(deserializer)?;
        if let Some(ms) = value.as_i64() {
            return Ok(Self(Timestamp(ms)));
        }
        let text = value.as_str().ok_or_else(|| wrong(&value))?;
        let instant: jiff::Timestamp = text.parse().map_err(|_| wrong(&value))?;
        Ok(Self(Timestamp(instant.as_millisecond())))
    }
}

impl Default for Time {
    /// The first second of 2026, so that a case need not say when it happens.
    fn default() -> Self {
        Self(Timestamp(1_767_225_600_000))
    }
}

pub(crate) fn time(at: Timestamp) -> Value {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.into(), |instant| instant.to_string().into())
}

/// Names and values: an object, where a list of values stands for a name that comes more than once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = Vec::new();
        for (name, value) in Map::deserialize(deserializer)? {
            let wrong = || serde::de::Error::custom(format!("`{name}` has a value that is no text"));
            match value {
                Value::String(text) => pairs.push((name, text)),
                Value::Array(many) => {
                    for one in many {
                        pairs.push((name.clone(), one.as_str().ok_or_else(wrong)?.to_owned()));
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(Self(pairs))
    }
}

pub(super) fn pairs(given: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, value) in given {
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value.clone().into());
            }
            Some(Value::Array(many)) => many.push(value.clone().into()),
            Some(one) => *one = json!([one.clone(), value]),
        }
    }
    object.into()
}
