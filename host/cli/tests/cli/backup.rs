//! Backups by the real binary: of a host that runs, restored after it was killed.

use crate::support::{Home, until};
use serde_json::{Value, json};

const TALKS: &str = r#"{"id": "talks", "tasks": {
  "one": {"process": {"script": "echo hello"}},
  "two": {"process": {"script": "echo bye"}, "depends_on": ["one"]}}}"#;

const SLEEPS: &str = r#"{"id": "sleeps", "tasks": {
  "nap": {"process": {"script": "test $HOSTLER_ATTEMPT = 2 || sleep 600"}, "grace": "1s", "on_lost": "retry",
          "retry": {"attempts": 2, "backoff": "1ms"}}}}"#;

fn runs(home: &Home) -> Value {
    let mut runs = home.run(&["run", "list", "--json"]).json();
    for run in runs.as_array_mut().expect("a list") {
        // Of an open run these go on.
        ["status", "started_at", "ended_at", "cause"]
            .iter()
            .for_each(|field| _ = run.as_object_mut().map(|run| run.remove(*field)));
    }
    runs
}

#[test]
fn a_backup_of_a_busy_host_is_restored_after_a_kill_with_its_runs_and_logs() {
    let mut home = Home::new();
    let host = home.serve();
    for (name, text) in [("talks", TALKS), ("sleeps", SLEEPS)] {
        let file = home.file(&format!("{name}.json"), text);
        home.run(&["up", &file]).ok();
    }
    home.run(&["run", "start", "talks", "--watch"]).ok();
    home.run(&["run", "start", "sleeps"]).ok();
    until("the nap to run", || home.run(&["run", "get", "sleeps/1"]).out.contains("running"));
    let path = "[home]/one.tar";
    let made = home.run(&["backup", "create", "--to", "one.tar", "--json"]).json();
    assert_eq!((&made["path"], &made["status"]), (&json!(path), &json!("done")));
    let again = home.run(&["backup", "create", "--to", "one.tar"]);
    assert_eq!(again.code, 7, "{}", again.err);
    home.run(&["backup", "create"]).ok();
    let listed = home.run(&["backup", "list", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let before = runs(&home);
    drop(host);

    // No host is needed from here to the next start.
    let verified = home.run(&["backup", "verify", "one.tar"]).ok();
    assert!(verified.starts_with("one.tar: whole: made "), "{verified}");
    let restored = home.run(&["backup", "restore", "one.tar", "--data", "restored"]);
    assert!(restored.ok().contains("2 runs, 1 logs"));
    let full = home.run(&["backup", "restore", "one.tar", "--data", "restored"]);
    assert_eq!(full.code, 7, "{}", full.err);
    home.set("HOSTLER_CONFIG_DATA_FOLDER", &home.path().join("restored").display().to_string());
    let _host = home.serve();
    assert_eq!(runs(&home), before);
    assert_eq!(home.run(&["run", "logs", "talks/1"]).ok(), "hello\nbye\n");
    // What was under way is lost to the new host and tried again.
    home.run(&["run", "watch", "sleeps/1"]).ok();
    let listed = home.run(&["backup", "list", "--json"]).json();
    assert_eq!(listed, json!([]), "the backups of the old folder are not the new one's");
}

#[test]
fn a_damaged_backup_is_refused_and_named() {
    let home = Home::new();
    let host = home.serve();
    home.run(&["backup", "create", "--to", "good.tar"]).ok();
    drop(host);
    let mut bytes = std::fs::read(home.path().join("good.tar")).expect("the backup");
    bytes[5_000] ^= 1;
    std::fs::write(home.path().join("bad.tar"), bytes).expect("written");
    for arguments in [&["backup", "verify", "bad.tar"][..], &["backup", "restore", "bad.tar", "--data", "new"]] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("the backup `bad.tar` is damaged") && ran.err.contains("hostler.db"), "{}", ran.err);
    }
    assert!(!home.path().join("new").exists());
    assert_eq!(home.run(&["backup", "verify", "nowhere.tar"]).code, 6);
}
