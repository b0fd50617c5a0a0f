//! Commands that need no host.

use crate::support::Home;

const GOOD: &str = r#"{"id": "good", "tasks": {"a": {"process": {"argv": ["true"]}}, "b": {"depends_on": ["a"]}}}"#;

const BAD: &str = r#"{
  "id": "Bad Name",
  "timout": "5s",
  "tasks": {
    "a": {"process": {"argv": ["true"]}, "depends_on": ["missing"]},
    "b": {"process": {"argv": []}, "timeout": "soon"}
  }
}
"#;

#[test]
fn a_good_document_is_told_to_be_valid() {
    let home = Home::new();
    let file = home.file("good.json", GOOD);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r#"
    exit 0
    --- out
    [home]/good.json: valid, pipeline `good` with 2 tasks and 1 dependency
    "#);
    assert_eq!(home.run(&["validate", &file, "--json"]).json()["tasks"], 2);
    insta::assert_snapshot!(home.run_with_input(&["validate", "-"], GOOD).shown(), @r#"
    exit 0
    --- out
    standard input: valid, pipeline `good` with 2 tasks and 1 dependency
    "#);
}

#[test]
fn every_mistake_of_a_document_is_shown_at_its_place() {
    let home = Home::new();
    let file = home.file("bad.json", BAD);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r#"
    exit 2
    --- err
    error: `[home]/bad.json` is not a valid pipeline: 5 problems
    [home]/bad.json:2:9: `Bad Name` begins with `B`; a name begins with a letter a-z or a digit
      2 |   "id": "Bad Name",
        |         ^
    [home]/bad.json:3:3: a pipeline has no field `timout`
      3 |   "timout": "[span]",
        |   ^
      hint: did you mean `timeout`?
    [home]/bad.json:5:57: there is no task `missing`
      5 |     "a": {"process": {"argv": ["true"]}, "depends_on": ["missing"]},
        |                                                         ^
    [home]/bad.json:6:31: must name a command
      6 |     "b": {"process": {"argv": []}, "timeout": "soon"}
        |                               ^
    [home]/bad.json:6:47: `soon` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`
      6 |     "b": {"process": {"argv": []}, "timeout": "soon"}
        |                                               ^
    "#);
}

#[test]
fn what_is_no_json_is_shown_where_it_breaks() {
    let home = Home::new();
    insta::assert_snapshot!(home.run_with_input(&["validate", "-"], "{\n  \"id\": hello\n}\n").shown(), @r#"
    exit 2
    --- err
    error: `standard input` is not a valid pipeline
    standard input:2:9: not JSON: `hello` is no value; a string stands in double quotes
      2 |   "id": hello
        |         ^
    "#);
    insta::assert_snapshot!(home.run(&["validate", "nowhere.json"]).shown(), @r#"
    exit 6
    --- err
    error: `nowhere.json` cannot be read: No such file or directory (os error 2)
    "#);
}

#[test]
fn hostile_documents_are_refused_without_harm() {
    let home = Home::new();
    for hostile in
        ["[".repeat(1_000_000), format!("{{\"a\":{}", "{\"a\":".repeat(100_000)), "\u{0}".into(), "{}".into()]
    {
        let ran = home.run_with_input(&["validate", "-"], &hostile);
        assert_eq!(ran.code, 2, "{}", &ran.err[..ran.err.len().min(300)]);
        assert!(ran.err.starts_with("error: ") && ran.err.len() < 10_000);
    }
}

#[test]
fn a_relative_component_is_found_beside_the_document() {
    let home = Home::new();
    let file = home.file("p/wasm.json", r#"{"id": "w", "tasks": {"a": {"wasm": {"component": "sub/a.wasm"}}}}"#);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r#"
    exit 0
    --- out
    [home]/p/wasm.json: valid, pipeline `w` with 1 task and 0 dependencies
    --- err
    warning: task `a`: component `[home]/p/sub/a.wasm` is not there
    "#);
}

#[test]
fn a_command_that_does_not_exist_is_a_mistake_of_usage() {
    let ran = Home::new().run(&["rum"]);
    assert_eq!((ran.code, ran.err.contains("similar subcommand exists: 'run'")), (2, true), "{}", ran.err);
}

#[test]
fn settings_are_shown_with_their_sources() {
    let mut home = Home::new();
    home.set("HOSTLER_CONFIG_STOP_TIMEOUT", "5s");
    home.file(".config/hostler/config.toml", "[limits]\nprocess_slots = 7\n");
    let shown = home.run(&["config", "show", "--data", "here", "--json"]).json();
    assert_eq!(shown["stop.timeout"]["value"], "5s");
    assert_eq!(shown["stop.timeout"]["source"], "environment HOSTLER_CONFIG_STOP_TIMEOUT");
    assert_eq!(shown["limits.process_slots"]["value"], 7);
    assert_eq!(shown["data.folder"]["source"], "option --data");
    assert_eq!(shown["log.level"]["source"], "default");
}

#[test]
fn a_misspelt_key_is_an_error_with_a_suggestion() {
    let home = Home::new();
    home.file(".config/hostler/config.toml", "[limits]\nproces_slots = 7\n");
    insta::assert_snapshot!(home.run(&["serve"]).shown(), @r#"
    exit 2
    --- err
    error: the settings are not valid
    [home]/.config/hostler/config.toml:2:1: unknown key `limits.proces_slots`
      2 | proces_slots = 7
        | ^
      hint: did you mean `limits.process_slots`?
    "#);
}

#[test]
fn a_file_of_settings_is_written_once() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["config", "init"]).shown(), @r#"
    exit 0
    --- out
    wrote [home]/.config/hostler/config.toml
    "#);
    insta::assert_snapshot!(home.run(&["config", "init"]).shown(), @r#"
    exit 7
    --- err
    error: `[home]/.config/hostler/config.toml` is there already; nothing was changed
    hint: print the defaults with `hostler config init -`
    "#);
    assert_eq!(home.run(&["config", "show"]).code, 0);
}

#[test]
fn every_shell_gets_a_completion_script_and_every_page_of_the_reference_prints() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(home.run(&["completion", shell]).ok().contains("hostler"), "{shell}");
    }
    for page in ["cli", "config", "document", "openapi", "exit-codes"] {
        assert!(home.run(&["reference", page]).ok().len() > 100, "{page}");
    }
}

#[test]
fn a_host_that_is_not_there_is_unreachable() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["run", "list"]).shown(), @r#"
    exit 5
    --- err
    error: no host serves the data folder `[home]/.local/share/hostler`
    hint: start one with `hostler serve`, or name one with --url or HOSTLER_URL
    "#);
    let token = home.file("token", "t");
    insta::assert_snapshot!(home.run(&["run", "list", "--url", "http://127.0.0.1:1", "--token-file", &token]).shown(), @r#"
    exit 5
    --- err
    error: cannot reach the host at http://127.0.0.1:1: is it running? `hostler serve` starts one
    "#);
    assert_eq!(home.run(&["run", "list", "--json"]).code, 5);
}
