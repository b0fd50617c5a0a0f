//! Commands for authors: a new plugin, and its test. That each one builds is shown by `cargo xtask scaffold`.

use crate::support::Home;
use std::path::Path;

/// As the build of the host has left it.
fn cron() -> String {
    let components = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components");
    components.join("wasm32-wasip2/component/crontab.wasm").display().to_string()
}

#[test]
fn a_new_plugin_is_written_once_and_overwrites_nothing() {
    let home = Home::new();
    let place = home.path().join("nightly");
    let folder = place.to_str().unwrap();
    let new = ["plugin", "new", "nightly", "--role", "trigger", "--lang", "c", "--folder", folder];
    insta::assert_snapshot!(home.run(&new).shown(), @"");
    for file in ["build.sh", "manifest.json", "cases.json", "src/plugin.c", "wit/trigger.wit", "wit/deps/host/host.wit"]
    {
        assert!(place.join(file).is_file(), "{file}");
    }
    insta::assert_snapshot!(home.run(&new).shown(), @"");
    let extension = ["plugin", "new", "forge", "--role", "extension", "--lang", "go", "--json", "--folder"];
    let told = home.run(&[&extension[..], &[home.path().join("forge").to_str().unwrap()]].concat()).json();
    assert_eq!((told["role"].as_str(), told["lang"].as_str()), (Some("inbound"), Some("go")));
    insta::assert_snapshot!(
        home.run(&["plugin", "new", "Bad Name", "--role", "relay", "--lang", "js"]).shown(), @"");
}

#[test]
fn cases_are_run_without_a_host_and_say_what_is_wrong() {
    let home = Home::new();
    let component = &cron();
    let cases = |cases: &str| home.file("some.json", cases);
    let good = r#"{"cases": [{"name": "daily", "function": "upcoming",
        "input": {"subscription": {"params": {"expression": "@daily"}}, "after": "2026-01-01T10:00:00Z"},
        "expect": {"answer": [{"at": "2026-01-02T00:00:00Z"}]}}]}"#;
    let told = home.run(&["plugin", "test", component, "--cases", &cases(good), "--json"]);
    assert_eq!((told.json()["passed"].as_u64(), told.json()["failed"].as_u64()), (Some(1), Some(0)));
    let wrong = good.replace("01-02T", "01-03T");
    let told = home.run(&["plugin", "test", component, "--cases", &cases(&wrong)]).shown();
    assert!(told.starts_with("exit 1\n") && told.contains("FAILED daily (upcoming, "), "{told}");
    assert!(told.contains("answer/0/at is \"2026-01-02T00:00:00Z\", expected \"2026-01-03T00:00:00Z\""), "{told}");
    let broken = home.run(&["plugin", "test", component, "--cases", &cases(r#"{"cases": [{}]}"#)]).shown();
    assert!(broken.starts_with("exit 2\n") && broken.contains("/cases/0"), "{broken}");
    let missing = home.run(&["plugin", "test", component, "--cases", "nowhere.json"]).shown();
    assert!(missing.starts_with("exit 6\n"), "{missing}");
    let none = home.run(&["plugin", "test", "nowhere.wasm", "--cases", &cases(good)]).shown();
    assert!(none.starts_with("exit 2\n") && none.contains("nowhere.wasm"), "{none}");
}
