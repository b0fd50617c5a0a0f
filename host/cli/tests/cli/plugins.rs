//! The operator's story with the real binary: look, agree, install, watch, change, update, move, remove.

use crate::components::components;
use crate::registry::DebianRegistry;
use crate::support::{Home, until};
use std::path::PathBuf;

fn versatile() -> String {
    components().join("versatile.wasm").display().to_string()
}

fn hostile() -> PathBuf {
    components().join("hostile.wasm")
}

const HELLO: &str = r#"{"id": "hello", "tasks": {"one": {"process": {"argv": ["true"]}}}}"#;

/// What the only subscription's last note says, as soon as it says something with `word`.
fn note(home: &Home, word: &str) -> String {
    let mut last = String::new();
    until(&format!("a note with {word}"), || {
        let list = home.run(&["subscription", "list", "--json"]).json();
        last = list["items"][0]["note"].as_str().or(list[0]["note"].as_str()).unwrap_or_default().to_owned();
        last.contains(word)
    });
    last
}

#[test]
fn a_plugin_is_looked_at_installed_granted_used_and_removed() {
    let home = Home::new();
    let _host = home.serve();
    let file = versatile();

    let seen = home.run(&["plugin", "inspect", &file]).ok();
    for expected in [
        "versatile",
        "roles:",
        "hostler:trigger/trigger@1.0.0",
        "secret token: bearer, equals",
        "To remember.",
        "○ not granted",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    let asked = home.run(&["plugin", "install", &file]);
    assert_eq!(asked.code, 8, "nobody can be asked, so nothing is granted: {}", asked.err);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert!(!home.run(&["plugin", "list"]).out.contains("versatile"), "and nothing is installed");

    let unasked = home.run(&["plugin", "install", &file, "--grant", "secret:nothing"]);
    assert!(unasked.err.contains("does not ask for secret `nothing`"), "{}", unasked.err);
    let installed = home.run(&["plugin", "install", &file, "--as", "tool", "--grant", "kv"]).ok();
    assert_eq!(installed, "installed tool 1.0.0\n");
    let again = home.run(&["plugin", "install", &file, "--as", "tool", "--yes"]);
    assert_eq!(again.code, 7, "{}", again.err);
    let shown = home.run(&["plugin", "get", "tool"]).ok();
    assert!(shown.contains("● active") && shown.contains("kv: a memory of its own  ✓ granted"), "{shown}");

    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    let secret = r#"{"op": "all", "acts": [{"op": "equals", "secret": "token", "value": "s3cret"}, {"op": "kv-get", "scope": "plugin", "key": "a"}]}"#;
    home.run(&["subscribe", "hello", "tool", "tick", "-p", &format!("act:={secret}")]).ok();
    assert!(note(&home, "denied").contains("it is not granted"), "the secret is not granted yet");

    let echoed = home.run_with_input(&["secret", "set", "deploy"], "s3cret\n");
    assert!(!format!("{}{}", echoed.out, echoed.err).contains("s3cret"), "{}", echoed.out);
    home.run(&["plugin", "grant", "tool", "--grant", "kv", "--grant", "secret:token=deploy"]).ok();
    assert!(note(&home, "true").contains("{\"ok\":true}"), "now it is the secret");
    assert!(!home.run(&["secret", "list", "--json"]).out.contains("s3cret"));

    let calls = home.run(&["plugin", "calls", "tool"]).ok();
    assert!(calls.contains("wake") && calls.contains("answered"), "{calls}");
    let refused = home.run(&["plugin", "calls", "tool", "--json"]).json();
    let denials = refused.as_array().expect("calls").iter().filter(|call| !call["denials"].is_null()).count();
    assert!(denials > 0, "what was refused is in the records");

    home.run(&["plugin", "disable", "tool"]).ok();
    assert!(home.run(&["plugin", "list"]).out.contains("○ disabled"));
    home.run(&["plugin", "enable", "tool"]).ok();

    let kept = home.run(&["plugin", "uninstall", "tool"]);
    assert_eq!(kept.code, 7, "{}", kept.err);
    assert!(kept.err.contains("1 subscriptions"), "{}", kept.err);
    home.run(&["plugin", "uninstall", "tool", "--force"]).ok();
    let error = home.run(&["subscription", "list", "--json"]).out;
    assert!(error.contains("plugin `tool` was uninstalled"), "{error}");
    assert_eq!(home.run(&["plugin", "get", "tool"]).code, 6);
    home.run(&["plugin", "gc", "--grace", "0s"]).ok();
}

#[test]
fn what_is_installed_is_there_after_a_kill_and_what_broke_stays_quarantined() {
    let home = Home::new();
    let host = home.serve();
    let foe = hostile().display().to_string();
    home.run(&["plugin", "install", &foe, "--as", "foe", "--yes"]).ok();
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    home.run(&["plugin", "set", "foe", "--limit", "faults_max:=2"]).ok();
    home.run(&["subscribe", "hello", "foe", "tick", "-p", "how=panic"]);
    // Its `upcoming` breaks too, so it cannot even be subscribed; a call or two more and it is left alone.
    until("it is quarantined", || {
        home.run(&["subscribe", "hello", "foe", "tick", "-p", "how=panic", "--dry-run"]);
        home.run(&["plugin", "get", "foe", "--json"]).json()["status"] == "quarantined"
    });
    let events = home.run(&["events", "--json"]).out;
    assert!(events.contains("plugin.quarantined") && events.contains("plugin.installed"), "{events}");
    host.kill();

    let host = home.serve();
    let shown = home.run(&["plugin", "get", "foe"]).ok();
    assert!(shown.contains("✗ quarantined") && shown.contains("2 calls in a row broke"), "{shown}");
    let refused = home.run(&["subscribe", "hello", "foe", "tick", "-p", "how=well"]);
    assert!(refused.err.contains("hostler plugin enable"), "{}", refused.err);
    home.run(&["plugin", "enable", "foe"]).ok();
    home.run(&["subscribe", "hello", "foe", "tick", "-p", "how=well"]).ok();
    let lock =
        std::fs::read_to_string(home.path().join(".local/share/hostler/plugins.lock.json")).expect("a lock file");
    assert!(lock.contains("\"foe\"") && lock.contains("sha256:"), "{lock}");
    assert_eq!(host.stop(), 0);
}

#[test]
fn an_update_shows_what_would_be_different_and_changes_nothing_before_it_is_agreed_to() {
    let home = Home::new();
    let _host = home.serve();
    let foe = hostile().display().to_string();
    home.run(&["plugin", "install", &foe, "--as", "tool", "--yes"]).ok();
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    home.run(&["subscribe", "hello", "tool", "tick", "-p", "how=well"]).ok();
    let before = home.run(&["plugin", "get", "tool", "--json"]).json()["digest"].clone();

    let shown = home.run(&["plugin", "update", "tool", &versatile(), "--dry-run"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    for expected in ["1.2.3 → 1.0.0", "+ secret open: reveal", "~ schema /roles/trigger/params"] {
        assert!(shown.err.contains(expected), "{expected}: {}", shown.err);
    }
    let wants_more = home.run(&["plugin", "update", "tool", &versatile()]);
    assert_eq!(wants_more.code, 8, "{}", wants_more.err);
    assert_eq!(home.run(&["plugin", "get", "tool", "--json"]).json()["digest"], before, "nothing was changed");
    home.run(&["plugin", "update", "tool", &versatile(), "--grant", "kv"]).ok();
    let after = home.run(&["plugin", "get", "tool", "--json"]).json();
    assert!(after["digest"] != before && after["grants"]["kv"] == true && after["version"] == "1.0.0", "{after}");
}

#[test]
fn a_plugin_goes_through_a_registry_and_through_a_bundle_to_another_host() {
    let Some(registry) = DebianRegistry::open() else { return };
    let home = Home::new();
    let _host = home.serve();
    let place = format!("{}/acme/versatile:1.0.0", registry.address);
    let pushed = home.run(&["plugin", "push", &versatile(), &place, "--json"]).json();
    home.run(&["plugin", "install", &place, "--yes"]).ok();
    let shown = home.run(&["plugin", "get", "versatile", "--json"]).json();
    assert_eq!(shown["manifest_digest"], pushed["manifest_digest"]);
    assert_eq!(shown["origin"], place);
    home.run(&["plugin", "bundle", "versatile", "--to", "plugins.tar"]).ok();
    let missing = home.run(&["plugin", "install", &place.replace("versatile", "nothing"), "--yes"]);
    assert!(missing.code == 6 && missing.err.contains("does not exist"), "{}", missing.err);

    let other = Home::new();
    let _other_host = other.serve();
    let bundle = home.path().join("plugins.tar").display().to_string();
    other.run(&["plugin", "install", "--bundle", &bundle, "--yes"]).ok();
    let moved = other.run(&["plugin", "get", "versatile", "--json"]).json();
    assert_eq!((&moved["manifest_digest"], &moved["digest"]), (&shown["manifest_digest"], &shown["digest"]));

    // A third one is made like the first by its lock file.
    home.run(&["plugin", "install", "builtin:interval", "--as", "often", "--yes"]).ok();
    home.run(&["plugin", "grant", "versatile", "--grant", "kv"]).ok();
    let lock = home.path().join(".local/share/hostler/plugins.lock.json").display().to_string();
    let third = Home::new();
    let _third_host = third.serve();
    assert_eq!(third.run(&["plugin", "install", "--lock", "nowhere.json"]).code, 2);
    let made = third.run(&["plugin", "install", "--lock", &lock]);
    assert!(made.code == 0 && made.out.contains("installed versatile from"), "{}{}", made.out, made.err);
    let same = third.run(&["plugin", "get", "versatile", "--json"]).json();
    let granted = home.run(&["plugin", "get", "versatile", "--json"]).json()["grants"].clone();
    assert_eq!((&same["manifest_digest"], &same["grants"]), (&shown["manifest_digest"], &granted));
    let again = third.run(&["plugin", "install", "--lock", &lock]);
    assert!(again.code == 0 && again.err.contains("are there already"), "{}{}", again.out, again.err);
}

#[test]
fn a_policy_lets_in_what_is_signed_and_nothing_else() {
    let Some(registry) = DebianRegistry::open() else { return };
    let home = Home::new();
    let place = format!("{}/acme/signed:1.0.0", registry.address);
    home.run(&["plugin", "push", &versatile(), &place]).ok();
    home.run(&["plugin", "keygen", "acme"]).ok();
    home.run(&["plugin", "keygen", "evil"]).ok();
    let key = home.path().join("acme.pub").display().to_string();
    let config = home.file("config.toml", &format!("registries.policy = [\"{} signed-by {key}\"]\n", registry.address));
    let _host = home.serve_with(&["--config", &config]);
    let refused = |why: &str| {
        let ran = home.run(&["plugin", "install", &place, "--yes"]);
        assert!(ran.code == 8 && ran.err.contains(why), "{why}: {}", ran.err);
    };
    refused("is not signed");
    home.run(&["plugin", "sign", &place, "--key", "evil.key"]).ok();
    refused("was made with another key");
    home.run(&["plugin", "sign", &place, "--key", "acme.key"]).ok();
    home.run(&["plugin", "install", &place, "--yes"]).ok();
    let shown = home.run(&["plugin", "get", "versatile"]).ok();
    assert!(shown.contains("signed by key"), "{shown}");
}

#[test]
fn two_installs_of_one_name_at_once_leave_one_plugin() {
    let home = Home::new();
    let _host = home.serve();
    let file = versatile();
    let install = |_: usize| home.run(&["plugin", "install", &file, "--as", "one", "--yes"]).code;
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..3).map(|n| scope.spawn(move || install(n))).collect();
        tasks.into_iter().map(|task| task.join().expect("no panic")).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| [0, 7].contains(code)), "{codes:?}");
}

