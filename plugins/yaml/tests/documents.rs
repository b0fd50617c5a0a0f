//! What is read of a file, and what is refused: through the face that the component uses.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use yaml::{Document, documents};

fn read(text: &str) -> Vec<Value> {
    let documents = documents(text.as_bytes()).unwrap_or_else(|wrongs| panic!("{wrongs:?} in\n{text}"));
    documents.iter().map(|document| serde_json::from_str(&document.body).expect("JSON")).collect()
}

/// `line:column message (hint)`, one a line.
fn refused(text: &str) -> Vec<String> {
    let wrongs = documents(text.as_bytes()).expect_err(text);
    let told = |wrong: yaml::Wrong| {
        let place = wrong.mark.map(|mark| format!("{}:{} ", mark.line, mark.column)).unwrap_or_default();
        format!("{place}{}{}", wrong.message, wrong.hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
    };
    wrongs.into_iter().map(told).collect()
}

fn places(document: &Document) -> Vec<String> {
    let place = |origin: &yaml::Origin| format!("{} {}:{}", origin.pointer, origin.mark.line, origin.mark.column);
    document.origins.iter().map(place).collect()
}

#[test]
fn a_pipeline_becomes_the_same_as_json() {
    let text = "\
# A comment, and a list without indentation.
id: report
params:
  day: {type: string, default: today}
tasks:
  extract:
    process:
      script: |
        echo \"$day\"
        echo done
    retry: {attempts: 3, backoff: 5s}
    allow_failure: yes
  publish:
    process:
      argv: [echo, 'rows:', \"${tasks.extract.outputs.rows}\"]
    depends_on:
    - extract
";
    let expected = json!({
        "id": "report",
        "params": {"day": {"type": "string", "default": "today"}},
        "tasks": {
            "extract": {
                "process": {"script": "echo \"$day\"\necho done\n"},
                "retry": {"attempts": 3, "backoff": "5s"},
                "allow_failure": "yes",
            },
            "publish": {
                "process": {"argv": ["echo", "rows:", "${tasks.extract.outputs.rows}"]},
                "depends_on": ["extract"],
            }
        }
    });
    let expected = [expected];
    assert_eq!(read(text), expected);
    assert_eq!(read(&text.replace('\n', "\r\n")), expected, "with the line ends of another system");
    assert_eq!(read(&format!("\u{feff}{text}")), expected, "with a byte-order mark");
}

#[test]
fn a_file_may_hold_several_documents() {
    assert_eq!(read("---\na: 1\n---\na: 2\n...\n# the end\n"), [json!({"a": 1}), json!({"a": 2})]);
    assert_eq!(read("%YAML 1.2\n---\na: 1\n"), [json!({"a": 1})]);
    assert_eq!(read("a: &x 1\nb: *x\n---\na: &x 2\nb: *x\n"), [json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2})]);
}

#[test]
fn every_part_has_its_place() {
    let text = "\
id: x
tasks:
  a:
    argv: [one, 'two']
    empty:
  ? b
  : - c
    - {d: e}
  same: &anchor
    deep: 1
  copy: *anchor
";
    let documents = documents(text.as_bytes()).expect("good");
    assert_eq!(
        places(&documents[0]),
        [
            " 1:1",
            "/id 1:1",
            "/id 1:5",
            "/tasks 2:1",
            "/tasks/a 3:3",
            "/tasks/a/argv 4:5",
            "/tasks/a/argv 4:11",
            "/tasks/a/argv/0 4:12",
            "/tasks/a/argv/1 4:17",
            "/tasks/a/empty 5:5",
            "/tasks/b 6:5",
            "/tasks/b/0 7:7",
            "/tasks/b/1 8:7",
            "/tasks/b/1/d 8:8",
            "/tasks/b/1/d 8:11",
            "/tasks/same 9:3",
            "/tasks/same/deep 10:5",
            "/tasks/same/deep 10:11",
            "/tasks/copy 11:3",
            "/tasks/copy 11:9",
        ]
    );
    let odd = "\"a/b~c\": \"\u{e9}\u{e9}\"\n\u{e9}: [\u{1f600}, x]\n";
    let documents = yaml::documents(odd.as_bytes()).expect("good");
    assert_eq!(places(&documents[0]).last().map(String::as_str), Some("/\u{e9}/1 2:8"), "columns count characters");
    assert_eq!(documents[0].origins[1].pointer, "/a~1b~0c");
}

