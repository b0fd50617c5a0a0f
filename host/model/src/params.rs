//! Params of a run: what was given, held against what the pipeline declares (decision 2).
//!
//! Invariants: `Bound` holds a value for each declared param, of its type; the values fit into an environment. A value
//! is text to whatever it is put into and is never looked at again. Must not know who gave them.

use crate::document::canonical;
use crate::spec::{Param, ParamKind};
use crate::{Pipeline, Problem, Problems};
use serde_json::{Map, Value};

/// Names that only the host sets in the environment of a task.
pub const RESERVED_PREFIX: &str = "HOSTLER_";
/// Before the name of a param that the pipeline does not declare.
const OPEN_PREFIX: &str = "HOSTLER_PARAM_";
/// Bytes of all names and values of one run.
pub const TOTAL_BYTES_MAX: usize = 256 << 10;
/// Bytes of one value: Linux takes no environment entry of more than 128 KiB, name included.
pub const VALUE_BYTES_MAX: usize = 120 << 10;

/// The params of a run, complete and checked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bound {
    values: Map<String, Value>,
    /// Name, name in the environment, text; declared ones first.
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    name: String,
    env_name: String,
    text: String,
}

impl Pipeline {
    /// Takes what was given for a new run. Text is read as the declared type, since a command line has nothing else.
    pub fn bind(&self, given: Map<String, Value>) -> Result<Bound, Problems> {
        let mut problems = Vec::new();
        let mut values = Map::new();
        let mut given = given;
        for param in &self.params {
            match take(param, given.remove(&param.name)) {
                Ok(value) => _ = values.insert(param.name.clone(), value),
                Err(problem) => problems.push(problem),
            }
        }
        for (name, value) in given {
            match self.take_undeclared(&name) {
                Ok(()) => _ = values.insert(name, value),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Bound::new(self, values) } else { Err(Problems(problems)) }
    }

    /// The same params again from what `Bound::json` gave for this pipeline.
    pub fn rebind(&self, values: Map<String, Value>) -> Result<Bound, Problems> {
        let wrong = |param: &&Param| values.get(&param.name).is_none_or(|value| check(param, value).is_err());
        match self.params.iter().find(wrong) {
            Some(param) => Err(problem(&param.name, "the kept value does not fit the param").into()),
            None => Bound::new(self, values),
        }
    }

    /// What is wrong with some of the params, while others are still to come.
    pub fn check_given(&self, given: &Map<String, Value>) -> Problems {
        let check = |(name, value): (&String, &Value)| match self.params.iter().find(|param| param.name == *name) {
            Some(param) => take(param, Some(value.clone())).err(),
            None => self.take_undeclared(name).err(),
        };
        Problems(given.iter().filter_map(check).collect())
    }

    fn take_undeclared(&self, name: &str) -> Result<(), Problem> {
        if !self.params_open {
            let names: Vec<_> = self.params.iter().map(|param| format!("`{}`", param.name)).collect();
            let has = if names.is_empty() { "none".into() } else { names.join(", ") };
            let refused = problem(name, "the pipeline does not declare this param");
            return Err(refused.hint(format!("it declares {has}; `\"params_open\": true` lets others in")));
        }
        if name.is_empty() || !name.bytes().all(is_env_byte) {
            return Err(problem(name, "the name of a param is made of letters, digits and `_`"));
        }
        Ok(())
    }
}

impl Bound {
    fn new(pipeline: &Pipeline, values: Map<String, Value>) -> Result<Self, Problems> {
        let declared = pipeline.params.iter().map(|param| (&param.name, param.name.clone(), Some(param.kind)));
        let is_declared = |name: &&String| pipeline.params.iter().any(|param| param.name == **name);
        let open = values.keys().filter(|name| !is_declared(name));
        let open = open.map(|name| (name, format!("{OPEN_PREFIX}{name}"), None));
        let mut problems = Vec::new();
        let mut entries = Vec::new();
        for (name, env_name, kind) in declared.chain(open) {
            let Some(value) = values.get(name) else { continue };
            let text = text_of(value, kind);
            if text.contains('\0') {
                problems.push(problem(name, "contains a NUL character, which cannot be given to a task"));
            } else if text.len() > VALUE_BYTES_MAX {
                let message = format!("has {} bytes; the limit is {VALUE_BYTES_MAX}", text.len());
                problems.push(problem(name, message));
            }
            entries.push(Entry { name: name.clone(), env_name, text });
        }
        let total: usize = entries.iter().map(|entry| entry.name.len() + entry.text.len()).sum();
        if total > TOTAL_BYTES_MAX {
            let message = format!("the params have {total} bytes together; the limit is {TOTAL_BYTES_MAX}");
            problems.push(Problem::new("", message));
        }
        if problems.is_empty() { Ok(Self { values, entries }) } else { Err(Problems(problems)) }
    }

