//! What a document becomes, and that no input whatever does harm. Single mistakes are in `tests/documents`.

use super::{DEPENDENCIES_MAX, TASKS_MAX, TEXT_BYTES_MAX, canonical, digest, resolve_paths};
use crate::Pipeline;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::fmt::Write;

const EVERYTHING: &str = include_str!("../../tests/documents/good/everything.json");

fn refused(text: &str) -> String {
    Pipeline::parse(text).expect_err("it is bad").to_string()
}

#[test]
fn a_problem_in_text_says_line_and_column_in_characters() {
    let said = refused("{\n  \"id\": \"p\",\n  \"tasks\": {\"ä\": {}, \"t\": {\"é\": 1}}\n}");
    insta::assert_snapshot!(said, @r"
    2 problems
      3:13: /tasks/ä: `ä` begins with `ä`; a name begins with a letter a-z or a digit
      3:28: /tasks/t/é: a task has no field `é` (it has `description`, `process`, `container`, `wasm`, `env`, `depends_on`, `join`, `retry`, `timeout`, `grace`, `allow_failure`, `success_codes`, `on_lost`)
    ");
    insta::assert_snapshot!(refused("{\n\n  \"id\": nope\n}"), @"3:9: not JSON: `nope` is no value; a string stands in double quotes");
}

#[test]
fn problems_carry_no_control_characters_to_a_terminal() {
    let said = refused(r#"{"id":"\u001b[2J","tasks":{"\u001b]0;x":{},"t":{"\u0007":1,"env":{"\u009b":"${\u001b}"}}}}"#);
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}

#[test]
fn tasks_are_numbered_the_same_however_the_document_is_written() {
    let texts = [
        r#"{"id":"p","tasks":{"z":{"depends_on":["b","a"]},"b":{},"a":{"depends_on":["c"]},"c":{}}}"#,
        r#"{"tasks":{"c":{},"a":{"depends_on":{"c":"success"}},"b":{},"z":{"depends_on":{"a":"success","b":"success"}}},"id":"p"}"#,
    ];
    let [first, second] = texts.map(|text| Pipeline::parse(text).expect("good"));
    assert_eq!(first, second);
    let names: Vec<_> = first.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a", "z"]);
    for (index, task) in (0..).map(crate::TaskIndex).zip(&first.tasks) {
        assert!(task.depends_on.iter().all(|up| up.task < index));
        for (dependant, edge) in first.dependants(index) {
            assert_eq!(first.task(*dependant).depends_on[*edge as usize].task, index);
        }
    }
}

#[test]
fn the_same_definition_has_the_same_digest() {
    let value: Value = serde_json::from_str(EVERYTHING).expect("JSON");
    let text = canonical(&value);
    let again: Value = serde_json::from_str(&text).expect("canonical text is JSON");
    assert_eq!(again, value);
    assert_eq!(canonical(&again), text);
    assert_eq!(
        canonical(&json!({"b": [1, {"d": null, "c": "\"é\n"}], "a": true})),
        r#"{"a":true,"b":[1,{"c":"\"é\n","d":null}]}"#
    );
    assert_eq!(digest(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Pipeline::parse(&text), Pipeline::parse(EVERYTHING));
}

#[test]
fn relative_components_are_made_absolute_against_the_folder() {
    let resolved = |component: &str| {
        let mut document = json!({"tasks": {"t": {"wasm": {"component": component}}, "u": {}, "v": 1}});
        resolve_paths(&mut document, "/home/me/");
        resolve_paths(&mut document, "/elsewhere");
        document["tasks"]["t"]["wasm"]["component"].as_str().map(str::to_string)
    };
    let cases = [
        ("c.wasm", "/home/me/c.wasm"),
        ("././c.wasm", "/home/me/c.wasm"),
        ("../c.wasm", "/home/me/../c.wasm"),
        ("/c.wasm", "/c.wasm"),
        ("oci://r/c:1", "oci://r/c:1"),
        ("", ""),
    ];
    for (component, expected) in cases {
        assert_eq!(resolved(component).as_deref(), Some(expected));
    }
    for mut odd in [json!(null), json!([]), json!({"tasks": 1}), json!({"tasks": {"t": {"wasm": {"component": 1}}}})] {
        let before = odd.clone();
        resolve_paths(&mut odd, "/x");
        assert_eq!(odd, before);
    }
}

#[test]
fn more_than_a_hundred_problems_are_counted() {
    let fields: Map<String, Value> = (0..150).map(|index| (format!("unknown{index}"), json!(1))).collect();
    let problems = Pipeline::from_value(&json!({"id": "p", "tasks": {"t": fields}})).expect_err("bad").0;
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].message, "and 50 more");
}

#[test]
fn what_is_over_a_limit_is_refused() {
    assert!(refused(&" ".repeat(TEXT_BYTES_MAX + 1)).contains("the limit is"));
    let mut text = String::from(r#"{"id":"p","tasks":{"#);
    (0..TASKS_MAX).for_each(|index| _ = write!(text, "\"t{index}\":{{}},"));
    text.push_str("\"last\":{}}}");
    assert!(refused(&text).contains("the limit is 200000"));

    let names: Vec<_> = (0..1001).map(|index| format!("\"t{index}\"")).collect();
    let mut text = String::from(r#"{"id":"p","tasks":{"#);
    names.iter().for_each(|name| _ = write!(text, "{name}:{{}},"));
    (0..1000).for_each(|index| _ = write!(text, "\"u{index}\":{{\"depends_on\":[{}]}},", names.join(",")));
    text.push_str("\"last\":{}}}");
    assert!(refused(&text).contains(&format!("the limit is {DEPENDENCIES_MAX}")));
    assert!(refused(&"[".repeat(1_000_000)).contains("nested deeper"));
}

/// A hundred thousand processes: `link` says what follows in task `index`.
fn large(link: impl Fn(u32) -> String) -> String {
    let mut text = String::from(r#"{"id":"p","tasks":{"t0":{"process":{"argv":["true"]}}"#);
    for index in 1..100_000 {
        _ = write!(text, r#","t{index}":{{"process":{{"argv":["true"]}}{}}}"#, link(index));
    }
    text.push_str("}}");
    text
}

#[test]
fn a_hundred_thousand_tasks_are_read_in_one_go() {
    let after = |up: u32, of: u32| format!(r#","depends_on":["t{up}"],"env":{{"N":"${{tasks.t{of}.outputs.n}}"}}"#);
    let fan = large(|_| after(0, 0));
    let chain = large(|index| after(index - 1, index.saturating_sub(3)));
    let far = large(|index| after(index - 1, 0));
    let cycle = large(|index| after(index % 99_999 + 1, 0));
    for (text, good) in [(fan, true), (chain, true), (far, true), (cycle, false)] {
        assert_eq!(Pipeline::parse(&text).is_ok(), good);
    }
}

#[test]
fn one_task_may_gather_the_outputs_of_all_others() {
    let names: Vec<_> = (0..50_000).map(|index| format!("t{index}")).collect();
    let process = json!({"argv": ["true"]});
    let mut tasks: Map<String, Value> = names.iter().map(|name| (name.clone(), json!({"process": process}))).collect();
    let env: Map<String, Value> =
        names.iter().map(|name| (name.to_uppercase(), json!(format!("${{tasks.{name}.outputs.n}}")))).collect();
    tasks.insert("all".into(), json!({"process": process, "env": env, "depends_on": names}));
    assert!(Pipeline::from_value(&json!({"id": "p", "tasks": tasks})).is_ok());
}

#[test]
fn an_output_far_upstream_is_found_and_one_beside_is_not() {
    let document = |of: &str| {
        let mut tasks: Map<String, Value> = Map::new();
        tasks.insert("beside".into(), json!({"process": {"argv": ["true"]}}));
        tasks.insert("t0".into(), json!({"process": {"argv": ["true"]}}));
        for index in 1..2000 {
            tasks.insert(format!("t{index}"), json!({"depends_on": [format!("t{}", index - 1)]}));
        }
        let env = json!({"N": format!("${{tasks.{of}.outputs.n}}")});
        tasks.insert("end".into(), json!({"process": {"argv": ["true"]}, "env": env, "depends_on": ["t1999"]}));
        Pipeline::from_value(&json!({"id": "p", "tasks": tasks}))
    };
    assert!(document("t0").is_ok());
    let said = document("beside").expect_err("it is beside").to_string();
    assert!(said.starts_with("/tasks/end/env/N: refers to an output of `beside`"), "{said}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = "id|tasks|process|argv|wasm|component|env|depends_on|params|type|default|a|b|success|5s|\\$\\{params.a\\}|.{0,5}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((words, inner), 0..6).prop_map(|list| Value::Object(list.into_iter().collect())),
        ]
    })
}

/// Replaces the value that the `at`-th step of a walk meets.
fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, at, with)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, at, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whatever comes out is sound: a pipeline with all indexes in range, or problems.
fn check_sound(result: Result<Pipeline, crate::Problems>) {
    match result {
        Ok(pipeline) => {
            for (index, task) in (0..).map(crate::TaskIndex).zip(&pipeline.tasks) {
                assert!(task.depends_on.iter().all(|up| up.task < index));
            }
        }
        Err(problems) => assert!(!problems.0.is_empty() && problems.to_string().len() < 200_000),
    }
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(value in any_json()) {
        check_sound(Pipeline::from_value(&value));
        check_sound(Pipeline::parse(&value.to_string()));
    }

    #[test]
    fn a_good_document_with_one_value_replaced_is_read_or_refused(mut at in 0_usize..150, with in any_json()) {
        let mut value: Value = serde_json::from_str(EVERYTHING).expect("JSON");
        replace(&mut value, &mut at, &with);
        let (by_value, by_text) = (Pipeline::from_value(&value), Pipeline::parse(&canonical(&value)));
        prop_assert_eq!(by_value.is_ok(), by_text.is_ok());
        check_sound(by_value);
        check_sound(by_text);
    }

    #[test]
    fn a_good_text_with_a_piece_replaced_is_read_or_refused(
            at in 0..EVERYTHING.len(), length in 0_usize..20, with in "[ -~]{0,8}|.{0,4}"
        ) {
        let end = (at + length).min(EVERYTHING.len());
        prop_assume!(EVERYTHING.is_char_boundary(at) && EVERYTHING.is_char_boundary(end));
        check_sound(Pipeline::parse(&format!("{}{with}{}", &EVERYTHING[..at], &EVERYTHING[end..])));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        check_sound(Pipeline::parse(&text));
    }
}