#[test]
fn of_a_huge_document_the_places_near_its_top_are_told() {
    let tasks: String = (0..60_000).map(|n| format!("  t{n}: {{process: {{argv: [x]}}}}\n")).collect();
    let documents = documents(format!("id: x\ntasks:\n{tasks}").as_bytes()).expect("good");
    let origins = &documents[0].origins;
    assert!(origins.iter().any(|origin| origin.pointer == "/tasks/t59999"));
    assert!(origins.len() < 300_000, "{}", origins.len());
    assert!(!origins.iter().any(|origin| origin.pointer.ends_with("/argv")));
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = "\
id: a
id: b
1: one
<<: {x: 1}
mode: 0755
far: .inf
date: !!timestamp 2026-01-01
own: !include other.yaml
gone: *nowhere
[a, b]: c
---
tasks: [1, 2
---
id: good
id: twice
---
";
    assert_eq!(
        refused(text),
        [
            "2:1 the key `id` stands in line 1 already",
            "3:1 the key `1` is not a text (put it into quotes: `\"1\"`)",
            "4:1 merge keys (`<<`) are not part of YAML 1.2 (write the fields out, or use an alias for a whole value)",
            "5:7 `0755` begins with a zero, which some read as octal (put it into quotes, or write `0o755` for octal and \
             `755` for decimal)",
            "6:6 JSON has no number `.inf` (put it into quotes if it is a text)",
            "7:7 the tag `!!timestamp` is not known (leave the tag out, or put a text that begins with `!` into quotes)",
            "8:6 the tag `!include` is not known (leave the tag out, or put a text that begins with `!` into quotes)",
            "9:7 there is no anchor `&nowhere` above this alias (put a text that begins with `*` into quotes)",
            "10:1 a key is a text, not a list or a mapping",
            "12:8 this `[` is never closed",
            "15:1 the key `id` stands in line 14 already",
            "16:1 this document is empty",
        ]
    );
}

#[test]
fn what_is_no_mapping_is_no_document() {
    assert_eq!(refused(""), ["holds no document"]);
    assert_eq!(refused("# only a comment\n"), ["holds no document"]);
    assert_eq!(refused("- a\n"), ["1:1 a document is a mapping of keys to values, and this is a list"]);
    assert_eq!(refused("hello\n"), ["1:1 a document is a mapping of keys to values, and this is a single value"]);
    assert_eq!(refused("a: 1\n---\n"), ["2:1 this document is empty"]);
    assert_eq!(
        refused("%YAML 1.1\n---\na: yes\n"),
        ["2:1 is written in YAML 1.1; YAML 1.2 is read here (leave the line `%YAML` out)"]
    );
}

#[test]
fn tabs_do_not_indent() {
    for text in ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 2\n", "a:\n\t- 1\n", "a: |\n\ttext\n", "a: [\n\t1]\nb: 2\n"] {
        let wrongs = refused(text);
        assert_eq!(wrongs.len(), 1, "{text:?}: {wrongs:?}");
        assert!(
            wrongs[0].contains("a tab stands where the indentation is (indent with spaces)"),
            "{text:?}: {wrongs:?}"
        );
    }
    assert_eq!(read("a:\tb\nc: \"x\ty\"\n"), [json!({"a": "b", "c": "x\ty"})], "elsewhere they are blanks");
}

#[test]
fn aliases_make_no_small_file_large() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..40 {
        let uses = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
    }
    let wrongs = refused(&bomb);
    assert_eq!(wrongs.len(), 1, "{wrongs:?}");
    assert!(wrongs[0].contains("more than 16 MiB (use fewer aliases of aliases)"), "{wrongs:?}");
    let text = "y".repeat(100_000);
    let large = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 200].join(","));
    assert!(refused(&large)[0].starts_with("2:4 with its aliases written out"));
    let mut deep = String::from("a0: &a0 [x]\n");
    (1..100).for_each(|n| deep.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1)));
    assert!(refused(&deep)[0].contains("nested deeper than 64 levels"));
    assert_eq!(
        refused("a: &a\n  b: *a\n"),
        ["2:6 this alias stands inside of what it stands for, so it would have no end"]
    );
}

#[test]
fn nesting_has_a_limit_in_every_style() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let nested = |depth: usize| format!("a: {}1{}\n", open.repeat(depth), close.repeat(depth));
        assert_eq!(read(&nested(60)).len(), 1);
        assert!(refused(&nested(100_000))[0].contains("nested deeper than 64 levels"));
    }
    let block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refused(&block)[0].contains("nested deeper than 64 levels"));
    assert!(refused(&format!("{}x\n", "- ".repeat(100_000)))[0].contains("nested deeper than 64 levels"));
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let wrongs = |bytes: &[u8]| format!("{:?}", documents(bytes).expect_err("no text"));
    assert!(wrongs(b"a: \xff\xfe\n").contains("line: 1, column: 4") && wrongs(b"\xff").contains("this is not UTF-8"));
    assert!(wrongs(b"a: 1\nb: \0\n").contains("U+0000") && wrongs(b"a: 1\nb: \0\n").contains("line: 2, column: 4"));
    assert!(wrongs(b"a: \x1b[31m\n").contains("in double quotes it is written `\\\\x1b`"));
    assert!(wrongs(b"a: 1\rb: 2\r").contains("U+000D"));
}

