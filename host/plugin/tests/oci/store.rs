//! The store holds what it was given, whole or not at all, and gives back nothing that was changed.

use crate::materials::{COMPONENT_BYTES_MAX, component, facts, hex, sized_component, store};
use crate::small_disk::SmallDisk;
use hostler_model::Kind;
use hostler_plugin::oci::{Digest, Store, StoreError, Swept};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON")
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).expect("a folder").count()
}

#[test]
fn a_component_is_stored_as_an_image_layout_that_other_tools_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let bytes = component("a");
    let stored = store.put_component(&bytes, &facts("alpha")).expect("stored");
    assert_eq!(store.component(stored.layer_digest).expect("there"), bytes);
    assert_eq!((stored.layer_digest, stored.size), (Digest::of(&bytes), bytes.len() as u64));

    let root = dir.path().join("plugins");
    assert_eq!(fs::metadata(&root).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(json(&root.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let entry = json(&root.join("index.json"))["manifests"][0].clone();
    assert_eq!(entry["digest"], stored.manifest_digest.to_string());
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "alpha:1.0.0");
    let manifest = json(&root.join("blobs/sha256").join(hex(stored.manifest_digest)));
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.0.0");
    let config = manifest["config"]["digest"].as_str().expect("a digest").trim_start_matches("sha256:");
    let config = json(&root.join("blobs/sha256").join(config));
    assert_eq!((config["os"].as_str(), config["architecture"].as_str()), (Some("wasip2"), Some("wasm")));
    assert_eq!(config["layerDigests"][0], stored.layer_digest.to_string());
    assert_eq!(files(&root.join("incoming")), 0);
}

#[test]
fn the_same_component_is_one_artifact_and_a_name_belongs_to_the_last_that_came_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let first = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    let again = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    assert_eq!(first, again);
    let other = store.put_component(&component("b"), &facts("alpha")).expect("stored");
    let list = store.list().expect("listed");
    let told: Vec<_> = list.iter().map(|it| (it.stored, it.facts.clone(), it.ref_name.as_deref())).collect();
    assert_eq!(told, [(first, facts("alpha"), None), (other, facts("alpha"), Some("alpha:1.0.0"))]);
    let reopened = Store::open(&dir.path().join("plugins"), COMPONENT_BYTES_MAX).expect("opened");
    assert_eq!(reopened.list().expect("listed"), list);
    assert_eq!(reopened.find(other.manifest_digest).expect("found").as_ref(), list.last());
}

#[test]
fn what_is_no_component_or_too_large_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let check = |bytes: &[u8], kind: Kind, words: &str| {
        let error = store.put_component(bytes, &facts("x")).expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(b"\0asm\x01\0\0\0", Kind::Invalid, "core module");
    check(b"#!/bin/sh", Kind::Invalid, "something else");
    check(&component("broken")[..12], Kind::Invalid, "cannot be read");
    check(&sized_component("large", 1 << 20), Kind::TooLarge, "limits.component_bytes");
    assert_eq!(files(&dir.path().join("plugins/blobs/sha256")) + files(&dir.path().join("plugins/incoming")), 0);
}

#[test]
fn a_blob_that_was_changed_is_not_given_out_and_is_mended_by_storing_it_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let stored = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    let path = dir.path().join("plugins/blobs/sha256").join(hex(stored.layer_digest));
    fs::write(&path, component("b")).expect("written");
    let error = store.component(stored.layer_digest).expect_err("refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    store.put_component(&component("a"), &facts("alpha")).expect("stored");
    assert_eq!(store.component(stored.layer_digest).expect("there"), component("a"));
    fs::remove_file(&path).expect("removed");
    let error = store.component(stored.layer_digest).expect_err("refused");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn collecting_keeps_what_is_used_what_is_young_and_what_they_need() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let used = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    let unused = store.put_component(&component("b"), &facts("beta")).expect("stored");
    assert_eq!(store.gc(&[used.manifest_digest], LONG).expect("collected"), Swept::default());
    // As a process leaves it that is killed between its blobs and the index, and one that is killed before.
    let root = dir.path().join("plugins");
    fs::write(root.join("blobs/sha256").join(hex(Digest::of(b"orphan"))), b"orphan").expect("written");
    fs::write(root.join("incoming/new-half"), b"half").expect("written");
    let swept = store.gc(&[used.manifest_digest], NOW).expect("collected");
    assert_eq!((swept.artifacts, swept.blobs), (1, 4));
    assert!(swept.bytes > component("b").len() as u64);
    assert_eq!(store.component(used.layer_digest).expect("there"), component("a"));
    assert_eq!(store.component(unused.layer_digest).expect_err("gone").kind(), Kind::NotFound);
    assert_eq!(store.list().expect("listed").len(), 1);
    assert_eq!((files(&root.join("blobs/sha256")), files(&root.join("incoming"))), (3, 0));
}

