//! The settings: defaults and keys agree, layers win in order, and everything wrong is said at once with its place.

use super::*;
use crate::print::Paint;

fn load_text(text: &str, variables: &[(&str, &str)], serve: &ServeOptions) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).expect("written");
    let options = Options { config: Some(path.clone()), ..Options::default() };
    let environment = Environment::with(&[&[("HOME", "/home/ann")], variables].concat());
    load(&options, serve, &environment)
        .map_err(|failure| failure.to_text(Paint::PLAIN).replace(&path.display().to_string(), "config.toml"))
}

#[test]
fn every_key_is_in_the_defaults_and_every_default_is_read() {
    let mut reader = Reader::new(Layers::defaults());
    read(&mut reader, &Environment::with(&[("HOME", "/home/ann")]), None);
    let read: Vec<String> = reader.keys_read().iter().map(|key| (*key).to_string()).collect();
    let layers = reader.finish();
    assert_eq!(layers.problems, []);
    let known: Vec<String> = layers.entries.into_keys().collect();
    assert_eq!(read, known);
}

#[test]
fn later_layers_win_and_are_named() {
    let serve = ServeOptions { listen: Some("127.0.0.1:1".into()), ..ServeOptions::default() };
    let variables = [("HOSTLER_CONFIG_STOP_MODE", "finish"), ("HOSTLER_CONFIG_LIMITS_PROCESS_SLOTS", "3")];
    let text = "stop.mode = \"cancel\"\nstop.timeout = \"5s\"\nlisten.address = \"127.0.0.1:2\"\n";
    let loaded = load_text(text, &variables, &serve).expect("valid");
    assert_eq!(loaded.config.stop, Stop { mode: StopMode::Finish, timeout: Duration::from_secs(5) });
    assert_eq!(
        (loaded.config.limits.process_slots, loaded.config.listen.address.to_string()),
        (3, "127.0.0.1:1".into())
    );
    assert_eq!(loaded.config.data, Path::new("/home/ann/.local/share/hostler"));
    assert_eq!(loaded.entries["listen.address"].origin, Origin::Flag { name: "--listen" });
    assert!(matches!(loaded.entries["stop.timeout"].origin, Origin::File { .. }));
}

#[test]
fn all_mistakes_are_reported_together_with_their_places() {
    let text =
        "[limits]\nprocess_slot = 4\nlog_bytes_per_run = \"big\"\n[stop]\nmode = \"wait\"\n[plugins.tide]\npth = 1\n";
    let message =
        load_text(text, &[("HOSTLER_CONFIG_STOP_TIMEOUT", "soon")], &ServeOptions::default()).expect_err("invalid");
    insta::assert_snapshot!(message, @r#"
    error: the settings are not valid
    config.toml:2:1: unknown key `limits.process_slot`
      2 | process_slot = 4
        | ^
      hint: did you mean `limits.process_slots`?
    config.toml:3:1: `limits.log_bytes_per_run`: `big` is not a size; write a number and a unit of B, KiB, MiB or GiB, such as `64MiB`
      3 | log_bytes_per_run = "big"
        | ^
    config.toml:5:1: `stop.mode`: `wait` is none of "finish", "cancel", "detach"
      5 | mode = "wait"
        | ^
    HOSTLER_CONFIG_STOP_TIMEOUT: `soon` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`
    config.toml:7:1: `plugins.tide.pth`: unknown key of a plugin; did you mean `path`?
      7 | pth = 1
        | ^
    "#);
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    let message = load_text("[stop\nmode = \"cancel\"\n", &[], &ServeOptions::default()).expect_err("invalid");
    insta::assert_snapshot!(message, @r#"
    error: the settings are not valid
    config.toml:1:6: unclosed table, expected `]`
      1 | [stop
        |      ^
    "#);
}

#[test]
fn a_plugin_table_gives_path_settings_and_limits() {
    let text = "[plugins.tide]\npath = \"/x/tide.wasm\"\nsettings = { station = 5, deep = { a = [1] } }\n";
    let loaded = load_text(text, &[], &ServeOptions::default()).expect("valid");
    let plugin = &loaded.config.plugins[0];
    assert_eq!(plugin.name.as_str(), "tide");
    assert_eq!(plugin.component, hostler_plugin::Component::File("/x/tide.wasm".into()));
    assert_eq!(plugin.settings, serde_json::json!({"station": 5, "deep": {"a": [1]}}));
}
