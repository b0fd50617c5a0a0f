//! Tasks that reach for what is the host's, or another run's, with the real binary: as another user, and with Landlock.

use crate::support::{Home, until};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

/// Prints what it can read or write, and must print `nothing else`.
const STEAL: &str = r#"
    for file in token key hostler.db hostler.db-wal lock warden/secret work/1/0-0-1/workspace/secret; do
      head -c 1 "$data/$file" >/dev/null 2>&1 && echo "read $file"
      (echo x >> "$data/$file") 2>/dev/null && echo "wrote $file"
    done
    for folder in . logs warden scripts work work/1 work/1/0-0-1/workspace; do
      ls "$data/$folder" >/dev/null 2>&1 && echo "listed $folder"
      (: > "$data/$folder/new") 2>/dev/null && echo "made $folder/new"
    done
    for file in environ maps mem; do
      head -c 1 "/proc/$host/$file" >/dev/null 2>&1 && echo "read $file of the host"
    done
    ls "/proc/$host/fd/" >/dev/null 2>&1 && echo "listed the open files of the host"
    for other in /proc/[0-9]*; do
      grep -qz ^OTHER= "$other/environ" 2>/dev/null && echo "read the environment of another run"
    done
    rm -rf "$data/work/1" 2>/dev/null
    mv "$data/token" . 2>/dev/null && echo "moved the token"
    echo "nothing else"
    echo mine > file && cat file && echo ok=yes > "$HOSTLER_OUTPUT" && id -u && id -G && echo "$HOME""#;

const HOLD: &str = "echo treasure > secret; chmod 644 secret; chmod 755 .; echo ready; sleep 600";

/// Runs the thief beside another run and answers what it could do.
fn reach(home: &Home, host: &crate::support::Host) -> Vec<String> {
    let data = home.path().join("data").display().to_string();
    let text = json!({"type": "string"});
    let steal = json!({"process": {"script": STEAL}});
    let thief = json!({"id": "thief", "params": {"data": text, "host": text}, "tasks": {"steal": steal}});
    let hold = json!({"process": {"script": HOLD}, "grace": "1s"});
    let other = json!({"id": "other", "env": {"OTHER": "x"}, "tasks": {"hold": hold}});
    for document in [other, thief] {
        home.run(&["up", &home.file("document.json", &document.to_string())]).ok();
    }
    home.run(&["run", "start", "other"]).ok();
    until("the other run", || home.run(&["run", "logs", "other"]).out.contains("ready"));
    let (data, pid) = (format!("data={data}"), format!("host={}", host.pid()));
    let ran = home.run(&["run", "start", "thief", "-p", &data, "-p", &pid, "--watch"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let outputs = home.run(&["run", "get", "thief", "--json"]).out;
    assert!(outputs.contains("\"ok\""), "{outputs}");
    let said = home.run(&["run", "logs", "thief", "--stream", "stdout"]).ok();
    home.run(&["run", "cancel", "other"]).ok();
    until("the cancel", || home.run(&["run", "get", "other", "--json"]).json()["status"] == "cancelled");
    said.lines().map(str::to_owned).collect()
}

fn home(settings: &[(&str, &str)]) -> Home {
    let mut home = Home::new();
    let data = home.path().join("data").display().to_string();
    home.set("HOSTLER_CONFIG_DATA_FOLDER", &data);
    home.set("HOSTLER_CONFIG_PROCESS_KEEP", "1m");
    settings.iter().for_each(|(name, value)| home.set(name, value));
    home
}

#[test]
fn a_task_of_another_user_reaches_nothing_of_the_host_or_of_another_run() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("!!! not root: tasks cannot run as another user here");
        return;
    }
    let home = home(&[("HOSTLER_CONFIG_PROCESS_USER", "nobody")]);
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(home.path(), open).expect("it is ours");
    let host = home.serve();
    let said = reach(&home, &host);
    let [first, mine, uid, groups, folder] = said.as_slice() else { panic!("{said:#?}") };
    assert_eq!((first.as_str(), mine.as_str()), ("nothing else", "mine"));
    assert_ne!((uid.as_str(), folder.as_str()), ("0", home.path().to_str().expect("a path")));
    let groups: Vec<u32> = groups.split(' ').map(|group| group.parse().expect("a number")).collect();
    assert!(!groups.contains(&0), "{groups:?}");
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_task_behind_landlock_reaches_nothing_of_the_host_or_of_another_run() {
    let home = home(&[("HOSTLER_CONFIG_PROCESS_USER", "same"), ("HOSTLER_CONFIG_PROCESS_LANDLOCK", "on")]);
    let ran = home.run(&["config", "show"]);
    assert!(ran.out.contains("landlock"), "{}", ran.out);
    let host = home.serve();
    let mut said = reach(&home, &host);
    // Landlock closes memory, but not environments; those of the host are closed to all but root.
    said.retain(|line| line != "read the environment of another run");
    if rustix::process::geteuid().is_root() {
        let open_to_root = ["read environ of the host", "read maps of the host", "listed the open files of the host"];
        said.retain(|line| !open_to_root.contains(&line.as_str()));
    }
    assert_eq!(said[..2], ["nothing else", "mine"], "{said:#?}");
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_user_that_tasks_cannot_have_keeps_the_host_from_starting() {
    let home = home(&[("HOSTLER_CONFIG_PROCESS_USER", "no-such-user")]);
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.err.contains("/etc/passwd does not know it")), (9, true), "{}", ran.err);
    if rustix::process::geteuid().is_root() {
        let home = self::home(&[("HOSTLER_CONFIG_PROCESS_USER", "nobody")]);
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!((ran.code, ran.err.contains("cannot enter `[home]`")), (9, true), "{}", ran.err);
    }
}
