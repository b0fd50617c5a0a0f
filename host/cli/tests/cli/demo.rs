//! `hostler demo`: a host that is killed in the middle is held to what it had acknowledged.

use crate::support::Home;
use serde_json::Value;

#[test]
fn a_host_whose_plug_is_pulled_keeps_its_word() {
    let mut home = Home::new();
    let folder = home.path().join("tmp");
    std::fs::create_dir(&folder).expect("made");
    home.set("TMPDIR", &folder.display().to_string());
    let ran = home.run(&["--json", "demo", "--pull-the-plug", "--time", "8s"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(report["holds"], true, "{report:#}");
    let findings = report["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 4, "{report:#}");
    let runs = findings[0]["acknowledged"].as_str().expect("text");
    assert!(runs.contains("before the plug") && !runs.starts_with("0,"), "{runs}");
    assert_eq!(findings[1]["happened"], "success; each task once", "processes went on without the host");
    assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 0, "its folder is gone");
}

#[test]
fn a_time_that_is_too_short_is_refused() {
    let ran = Home::new().run(&["demo", "--time", "1s"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "error: `--time 1s` is not from 6s to 1h\n"));
}
