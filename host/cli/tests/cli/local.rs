//! `hostler local run`, and through it the example pipelines.

use crate::support::{Home, example};

#[test]
fn hello_greets_through_processes_and_a_component() {
    let home = Home::new();
    let file = example(&home, "hello");
    let ran = home.run(&["local", "run", &file, "--param", "who=inn"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("show │ Hello, inn! Your room is ready. (3 letters)\n"), "{}", ran.out);
    assert!(ran.out.contains("success  4/4 tasks"), "{}", ran.out);
}

#[test]
fn retry_and_branch_goes_the_way_its_probe_says() {
    let home = Home::new();
    let file = example(&home, "retry-and-branch");
    for (verdict, code, seen, unseen) in [
        ("3", 0, "repaired", "nothing to do"),
        ("0", 0, "nothing to do", "repaired"),
        ("4", 1, "tidied up", "in order"),
    ] {
        let ran = home.run(&["local", "run", &file, "-p", &format!("verdict={verdict}")]);
        assert_eq!(ran.code, code, "{verdict}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(seen) && !ran.out.contains(unseen), "{verdict}: {}", ran.out);
        assert!(ran.out.contains("attempt 3: fetched"), "{verdict}: {}", ran.out);
    }
}

#[test]
fn a_param_that_does_not_fit_starts_nothing() {
    let home = Home::new();
    let file = example(&home, "retry-and-branch");
    insta::assert_snapshot!(home.run(&["local", "run", &file, "-p", "verdict=7", "-p", "verdit=1"]).shown(), @r#"
    exit 2
    --- err
    error: the list of params is not valid
      /verdict: must be one of: 0, 3, 4
      /verdit: the pipeline does not declare this param
        hint: it declares `verdict`; `"params_open": true` lets others in
    "#);
}

#[test]
fn what_is_no_component_fails_its_task_with_the_reason() {
    let home = Home::new();
    home.file("junk.wasm", "this is text");
    let file = home.file("junk.json", r#"{"id": "junk", "tasks": {"a": {"wasm": {"component": "junk.wasm"}}}}"#);
    let ran = home.run(&["local", "run", &file]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("not a WebAssembly component"), "{}", ran.err);
}

#[test]
fn a_local_run_leaves_nothing_behind() {
    let mut home = Home::new();
    let folder = home.path().join("tmp");
    std::fs::create_dir(&folder).expect("made");
    home.set("TMPDIR", &folder.display().to_string());
    let file = home.file("p.json", r#"{"id": "p", "tasks": {"a": {"process": {"argv": ["true"]}}}}"#);
    assert_eq!(home.run(&["local", "run", &file]).code, 0);
    assert_eq!(std::fs::read_dir(&folder).expect("read").count(), 0);
}
