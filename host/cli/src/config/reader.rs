//! Takes typed values out of the layers. A value of the wrong kind is a problem at its place, and the default
//! stands in so that reading goes on and every problem is found.

use super::layers::{Entry, Layers, PLUGINS, nearest};
use hostler_model::{Bytes, Duration, Slug};
use hostler_plugin::{Component, Grants, LimitSettings, PluginSource};
use hostler_web::Listen;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(super) struct Reader {
    layers: Layers,
    read: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self { layers, read: BTreeSet::new() }
    }

    /// The layers with all problems in them.
    pub(super) fn finish(self) -> Layers {
        self.layers
    }

    #[cfg(test)]
    pub(super) fn keys_read(&self) -> &BTreeSet<&'static str> {
        &self.read
    }

    fn value(&mut self, key: &'static str) -> Value {
        self.read.insert(key);
        self.layers.entries.get(key).map_or(Value::Null, |entry| entry.value.clone())
    }

    pub(super) fn refuse(&mut self, key: &str, message: String) {
        let problem = self.layers.problem(key, message);
        self.layers.problems.push(problem);
    }

    pub(super) fn text(&mut self, key: &'static str) -> String {
        match self.value(key) {
            Value::String(text) => text,
            other => {
                self.refuse(key, format!("{other} is not a text in quotes"));
                String::new()
            }
        }
    }

    /// None where it is empty.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.text(key);
        (!text.is_empty()).then(|| std::path::absolute(&text).unwrap_or_else(|_| text.into()))
    }

    pub(super) fn listen(&mut self, key: &'static str) -> Listen {
        let text = self.text(key);
        Listen::parse(&text).unwrap_or_else(|error| {
            self.refuse(key, error.to_string());
            Listen::default()
        })
    }

    pub(super) fn switch(&mut self, key: &'static str) -> bool {
        match self.value(key) {
            Value::Bool(switch) => switch,
            other => {
                self.refuse(key, format!("{other} is neither true nor false"));
                false
            }
        }
    }

    pub(super) fn count(&mut self, key: &'static str, most: usize) -> usize {
        let value = self.value(key);
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= most);
        count.unwrap_or_else(|| {
            self.refuse(key, format!("{value} is not a whole number from 0 to {most}"));
            0
        })
    }

    /// A count without which nothing would work.
    pub(super) fn some(&mut self, key: &'static str, most: usize) -> usize {
        let count = self.count(key, most);
        if count == 0 {
            self.refuse(key, "must be at least 1".into());
            return 1;
        }
        count
    }

    pub(super) fn span(&mut self, key: &'static str) -> Duration {
        let text = self.text(key);
        Duration::parse(&text).unwrap_or_else(|error| {
            self.refuse(key, error.to_string());
            Duration::ZERO
        })
    }

    /// A duration in which something else can be done.
    pub(super) fn longer(&mut self, key: &'static str) -> Duration {
        let span = self.span(key);
        if span == Duration::ZERO {
            self.refuse(key, "must be longer than 0s".into());
            return Duration::from_secs(1);
        }
        span
    }

    pub(super) fn size(&mut self, key: &'static str) -> u64 {
        let text = self.text(key);
        match Bytes::parse(&text) {
            Ok(size) => size.0,
            Err(error) => {
                self.refuse(key, error.to_string());
                0
            }
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> T {
        let text = self.text(key);
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return *choice;
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.refuse(key, format!("`{text}` is none of {}", names.join(", ")));
        choices[0].1
    }

    pub(super) fn names(&mut self, key: &'static str) -> Vec<String> {
        let value = self.value(key);
        let texts: Option<Vec<String>> =
            value.as_array().and_then(|list| list.iter().map(|item| item.as_str().map(String::from)).collect());
        texts.unwrap_or_else(|| {
            self.refuse(key, format!("{value} is not a list of texts, such as [\"a\", \"b\"]"));
            Vec::new()
        })
    }

    /// Names of environment variables that a task may have from the host.
    pub(super) fn variables(&mut self, key: &'static str) -> Vec<String> {
        let names = self.names(key);
        for name in &names {
            let good =
                !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with(|c: char| c.is_ascii_digit());
            if !good {
                self.refuse(key, format!("`{name}` is not the name of an environment variable"));
            } else if name.starts_with("HOSTLER_") {
                self.refuse(key, format!("`{name}` cannot be allowed: the prefix HOSTLER_ is the host's own"));
            }
        }
        names
    }

    pub(super) fn level(&mut self, key: &'static str) -> String {
        let text = self.text(key);
        if let Err(error) = text.parse::<tracing_subscriber::filter::Targets>() {
            self.refuse(key, format!("`{text}` is not a log level: {error}"));
        }
        text
    }

    /// The tables `plugins.NAME`; paths in them are relative to the folder of the file.
    pub(super) fn plugins(&mut self, folder: Option<&Path>) -> Vec<PluginSource> {
        let prefix = format!("{PLUGINS}.");
        let mut tables: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
        for (key, Entry { value, .. }) in &self.layers.entries {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
            tables.entry(name.into()).or_default().push((field.into(), value.clone()));
        }
        tables.into_iter().filter_map(|(name, fields)| self.plugin(&name, fields, folder)).collect()
    }

    fn plugin(&mut self, name: &str, fields: Vec<(String, Value)>, folder: Option<&Path>) -> Option<PluginSource> {
        let first = format!("{PLUGINS}.{name}.{}", fields.first().map_or("", |(field, _)| field));
        let slug = match Slug::parse(name) {
            Ok(slug) => slug,
            Err(error) => {
                self.refuse(&first, error.to_string());
                return None;
            }
        };
        let mut path: Option<PathBuf> = None;
        let mut settings = Value::Null;
        let (mut limits, mut grants) = (Map::new(), Map::new());
        for (field, value) in fields {
            let key = format!("{PLUGINS}.{name}.{field}");
            match (field.as_str(), value) {
                ("path", Value::String(text)) => path = Some(resolve(folder, &text)),
                ("settings", value @ Value::Object(_)) => settings = value,
                (field, value) if field.starts_with("limits.") => {
                    limits.insert(field["limits.".len()..].into(), value);
                }
                ("grants", Value::Object(value)) => grants = value,
                ("path" | "settings" | "grants", value) => self.refuse(&key, format!("{value} is of the wrong kind")),
                (field, _) => {
                    let known = ["path", "settings", "limits", "grants"].map(String::from);
                    let near = nearest(field, &known).map_or("path", String::as_str);
                    self.refuse(&key, format!("unknown key of a plugin; did you mean `{near}`?"));
                }
            }
        }
        let limits = serde_json::from_value::<LimitSettings>(Value::Object(limits)).unwrap_or_else(|error| {
            self.refuse(&first, format!("limits: {error}"));
            LimitSettings::default()
        });
        let grants = serde_json::from_value::<Grants>(Value::Object(grants)).unwrap_or_else(|error| {
            self.refuse(&first, format!("grants: {error}"));
            Grants::default()
        });
        let component = path.map_or_else(|| Component::Builtin(name.into()), Component::File);
        Some(PluginSource { name: slug, component, settings, limits, grants })
    }
}

fn resolve(folder: Option<&Path>, text: &str) -> PathBuf {
    let path = folder.map_or_else(|| PathBuf::from(text), |folder| folder.join(text));
    std::path::absolute(&path).unwrap_or(path)
}
