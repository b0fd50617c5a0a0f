//! Processes that go on while no host is there, with the real binary: killed, stopped with `detach`, away for too long.

use crate::support::{Home, until};

/// Prints 300 numbered lines in some seconds, then waits for the file `go`, and leaves an output for what follows.
const COUNTS: &str = r#"{"id": "counts", "tasks": {
  "count": {"process": {"script": "i=0; while test $i -lt 300; do i=$((i+1)); echo line $i; echo oops $i >&2; sleep 0.01; done; until test -e \"$HOME/marks/go\"; do sleep 0.01; done; echo total=$i > \"$HOSTLER_OUTPUT\"; touch \"$HOME/marks/gone\""}},
  "after": {"process": {"argv": ["echo", "${tasks.count.outputs.total}"]}, "depends_on": ["count"]}}}"#;

fn home(keep: &str) -> Home {
    let mut home = Home::new();
    home.set("HOSTLER_CONFIG_PROCESS_KEEP", keep);
    home.file("marks/of-the-test", "");
    home
}

fn lines(home: &Home) -> usize {
    home.run(&["run", "logs", "counts", "--stream", "stdout", "--task", "count"]).out.lines().count()
}

fn assert_every_line_once(home: &Home) {
    for (stream, word) in [("stdout", "line"), ("stderr", "oops")] {
        let said = home.run(&["run", "logs", "counts", "--stream", stream, "--task", "count"]).ok();
        let expected: String = (1..=300).map(|number| format!("{word} {number}\n")).collect();
        assert_eq!(said, expected);
    }
    assert_eq!(home.run(&["run", "logs", "counts", "--task", "after"]).ok(), "300\n");
    let tasks = home.run(&["run", "get", "counts", "--json"]).json();
    assert_eq!((tasks["status"].as_str(), tasks.to_string().contains("lost")), (Some("success"), false), "{tasks}");
}

#[test]
fn a_run_goes_on_over_three_killed_hosts_with_every_line_once() {
    let home = home("5m");
    let mut host = home.serve();
    home.run(&["up", &home.file("counts.json", COUNTS)]).ok();
    home.run(&["run", "start", "counts"]).ok();
    for seen in [20, 80, 150] {
        until("some lines", || lines(&home) > seen);
        // SIGKILL.
        drop(host);
        host = home.serve();
    }
    home.file("marks/go", "");
    until("the run is over", || home.run(&["run", "get", "counts", "--json"]).json()["status"] != "running");
    assert_every_line_once(&home);
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_start_that_fails_halfway_loses_nothing_that_runs() {
    let home = home("5m");
    let host = home.serve();
    home.run(&["up", &home.file("counts.json", COUNTS)]).ok();
    home.run(&["run", "start", "counts"]).ok();
    until("some lines", || lines(&home) > 20);
    drop(host);
    let token = home.path().join(".local/share/hostler/token");
    let kept = std::fs::read(&token).expect("a token");
    std::fs::write(&token, "").expect("emptied");
    for _ in 0..5 {
        let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert!(ran.code != 0 && !ran.err.contains("was dropped"), "{}", ran.err);
    }
    std::fs::write(&token, kept).expect("put back");
    let _host = home.serve();
    home.file("marks/go", "");
    until("the run is over", || home.run(&["run", "get", "counts", "--json"]).json()["status"] != "running");
    assert_every_line_once(&home);
}

#[test]
fn an_end_while_no_host_is_there_is_told_by_the_next_one() {
    let home = home("5m");
    let host = home.serve_with(&["--stop", "detach"]);
    home.run(&["up", &home.file("counts.json", COUNTS)]).ok();
    home.run(&["run", "start", "counts"]).ok();
    until("some lines", || lines(&home) > 20);
    assert_eq!(host.stop(), 0);
    home.file("marks/go", "");
    until("the task is over", || home.path().join("marks/gone").exists());
    let _host = home.serve();
    until("the run is over", || home.run(&["run", "get", "counts", "--json"]).json()["status"] != "running");
    assert_every_line_once(&home);
}

#[test]
fn a_host_that_is_away_for_too_long_finds_its_attempts_lost_and_nothing_left() {
    let home = home("200ms");
    let host = home.serve();
    home.run(&["up", &home.file("counts.json", COUNTS)]).ok();
    home.run(&["run", "start", "counts"]).ok();
    until("some lines", || lines(&home) > 20);
    drop(host);
    let mark = home.path().display().to_string();
    until("nothing is left", || processes_with(&mark) == 0);
    let _host = home.serve();
    until("the run is over", || home.run(&["run", "get", "counts", "--json"]).json()["status"] == "failed");
    let why = home.run(&["run", "explain", "counts", "count"]).ok();
    assert!(why.contains("lost"), "{why}");
}

/// Processes, of whatever kind, that have this text in their environment.
fn processes_with(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(text)
    };
    pids.filter(has_it).count()
}