#[test]
fn nothing_is_collected_while_a_kept_manifest_cannot_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let used = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    store.put_component(&component("b"), &facts("beta")).expect("stored");
    fs::write(dir.path().join("plugins/blobs/sha256").join(hex(used.manifest_digest)), b"{}").expect("written");
    store.gc(&[used.manifest_digest], NOW).expect_err("stopped");
    assert_eq!(files(&dir.path().join("plugins/blobs/sha256")), 6);
    assert_eq!(store.list().expect("listed").len(), 1);
}

#[test]
fn a_disk_that_is_full_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = SmallDisk::mount(&dir.path().join("small"), 512);
    let Some(small) = small else { return };
    let store = store(small.path());
    let kept = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    let error = store.put_component(&sized_component("b", 900 << 10), &facts("beta")).expect_err("no space");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(store.list().expect("listed").len(), 1);
    assert_eq!(store.component(kept.layer_digest).expect("there"), component("a"));
    assert_eq!(files(&small.path().join("plugins/incoming")), 0);
}

#[test]
fn a_bundle_brings_components_to_another_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let near = Store::open(&dir.path().join("near"), COMPONENT_BYTES_MAX).expect("opened");
    let far = Store::open(&dir.path().join("far"), COMPONENT_BYTES_MAX).expect("opened");
    let a = near.put_component(&component("a"), &facts("alpha")).expect("stored");
    let b = near.put_component(&component("b"), &facts("beta")).expect("stored");
    near.put_component(&component("c"), &facts("gamma")).expect("stored");
    let file = dir.path().join("plugins.tar");
    let bytes = near.export_bundle(&[a.manifest_digest, b.manifest_digest], &file).expect("written");
    assert_eq!(fs::metadata(&file).expect("there").len(), bytes);
    assert_eq!(far.import_bundle(&file).expect("taken"), [a, b]);
    let names: Vec<_> = far.list().expect("listed").into_iter().filter_map(|it| it.ref_name).collect();
    assert_eq!(names, ["alpha:1.0.0", "beta:1.0.0"]);
    assert_eq!(far.component(b.layer_digest).expect("there"), component("b"));
    near.export_bundle(&[a.manifest_digest], &file).expect_err("a file that is there stays");
    let error = near.export_bundle(&[Digest::of(b"x")], &dir.path().join("y.tar")).expect_err("not there");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(!dir.path().join("y.tar").exists());
}

type Files = Vec<(String, Vec<u8>)>;

/// A good bundle as its files, for tests that spoil it.
fn bundle_files(dir: &Path) -> Files {
    let store = store(dir);
    let stored = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    store.export_bundle(&[stored.manifest_digest], &dir.join("good.tar")).expect("written");
    let mut archive = tar::Archive::new(File::open(dir.join("good.tar")).expect("there"));
    let read = |mut entry: tar::Entry<'_, File>| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("read");
        (entry.path().expect("a path").display().to_string(), bytes)
    };
    archive.entries().expect("entries").map(|entry| read(entry.expect("an entry"))).collect()
}

fn spoiled(dir: &Path, spoil: impl FnOnce(&mut Files, &mut tar::Builder<File>)) -> Result<usize, StoreError> {
    let mut files = bundle_files(dir);
    let path = dir.join("spoiled.tar");
    let mut tar = tar::Builder::new(File::create(&path).expect("made"));
    spoil(&mut files, &mut tar);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Not by the library's own setter, which takes no name that leads outside.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).expect("written");
    }
    tar.into_inner().expect("whole");
    let far = Store::open(&dir.join("far"), COMPONENT_BYTES_MAX).expect("opened");
    let taken = far.import_bundle(&path).map(|stored| stored.len());
    if taken.is_err() {
        assert!(far.list().expect("listed").is_empty());
        assert_eq!(files_of(&dir.join("far")), 0, "nothing is left of a bundle that was refused");
    }
    taken
}

fn files_of(dir: &Path) -> usize {
    files(&dir.join("blobs/sha256")) + files(&dir.join("incoming"))
}

fn check_spoiled(words: &str, spoil: impl FnOnce(&mut Files, &mut tar::Builder<File>)) {
    let dir = tempfile::tempdir().expect("a folder");
    let error = spoiled(dir.path(), spoil).expect_err(words);
    assert!(error.to_string().contains(words), "{words}: {error}");
    assert!(!dir.path().join("evil").exists());
}

