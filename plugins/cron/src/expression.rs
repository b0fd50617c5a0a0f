//! Reads a crontab expression with the meaning of Debian's crontab(5), plus an optional sixth field for the year.
//!
//! Invariant: all that is wrong is told at once, each with its column. Must not know: time zones, instants.

use std::collections::BTreeSet;

/// One of the fields, as the set of values that fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    pub values: BTreeSet<u16>,
    /// Begins with `*`. Debian's rules for days and for clock changes look at this and not at the values.
    pub starred: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression {
    pub minute: Field,
    pub hour: Field,
    pub day: Field,
    pub month: Field,
    /// 0 is Sunday, never 7.
    pub weekday: Field,
    /// Absent: every year.
    pub year: Option<Field>,
}

/// What is wrong, and the column where it begins, from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    pub column: u32,
    pub message: String,
    pub hint: Option<String>,
}

struct Kind {
    name: &'static str,
    low: u16,
    high: u16,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub const YEAR_FIRST: u16 = 1970;
pub const YEAR_LAST: u16 = 2099;

const KINDS: [Kind; 6] = [
    Kind { name: "minute", low: 0, high: 59, names: &[] },
    Kind { name: "hour", low: 0, high: 23, names: &[] },
    Kind { name: "day of month", low: 1, high: 31, names: &[] },
    Kind { name: "month", low: 1, high: 12, names: &MONTHS },
    Kind { name: "day of week", low: 0, high: 7, names: &WEEKDAYS },
    Kind { name: "year", low: YEAR_FIRST, high: YEAR_LAST, names: &[] },
];

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Expression {
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let text = match text.trim().starts_with('@') {
            true => expand(text)?,
            false => text,
        };
        let words = words(text);
        if !(5..=6).contains(&words.len()) {
            return Err(vec![Mistake {
                column: 1,
                message: format!("an expression has five fields, or six with the year; this has {}", words.len()),
                hint: Some("minute, hour, day of month, month, day of week, as in `30 2 * * *`".into()),
            }]);
        }
        let mut mistakes = Vec::new();
        let mut fields: Vec<Field> = Vec::new();
        for ((column, word), kind) in words.into_iter().zip(&KINDS) {
            match field(word, column, kind) {
                Ok(field) => fields.push(field),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let mut fields = fields.into_iter();
        let (Some(minute), Some(hour), Some(day), Some(month), Some(mut weekday)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(mistakes);
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        if weekday.values.remove(&7) {
            weekday.values.insert(0);
        }
        Ok(Self { minute, hour, day, month, weekday, year: fields.next() })
    }
}

fn expand(text: &str) -> Result<&'static str, Vec<Mistake>> {
    let name = text.trim().to_ascii_lowercase();
    if let Some((_, fields)) = MACROS.iter().find(|(known, _)| *known == name) {
        return Ok(fields);
    }
    let hint = match name.as_str() {
        "@reboot" => "a host has no reboot; start the pipeline from outside, or use an interval".to_string(),
        _ => format!("known are {}", MACROS.map(|(known, _)| known).join(", ")),
    };
    Err(vec![Mistake { column: 1, message: format!("`{name}` is not known"), hint: Some(hint) }])
}

/// The words with the column of each, from 1.
fn words(text: &str) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
        let word = &rest[start..];
        let length = word.find(char::is_whitespace).unwrap_or(word.len());
        let before = text.len() - rest.len() + start;
        let column = text[..before].chars().count() + 1;
        found.push((u32::try_from(column).unwrap_or(u32::MAX), &word[..length]));
        rest = &word[length..];
    }
    found
}

fn field(word: &str, column: u32, kind: &Kind) -> Result<Field, Mistake> {
    let mut values = BTreeSet::new();
    let mut at = column;
    for part in word.split(',') {
        values.extend(range(part, at, kind)?);
        at += u32::try_from(part.chars().count()).unwrap_or(0) + 1;
    }
    Ok(Field { values, starred: word.starts_with('*') })
}

