//! The OpenAPI document: whole, and the same as the one in the repository.

use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

#[test]
fn the_published_document_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let mut text = hostler_web::openapi().to_pretty_json().expect("JSON");
    text.push('\n');
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/reference/openapi.json is not that of the code; write it anew with `cargo xtask docs`"
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere_and_every_operation_is_told_apart() {
    let document = serde_json::to_value(hostler_web::openapi()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    references(&document, &document);
    let mut names = HashSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = operation["operationId"].as_str().expect("an id");
            assert!(names.insert(name.to_owned()), "{name} comes twice");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            captures(path, operation);
        }
    }
}

/// Each capture of a path is described as a parameter.
fn captures(path: &str, operation: &Value) {
    let described: HashSet<&str> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "path")
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    let captured: HashSet<&str> =
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    assert_eq!(described, captured, "{path}");
}

fn references(document: &Value, within: &Value) {
    match within {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a place within the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            fields.values().for_each(|field| references(document, field));
        }
        Value::Array(items) => items.iter().for_each(|item| references(document, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