#[test]
fn the_key_is_exchanged_while_the_host_works_and_a_wrong_one_stops_the_start() {
    let home = Home::new();
    let host = home.serve();
    for n in 0..3 {
        home.run_with_input(&["secret", "set", &format!("s{n}")], "value").ok();
    }
    let key = home.path().join(".local/share/hostler/key");
    let before = std::fs::read(&key).expect("a key");
    assert!(home.run(&["secret", "rotate-key"]).ok().contains("sealed 3 values"));
    let after = std::fs::read(&key).expect("a key");
    assert!(before != after && after.len() == 32);
    assert_eq!(host.stop(), 0);
    std::fs::write(&key, before).expect("written");
    let wrong = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(wrong.code != 0 && wrong.err.contains("the key is not the one"), "{}", wrong.err);
}

#[test]
fn a_backup_holds_what_is_installed() {
    let home = Home::new();
    let _host = home.serve();
    home.run(&["plugin", "install", &versatile(), "--as", "tool", "--grant", "kv"]).ok();
    let made = home.run(&["backup", "create"]).out;
    let file = made.trim().replace("[home]", &home.path().display().to_string());
    let data = home.path().join("restored").display().to_string();
    home.run(&["backup", "restore", &file, "--data", &data]).ok();

    let mut other = Home::new();
    other.set("HOSTLER_CONFIG_DATA_FOLDER", &data);
    let _restored = other.serve();
    // Compiled code is no part of a backup, so the first start compiles it while the host works.
    let shown = || other.run(&["plugin", "get", "tool", "--json"]).json();
    until("it is compiled", || shown()["status"] == "active");
    assert_eq!(shown()["grants"]["kv"], true);
}

