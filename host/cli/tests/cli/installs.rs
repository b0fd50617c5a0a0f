//! Installs that cannot go well, through the real host: each says why, and nothing is installed by half.

use crate::components::components;
use crate::fake::{Ask, Fake, Good, Reply};
use crate::small_disk::SmallDisk;
use crate::support::{Home, until};
use hostler_plugin::oci::Digest;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hostile() -> Vec<u8> {
    std::fs::read(components().join("hostile.wasm")).expect("the fixture is there")
}

/// The hostile plugin, in whose manifest is something wrong.
fn describing(how: &str) -> Good {
    const MARKER: &[u8] = b"HOSTILE-DESCRIBE:";
    let mut bytes = hostile();
    let found = bytes.windows(MARKER.len()).position(|window| window == MARKER);
    let at = found.expect("the marker is there") + MARKER.len();
    bytes[at..at + 16].copy_from_slice(format!("{how:.<16}").as_bytes());
    Good::of(bytes)
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// What keeps an install from happening leaves no plugin, no blob and nothing half fetched.
fn refused(home: &Home, from: &str, code: i32, words: &str) {
    let ran = home.run(&["plugin", "install", from, "--as", "bad", "--yes"]);
    assert!(ran.code == code && ran.err.contains(words), "{from}: {code} {words}: {} {}", ran.code, ran.err);
    assert_eq!(home.run(&["plugin", "get", "bad"]).code, 6, "{words}: it is installed all the same");
    let store = home.path().join(".local/share/hostler/plugins");
    assert_eq!(count(&store.join("incoming")), 0, "{words}: something half fetched is left");
}

fn is_layer(ask: &Ask, good: &Good) -> bool {
    ask.path.ends_with(&format!("/blobs/{}", Digest::of(&good.layer)))
}

fn instead_of_layer(good: &Good, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fake {
    let known = good.clone();
    Fake::start(good.clone(), move |ask| if is_layer(ask, &known) { reply() } else { Reply::Good })
}

#[test]
fn whatever_a_registry_answers_is_told_and_installs_nothing() {
    let mut home = Home::new();
    home.set("HOSTLER_CONFIG_REGISTRIES_SILENCE_TIMEOUT", "300ms");
    home.set("HOSTLER_CONFIG_REGISTRIES_ATTEMPTS", "2");
    let _host = home.serve();
    let good = Good::of(hostile());
    let plain = |good: Good| Fake::start(good, |_| Reply::Good);
    let manifest = |change: &dyn Fn(&mut Value)| good.with_manifest(change);
    let image =
        json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": Digest::of(b"x"), "size": 1}]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": "x", "digest": Digest::of(b"x"), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}]});
    let page = Good { manifest: b"<!doctype html><title>Sign in</title>".to_vec(), ..good.clone() };
    let index = Good { manifest: index.to_string().into_bytes(), ..good.clone() };
    let (length, half) = (good.layer.len(), good.layer[..good.layer.len() / 2].to_vec());
    let lie = vec![b'x'; length];
    let away = |_: &Ask| Reply::Whole(302, vec![("location", "http://metadata.example/latest".into())], Vec::new());
    let closed = |_: &Ask| Reply::Whole(401, vec![("www-authenticate", "Basic realm=\"x\"".into())], Vec::new());
    let cases = [
        (plain(manifest(&|manifest| manifest["layers"] = image.clone())), 2, "layer.v1.tar+gzip"),
        (plain(index), 2, "several platforms"),
        (plain(page), 2, "a page of HTML"),
        (plain(manifest(&|manifest| manifest["layers"][0]["size"] = json!(2_u64 << 30))), 2, "2147483648 bytes"),
        (instead_of_layer(&good, move || Reply::Whole(200, Vec::new(), lie.clone())), 9, "what it sent as"),
        (
            instead_of_layer(&good, move || {
                Reply::Raw(200, [format!("content-length: {length}\r\n\r\n").as_bytes(), &half].concat())
            }),
            9,
            "was lost",
        ),
        (Fake::start(good.clone(), away), 9, "not protected by TLS"),
        (Fake::start(good.clone(), closed), 8, "wants credentials"),
        (Fake::start(good.clone(), |_| Reply::Whole(502, Vec::new(), b"<html>".to_vec())), 9, "answers 502"),
        (Fake::start(good.clone(), |_| Reply::Silence), 9, "nothing came for a while"),
        (plain(Good::of(b"\0asm\x0d\0\x01\0".to_vec())), 2, "it exports no role"),
        (plain(describing("bad-schema")), 2, "/roles/trigger/params"),
        (plain(describing("not-json")), 2, "is not JSON"),
        (plain(describing("panic")), 2, "the sky falls"),
    ];
    for (fake, code, words) in &cases {
        refused(&home, &fake.reference().to_string(), *code, words);
    }
    let missing = plain(good.clone());
    refused(&home, &format!("{}/things/good:2", missing.address), 6, "does not exist");
    refused(&home, "acme/tide:1", 2, "it names no registry");
    refused(&home, "127.0.0.1:1/acme/tide:1", 9, "cannot be reached");
    // After all of that a good one comes as if nothing had been.
    let reference = plain(good);
    home.run(&["plugin", "install", &reference.reference().to_string(), "--as", "good", "--yes"]).ok();
}

