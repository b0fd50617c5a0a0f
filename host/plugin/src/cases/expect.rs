//! Compares what came of a call with what a case expects of it.
//!
//! An expected object is a part of the one that came; a list is the same length, item by item. Text that holds JSON may
//! be expected as JSON, so that nobody writes quotes within quotes.

use super::Expected;
use crate::log::LogLine;
use serde_json::Value;

/// What is not as expected, one sentence each.
pub(super) fn compare(expected: &Expected, got: &Value, log: &[LogLine]) -> Vec<String> {
    let mut wrong = Vec::new();
    match (&expected.answer, &expected.failure) {
        (Some(answer), _) => part_of(&mut wrong, "answer", answer, got),
        (None, Some(failure)) => part_of(&mut wrong, "failure", failure, got),
        (None, None) => {}
    }
    if expected.exact {
        more_than_expected(&mut wrong, expected, got);
    }
    // Without a word about a failure none is expected.
    if expected.failure.is_none() && expected.answer.is_none() && got.get("failure").is_some() {
        wrong.push(format!("expected an answer, got the failure {}", got["failure"]));
    }
    if let Some(kv) = expected.kv.as_ref().filter(|kv| kv.as_object().is_none_or(|kv| !kv.is_empty())) {
        part_of(&mut wrong, "kv", kv, got);
    }
    if let Some(http) = &expected.http {
        let sent = got.get("http").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        differences(&mut wrong, "http", http, &sent);
    }
    for words in &expected.log {
        if !log.iter().any(|line| line.message.contains(words.as_str())) {
            wrong.push(format!("no line of the log holds {words:?}"));
        }
    }
    wrong
}

/// What came and is not in what was expected, once the one is known to be a part of the other.
fn more_than_expected(wrong: &mut Vec<String>, expected: &Expected, got: &Value) {
    for (name, expected) in [("answer", &expected.answer), ("failure", &expected.failure), ("kv", &expected.kv)] {
        let nothing = Value::Null;
        let (expected, got) = (expected.as_ref().unwrap_or(&nothing), got.get(name).unwrap_or(&nothing));
        let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        let told = wrong.iter().any(|line| line.starts_with(name));
        if expected != got && !told && !(empty(expected) && empty(got)) {
            wrong.push(format!("{name} is {got}, expected exactly {expected}"));
        }
    }
}

fn part_of(wrong: &mut Vec<String>, name: &str, expected: &Value, got: &Value) {
    match got.get(name) {
        Some(found) => differences(wrong, name, expected, found),
        None => wrong.push(format!("expected {name} {expected}, got {got}")),
    }
}

/// Whether the first is a part of the second.
pub(super) fn is_part(expected: &Value, got: &Value) -> bool {
    let mut wrong = Vec::new();
    differences(&mut wrong, "", expected, got);
    wrong.is_empty()
}

fn differences(wrong: &mut Vec<String>, at: &str, expected: &Value, got: &Value) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (name, value) in expected {
                let at = format!("{at}/{name}");
                match got.get(name) {
                    Some(found) => differences(wrong, &at, value, found),
                    None if value.is_null() => {}
                    None => wrong.push(format!("{at} is not there, expected {value}")),
                }
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            if expected.len() != got.len() {
                wrong.push(format!("{at} has {} items, expected {}: {}", got.len(), expected.len(), list(got)));
                return;
            }
            for (place, (value, found)) in expected.iter().zip(got).enumerate() {
                differences(wrong, &format!("{at}/{place}"), value, found);
            }
        }
        (Value::Object(_) | Value::Array(_), Value::String(text)) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => differences(wrong, at, expected, &inner),
            Ok(_) | Err(_) => wrong.push(format!("{at} is {got}, expected {expected}")),
        },
        // A failure's message is for people: a part of it is enough.
        (Value::String(part), Value::String(whole)) if at == "failure/message" && whole.contains(part.as_str()) => {}
        _ if equal(expected, got) => {}
        _ => wrong.push(format!("{at} is {got}, expected {expected}")),
    }
}

/// Numbers by value: 1 and 1.0 are the same to a person.
fn equal(one: &Value, two: &Value) -> bool {
    one == two || one.as_f64().is_some_and(|number| Some(number) == two.as_f64())
}

fn list(values: &[Value]) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(expected: &Value, got: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        differences(&mut wrong, "answer", expected, got);
        wrong
    }

    #[test]
    fn an_object_is_compared_in_part_and_a_list_as_a_whole() {
        let got = json!({"a": 1, "b": [{"c": "x", "d": 2}], "e": "{\"f\": true}"});
        assert!(is_part(&json!({"b": [{"c": "x"}], "e": {"f": true}, "none": null, "a": 1.0}), &got));
        assert_eq!(
            wrong(&json!({"a": 2, "z": 0}), &got),
            ["answer/a is 1, expected 2", "answer/z is not there, expected 0"]
        );
        assert_eq!(wrong(&json!({"b": []}), &got), ["answer/b has 1 items, expected 0: [{\"c\":\"x\",\"d\":2}]"]);
        assert_eq!(wrong(&json!({"e": "f"}), &got).len(), 1);
    }

    #[test]
    fn what_failed_without_being_expected_to_is_told() {
        let got = json!({"failure": {"kind": "denied", "message": "the signature is wrong"}});
        let expected = |value: Value| serde_json::from_value::<Expected>(value).expect("an expectation");
        let told = |value: Value| compare(&expected(value), &got, &[]);
        assert!(told(json!({"failure": {"kind": "denied", "message": "signature"}})).is_empty());
        assert_eq!(told(json!({})).len(), 1);
        assert_eq!(told(json!({"answer": {}})).len(), 1);
        assert_eq!(told(json!({"failure": {"kind": "failed"}})), ["failure/kind is \"denied\", expected \"failed\""]);
        assert_eq!(told(json!({"failure": {}, "http": [{}], "log": ["x"]})).len(), 2);
    }
}
