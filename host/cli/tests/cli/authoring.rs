//! Commands for authors: a new plugin, and its test. That each one builds is shown by `cargo xtask scaffold`.

use crate::support::{Home, Ran};
use std::path::Path;

/// As the build of the host has left it.
fn cron() -> String {
    let components = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components");
    components.join("wasm32-wasip2/component/crontab.wasm").display().to_string()
}

#[track_caller]
fn check(ran: &Ran, code: i32, words: &str) {
    let told = format!("{}{}", ran.out, ran.err);
    assert!(ran.code == code && told.contains(words), "exit {}: {told}", ran.code);
}

#[test]
fn a_new_plugin_is_written_once_and_overwrites_nothing() {
    let home = Home::new();
    let place = home.path().join("nightly");
    let folder = place.to_str().expect("UTF-8");
    let new = ["plugin", "new", "nightly", "--role", "trigger", "--lang", "c", "--folder", folder];
    check(&home.run(&new), 0, "./build.sh && hostler plugin test nightly.wasm");
    for file in ["build.sh", "manifest.json", "cases.json", "src/plugin.c", "wit/trigger.wit", "wit/deps/host/host.wit"]
    {
        assert!(place.join(file).is_file(), "{file}");
    }
    check(&home.run(&new), 7, "is not empty");
    let told = home.run(&["plugin", "new", "forge", "--role", "extension", "--lang", "go", "--json"]).json();
    assert_eq!((told["role"].as_str(), told["folder"].as_str()), (Some("inbound"), Some("forge")));
    assert!(home.path().join("forge/adapter.wasm").is_file());
    check(&home.run(&["plugin", "new", "Bad Name", "--role", "relay", "--lang", "js"]), 2, "is no name of a plugin");
    check(&home.run(&["plugin", "new", "x", "--role", "relay", "--lang", "cobol"]), 2, "rust, python, js, go, c");
}

#[test]
fn cases_are_run_without_a_host_and_say_what_is_wrong() {
    let home = Home::new();
    let component = &cron();
    let cases = |cases: &str| home.file("some.json", cases);
    let test = |cases: &str| home.run(&["plugin", "test", component, "--cases", cases]);
    let good = r#"{"cases": [{"name": "daily", "function": "upcoming",
        "input": {"subscription": {"params": {"expression": "@daily"}}, "after": "2026-01-01T10:00:00Z"},
        "expect": {"answer": [{"at": "2026-01-02T00:00:00Z"}]}}]}"#;
    let told = home.run(&["plugin", "test", component, "--cases", &cases(good), "--json"]).json();
    assert_eq!((told["passed"].as_u64(), told["failed"].as_u64()), (Some(1), Some(0)));
    let failed = test(&cases(&good.replace("01-02T", "01-03T")));
    check(&failed, 1, "FAILED daily (upcoming, ");
    check(&failed, 1, "answer/0/at is \"2026-01-02T00:00:00Z\", expected \"2026-01-03T00:00:00Z\"");
    check(&test(&cases(r#"{"cases": [{}]}"#)), 2, "/cases/0");
    check(&test("nowhere.json"), 6, "nowhere.json");
    check(&home.run(&["plugin", "test", "nowhere.wasm", "--cases", &cases(good)]), 2, "nowhere.wasm");
}