    /// What to keep with the run.
    pub fn json(&self) -> &Map<String, Value> {
        &self.values
    }

    /// Declared params by their name, others as `HOSTLER_PARAM_NAME` with the name as it was given.
    pub fn env(&self) -> Vec<(String, String)> {
        self.entries.iter().map(|entry| (entry.env_name.clone(), entry.text.clone())).collect()
    }

    /// The value as references and the environment show it.
    pub fn text(&self, name: &str) -> Option<String> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.text.clone())
    }
}

fn problem(name: &str, message: impl Into<String>) -> Problem {
    Problem::new(format!("/{}", name.replace('~', "~0").replace('/', "~1")), message)
}

fn take(param: &Param, given: Option<Value>) -> Result<Value, Problem> {
    let Some(given) = given else {
        return param.default.clone().ok_or_else(|| problem(&param.name, "must be given; it has no default"));
    };
    let value = match (given, param.kind) {
        (Value::String(text), ParamKind::Integer | ParamKind::Number | ParamKind::Boolean | ParamKind::Json) => {
            serde_json::from_str(text.trim()).map_err(|_| not_read(param, &text))?
        }
        (value, _) => value,
    };
    check(param, &value)?;
    Ok(value)
}

fn not_read(param: &Param, text: &str) -> Problem {
    let shown: String = text.chars().take(80).collect();
    let refused = problem(&param.name, format!("`{shown}` is not {}", wanted(param.kind)));
    if param.kind == ParamKind::Json {
        refused.hint("a string is written with its quotes: `\"text\"`")
    } else {
        refused
    }
}

fn check(param: &Param, value: &Value) -> Result<(), Problem> {
    check_kind(param.kind, value).map_err(|message| problem(&param.name, message))?;
    if param.choices.is_empty() || param.choices.contains(value) {
        return Ok(());
    }
    let choices: Vec<_> = param.choices.iter().take(20).map(|choice| text_of(choice, Some(param.kind))).collect();
    Err(problem(&param.name, format!("must be one of: {}", choices.join(", "))))
}

const fn wanted(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::String => "a string",
        ParamKind::Integer => "a whole number",
        ParamKind::Number => "a number",
        ParamKind::Boolean => "true or false",
        ParamKind::Json => "JSON",
    }
}

/// Whether a value has the type; the message is a fragment that follows the place.
pub(crate) fn check_kind(kind: ParamKind, value: &Value) -> Result<(), String> {
    let fits = match kind {
        ParamKind::String => value.is_string(),
        ParamKind::Integer => value.is_i64() || value.is_u64(),
        ParamKind::Number => value.is_number(),
        ParamKind::Boolean => value.is_boolean(),
        ParamKind::Json => true,
    };
    if !fits {
        let shown: String = canonical(value).chars().take(80).collect();
        return Err(format!("must be {}, not {shown}", wanted(kind)));
    }
    if value.as_str().is_some_and(|text| text.contains('\0')) {
        return Err("contains a NUL character, which cannot be given to a task".into());
    }
    Ok(())
}

/// How a value looks to a task. JSON keeps its quotes where the param is declared as JSON; elsewhere a string is
/// itself.
fn text_of(value: &Value, kind: Option<ParamKind>) -> String {
    match value {
        Value::String(text) if kind != Some(ParamKind::Json) => text.clone(),
        value => canonical(value),
    }
}

/// A POSIX name: letters, digits and `_`, first no digit.
pub(crate) fn is_env_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    starts && name.len() <= 255 && name.bytes().all(is_env_byte)
}