/// `*`, `a`, `a-b`, and the first and last of these with `/step`.
fn range(part: &str, column: u32, kind: &Kind) -> Result<impl Iterator<Item = u16> + use<>, Mistake> {
    let wrong =
        |message: String, hint: Option<String>| Mistake { column, message: format!("{}: {message}", kind.name), hint };
    let (span, step) = match part.split_once('/') {
        None => (part, None),
        Some((span, step)) => (span, Some(step)),
    };
    let (low, high) = if span == "*" {
        (kind.low, kind.high)
    } else if let Some((low, high)) = span.split_once('-') {
        (value(low, column, kind)?, value(high, column, kind)?)
    } else {
        let only = value(span, column, kind)?;
        if step.is_some() {
            let hint = format!("write `{only}-{}/…` or `*/…`", kind.high);
            return Err(wrong(format!("`{part}` has a step without a range"), Some(hint)));
        }
        (only, only)
    };
    if low > high {
        let hint = format!("write `{low}-{},{}-{high}`", kind.high, kind.low);
        return Err(wrong(format!("`{span}` runs backwards"), Some(hint)));
    }
    let step = match step {
        None => 1,
        Some(text) => match text.parse::<u16>() {
            Ok(step) if (1..=kind.high).contains(&step) && text.bytes().all(|b| b.is_ascii_digit()) => step,
            Ok(_) | Err(_) => return Err(wrong(format!("`{text}` is no step from 1 to {}", kind.high), None)),
        },
    };
    Ok((low..=high).step_by(usize::from(step)))
}

fn value(text: &str, column: u32, kind: &Kind) -> Result<u16, Mistake> {
    let wrong = |message| Mistake { column, message: format!("{}: {message}", kind.name), hint: None };
    if let Some(place) = kind.names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        // Months count from 1, weekdays from 0: both as the first value of their kind.
        return Ok(kind.low + u16::try_from(place).unwrap_or(0));
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(number) if digits && (kind.low..=kind.high).contains(&number) => Ok(number),
        Ok(_) | Err(_) if digits => Err(wrong(format!("`{text}` is not from {} to {}", kind.low, kind.high))),
        Ok(_) | Err(_) => Err(wrong(format!("`{text}` is no number{}", names_too(kind)))),
    }
}

fn names_too(kind: &Kind) -> String {
    match (kind.names.first(), kind.names.last()) {
        (Some(first), Some(last)) => format!(" and no name from {first} to {last}"),
        (None, _) | (_, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, pick: impl Fn(Expression) -> Field) -> Vec<u16> {
        pick(Expression::parse(text).expect("good expression")).values.into_iter().collect()
    }

    fn mistakes(text: &str) -> Vec<(u32, String)> {
        Expression::parse(text).expect_err("bad expression").into_iter().map(|m| (m.column, m.message)).collect()
    }

    #[test]
    fn fields_are_sets() {
        assert_eq!(values("*/20 * * * *", |e| e.minute), [0, 20, 40]);
        assert_eq!(values("5,10-12,50-59/4 * * * *", |e| e.minute), [5, 10, 11, 12, 50, 54, 58]);
        assert_eq!(values("0 0 * JAN,mar-May *", |e| e.month), [1, 3, 4, 5]);
        assert_eq!(values("0 0 * * 5-7", |e| e.weekday), [0, 5, 6]);
        assert_eq!(values("0 0 * * Sun,2", |e| e.weekday), [0, 2]);
        assert_eq!(values("@weekly", |e| e.weekday), [0]);
        assert_eq!(values("0 0 1 1 * 2030-2032", |e| e.year.expect("a year")), [2030, 2031, 2032]);
    }

    #[test]
    fn mistakes_are_told_all_at_once_with_their_column() {
        assert_eq!(
            mistakes("60 2 x * fri-sun"),
            [
                (1, "minute: `60` is not from 0 to 59".to_string()),
                (6, "day of month: `x` is no number".to_string()),
                (10, "day of week: `fri-sun` runs backwards".to_string()),
            ]
        );
        assert_eq!(mistakes("5/10 * * * *"), [(1, "minute: `5/10` has a step without a range".to_string())]);
        assert_eq!(mistakes("1,2, * * * *"), [(5, "minute: `` is no number".to_string())]);
        for bad in
            ["", "* * * *", "* * * * * * *", "@reboot", "@never", "*/0 * * * *", "+5 * * * *", "* * * * L", "0 0 0 1 *"]
        {
            assert!(Expression::parse(bad).is_err(), "{bad:?}");
        }
    }
}
