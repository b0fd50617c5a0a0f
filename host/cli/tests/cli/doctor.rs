//! `hostler doctor` on machines in several states of repair.

use crate::support::{Home, Ran};
use std::os::unix::fs::PermissionsExt;

/// State and words of one matter.
fn finding(ran: &Ran, matter: &str) -> (String, String) {
    let all = ran.json();
    let findings = all["findings"].as_array().expect("a list").clone();
    let found = findings.iter().find(|finding| finding["matter"] == matter);
    let found = found.unwrap_or_else(|| panic!("nothing about {matter} in {}", ran.out));
    let text =
        format!("{} {}", found["found"].as_str().unwrap_or_default(), found["advice"].as_str().unwrap_or_default());
    (found["state"].as_str().expect("a state").to_owned(), text)
}

fn check(ran: &Ran, matter: &str, state: &str, words: &str) {
    let (is, text) = finding(ran, matter);
    assert_eq!(is, state, "{matter}: {text}");
    assert!(text.contains(words), "{matter}: {text}");
    let broken = ran.out.contains("\"bad\"");
    assert_eq!((ran.code, &ran.json()["well"]), (i32::from(broken), &serde_json::json!(!broken)));
}

#[test]
fn before_the_first_start_it_says_what_there_is_and_changes_nothing() {
    let home = Home::new();
    let ran = home.run(&["doctor", "--json"]);
    let findings = ran.json()["findings"].as_array().expect("a list").clone();
    let matters: Vec<_> = findings.iter().map(|finding| finding["matter"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        matters,
        [
            "settings",
            "data folder",
            "host",
            "wasm cache",
            "wasm compiler",
            "container engine",
            "open files",
            "isolation",
            "control groups",
            "processes",
            "clock"
        ]
    );
    check(&ran, "data folder", "note", "is not there yet");
    check(&ran, "host", "note", "none runs");
    check(&ran, "wasm compiler", "good", "compiles a component");
    check(&ran, "clock", "good", "runs steadily");
    assert_eq!(std::fs::read_dir(home.path()).expect("read").count(), 0, "it made something");
}

#[test]
fn beside_a_running_host_everything_is_looked_at_and_the_host_is_undisturbed() {
    let home = Home::new();
    let host = home.serve();
    let ran = home.run(&["doctor", "--json"]);
    check(&ran, "host", "good", "answers in");
    check(&ran, "data folder", "good", "readable for its owner only");
    check(&ran, "database", "good", "whole");
    check(&ran, "disk speed", "good", "a durable commit takes");
    check(&ran, "wasm cache", "good", "compiled components");
    assert!(!finding(&ran, "isolation").1.contains("decided when"), "there is a data folder");
    home.run(&["run", "list"]).ok();
    // A second host is refused, and a host without an address is told from one that answers.
    std::fs::remove_file(home.path().join(".local/share/hostler/address")).expect("removed");
    check(&home.run(&["doctor", "--json"]), "host", "warning", "takes no requests");
    drop(host);
    check(&home.run(&["doctor", "--json"]), "host", "note", "none runs");
}

#[test]
fn a_person_reads_marks_and_what_to_do() {
    let home = Home::new();
    let file = home.file("plain", "no folder");
    let ran = home.run(&["doctor", "--data", &file]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("✗ data folder")).expect("the mark of what is broken");
    insta::assert_snapshot!(lines[at..at + 2].join("\n"), @r"
    ✗ data folder       `[home]/plain` is no folder
                        → name another with `--data` or `data.folder`
    ");
    assert!(ran.out.ends_with("\none thing does not work\n"), "{}", ran.out);
}

#[test]
fn a_socket_that_is_a_file_and_one_that_is_nowhere_are_broken_where_they_were_chosen() {
    let mut home = Home::new();
    let file = home.file("docker.sock", "");
    home.set("HOSTLER_CONFIG_CONTAINER_SOCKET", &file);
    check(&home.run(&["doctor", "--json"]), "container engine", "bad", "is no socket");
    home.set("HOSTLER_CONFIG_CONTAINER_SOCKET", "/nowhere/docker.sock");
    check(&home.run(&["doctor", "--json"]), "container engine", "bad", "is not there");
}

#[test]
fn a_folder_that_is_open_to_others_is_a_warning() {
    let home = Home::new();
    let data = home.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).expect("opened");
    let ran = home.run(&["doctor", "--json", "--data", &data.display().to_string()]);
    check(&ran, "data folder", "warning", "chmod 700");
    check(&ran, "database", "note", "not there yet");
}

#[test]
fn a_database_that_is_damaged_foreign_or_newer_is_broken() {
    let home = Home::new();
    let data = home.path().join(".local/share/hostler");
    home.file(".local/share/hostler/hostler.db", "this is no database, but it is long enough to be taken for one");
    check(&home.run(&["doctor", "--json"]), "database", "bad", "is not a database of hostler");
    std::fs::remove_file(data.join("hostler.db")).expect("removed");
    drop(home.serve());
    let database = rusqlite::Connection::open(data.join("hostler.db")).expect("it opens");
    database.pragma_update(None, "user_version", 900).expect("changed");
    drop(database);
    check(&home.run(&["doctor", "--json"]), "database", "bad", "newer hostler (schema 900");
}

#[test]
fn settings_that_are_not_valid_are_told_with_their_place_and_the_rest_goes_on() {
    let home = Home::new();
    home.file(".config/hostler/config.toml", "[limits]\nprocess_slotz = 3\n");
    let ran = home.run(&["doctor", "--json"]);
    check(&ran, "settings", "bad", "2:1: unknown key `limits.process_slotz`");
    check(&ran, "wasm compiler", "good", "");
}
