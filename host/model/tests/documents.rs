//! Holds the parser and the published schema together on the documents in `tests/documents`, good ones and bad ones.

use hostler_model::Pipeline;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Bad documents whose mistake no schema can say.
const BEYOND_SCHEMA: [&str; 10] = [
    "backoff-over-its-limit",
    "century",
    "contradictions",
    "cycle",
    "default-is-no-choice",
    "lost-without-a-second-attempt",
    "memory-out-of-range",
    "param-hides-env",
    "references",
    "repeated-keys",
];

fn documents(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder of documents is there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a document has a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("the document can be read"))
    };
    paths.into_iter().map(read).collect()
}

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(hostler_model::schema::SCHEMA).expect("the schema is JSON");
    assert!(jsonschema::meta::is_valid(&schema), "the schema follows its own schema");
    jsonschema::validator_for(&schema).expect("the schema can be used")
}

#[test]
fn good_documents_are_good_to_the_parser_and_to_the_schema() {
    let schema = schema();
    for (name, text) in documents("good") {
        let parsed = Pipeline::parse(&text);
        assert!(parsed.is_ok(), "{name}: {}", parsed.expect_err("bad"));
        let value = serde_json::from_str(&text).expect("the document is JSON");
        assert_eq!(Pipeline::from_value(&value), parsed, "{name}");
        let said: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(said.is_empty(), "{name}: {said:?}");
    }
}

#[test]
fn bad_documents_are_refused_with_every_problem_in_its_place() {
    let schema = schema();
    let mut beyond = Vec::new();
    for (name, text) in documents("bad") {
        let problems = Pipeline::parse(&text).expect_err(&name);
        insta::with_settings!({snapshot_path => "documents/bad", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name.as_str(), problems.to_string());
        });
        if schema.is_valid(&serde_json::from_str(&text).expect("the document is JSON")) {
            beyond.push(name);
        }
    }
    assert_eq!(beyond, BEYOND_SCHEMA);
}

#[test]
fn each_field_of_the_schema_says_what_it_means() {
    fn check(node: &Value, at: &str) {
        let Value::Object(map) = node else { return };
        for (name, field) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is_condition = at.contains("/then") || at.contains("/if") || at.contains("/values");
            assert!(is_condition || field.get("description").is_some(), "{at}/{name} has no description");
        }
        map.iter().for_each(|(key, value)| check(value, &format!("{at}/{key}")));
    }
    check(&serde_json::from_str(hostler_model::schema::SCHEMA).expect("the schema is JSON"), "");
}
