//! Container tasks through the real binary, on a real engine.

use crate::container_engine::{IMAGE, docker, engine};
use crate::support::{Home, example, until};

/// The example with the image of the tests, since no registry is asked for another.
fn containers_example(home: &Home) -> String {
    example(home, "hello");
    let file = example(home, "containers");
    let document = std::fs::read_to_string(&file).expect("a document");
    let name = "image: busybox:1.37";
    assert!(document.contains(name), "the example has another image now");
    std::fs::write(&file, document.replace(name, &format!("image: {IMAGE}"))).expect("written");
    file
}

#[test]
fn a_process_a_container_and_a_component_work_in_one_graph() {
    let Some(_) = engine() else { return };
    let home = Home::new();
    let file = containers_example(&home);
    let ran = home.run(&["local", "run", &file, "--param", "who=inn", "--param", "lines=3"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let counted: Vec<_> = ran.out.lines().filter_map(|line| line.strip_prefix("count │ ")).collect();
    assert_eq!(counted, ["line 1", "line 2", "line 3"]);
    assert!(ran.out.contains("show │ Hello, inn! Your room is ready. (3 letters)\n"), "{}", ran.out);
    assert!(ran.out.contains("success  4/4 tasks"), "{}", ran.out);
}

#[test]
fn a_container_outlives_its_killed_host_and_its_log_has_each_line_once() {
    let Some(_) = engine() else { return };
    let home = Home::new();
    let file = containers_example(&home);
    let host = home.serve();
    home.run(&["up", &file]).ok();
    home.run(&["run", "start", "containers", "-p", "lines=60"]).ok();
    let logs = || home.run(&["run", "logs", "containers", "--task", "count"]).out;
    until("it counts", || logs().contains("line 3\n"));
    host.kill();
    let of_host = |home: &Home| {
        let database = rusqlite::Connection::open(home.path().join(".local/share/hostler/hostler.db")).expect("opened");
        let id = "SELECT value FROM meta WHERE key = 'host_id'";
        let id: String = database.query_row(id, [], |row| row.get(0)).expect("a row");
        format!("label=hostler.host={id}")
    };
    let label = of_host(&home);
    assert_eq!(docker(["ps", "-q", "--filter", &label]).lines().count(), 1, "it runs on");
    // Something is written while nobody reads.
    let container = docker(["ps", "-q", "--filter", &label]);
    until("it counts on", || docker(["logs", &container]).contains("line 12\n"));

    let host = home.serve();
    until("the run is over", || home.run(&["run", "explain", "containers"]).out.starts_with("success"));
    let expected: String = (1..=60).map(|line| format!("line {line}\n")).collect();
    assert_eq!(logs(), expected);
    assert!(home.run(&["run", "logs", "containers"]).out.contains("Hello, world!"));
    until("nothing of it is left", || docker(["ps", "-aq", "--filter", &label]).is_empty());
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_container_whose_time_is_up_ends_and_a_local_run_leaves_none() {
    let Some(_) = engine() else { return };
    let home = Home::new();
    let mark = format!("mark-{}", std::process::id());
    let container = format!(r#"{{"image": "{IMAGE}", "command": ["sh", "-c", "echo ready; sleep 1000", "{mark}"]}}"#);
    let document =
        format!(r#"{{"id": "p", "tasks": {{"a": {{"timeout": "6s", "grace": "0s", "container": {container}}}}}}}"#);
    let ran = home.run(&["local", "run", &home.file("p.json", &document)]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("a │ ready\n"), "{}", ran.out);
    let all = docker(["ps", "-a", "--no-trunc", "--format", "{{.Command}}"]);
    assert!(!all.contains(&mark), "{all}");
}

#[test]
fn a_host_that_does_not_allow_its_network_says_so_when_a_pipeline_is_registered() {
    let home = Home::new();
    let file = home.file("p.json", r#"{"id": "p", "tasks": {"a": {"container": {"image": "x", "network": "host"}}}}"#);
    let host = home.serve();
    insta::assert_snapshot!(home.run(&["up", &file]).shown(), @r#"
    exit 2
    --- err
    error: the pipeline document is not valid
      /tasks/a/container/network: the network of the host is not allowed here; use `bridge`, or set `container.host_network` in the config
    "#);
    assert_eq!(host.stop(), 0);
}