#[test]
fn a_tag_that_moves_while_one_looks_installs_what_was_looked_at() {
    let home = Home::new();
    let _host = home.serve();
    let (first, second) =
        (Good::of(hostile()), Good::of(std::fs::read(components().join("versatile.wasm")).expect("there")));
    let (later, moved) = (second.clone(), first.digest());
    let fake = Fake::start(first, move |ask| match ask.path.ends_with("/manifests/1") && ask.before > 0 {
        true => Reply::Whole(200, Vec::new(), later.manifest.clone()),
        false => Reply::Good,
    });
    home.run(&["plugin", "install", &fake.reference().to_string(), "--as", "tool", "--yes"]).ok();
    let got = home.run(&["plugin", "get", "tool", "--json"]).json();
    assert_eq!(
        (got["manifest_digest"].as_str(), got["version"].as_str()),
        (Some(moved.to_string().as_str()), Some("1.2.3"))
    );
}

#[test]
fn a_file_that_is_none_or_too_large_is_refused_before_it_is_in_memory() {
    let mut home = Home::new();
    home.set("HOSTLER_CONFIG_LIMITS_COMPONENT_BYTES", "1MiB");
    let _host = home.serve();
    let sparse = |name: &str, bytes: u64| {
        let path = home.file(name, "");
        std::fs::OpenOptions::new().write(true).open(&path).expect("there").set_len(bytes).expect("a sparse file");
        path
    };
    refused(&home, &sparse("two-gigabytes.wasm", 2 << 30), 2, "no host takes a component of more than");
    refused(&home, &sparse("two-megabytes.wasm", 2 << 20), 2, "limits.component_bytes");
    refused(&home, &home.file("words.wasm", "these are words"), 2, "not a WebAssembly component");
    refused(&home, "nowhere.wasm", 2, "cannot be read");
}

#[test]
fn a_disk_that_fills_up_during_an_install_is_told_and_what_is_there_stays() {
    let mut home = Home::new();
    let Some(disk) = SmallDisk::mount(&home.path().join("disk"), 24 << 10) else { return };
    home.set("HOSTLER_CONFIG_DATA_FOLDER", &disk.path().join("data").display().to_string());
    home.set("HOSTLER_CONFIG_STORAGE_FREE_MIN", "1KiB");
    let host = home.serve();
    let large = Good::of(crate::materials::sized_component("large", 40 << 20));
    let fake = Fake::start(large, |_| Reply::Good);
    let ran = home.run(&["plugin", "install", &fake.reference().to_string(), "--as", "large", "--yes"]);
    assert!(ran.code == 9 && ran.err.contains("No space left"), "{} {}", ran.code, ran.err);
    assert_eq!(count(&disk.path().join("data/plugins/incoming")), 0);
    let file = components().join("hostile.wasm").display().to_string();
    home.run(&["plugin", "install", &file, "--as", "small", "--yes"]).ok();
    assert_eq!(home.run(&["plugin", "get", "large"]).code, 6);
    assert_eq!(host.stop(), 0);
}

#[test]
fn a_host_that_is_killed_during_an_install_has_installed_all_of_it_or_nothing() {
    let mut home = Home::new();
    // Compiled anew each time, so that there is something to be killed in.
    home.set("XDG_CACHE_HOME", &home.path().join("cache").display().to_string());
    let file = components().join("versatile.wasm").display().to_string();
    home.file("hello.json", r#"{"id": "hello", "tasks": {"one": {"process": {"argv": ["true"]}}}}"#);
    drop(home.serve());
    let (mut there, mut absent) = (0, 0);
    for round in 0..16_u32 {
        let name = format!("tool{round}");
        let host = home.serve();
        let mut install = home.command(&["plugin", "install", &file, "--as", &name, "--yes"]);
        let install = install.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = install.spawn().expect("the binary starts");
        // tidy: allow(sleep), because how far the install comes is the measure.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 25));
        host.kill();
        child.wait().expect("it ends");
        drop(std::fs::remove_dir_all(home.path().join("cache")));
        let host = home.serve();
        home.run(&["up", "hello.json"]).ok();
        let state = home.run(&["plugin", "get", &name, "--json"]);
        if state.code == 0 {
            there += 1;
            until("it is compiled", || home.run(&["plugin", "get", &name, "--json"]).json()["status"] == "active");
        } else {
            absent += 1;
            assert_eq!(state.code, 6, "{}", state.err);
            home.run(&["plugin", "install", &file, "--as", &name, "--yes"]).ok();
        }
        home.run(&["subscribe", "hello", &name, &name, "--dry-run"]).ok();
        let incoming = home.path().join(".local/share/hostler/plugins/incoming");
        home.run(&["plugin", "uninstall", &name]).ok();
        home.run(&["plugin", "gc", "--grace", "0s"]).ok();
        assert_eq!(count(&incoming), 0, "round {round}");
        host.kill();
    }
    println!("of {} installs {there} were whole and {absent} were not there", there + absent);
    assert!(absent > 0, "no kill came in time");
}
