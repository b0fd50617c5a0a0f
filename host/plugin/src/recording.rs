//! One call as it was, in the form of a case: what it was asked, what it found, what came of it.
//!
//! A recording can be called again by `cases` and comes to the same. Invariant: a value of a secret that the guest was
//! shown, or that a sender rightly showed, stands nowhere in it, neither as it is nor in base64; words stand for it.
//! Must not know: where recordings are kept.

use crate::cases::{shown, told_failure};
use crate::tape::{RECORDING_BYTES_MAX, Recorded};
use crate::{CallError, Function, KvChanges, Plugin, cases};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_model::{Slug, Timestamp};
use serde_json::{Map, Value, json};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    pub plugin: Slug,
    pub digest: String,
    pub function: &'static str,
    /// What the call's clock showed at its beginning.
    pub at: Timestamp,
    /// The kind of its failure; None: it answered.
    pub error: Option<String>,
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
        let error = answer.as_ref().err().and_then(|error| {
            // Its words may be what a sender said, and the list of recordings is open to more people than they are.
            told_failure(&error.failure)["kind"].as_str().map(str::to_owned)
        });
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
        let mut case = json!({
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
        for (stored, value) in &found.shown {
            leave_out(&mut case, stored, value)?;
        }
        let case = case.to_string();
        (case.len() <= RECORDING_BYTES_MAX).then(|| Self {
            plugin: plugin.name().clone(),
            digest: plugin.digest().to_owned(),
            function: function.as_str(),
            at,
            error,
            case,
        })
    }
}

/// Shorter values stand in too many places by chance.
const LEFT_OUT_BYTES_MIN: usize = 6;

/// Puts words in the place of a value, such as can stand in an address or a header, and gives them to the plugin where
/// it is shown the value. None: the value is too short to be told from anything else.
fn leave_out(case: &mut Value, stored: &Slug, value: &[u8]) -> Option<()> {
    if value.len() < LEFT_OUT_BYTES_MIN {
        return None;
    }
    let words = format!("the-value-of-secret-{stored}");
    replace(case, value, &words);
    case["given"]["secrets"][stored.as_str()] = words.into();
    Some(())
}

fn replace(value: &mut Value, secret: &[u8], words: &str) {
    match value {
        Value::String(text) => *text = masked(text, secret, words),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, secret, words)),
        Value::Object(fields) => {
            let base64 = fields.get("$base64").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
            if let Some(bytes) = base64.filter(|bytes| bytes.windows(secret.len()).any(|window| window == secret)) {
                fields.insert("$base64".into(), STANDARD.encode(without(&bytes, secret, words.as_bytes())).into());
            }
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(name, mut value)| {
                    replace(&mut value, secret, words);
                    (masked(&name, secret, words), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn masked(text: &str, secret: &[u8], words: &str) -> String {
    let encoded = STANDARD.encode(secret);
    let text = match std::str::from_utf8(secret) {
        Ok(secret) => text.replace(secret, words),
        Err(_) => text.to_owned(),
    };
    // Text that holds JSON writes some characters in another way.
    let escaped = std::str::from_utf8(secret).map(|secret| Value::from(secret).to_string()).unwrap_or_default();
    let text = match escaped.trim_matches('"') {
        "" => text,
        escaped => text.replace(escaped, words),
    };
    text.replace(encoded.trim_end_matches('='), words)
}

fn without(bytes: &[u8], secret: &[u8], words: &[u8]) -> Vec<u8> {
    let mut left = bytes;
    let mut kept = Vec::new();
    while let Some(at) = left.windows(secret.len()).position(|window| window == secret) {
        kept.extend_from_slice(&left[..at]);
        kept.extend_from_slice(words);
        left = &left[at + secret.len()..];
    }
    kept.extend_from_slice(left);
    kept
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
