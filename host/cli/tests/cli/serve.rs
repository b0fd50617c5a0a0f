//! `hostler serve`: what keeps it from starting, and how it ends.

use crate::support::{Home, until};
use std::net::TcpListener;

#[test]
fn a_second_host_on_the_same_data_is_refused() {
    let home = Home::new();
    let _host = home.serve();
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 9, "{}", ran.err);
    assert!(ran.err.contains("error: the data folder `[home]/.local/share/hostler` cannot be used"), "{}", ran.err);
    assert_eq!(home.run(&["run", "list"]).code, 0);
}

#[test]
fn a_port_in_use_is_refused_before_anything_is_made() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ran = home.run(&["serve", "--listen", &address]);
    assert_eq!(ran.code, 9, "{}", ran.err);
    assert_eq!(
        ran.err.replace(&address, "[address]"),
        "error: `[address]` is in use by another program; stop it, or choose another address with `--listen`\n"
    );
    assert!(!home.path().join(".local").exists());
}

#[test]
fn an_address_that_others_can_reach_needs_the_explicit_word() {
    let ran = Home::new().run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!((ran.code, ran.err.contains("--insecure-bind")), (2, true), "{}", ran.err);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_refused() {
    let home = Home::new();
    let file = home.file("file", "in the way");
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0", "--data", &format!("{file}/data")]);
    assert_eq!(ran.code, 9, "{}", ran.err);
    assert!(ran.err.contains("error: the data folder `[home]/file/data` cannot be used"), "{}", ran.err);
    // Nobody can write there, root included.
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0", "--data", "/proc/hostler"]);
    assert_eq!(ran.code, 9, "{}", ran.err);
}

#[test]
fn the_token_is_for_this_user_only_and_a_wrong_one_is_denied() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let _host = home.serve();
    let token = home.path().join(".local/share/hostler/token");
    assert_eq!(std::fs::metadata(&token).expect("made").permissions().mode() & 0o777, 0o600);
    let wrong = home.file("wrong", "not-a-token");
    assert_eq!(home.run(&["run", "list", "--token-file", &wrong]).code, 8);
    assert_eq!(home.run(&["run", "list", "--token-file", "nowhere"]).code, 8);
}

#[test]
fn a_signal_lets_what_runs_end_and_its_run_go_on_with_the_next_host() {
    let home = Home::new();
    let host = home.serve();
    let text = r#"{"id": "two", "tasks": {
      "first": {"process": {"script": "cd \"$HOME/marks\"; touch first; until test -e go; do sleep 0.01; done"}},
      "second": {"process": {"argv": ["true"]}, "depends_on": ["first"]}}}"#;
    home.file("marks/of-the-test", "");
    home.run(&["up", &home.file("two.json", text)]).ok();
    home.run(&["run", "start", "two"]).ok();
    until("the task runs", || home.path().join("marks/first").exists());
    host.terminate();
    until("it takes nothing more", || !home.path().join(".local/share/hostler/address").exists());
    assert!(host.is_running(), "it waits for the task");
    home.file("marks/go", "");
    assert_eq!(host.ended(), 0);
    let _again = home.serve();
    until("the run is over", || home.run(&["run", "get", "two", "--json"]).json()["status"] == "success");
    let tasks = home.run(&["run", "get", "two", "--json"]).json()["tasks"].to_string();
    assert!(!tasks.contains("lost"), "{tasks}");
}

#[test]
fn a_signal_ends_it_cleanly_and_cancels_what_runs_where_that_is_set() {
    let home = Home::new();
    let host = home.serve_with(&["--stop", "cancel"]);
    let file = home
        .file("long.json", r#"{"id": "long", "tasks": {"a": {"process": {"argv": ["sleep", "600"]}, "grace": "1s"}}}"#);
    home.run(&["up", &file]).ok();
    home.run(&["run", "start", "long"]).ok();
    until("the task runs", || home.run(&["run", "get", "long"]).out.contains("running"));
    assert_eq!(host.stop(), 0);
    assert!(!home.path().join(".local/share/hostler/address").exists());
    assert_eq!(home.run(&["run", "list"]).code, 5);
    let _again = home.serve();
    until("the run is over", || home.run(&["run", "get", "long", "--json"]).json()["status"] == "cancelled");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let host = home.serve();
    home.file("marks/of-the-test", "");
    let script = "echo $$ > \"$HOME/marks/pid\"; exec sleep 600";
    let document = format!(r#"{{"id": "long", "tasks": {{"a": {{"process": {{"script": {script:?}}}}}}}}}"#);
    home.run(&["up", &home.file("long.json", &document)]).ok();
    home.run(&["run", "start", "long"]).ok();
    let pid = || std::fs::read_to_string(home.path().join("marks/pid")).unwrap_or_default().trim().to_owned();
    until("the task runs", || !pid().is_empty());
    host.terminate();
    until("it takes nothing more", || !home.path().join(".local/share/hostler/address").exists());
    assert_eq!(host.stop(), 130);
    until("what ran is gone", || !std::path::Path::new("/proc").join(pid()).exists());
}

#[test]
fn what_was_accepted_is_there_after_the_host_was_killed() {
    let home = Home::new();
    let host = home.serve();
    let file = home
        .file("p.json", r#"{"id": "p", "tasks": {"a": {"process": {"argv": ["sleep", "600"]}, "on_lost": "fail"}}}"#);
    home.run(&["up", &file]).ok();
    let id = home.run(&["run", "start", "p", "--json"]).json()["id"].as_str().expect("an id").to_string();
    // Dropped, a host gets SIGKILL.
    drop(host);
    let _again = home.serve();
    until("the run is over", || home.run(&["run", "get", &id, "--json"]).json()["status"] == "failed");
}