#[test]
fn a_recorded_call_is_listed_printed_and_made_again_without_the_host() {
    let home = Home::new();
    let _host = home.serve();
    let file = versatile();
    home.run(&["plugin", "install", &file, "--as", "tool", "--yes", "--limit", "calls_max:=3"]).ok();
    let wrong = home.run(&["plugin", "set", "tool", "--limit", "cals_max:=3"]);
    assert!(wrong.code == 2 && wrong.err.contains("unknown field `cals_max`"), "{}", wrong.err);
    let null = home.run(&["plugin", "set", "tool", "--limit", "calls_max:=null"]);
    assert!(null.code == 2 && null.err.contains("`calls_max` cannot be nothing"), "{}", null.err);
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    let nothing = home.run(&["plugin", "test", &file, "--replay", "tool"]);
    assert!(nothing.code == 6 && nothing.err.contains("recorded_calls_max"), "{}", nothing.err);
    home.run(&["plugin", "set", "tool", "--limit", "recorded_calls_max:=3"]).ok();
    home.run(&["plugin", "set", "tool", "--limit", "kv_bytes_max:=100000"]).ok();
    let shown = home.run(&["plugin", "get", "tool"]).out;
    assert!(shown.contains("limits: calls_max 3, kv_bytes_max 100000, recorded_calls_max 3\n"), "{shown}");
    let limits = home.run(&["plugin", "get", "tool", "--json"]).json()["limits"].clone();
    assert_eq!((limits["recorded_calls_max"].as_u64(), limits["kv_bytes_max"].as_u64()), (Some(3), Some(100_000)));
    let acts = r#"{"op": "all", "acts": [{"op": "random"}, {"op": "clock"}, {"op": "kv-set", "scope": "plugin", "key": "k", "value": "kept-and-sealed"}, {"op": "kv-get", "scope": "plugin", "key": "k"}]}"#;
    home.run(&["subscribe", "hello", "tool", "tick", "-p", &format!("act:={acts}")]).ok();
    let list = || home.run(&["plugin", "recordings", "tool", "--json"]).json();
    // It is woken each second; three are kept.
    let first = || list().as_array().and_then(|all| all.last().map(|one| one["id"].clone()));
    let begun = first();
    until("older ones go", || list().as_array().map_or(0, Vec::len) == 3 && first() != begun);
    home.run(&["subscription", "pause", "hello/tick"]).ok();
    let shown = home.run(&["plugin", "recordings", "tool"]).ok();
    assert!(shown.contains("RECORDING") && shown.contains("wake") && shown.contains("answered"), "{shown}");
    let again = home.run(&["plugin", "test", &file, "--replay", "tool"]).ok();
    assert!(again.contains("3 passed, 0 failed"), "{again}");
    let id = list()[0]["id"].as_str().expect("an id").to_owned();
    let cases = home.run(&["plugin", "recordings", "tool", &id]).out;
    assert!(cases.contains("\"replay\"") && cases.contains("\"exact\": true"), "{cases}");
    let cases = home.file("cases.json", &cases);
    let from_file = home.run(&["plugin", "test", &file, "--cases", &cases]);
    assert_eq!(from_file.code, 0, "{}{}", from_file.out, from_file.err);
    let one = home.run(&["plugin", "test", &file, "--replay", &format!("tool/{id}")]).ok();
    assert!(one.contains("1 passed"), "{one}");
    assert_eq!(home.run(&["plugin", "recordings", "tool", "999999"]).code, 6);
    home.run(&["plugin", "set", "tool", "--limit", "recorded_calls_max:=0"]).ok();
    assert_eq!(list(), serde_json::json!([]), "none is kept, so none stays");
}

