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
    insta::assert_snapshot!(home.run(&["validate", &file]).shown());
    assert_eq!(home.run(&["validate", &file, "--json"]).json()["tasks"], 2);
    insta::assert_snapshot!(home.run_with_input(&["validate", "-"], GOOD).shown());
}

#[test]
fn every_mistake_of_a_document_is_shown_at_its_place() {
    let home = Home::new();
    let file = home.file("bad.json", BAD);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown());
}

#[test]
fn what_is_no_json_is_shown_where_it_breaks() {
    let home = Home::new();
    insta::assert_snapshot!(home.run_with_input(&["validate", "-"], "{\n  \"id\": hello\n}\n").shown());
    insta::assert_snapshot!(home.run(&["validate", "nowhere.json"]).shown());
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
    insta::assert_snapshot!(home.run(&["validate", &file]).shown());
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
    insta::assert_snapshot!(home.run(&["serve"]).shown());
}

#[test]
fn a_file_of_settings_is_written_once() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["config", "init"]).shown());
    insta::assert_snapshot!(home.run(&["config", "init"]).shown());
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
    insta::assert_snapshot!(home.run(&["run", "list"]).shown());
    let token = home.file("token", "t");
    insta::assert_snapshot!(home.run(&["run", "list", "--url", "http://127.0.0.1:1", "--token-file", &token]).shown());
    assert_eq!(home.run(&["run", "list", "--json"]).code, 5);
}
