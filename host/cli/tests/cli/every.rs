//! `hostler every` and `hostler cron`: a command and its schedule in one line.

use crate::support::{Home, until};

#[test]
fn a_command_is_scheduled_once_and_changed_in_place() {
    let home = Home::new();
    let _host = home.serve();
    let first = home.run(&["every", "1h", "--name", "backup", "--", "./backup.sh", "--all"]);
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.err.contains("`./backup.sh` is run as [home]/backup.sh"), "{}", first.err);
    assert!(first.ok().contains("(made)"));
    assert!(home.run(&["every", "1h", "--name", "backup", "--", "./backup.sh", "--all"]).ok().contains("(unchanged)"));
    assert!(home.run(&["every", "2h", "--name", "backup", "--", "./backup.sh", "--all"]).ok().contains("(updated)"));
    let changed =
        home.run(&["cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--name", "backup", "--", "./backup.sh"]);
    assert!(changed.ok().contains("version 2 registered"));
    let all = home.run(&["subscription", "list", "--json"]).json();
    assert_eq!((all.as_array().map(Vec::len), all[0]["plugin"].as_str()), (Some(1), Some("cron")));
}

#[test]
fn a_schedule_that_is_refused_leaves_nothing_behind() {
    let home = Home::new();
    let _host = home.serve();
    let ran = home.run(&["cron", "61 2 * * *", "--", "true"]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert_eq!(home.run(&["pipeline", "list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn a_name_is_derived_from_the_command() {
    let home = Home::new();
    let _host = home.serve();
    assert!(home.run(&["every", "1h", "--", "echo", "Hello World"]).ok().starts_with("echo-hello-world: version 1"));
    assert_eq!(home.run(&["every", "1h", "--", "…"]).code, 2);
    assert_eq!(home.run(&["every", "often", "--", "true"]).code, 2);
}

#[test]
fn what_is_scheduled_runs() {
    let home = Home::new();
    let _host = home.serve();
    home.run(&["every", "1s", "--name", "tick", "--", "echo", "tick"]).ok();
    until("two runs have ended", || {
        let runs = home.run(&["run", "list", "tick", "--status", "success", "--json"]).json();
        runs.as_array().is_some_and(|runs| runs.len() >= 2)
    });
    assert!(home.run(&["subscription", "fires", "tick/schedule"]).ok().contains("start"));
}
