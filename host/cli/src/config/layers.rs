//! The layers of settings, low to high: default.toml, a file, `HOSTLER_CONFIG_*`, options of the command line.
//!
//! Invariants: the keys of `default.toml` are the keys there are; each value knows where it came from, and in a
//! file its place. Must not know: what a key means.

use crate::environment::Environment;
use hostler_model::Problem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

pub(crate) const DEFAULTS: &str = include_str!("../../default.toml");

/// Tables of this key hold one plugin each; their keys are not in `default.toml`.
pub(crate) const PLUGINS: &str = "plugins";

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Default,
    File { span: Range<usize> },
    Environment { variable: String },
    Flag { name: &'static str },
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Every key with the value that counts, and what was wrong on the way.
#[derive(Default, Debug)]
pub(crate) struct Layers {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) problems: Vec<Problem>,
    /// The text of the file, for places.
    text: String,
}

impl Layers {
    pub(crate) fn defaults() -> Self {
        let mut layers = Self { text: DEFAULTS.into(), ..Self::default() };
        let mut found = Vec::new();
        layers.read_text(&mut found);
        let entry = |(key, value, _)| (key, Entry { value, origin: Origin::Default });
        layers.entries = found.into_iter().map(entry).collect();
        layers
    }

    /// Lays a file over what is there.
    pub(crate) fn file(&mut self, text: &str) {
        let known = self.known();
        self.text = text.into();
        let mut found = Vec::new();
        self.read_text(&mut found);
        for (key, value, span) in found {
            if !known.contains(&key) && !key.starts_with("plugins.") {
                self.problems.push(self.unknown(&key, &known, &span));
                continue;
            }
            self.entries.insert(key, Entry { value, origin: Origin::File { span } });
        }
    }

    /// Lays `HOSTLER_CONFIG_*` over what is there; variables that name no key are ignored (decision 20b).
    pub(crate) fn environment(&mut self, environment: &Environment) {
        for key in self.known() {
            let variable = variable_of(&key);
            if let Some(text) = environment.get(&variable) {
                let value = self.typed(&key, text);
                self.entries.insert(key, Entry { value, origin: Origin::Environment { variable } });
            }
        }
    }

    /// Lays an option of the command line over what is there.
    pub(crate) fn flag(&mut self, key: &str, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            let value = self.typed(key, text);
            self.entries.insert(key.into(), Entry { value, origin: Origin::Flag { name } });
        }
    }

    fn known(&self) -> Vec<String> {
        self.entries.keys().filter(|key| !key.starts_with("plugins.")).cloned().collect()
    }

    /// A value written as bare text gets the type that its default has; text that does not fit is refused when read.
    fn typed(&self, key: &str, text: &str) -> Value {
        let as_text = Value::String(text.into());
        match self.entries.get(key).map(|entry| &entry.value) {
            Some(Value::Bool(_)) => text.parse().map_or(as_text, Value::Bool),
            Some(Value::Number(_)) => text.parse::<i64>().map_or(as_text, Value::from),
            Some(Value::Array(_)) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
            }
            Some(Value::Null | Value::String(_) | Value::Object(_)) | None => as_text,
        }
    }

    fn read_text(&mut self, found: &mut Vec<(String, Value, Range<usize>)>) {
        let text = std::mem::take(&mut self.text);
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let problem = Problem::new("", error.message());
            self.problems.push(placed(problem, &text, error.span().map_or(0, |span| span.start)));
        }
        flatten("", table.get_ref(), found);
        self.text = text;
    }

    fn unknown(&self, key: &str, known: &[String], span: &Range<usize>) -> Problem {
        let problem = Problem::new(pointer(key), format!("unknown key `{key}`"));
        let problem = match nearest(key, known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("`hostler config init` prints every key with its meaning"),
        };
        placed(problem, &self.text, span.start)
    }

    /// A problem with the value of `key`, placed where the value came from.
    pub(crate) fn problem(&self, key: &str, message: String) -> Problem {
        match self.entries.get(key).map(|entry| &entry.origin) {
            Some(Origin::File { span }) => {
                placed(Problem::new(pointer(key), format!("`{key}`: {message}")), &self.text, span.start)
            }
            Some(Origin::Environment { variable }) => Problem::new(variable.clone(), message),
            Some(Origin::Flag { name }) => Problem::new(*name, message),
            Some(Origin::Default) | None => Problem::new(pointer(key), format!("`{key}`: {message}")),
        }
    }
}

/// `limits.process_slots` as `HOSTLER_CONFIG_LIMITS_PROCESS_SLOTS`.
pub(crate) fn variable_of(key: &str) -> String {
    format!("HOSTLER_CONFIG_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

fn placed(problem: Problem, text: &str, offset: usize) -> Problem {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Problem { line: u32::try_from(line).ok(), column: u32::try_from(column).ok(), ..problem }
}

/// Dotted keys of all leaves. What lies under `plugins.NAME.settings` belongs to the plugin and stays in one piece.
fn flatten(prefix: &str, table: &DeTable<'_>, found: &mut Vec<(String, Value, Range<usize>)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let is_settings = key.starts_with("plugins.") && key.matches('.').count() >= 2;
        match value.get_ref() {
            DeValue::Table(inner) if !is_settings || key.ends_with(".limits") => flatten(&key, inner, found),
            other => found.push((key, to_json(other), name.span().start..value.span().end)),
        }
    }
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or_else(|_| Value::String(digits), Value::from)
        }
        DeValue::Float(number) => {
            let text = number.as_str().replace('_', "");
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(Value::String(text), Value::Number)
        }
        DeValue::Boolean(switch) => Value::Bool(*switch),
        DeValue::Datetime(instant) => Value::String(instant.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(name, value)| (name.get_ref().to_string(), to_json(value.get_ref())));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

/// The known key that was most likely meant: fewest single-letter mistakes, at most a third of the key.
pub(crate) fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a String> {
    // Somebody who knows only the last word of a key is helped too.
    let last = key.rsplit('.').next().unwrap_or(key);
    let same_end = known.iter().find(|name| name.rsplit('.').next() == Some(last));
    let near = known.iter().map(|name| (distance(key, name), name)).min();
    near.filter(|(mistakes, _)| *mistakes <= key.len() / 3).map(|(_, name)| name).or(same_end)
}

/// How many letters must be put in, left out or changed to make one of the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, c) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(c != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