#[test]
fn keys_are_texts() {
    assert_eq!(
        read("on: push\n\"1\": a\n!!str 2: b\n? long\n: c\n"),
        [json!({"on": "push", "1": "a", "2": "b", "long": "c"})]
    );
    assert_eq!(read("a: {b, c: }\n"), [json!({"a": {"b": null, "c": null}})]);
    for text in ["true: 1\n", "~: 1\n", ": 1\n", "1.5: 1\n", "&a b: 1\n", "a: &a b\n*a : 1\n", "{a: 1}: 2\n"] {
        assert_eq!(refused(text).len(), 1, "{text:?}");
    }
}

#[test]
fn only_tags_of_the_core_schema_are_known() {
    assert_eq!(
        read("a: !!str 1\nb: !!int 2\nc: !!map {d: !!seq [! 3]}\n"),
        [json!({"a": "1", "b": 2, "c": {"d": ["3"]}})]
    );
    for text in ["a: !!set {b}\n", "a: !!int x\n", "a: !!seq {}\n", "a: !!binary x\n", "a: !own x\n", "a: !e!x y\n"] {
        assert_eq!(refused(text).len(), 1, "{text:?}");
    }
}

#[test]
fn at_most_a_hundred_mistakes_are_listed() {
    let text: String = (0..500).map(|_| "a: 1\n").collect();
    let wrongs = refused(&text);
    assert_eq!((wrongs.len(), wrongs[100].as_str()), (101, "and 399 more"));
}

/// A value as an author could have written it, in block style where there is room.
fn block(value: &Value, indent: usize, text: &mut String) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                text.push_str(&format!("\n{margin}{}:", Value::from(key.as_str())));
                block(value, indent + 2, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&format!("\n{margin}-"));
                block(item, indent + 2, text);
            }
        }
        Value::String(string) if is_literal(string) => {
            text.push_str(" |-");
            string.lines().for_each(|line| text.push_str(&format!("\n{margin}  {line}")));
        }
        Value::String(string) if string.starts_with(|c: char| c.is_ascii_lowercase()) && is_word(string) => {
            text.push_str(&format!(" {string}"));
        }
        other => text.push_str(&format!(" {other}")),
    }
}

fn is_word(string: &str) -> bool {
    string.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !["true", "false", "null"].contains(&string)
}

fn is_literal(string: &str) -> bool {
    let lines: Vec<_> = string.lines().collect();
    let whole = lines.join("\n") == string && lines.len() > 1;
    whole
        && lines
            .iter()
            .all(|line| line.starts_with(|c: char| c.is_ascii_graphic()) && line.chars().all(|c| !c.is_control()))
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{1,8}",
        ".{0,12}",
        "[a-zA-Z0-9:#&*!|>'\"%@,\\[\\]{} -]{0,12}",
        "([a-z$ ]{1,6}\n){1,3}[a-z]{1,4}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z/~ ]{1,6}|.{1,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// YAML has no character for what JSON escapes only when it must.
fn escaped(text: &str) -> String {
    let plain = |c: char| matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

proptest! {
    #[test]
    fn what_is_written_as_yaml_is_read_as_the_same_json(value in any_value()) {
        let document = json!({"value": value});
        let mut text = String::new();
        block(&document, 0, &mut text);
        prop_assert_eq!(&read(&escaped(&text)), std::slice::from_ref(&document), "{}", text);
    }

    #[test]
    fn json_is_yaml(value in any_value()) {
        let document = json!({"value": value});
        prop_assert_eq!(&read(&escaped(&document.to_string())), std::slice::from_ref(&document));
        let pretty = serde_json::to_string_pretty(&document).expect("JSON");
        prop_assert_eq!(&read(&escaped(&pretty)), std::slice::from_ref(&document));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[a-c:\\-?\\[\\]{},&*!|>'\"%@# \\n\\t<~0-9]{0,80}|(?s:.{0,60})") {
        if let Err(wrongs) = documents(text.as_bytes()) {
            prop_assert!(!wrongs.is_empty());
        }
    }

    #[test]
    fn every_origin_points_into_the_document(text in "([a-c]: ([a-c]|\\[a, \\{b: c\\}\\]|\n  [a-c]: &x d|\\*x)\n){1,6}") {
        for document in documents(text.as_bytes()).unwrap_or_default() {
            let value: Value = serde_json::from_str(&document.body).expect("JSON");
            for origin in &document.origins {
                prop_assert!(value.pointer(&origin.pointer).is_some(), "{} in {}", origin.pointer, value);
                let line = text.lines().nth(origin.mark.line as usize - 1).expect("the line is there");
                prop_assert!(line.chars().count() + 1 >= origin.mark.column as usize);
            }
        }
    }
}