#[test]
fn what_is_in_a_registry_is_looked_at_with_the_login_of_a_helper() {
    let Some(registry) = DebianRegistry::closed() else { return };
    let mut home = Home::new();
    let place = format!("{}/acme/versatile:1.0.0", registry.address);
    let helper =
        home.file("bin/docker-credential-inn", "#!/bin/sh\necho '{\"Username\": \"ann\", \"Secret\": \"a?b>c~\"}'\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, executable).expect("ours");
    home.file(".docker/config.json", "{\"credsStore\": \"inn\"}");
    home.set("PATH", &format!("{}:/usr/local/bin:/usr/bin:/bin", home.path().join("bin").display()));
    home.run(&["plugin", "push", &versatile(), &place]).ok();
    let _host = home.serve();
    let seen = home.run(&["plugin", "inspect", &place]).ok();
    for expected in ["versatile 1.0.0", "contract: ", "secret open: reveal", "artifact  [digest]"] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    assert!(!home.run(&["plugin", "list"]).out.contains("versatile"), "looking installs nothing");
}

#[test]
fn an_author_sees_each_change_at_work_and_what_it_logs() {
    let home = Home::new();
    let _host = home.serve();
    let bytes = std::fs::read(hostile()).expect("the fixture is there");
    let file = home.path().join("foe.wasm");
    std::fs::write(&file, &bytes).expect("written");
    let mut dev = home.command(&["plugin", "dev", "foe.wasm", "--as", "foe"]);
    let mut dev = Ending(dev.stdout(std::process::Stdio::piped()).spawn().expect("the binary starts"));
    until("it is installed", || home.run(&["plugin", "get", "foe"]).code == 0);
    let digest = || home.run(&["plugin", "get", "foe", "--json"]).json()["digest"].clone();
    let first = digest();
    // The same with a section that nobody reads: another component.
    std::fs::write(&file, [bytes.as_slice(), &[0, 2, 1, b'x']].concat()).expect("written");
    until("it is reloaded", || digest() != first);
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    home.run(&["subscribe", "hello", "foe", "tick", "-p", "how=log", "--dry-run"]).ok();
    until("it has logged", || home.run(&["plugin", "logs", "foe"]).out.contains("one line"));
    let mut line = String::new();
    let mut shown = std::io::BufReader::new(dev.0.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut shown, &mut line).expect("a line");
    assert!(line.contains("warn") && line.contains("one line"), "{line:?}");
}

/// Goes with the test, however that ends.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_update_that_would_stop_something_waits_for_the_word() {
    let home = Home::new();
    let _host = home.serve();
    home.run(&["plugin", "install", "builtin:interval", "--as", "often", "--yes", "--set", "minimum=2s"]).ok();
    home.run(&["plugin", "set", "often", "minimum=1m"]).ok();
    assert_eq!(home.run(&["plugin", "get", "often", "--json"]).json()["settings"]["minimum"], "1m");
    let wrong = home.run(&["plugin", "set", "often", "minimum:=5"]);
    assert!(wrong.code == 2 && wrong.err.contains("/minimum"), "{}", wrong.err);
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    home.run(&["subscribe", "hello", "often", "tick", "-p", "every=5m"]).ok();
    let stops = home.run(&["plugin", "update", "often", "builtin:cron", "--yes"]);
    assert!(stops.code == 7 && stops.err.contains("--force"), "{}", stops.err);
    assert!(stops.err.contains("subscription") && stops.err.contains("expression"), "{}", stops.err);
    assert_eq!(home.run(&["plugin", "get", "often", "--json"]).json()["settings"]["minimum"], "1m", "nothing changed");
}

