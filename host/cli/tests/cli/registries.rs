//! Components are put into a registry, signed there and in the store, without a host.

use crate::registry::DebianRegistry;
use crate::support::Home;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn component(home: &Home) -> String {
    let path = home.path().join("tide.wasm");
    std::fs::write(&path, EMPTY).expect("written");
    path.display().to_string()
}

#[test]
fn a_component_is_pushed_and_signed_in_a_registry() {
    let Some(registry) = DebianRegistry::open() else { return };
    let home = Home::new();
    let (file, place) = (component(&home), format!("{}/acme/tide:1.0.0", registry.address));
    let pushed = home.run(&["plugin", "push", &file, &place, "--json"]).json();
    let digest = pushed["manifest_digest"].as_str().expect("a digest").to_owned();
    assert_eq!(pushed["pinned"], format!("{place}@{digest}"));
    assert_eq!(home.run(&["plugin", "push", &file, &place]).out, format!("{place}@{digest}\n"));

    let made = home.run(&["plugin", "keygen", "acme", "--json"]).json();
    let signed = home.run(&["plugin", "sign", &place, "--key", "acme.key"]);
    let key = made["key"].as_str().expect("a digest");
    assert_eq!(signed.out, format!("signed {place}@{digest} with key {key}\n"), "{}", signed.err);

    let missing = home.run(&["plugin", "sign", &place.replace("1.0.0", "2.0.0"), "--key", "acme.key"]);
    assert_eq!(missing.code, 6, "{}", missing.err);
    assert!(missing.err.contains("does not exist: registry"), "{}", missing.err);
}

#[test]
fn a_registry_is_asked_with_the_login_of_the_settings() {
    let Some(registry) = DebianRegistry::closed() else { return };
    let home = Home::new();
    let (file, place) = (component(&home), format!("{}/acme/tide:1.0.0", registry.address));
    let refused = home.run(&["plugin", "push", &file, &place]);
    assert_eq!(refused.code, 8, "{}", refused.err);
    assert!(refused.err.contains("`docker login"), "{}", refused.err);
    let word = home.file("word", "a?b>c~\n");
    let line = format!("[registries]\nlogins = [\"{} ann {word}\"]\n", registry.address);
    let config = home.file("config.toml", &line);
    let pushed = home.run(&["plugin", "push", &file, &place, "--config", &config]);
    assert_eq!(pushed.code, 0, "{}", pushed.err);
}

#[test]
fn what_cannot_be_pushed_or_signed_is_told() {
    let home = Home::new();
    let file = component(&home);
    let check = |arguments: &[&str], code: i32, words: &str| {
        let ran = home.run(arguments);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    };
    check(&["plugin", "push", &file, "acme/tide"], 2, "it names no registry, `acme` is not a host");
    check(&["plugin", "push", "nowhere.wasm", "localhost:1/a:1"], 6, "`nowhere.wasm` cannot be read");
    check(&["plugin", "push", &file, "127.0.0.1:1/a:1"], 9, "registry `127.0.0.1:1` cannot be reached");
    let script = home.file("script.wasm", "#!/bin/sh\n");
    check(&["plugin", "push", &script, "127.0.0.1:1/a:1"], 2, "not a WebAssembly component");
    assert_eq!(home.run(&["plugin", "keygen", "acme"]).code, 0);
    check(&["plugin", "keygen", "acme"], 7, "`acme.key` cannot be made");
    check(&["plugin", "sign", "localhost:1/a:1", "--key", "acme.pub"], 2, "it holds `PUBLIC KEY`");
    let digest = format!("sha256:{}", "0".repeat(64));
    check(&["plugin", "sign", &digest, "--key", "acme.key"], 6, "does not have sha256:0000");
    check(&["plugin", "sign", "sha256:12", "--key", "acme.key"], 2, "is no digest");
    let config = home.file("config.toml", "[registries]\nlogins = [\"ghcr.io secret\"]\n");
    check(
        &["plugin", "push", &file, "localhost:1/a:1", "--config", &config],
        2,
        "a login is a registry, a name, and the file",
    );
}
