//! One call as it was, in the form of a case: what it was asked, what it found, what came of it.
//!
//! A recording can be called again by `cases` and comes to the same. Invariant: it names no value of a secret. Must not
//! know: where recordings are kept.

use crate::cases::{shown, told_failure};
use crate::tape::{RECORDING_BYTES_MAX, Recorded};
use crate::{CallError, Function, KvChanges, Plugin, cases};
use hostler_model::{Slug, Timestamp};
use serde_json::{Map, Value, json};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    pub plugin: Slug,
    pub digest: String,
    pub function: &'static str,
    /// What the call's clock showed at its beginning.
    pub at: Timestamp,
    /// None: it answered.
    pub error: Option<String>,
    /// The newest ones of the plugin that are kept.
    pub kept_max: u32,
    /// A case, as JSON.
    pub case: String,
}

/// What is said of a call beside what it found.
pub(crate) struct Made {
    pub(crate) function: Function,
    pub(crate) at: Timestamp,
    pub(crate) input: Value,
}

impl Recording {
    /// None: there is more of it than a recording may hold.
    pub(crate) fn of(
        plugin: &Plugin,
        made: Made,
        found: &Recorded,
        answer: Result<(Value, &KvChanges), &CallError>,
    ) -> Option<Self> {
        if !found.is_whole() {
            return None;
        }
        let Made { function, at, mut input } = made;
        if let Some((name, files)) = files(function, found) {
            input[name] = files;
        }
        let error = answer.as_ref().err().map(|error| error.failure.to_string());
        let http: Vec<_> = found.http.iter().map(|(_, response)| json!({"response": response})).collect();
        let sent: Vec<_> = found.http.iter().map(|(request, _)| request).collect();
        let mut expect = json!({"exact": true, "http": sent});
        match answer {
            Ok((told, changes)) => {
                expect["answer"] = told;
                expect["kv"] = cases::memory(changes);
            }
            Err(error) => expect["failure"] = told_failure(&error.failure),
        }
        let mut limits = serde_json::to_value(plugin.limits()).unwrap_or_default();
        if let Some(limits) = limits.as_object_mut() {
            // A call that is made again has an instance of its own and is not recorded.
            limits.retain(|name, _| !matches!(name.as_str(), "calls_per_instance_max" | "recorded_calls_max"));
        }
        let case = json!({
            "name": format!("{} at {}", function.as_str(), cases::time(at).as_str().unwrap_or_default()),
            "function": function,
            "input": input,
            "given": {
                "settings": plugin.settings(),
                "grants": plugin.grants(),
                "limits": limits,
                "kv": kv(found),
                "http": http,
                "replay": found.course,
            },
            "expect": expect,
        });
        let case = case.to_string();
        (case.len() <= RECORDING_BYTES_MAX).then(|| Self {
            plugin: plugin.name().clone(),
            digest: plugin.digest().to_owned(),
            function: function.as_str(),
            at,
            error,
            kept_max: plugin.limits().recorded_calls_max,
            case,
        })
    }
}

fn kv(found: &Recorded) -> Value {
    let mut scopes = Map::new();
    let listed = found.listed.iter().filter(|place| !found.kv.contains_key(*place)).map(|place| (place, &[][..]));
    let looked_at = found.kv.iter().filter_map(|(place, value)| value.as_deref().map(|value| (place, value)));
    for ((scope, key), value) in looked_at.chain(listed) {
        // The host's name of a subscription's scope holds its id; a case has one subscription.
        let scope = scope.split(':').next().unwrap_or_default();
        scopes.entry(scope).or_insert_with(|| json!({}))[key] = shown(value);
    }
    scopes.into()
}

fn files(function: Function, found: &Recorded) -> Option<(&'static str, Value)> {
    let name = match function {
        Function::Build => "files",
        Function::Render => "templates",
        _ => return None,
    };
    let files = found.files.iter().map(|(path, bytes)| (path.clone(), shown(bytes.as_deref().unwrap_or_default())));
    Some((name, Value::Object(files.collect())))
}
