//! JSON Schemas from manifests: all problems of a value at once with their JSON pointers, and defaults filled in.
//!
//! Invariant: a schema never fetches anything; a reference to somewhere else is an error of the schema.

use hostler_model::{Problem, Problems};
use jsonschema::Validator;
use serde_json::{Map, Value};

/// More would not help anybody, and a hostile value could make as many as it has bytes.
const PROBLEMS_MAX: usize = 50;
const DEPTH_MAX: u32 = 32;

pub(crate) struct Schema {
    text: Value,
    validator: Validator,
}

impl Schema {
    pub(crate) fn new(text: &Value) -> Result<Self, String> {
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(text)
            .map_err(|error| error.to_string())?;
        Ok(Self { text: text.clone(), validator })
    }

    /// The value with defaults, or all that is wrong with it.
    pub(crate) fn check(&self, value: &Value) -> Result<Value, Problems> {
        let mut value = value.clone();
        fill(&self.text, &mut value, DEPTH_MAX);
        let problems: Vec<_> =
            self.validator.iter_errors(&value).take(PROBLEMS_MAX).map(|error| problem(&error)).collect();
        if problems.is_empty() { Ok(value) } else { Err(Problems(problems)) }
    }
}

fn problem(error: &jsonschema::ValidationError<'_>) -> Problem {
    let message: String = error.to_string().chars().take(500).collect();
    Problem::new(error.instance_path().to_string(), message)
}

/// Puts the `default` of each absent property of an object, as deep as `properties` go.
fn fill(schema: &Value, value: &mut Value, depth: u32) {
    let (Some(properties), Some(object)) = (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    else {
        return;
    };
    for (name, property) in properties {
        if let Some(default) = property.get("default")
            && !object.contains_key(name)
        {
            object.insert(name.clone(), default.clone());
        }
        if let Some(inner) = object.get_mut(name)
            && depth > 0
        {
            fill(property, inner, depth - 1);
        }
    }
}

/// An absent object is an empty one, so that defaults have somewhere to go.
pub(crate) fn object_or_empty(value: &Value) -> Value {
    if value.is_null() { Value::Object(Map::new()) } else { value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_gets_its_defaults_or_all_its_problems() {
        let schema = Schema::new(&json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["every"],
            "properties": {
                "every": {"type": "string"},
                "zone": {"type": "string", "default": "UTC"},
                "deep": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 3}}}
            }
        }))
        .expect("a schema");
        let good = schema.check(&json!({"every": "5m"})).expect("good");
        assert_eq!(good, json!({"every": "5m", "zone": "UTC", "deep": {"n": 3}}));
        let wrong = schema.check(&json!({"zone": 1, "deep": {"n": "x"}, "more": true})).expect_err("wrong");
        let mut places: Vec<_> = wrong.0.iter().map(|problem| problem.at.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["", "", "/deep/n", "/zone"]);
    }

    #[test]
    fn a_schema_cannot_reach_out() {
        assert!(Schema::new(&json!({"$ref": "http://127.0.0.1:1/schema.json"})).is_err());
        assert!(Schema::new(&json!({"$ref": "file:///etc/passwd"})).is_err());
        assert!(Schema::new(&json!({"type": "no such type"})).is_err());
    }
}