#[test]
fn a_secret_comes_from_a_file_is_taken_from_a_subscription_and_goes() {
    let home = Home::new();
    let _host = home.serve();
    home.run(&["plugin", "install", &versatile(), "--as", "tool", "--yes"]).ok();
    let value = home.file("value", "s3cret\n");
    home.run(&["secret", "set", "token", "--file", &value]).ok();
    home.file("hello.json", HELLO);
    home.run(&["up", "hello.json"]).ok();
    let equals = |value: &str| json_act(&format!(r#"{{"op": "equals", "secret": "token", "value": "{value}"}}"#));
    home.run(&["subscribe", "hello", "tool", "tick", "-p", &equals("s3cret\\n")]).ok();
    assert!(note(&home, "true").contains("{\"ok\":true}"), "byte for byte");
    home.run_with_input(&["secret", "set", "token", "--keep-old", "1h"], "newer\n").ok();
    let listed = home.run(&["secret", "list", "--json"]).json();
    assert_eq!((listed[0]["version"].as_u64(), listed[0]["values"].as_u64()), (Some(2), Some(2)), "{listed}");
    home.run(&["subscription", "delete", "hello/tick"]).ok();
    home.run(&["subscribe", "hello", "tool", "tick", "--only-secret", "webhook", "-p", &equals("newer")]).ok();
    assert!(note(&home, "denied").contains("its subscription takes it away"));
    home.run(&["secret", "delete", "token"]).ok();
    assert_eq!(home.run(&["secret", "list", "--json"]).json(), serde_json::json!([]));
    assert_eq!(home.run(&["secret", "delete", "token"]).code, 6);
}

fn json_act(act: &str) -> String {
    format!("act:={act}")
}

#[test]
fn a_key_from_outside_is_used_and_written_nowhere() {
    let mut home = Home::new();
    let key = "5a".repeat(32);
    home.set("THE_KEY", &key);
    home.set("HOSTLER_CONFIG_KEY_ENVIRONMENT", "THE_KEY");
    let host = home.serve();
    home.run_with_input(&["secret", "set", "token"], "value").ok();
    let refused = home.run(&["secret", "rotate-key"]);
    assert!(refused.code != 0 && !refused.err.contains(&key), "{}", refused.err);
    assert_eq!(host.stop(), 0);
    assert!(!home.path().join(".local/share/hostler/key").exists(), "no file is made");
    home.set("THE_KEY", &"a5".repeat(32));
    let wrong = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(wrong.code != 0 && wrong.err.contains("the key is not the one"), "{}", wrong.err);
    // The same key by a program.
    home.set("HOSTLER_CONFIG_KEY_ENVIRONMENT", "");
    let config = home.file("config.toml", &format!("[key]\ncommand = [\"/bin/echo\", \"{key}\"]\n"));
    let host = home.serve_with(&["--config", &config]);
    assert_eq!(home.run(&["secret", "list", "--json"]).json()[0]["name"], "token");
    assert_eq!(host.stop(), 0);
}
