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
use zeroize::Zeroizing;

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
        let mut error = None;
        let http: Vec<_> = found.http.iter().map(|(_, response)| json!({"response": response})).collect();
        let sent: Vec<_> = found.http.iter().map(|(request, _)| request).collect();
        let mut expect = json!({"exact": true, "http": sent});
        match answer {
            Ok((told, changes)) => {
                expect["answer"] = told;
                expect["kv"] = cases::memory(changes);
            }
            Err(broken) => {
                let told = told_failure(&broken.failure);
                // Its words may be what a sender said, and the list of recordings is open to more people than they are.
                error = told["kind"].as_str().map(str::to_owned);
                expect["failure"] = told;
            }
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
        leave_out(&mut case, &found.shown)?;
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

/// Puts words in the place of each value, and gives them to the plugin where it is shown the value. None: a value is
/// too short to be told from anything else.
fn leave_out(case: &mut Value, shown: &[(Slug, Zeroizing<Vec<u8>>)]) -> Option<()> {
    let mut values: Vec<_> = shown.iter().map(|(stored, value)| LeftOut::new(stored, value)).collect::<Option<_>>()?;
    // One value may be a part of another, of which nothing may stay.
    values.sort_by_key(|one| std::cmp::Reverse(one.value.len()));
    for one in &values {
        one.replace(case);
        case["given"]["secrets"][one.stored.as_str()] = one.words.as_str().into();
    }
    Some(())
}

/// A value of a secret and the words that stand for it.
struct LeftOut<'a> {
    stored: &'a Slug,
    value: &'a [u8],
    /// How it may stand in a text: as it is, as JSON within a text writes it, in base64.
    spellings: Vec<String>,
    /// Such as can stand in an address or a header.
    words: String,
}

impl<'a> LeftOut<'a> {
    fn new(stored: &'a Slug, value: &'a [u8]) -> Option<Self> {
        if value.len() < LEFT_OUT_BYTES_MIN {
            return None;
        }
        let mut spellings = Vec::new();
        if let Ok(text) = std::str::from_utf8(value) {
            let quoted = Value::from(text).to_string();
            spellings.extend([text.to_owned(), quoted[1..quoted.len() - 1].to_owned()]);
        }
        spellings.push(STANDARD.encode(value).trim_end_matches('=').to_owned());
        Some(Self { stored, value, spellings, words: format!("the-value-of-secret-{stored}") })
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.masked(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Object(fields) => {
                let base64 = fields.get("$base64").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
                if let Some(bytes) = base64.filter(|bytes| find(bytes, self.value).is_some()) {
                    let masked = without(&bytes, self.value, self.words.as_bytes());
                    fields.insert("$base64".into(), STANDARD.encode(masked).into());
                }
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.replace(&mut value);
                        (self.masked(&name), value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn masked(&self, text: &str) -> String {
        self.spellings.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling, &self.words))
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn without(bytes: &[u8], secret: &[u8], words: &[u8]) -> Vec<u8> {
    let mut left = bytes;
    let mut kept = Vec::new();
    while let Some(at) = find(left, secret) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(case: &Value, shown: &[(&str, &[u8])]) -> Option<String> {
        let shown: Vec<_> = shown
            .iter()
            .map(|(name, value)| (Slug::parse(name).expect("a slug"), Zeroizing::new(value.to_vec())))
            .collect();
        let mut case = case.clone();
        leave_out(&mut case, &shown).map(|()| case.to_string())
    }

    #[test]
    fn no_value_stays_whether_it_is_one_of_several_or_a_part_of_another() {
        let case = json!({
            "given": {},
            "input": {"header": "Bearer first-value", "body": "{\"token\": \"sec\\\"ond-value\"}", "first-value": 1},
            "answer": ["a first-value-and-more b", {"$base64": STANDARD.encode(b"\xff first-value \xfe")}],
            "sent": STANDARD.encode("first-value"),
        });
        let shown: [(&str, &[u8]); 3] =
            [("token", b"first-value"), ("token", b"sec\"ond-value"), ("longer", b"first-value-and-more")];
        let told = left_out(&case, &shown).expect("long enough");
        for part in ["first-value", "ond-value", "and-more", &STANDARD.encode("first-value")] {
            assert!(!told.contains(part), "{part}: {told}");
        }
        assert!(told.contains("a the-value-of-secret-longer b"), "{told}");
        let bytes = STANDARD.encode(b"\xff the-value-of-secret-token \xfe");
        assert!(told.contains(&bytes), "{told}");
        assert_eq!(left_out(&case, &[("short", b"first")]), None);
    }
}