#[test]
fn a_bundle_that_is_not_right_is_refused_whole() {
    check_spoiled("it lacks `index.json`", |files, _| files.retain(|(name, _)| name != "index.json"));
    check_spoiled("it lacks `oci-layout`", |files, _| files.retain(|(name, _)| name != "oci-layout"));
    check_spoiled("it lacks sha256:", |files, _| drop(files.pop()));
    check_spoiled("does not have the digest", |files, _| {
        files.last_mut().expect("a blob").1.push(b'x');
    });
    check_spoiled("is not named by a digest", |files, _| {
        files.push(("blobs/sha256/../../../evil".into(), b"evil".to_vec()));
    });
    check_spoiled("is not a file but Symlink", |_, tar| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "blobs/sha256", "/tmp").expect("written");
    });
    check_spoiled("may have", |files, _| {
        let large = sized_component("large", 5 << 20);
        files.push((format!("blobs/sha256/{}", hex(Digest::of(&large))), large));
    });
    check_spoiled("cannot be read", |files, _| {
        files.iter_mut().filter(|(name, _)| name == "index.json").for_each(|(_, text)| *text = b"<html>".to_vec());
    });
    check_spoiled("it holds no component", |files, _| {
        let empty = br#"{"schemaVersion":2,"manifests":[]}"#;
        files.iter_mut().filter(|(name, _)| name == "index.json").for_each(|(_, text)| *text = empty.to_vec());
    });
}

#[test]
fn files_of_other_tools_in_a_bundle_are_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = spoiled(dir.path(), |files, tar| {
        tar.append_dir("./blobs", dir.path()).expect("written");
        files.push(("../../evil".into(), b"evil".to_vec()));
        files.iter_mut().for_each(|(name, _)| name.insert_str(0, "./"));
    });
    assert_eq!(taken.expect("taken"), 1);
    assert!(!dir.path().join("evil").exists());
}

#[test]
fn a_file_that_is_not_a_tar_is_no_bundle() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.tar");
    fs::write(&path, component("a").repeat(100)).expect("written");
    let error = store(dir.path()).import_bundle(&path).expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

#[test]
fn many_who_store_and_collect_at_once_do_not_harm_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let stored = std::thread::scope(|scope| {
        let put = |word: usize| {
            let store = &store;
            scope.spawn(move || {
                let stored = store.put_component(&component(&format!("c{word}")), &facts(&format!("p{word}")));
                store.gc(&[], LONG).expect("collected");
                stored.expect("stored")
            })
        };
        let threads: Vec<_> = (0..8).map(put).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut listed: Vec<_> = store.list().expect("listed").into_iter().map(|it| it.stored.manifest_digest).collect();
    let mut expected: Vec<_> = stored.iter().map(|it| it.manifest_digest).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    stored.iter().for_each(|it| drop(store.component(it.layer_digest).expect("whole")));
}

/// Says to the test that it is its own child, and where that works.
const CHILD_FOLDER: &str = "HOSTLER_TEST_STORE";

/// Stores one component after the other until it is killed.
fn store_for_ever(dir: &Path) {
    let store = store(dir);
    for word in 0_u64.. {
        store.put_component(&sized_component(&word.to_string(), 200 << 10), &facts("alpha")).expect("stored");
        store.gc(&[], Duration::from_millis(100)).expect("collected");
        println!("stored");
    }
}

#[expect(clippy::disallowed_methods, reason = "the way from a test to its child")]
#[test]
fn a_process_that_is_killed_leaves_nothing_half_done() {
    if let Some(dir) = std::env::var_os(CHILD_FOLDER) {
        return store_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let child = || {
        let mut command = std::process::Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "store::a_process_that_is_killed_leaves_nothing_half_done", "--nocapture"]);
        command.env(CHILD_FOLDER, dir.path());
        command.stdout(std::process::Stdio::piped()).spawn().expect("it starts")
    };
    let mut seen = 0;
    for round in 0..7 {
        let mut child = child();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("a pipe")));
        // Somewhere in the middle, each time at another place.
        let told = lines.by_ref().map_while(Result::ok).filter(|line| line.ends_with("stored")).take(round + 1).count();
        assert_eq!(told, round + 1);
        child.kill().expect("killed");
        child.wait().expect("gone");
        let store = store(dir.path());
        for artifact in store.list().expect("listed") {
            store.component(artifact.stored.layer_digest).expect("what is listed is whole");
            seen += 1;
        }
    }
    assert!(seen > 0, "there was something to look at");
    store(dir.path()).gc(&[], NOW).expect("collected");
    assert_eq!(files_of(&dir.path().join("plugins")), 0, "the collection finds all that was left");
}
