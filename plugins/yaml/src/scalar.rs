//! What a plain scalar means: the core schema of YAML 1.2.2 (chapter 10.3.2), as JSON text.
//!
//! Stricter in what a person could mean otherwise: a number with leading zeros (octal in YAML 1.1), one that JSON
//! cannot hold exactly, infinity and what is not a number are refused. `yes`, `on` and dates are text.

/// Why a scalar is refused, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

const QUOTE: &str = "put it into quotes if it is a text";

/// JSON text of what a plain scalar says.
pub(crate) fn plain(text: &str) -> Result<String, Refused> {
    match kind(text) {
        Kind::Null => Ok("null".into()),
        Kind::Bool(value) => Ok(value.to_string()),
        Kind::Whole(radix, digits) => whole(text, radix, digits),
        Kind::Float => float(text),
        Kind::NoNumber => Err(refused(format!("JSON has no number `{text}`"), QUOTE)),
        Kind::Text => Ok(quoted(text)),
    }
}

/// The same where a tag of the core schema (`!!int`) says what it is.
pub(crate) fn tagged(text: &str, tag: &str) -> Result<String, Refused> {
    let fits = match (tag, kind(text)) {
        ("str", _) => return Ok(quoted(text)),
        ("null", kind) => matches!(kind, Kind::Null),
        ("bool", kind) => matches!(kind, Kind::Bool(_)),
        ("int", kind) => matches!(kind, Kind::Whole(..)),
        ("float", kind) => matches!(kind, Kind::Whole(..) | Kind::Float | Kind::NoNumber),
        (_, _) => false,
    };
    if fits {
        return plain(text);
    }
    Err(refused(format!("`{}` is no `!!{tag}`", crate::wrong::shorten(text)), "leave the tag out"))
}

/// JSON text of a text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

enum Kind<'a> {
    Null,
    Bool(bool),
    /// The radix, and the digits without sign and prefix.
    Whole(u32, &'a str),
    Float,
    /// Infinity, or what is not a number.
    NoNumber,
    Text,
}

fn kind(text: &str) -> Kind<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::NoNumber,
        _ => {}
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let fits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return if fits { Kind::Whole(radix, digits) } else { Kind::Text };
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Kind::NoNumber;
    }
    if !unsigned.is_empty() && is_digits(unsigned) {
        return Kind::Whole(10, unsigned);
    }
    if is_float(unsigned) { Kind::Float } else { Kind::Text }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_mantissa = is_digits(before) && is_digits(after) && !(before.is_empty() && after.is_empty());
    is_mantissa && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent))
}

fn whole(text: &str, radix: u32, digits: &str) -> Result<String, Refused> {
    no_leading_zero(text, if radix == 10 { digits } else { "" })?;
    let inexact = || refused(format!("`{}` is larger than a number can be kept", crate::wrong::shorten(text)), QUOTE);
    let value = u64::from_str_radix(digits, radix).map_err(|_| inexact())?;
    match (text.starts_with('-'), value) {
        (false, _) | (true, 0) => Ok(value.to_string()),
        (true, value) => 0_i64.checked_sub_unsigned(value).map(|value| value.to_string()).ok_or_else(inexact),
    }
}

fn float(text: &str) -> Result<String, Refused> {
    no_leading_zero(text, text.trim_start_matches(['-', '+']))?;
    let value: Option<f64> = text.parse().ok();
    let number = value.and_then(serde_json::Number::from_f64);
    number
        .map(|number| number.to_string())
        .ok_or_else(|| refused(format!("`{}` is larger than a number can be kept", crate::wrong::shorten(text)), QUOTE))
}

fn no_leading_zero(text: &str, digits: &str) -> Result<(), Refused> {
    let mut bytes = digits.bytes();
    if bytes.next() == Some(b'0') && bytes.next().is_some_and(|byte| byte.is_ascii_digit()) {
        let message = format!("`{}` begins with a zero, which some read as octal", crate::wrong::shorten(text));
        return Err(refused(message, "put it into quotes, or write `0o755` for octal and `755` for decimal"));
    }
    Ok(())
}

fn refused(message: String, hint: &'static str) -> Refused {
    Refused { message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for (text, json) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "\"nULL\""),
            ("True", "true"),
            ("FALSE", "false"),
            ("yes", "\"yes\""),
            ("on", "\"on\""),
            ("0", "0"),
            ("-0", "0"),
            ("+12", "12"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("0o14", "12"),
            ("0xFf", "255"),
            ("0x", "\"0x\""),
            ("0o8", "\"0o8\""),
            ("-0x1", "\"-0x1\""),
            ("1_000", "\"1_000\""),
            ("1.5", "1.5"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("-.5e1", "-5.0"),
            ("1e3", "1000.0"),
            ("+1.5E+2", "150.0"),
            (".", "\".\""),
            ("1e", "\"1e\""),
            ("e3", "\"e3\""),
            (".e3", "\".e3\""),
            ("-", "\"-\""),
            ("+", "\"+\""),
            ("inf", "\"inf\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("12:30", "\"12:30\""),
            ("1.2.3", "\"1.2.3\""),
            ("١٢", "\"١٢\""),
        ] {
            assert_eq!(plain(text).as_deref(), Ok(json), "{text}");
        }
    }

    #[test]
    fn what_a_person_could_mean_otherwise_is_refused() {
        for text in [
            "0755",
            "-007",
            "00",
            "01.5",
            ".inf",
            "-.Inf",
            ".NaN",
            "18446744073709551616",
            "-9223372036854775809",
            "0xffffffffffffffffff",
            "1e999",
        ] {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_of_the_core_schema_must_fit() {
        assert_eq!(tagged("12", "str").as_deref(), Ok("\"12\""));
        assert_eq!(tagged("12", "int").as_deref(), Ok("12"));
        assert_eq!(tagged("12", "float").as_deref(), Ok("12"));
        assert_eq!(tagged("", "null").as_deref(), Ok("null"));
        assert!(tagged("twelve", "int").is_err());
        assert!(tagged("yes", "bool").is_err());
        assert!(tagged("1.5", "int").is_err());
    }
}