fn is_env_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pipeline(params: &Value, open: bool) -> Pipeline {
        let document = json!({"id": "p", "params": params, "params_open": open, "tasks": {"t": {}}});
        Pipeline::from_value(&document).expect("the document is good")
    }

    fn typed() -> Pipeline {
        let params = json!({
            "day": {"default": "today"},
            "count": {"type": "integer", "choices": [1, 2, 3]},
            "ratio": {"type": "number", "default": 0.5},
            "dry": {"type": "boolean", "default": false},
            "filter": {"type": "json", "default": {"b": 1, "a": [2]}}
        });
        pipeline(&params, false)
    }

    fn bind(pipeline: &Pipeline, given: Value) -> Result<Bound, String> {
        let Value::Object(given) = given else { panic!("params are an object") };
        pipeline.bind(given).map_err(|problems| problems.to_string())
    }

    #[test]
    fn text_of_a_command_line_is_read_as_the_declared_type() {
        let bound = bind(&typed(), json!({"count": "2", "dry": "true", "ratio": "1e3", "filter": "\"x\""}));
        let bound = bound.expect("all fit");
        assert_eq!(
            Value::Object(bound.json().clone()),
            json!({"count": 2, "day": "today", "dry": true, "filter": "x", "ratio": 1000.0})
        );
        let env = [("count", "2"), ("day", "today"), ("dry", "true"), ("filter", "\"x\""), ("ratio", "1000.0")];
        assert_eq!(bound.env(), env.map(|(name, text)| (name.to_string(), text.to_string())));
    }

    #[test]
    fn all_that_is_wrong_with_params_is_said_at_once() {
        let said = bind(&typed(), json!({"count": 4, "dry": "maybe", "ratio": [1], "filter": "{", "dya": 1}))
            .expect_err("all wrong");
        insta::assert_snapshot!(said, @r#"
        5 problems
          /count: must be one of: 1, 2, 3
          /dry: `maybe` is not true or false
          /filter: `{` is not JSON (a string is written with its quotes: `"text"`)
          /ratio: must be a number, not [1]
          /dya: the pipeline does not declare this param (it declares `count`, `day`, `dry`, `filter`, `ratio`; `"params_open": true` lets others in)
        "#);
        let said = bind(&typed(), json!({"day": "a\u{0}b"})).expect_err("wrong");
        insta::assert_snapshot!(said, @r"
        2 problems
          /count: must be given; it has no default
          /day: contains a NUL character, which cannot be given to a task
        ");
    }

    #[test]
    fn undeclared_params_come_in_only_where_the_pipeline_is_open() {
        let open = pipeline(&json!({}), true);
        let bound = bind(&open, json!({"a": "x", "B": [1, "y"]})).expect("open");
        let env: Vec<_> = bound.env().into_iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(env, ["HOSTLER_PARAM_a=x", "HOSTLER_PARAM_B=[1,\"y\"]"]);
        assert!(bind(&open, json!({"a=b": "x"})).is_err());
        assert!(bind(&pipeline(&json!({}), false), json!({"a": "x"})).is_err());
    }

    #[test]
    fn params_that_fit_no_environment_are_refused() {
        let open = pipeline(&json!({}), true);
        assert!(bind(&open, json!({"a": "x".repeat(VALUE_BYTES_MAX)})).is_ok());
        assert!(bind(&open, json!({"a": "x".repeat(VALUE_BYTES_MAX + 1)})).is_err());
        let many = "x".repeat(VALUE_BYTES_MAX);
        assert!(bind(&open, json!({"a": many, "b": many, "c": many})).is_err_and(|said| said.contains("together")));
    }

    #[test]
    fn kept_params_read_back_as_they_were() {
        let pipeline = typed();
        let bound = bind(&pipeline, json!({"count": "3", "filter": "\"5\""})).expect("all fit");
        let kept = serde_json::to_string(bound.json()).expect("JSON");
        let kept = serde_json::from_str(&kept).expect("JSON");
        assert_eq!(pipeline.rebind(kept), Ok(bound));
        assert!(pipeline.rebind(Map::new()).is_err());
    }
}
