//! Commands against a running host: pipelines, runs, logs, subscriptions, plugins, and what they say to mistakes.

use crate::support::{Home, example, until};

const TWO: &str = r#"{"id": "two", "params": {"who": {"type": "string", "default": "world"}}, "tasks": {
  "one": {"process": {"script": "echo \"hello $who\"; echo warned >&2"}},
  "two": {"process": {"argv": ["echo", "after"]}, "depends_on": ["one"]}}}"#;

const FAILS: &str = r#"{"id": "fails", "tasks": {
  "bad": {"process": {"script": "echo no good; exit 3"}},
  "never": {"process": {"argv": ["true"]}, "depends_on": ["bad"]}}}"#;

const SLEEPS: &str = r#"{"id": "sleeps", "tasks": {"nap": {"process": {"argv": ["sleep", "600"]}, "grace": "1s"}}}"#;

/// A home whose host knows these documents. The host ends with the test.
fn with(documents: &[(&str, &str)]) -> (Home, crate::support::Host) {
    let home = Home::new();
    let host = home.serve();
    for (name, text) in documents {
        let file = home.file(&format!("{name}.json"), text);
        home.run(&["up", &file]).ok();
    }
    (home, host)
}

#[test]
fn a_document_is_registered_released_and_left_alone_when_nothing_changed() {
    let (home, _host) = with(&[]);
    let file = home.file("two.json", TWO);
    insta::assert_snapshot!(home.run(&["up", &file]).shown(), @r"
    exit 0
    --- out
    two: version 1 registered, released
    ");
    insta::assert_snapshot!(home.run(&["up", &file]).shown(), @r"
    exit 0
    --- out
    two: unchanged, version 1, released
    ");
    let file = home.file("two.json", &TWO.replace("after", "later"));
    insta::assert_snapshot!(home.run(&["up", &file, "--no-release"]).shown(), @r"
    exit 0
    --- out
    two: version 2 registered, not released (version 1 is)
    ");
    home.run(&["pipeline", "release", "two", "2"]).ok();
    let versions = home.run(&["pipeline", "versions", "two", "--json"]).json();
    assert_eq!((versions[0]["version"].as_u64(), versions[0]["released"].as_bool()), (Some(2), Some(true)));
    home.run(&["pipeline", "delete", "two"]).ok();
    assert_eq!(home.run(&["pipeline", "get", "two"]).code, 6);
}

#[test]
fn a_bad_document_is_shown_at_its_places_and_changes_nothing() {
    let (home, _host) = with(&[]);
    let ran = home.run_with_input(&["up", "-"], "{\"id\": \"x\", \"taks\": {}}");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("standard input:1:13: ") && ran.err.contains("tasks"), "{}", ran.err);
    assert_eq!(home.run(&["pipeline", "list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn a_run_is_watched_listed_read_and_repeated() {
    let (home, _host) = with(&[("two", TWO)]);
    let watched = home.run(&["run", "start", "two", "--param", "who=inn", "--watch"]);
    assert_eq!(watched.code, 0, "{}", watched.err);
    assert!(watched.out.starts_with("✓ two/1  success  2/2 tasks"), "{}", watched.out);
    assert!(watched.err.contains("✓ one success") && watched.err.contains("✓ two success"), "{}", watched.err);
    assert_eq!(home.run(&["run", "logs", "two", "--stream", "stdout"]).ok(), "hello inn\nafter\n");
    assert_eq!(
        home.run(&["run", "logs", "two/1", "--task", "one", "--stream", "stderr", "--prefix"]).ok(),
        "one │ warned\n"
    );
    assert_eq!(home.run(&["run", "logs", "two", "-f", "--task", "two"]).ok(), "after\n");
    assert_eq!(home.run(&["run", "retry", "two/1", "--watch"]).code, 0);
    let runs = home.run(&["run", "list", "two", "--json"]).json();
    assert_eq!((runs[0]["number"].as_u64(), runs[1]["number"].as_u64()), (Some(2), Some(1)));
    let again = home.run(&["run", "get", "two/2", "--json"]).json();
    assert_eq!((again["params"]["who"].as_str(), again["origin_run"].clone()), (Some("inn"), runs[1]["id"].clone()));
}

#[test]
fn a_failed_run_gives_its_exit_code_and_says_why() {
    let (home, _host) = with(&[("fails", FAILS)]);
    let ran = home.run(&["run", "start", "fails", "--watch"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("✗ bad: exit code 3\n  │ no good"), "{}", ran.err);
    assert!(ran.out.starts_with("✗ fails/1  failed  2/2 tasks"), "{}", ran.out);
    for (arguments, expected) in
        [(vec!["fails"], "failed"), (vec!["fails/1", "never"], "skipped"), (vec!["fails", "bad"], "failed")]
    {
        let explained = home.run(&[&["run", "explain"], arguments.as_slice()].concat()).ok();
        assert!(explained.starts_with(expected), "{explained}");
    }
}

#[test]
fn a_watch_in_json_is_lines_that_end_with_the_run() {
    let (home, _host) = with(&[("two", TWO)]);
    let ran = home.run(&["run", "start", "two", "--watch", "--json"]);
    let lines: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() > 2 && lines[0]["kind"].is_string(), "{}", ran.out);
    assert_eq!(lines.last().expect("a line")["status"], "success");
}

#[test]
fn a_cancelled_run_ends_with_its_own_code_and_cannot_be_cancelled_again() {
    let (home, _host) = with(&[("sleeps", SLEEPS)]);
    let id = home.run(&["run", "start", "sleeps", "--json"]).json()["id"].as_str().expect("an id").to_string();
    until("it runs", || home.run(&["run", "get", "sleeps"]).out.contains("running"));
    home.run(&["run", "cancel", "sleeps/1"]).ok();
    assert_eq!(home.run(&["run", "watch", &id]).code, 3);
    let again = home.run(&["run", "cancel", "sleeps/1"]);
    assert_eq!(again.code, 7, "{}", again.err);
    assert!(again.err.contains("is already over (cancelled)"), "{}", again.err);
}

#[test]
fn the_same_key_starts_one_run() {
    let (home, _host) = with(&[("two", TWO)]);
    let start = |who: &str| {
        home.run(&["run", "start", "two", "--json", "--idempotency-key", "k1", "-p", &format!("who={who}")])
    };
    let first = start("a").json();
    let second = start("a").json();
    assert_eq!((second["id"].clone(), second["existing"].as_bool()), (first["id"].clone(), Some(true)));
    assert_eq!(start("b").code, 7);
}

#[test]
fn what_does_not_exist_is_not_found_and_the_message_names_it() {
    let (home, _host) = with(&[("two", TWO)]);
    for arguments in [
        vec!["run", "start", "nobody"],
        vec!["run", "get", "two/9"],
        vec!["run", "logs", "two"],
        vec!["run", "get", "01980000-0000-7000-8000-000000000000"],
        vec!["pipeline", "get", "nobody"],
        vec!["plugin", "get", "nobody"],
        vec!["subscription", "get", "99"],
        vec!["subscription", "get", "two/none"],
        vec!["subscribe", "two", "nobody", "label"],
        vec!["run", "list", "--namespace", "elsewhere"],
    ] {
        let ran = home.run(&arguments);
        assert_eq!(ran.code, 6, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.starts_with("error: ") && !ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    }
    let ran = home.run(&["run", "start", "two", "-p", "whom=x"]);
    assert_eq!((ran.code, ran.err.contains("`who`")), (2, true), "{}", ran.err);
}

#[test]
fn a_subscription_is_made_previewed_paused_resumed_and_deleted() {
    let (home, _host) = with(&[("two", TWO)]);
    let made = home.run(&[
        "subscribe",
        "two",
        "cron",
        "nightly",
        "-p",
        "expression=30 2 * * *",
        "-p",
        "timezone=Europe/Berlin",
    ]);
    assert!(made.ok().contains("two by cron as nightly, next "));
    let preview = home.run(&["subscription", "preview", "two/nightly", "-n", "3", "--json"]).json();
    assert_eq!(preview.as_array().map(Vec::len), Some(3));
    assert!(preview[0]["local"].as_str().is_some_and(|local| local.contains("T02:30:00")), "{preview}");
    home.run(&["subscription", "pause", "two/nightly"]).ok();
    assert_eq!(home.run(&["subscription", "get", "two/nightly", "--json"]).json()["status"], "paused");
    home.run(&["subscription", "resume", "two/nightly"]).ok();
    assert!(home.run(&["subscription", "explain", "two/nightly"]).ok().starts_with("active"));
    assert_eq!(home.run(&["subscribe", "two", "interval", "nightly", "-p", "every=5m"]).code, 7);
    let bad = home.run(&["subscribe", "two", "interval", "often", "-p", "every=soon"]);
    assert_eq!(bad.code, 2, "{}", bad.err);
    assert_eq!(home.run(&["pipeline", "delete", "two"]).code, 7);
    home.run(&["subscription", "delete", "two/nightly"]).ok();
    assert_eq!(home.run(&["subscription", "list", "--json"]).json(), serde_json::json!([]));
    assert_eq!(
        home.run(&["subscribe", "two", "interval", "dry", "-p", "every=5m", "--dry-run", "--json"])
            .json()
            .as_array()
            .map(Vec::len),
        Some(10)
    );
    assert_eq!(home.run(&["subscription", "list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn plugins_say_what_they_take() {
    let (home, _host) = with(&[]);
    let listed = home.run(&["plugin", "list"]).ok();
    assert!(listed.contains("cron") && listed.contains("interval") && listed.contains("builtin:"), "{listed}");
    assert!(home.run(&["plugin", "get", "interval"]).ok().contains("every"));
}

#[test]
fn events_are_listed_in_order_of_their_cursors() {
    let (home, _host) = with(&[("two", TWO)]);
    home.run(&["run", "start", "two", "--watch"]);
    let ran = home.run(&["events", "--json", "--run", "two/1"]);
    let events: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let cursors: Vec<i64> = events.iter().filter_map(|event| event["cursor"].as_i64()).collect();
    assert!(cursors.len() > 3 && cursors.is_sorted(), "{}", ran.out);
}

#[test]
fn the_examples_run_on_a_host() {
    let (home, _host) = with(&[]);
    for (name, arguments) in [("hello", ["-p", "who=inn"]), ("retry-and-branch", ["-p", "verdict=0"])] {
        let file = example(&home, name);
        home.run(&["up", &file]).ok();
        let ran = home.run(&[&["run", "start", name, "--watch"], arguments.as_slice()].concat());
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.out, ran.err);
    }
    assert_eq!(
        home.run(&["run", "logs", "hello", "--task", "show"]).ok(),
        "Hello, inn! Your room is ready. (3 letters)\n"
    );
    assert!(home.run(&["run", "explain", "retry-and-branch", "repair"]).ok().starts_with("skipped"));
}
