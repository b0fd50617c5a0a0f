//! Debian's registry: what we put there comes back, other tools get it, and what they put there we get.

use crate::materials::{component, facts, heard, quick, reference, silent, store};
use crate::registry::DebianRegistry;
use hostler_model::Kind;
use hostler_plugin::oci::sign::{KeyPair, Rule};
use hostler_plugin::oci::{Digest, Policy, Registry, RegistryConfig, Signer, Trust};
use std::path::PathBuf;
use std::process::Command;

#[tokio::test]
async fn what_is_pushed_is_pulled_byte_for_byte() {
    let Some(debian) = DebianRegistry::open() else { return };
    let registry = Registry::new(quick());
    let place = reference(&format!("{}/acme/alpha:1.0", debian.address));
    let (progress, told) = heard();
    let pushed = registry.push_component(component("a"), &facts("alpha"), &place, progress).await.expect("pushed");
    let last = *told.lock().expect("no panic").last().expect("told");
    assert_eq!((last.done, last.total), (pushed.size, pushed.size));
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let pulled = registry.pull(&place, &store, silent()).await.expect("pulled");
    assert_eq!(pulled, pushed);
    assert_eq!(store.component(pulled.layer_digest).expect("there"), component("a"));
    assert_eq!(store.find(pulled.manifest_digest).expect("listed").expect("there").facts, facts("alpha"));

    // From the store to another place it keeps its digest.
    let other = reference(&format!("{}/mirror/alpha:latest", debian.address));
    registry.push_stored(&store, pulled.manifest_digest, &other, silent()).await.expect("pushed");
    assert_eq!(registry.resolve(&other).await.expect("there").digest, pushed.manifest_digest);
    let pinned = reference(&format!("{}/acme/alpha@{}", debian.address, pushed.manifest_digest));
    assert_eq!(registry.pull(&pinned, &store, silent()).await.expect("pulled"), pushed);
    let wrong = place.with_digest(Digest::of(b"x"));
    assert_eq!(registry.pull(&wrong, &store, silent()).await.expect_err("not there").kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_closed_registry_wants_the_credentials_that_docker_has() {
    let Some(debian) = DebianRegistry::closed() else { return };
    let place = reference(&format!("{}/acme/alpha:1.0", debian.address));
    let anonymous = Registry::new(quick());
    let error = anonymous.push_component(component("a"), &facts("alpha"), &place, silent()).await.expect_err("closed");
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let config = RegistryConfig { docker_config: Some(debian.docker_config()), ..quick() };
    let ann = Registry::new(config);
    ann.push_component(component("a"), &facts("alpha"), &place, silent()).await.expect("pushed");
    let dir = tempfile::tempdir().expect("a folder");
    ann.pull(&place, &store(dir.path()), silent()).await.expect("pulled");
    let error = anonymous.resolve(&place).await.expect_err("closed");
    assert!(error.to_string().contains("docker login"), "{error}");
}

#[tokio::test]
async fn signatures_travel_with_an_artifact_through_a_registry_that_lists_none() {
    let Some(debian) = DebianRegistry::open() else { return };
    let registry = Registry::new(quick());
    let place = reference(&format!("{}/acme/alpha:1.0", debian.address));
    registry.push_component(component("a"), &facts("alpha"), &place, silent()).await.expect("pushed");
    let resolved = registry.resolve(&place).await.expect("resolved");
    let keys = [0, 1].map(|_| KeyPair::generate().expect("made").0);
    for key in &keys {
        let signature = key.sign(&(&resolved).into()).expect("signed");
        registry.attach(&place.with_digest(resolved.digest), &signature).await.expect("attached");
        registry.attach(&place.with_digest(resolved.digest), &signature).await.expect("attached once more");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let stored = registry.pull(&place, &store, silent()).await.expect("pulled");
    let listed = store.find(stored.manifest_digest).expect("listed").expect("there");
    assert_eq!(listed.signatures, 2);
    let rule = Rule { prefix: debian.address.clone(), trust: Trust::SignedBy(vec![keys[1].public().clone()]) };
    let policy = Policy::new(vec![rule], Trust::Any, None).expect("a policy");
    let bundles = store.signatures(stored.manifest_digest).expect("read");
    let signer = policy.check(&place, stored.manifest_digest, &bundles).expect("signed");
    assert_eq!(signer, Signer::Key(keys[1].public().digest()));

    // Another artifact under the same tag has none of them.
    registry.push_component(component("b"), &facts("alpha"), &place, silent()).await.expect("pushed");
    let moved = registry.pull(&place, &store, silent()).await.expect("pulled");
    let bundles = store.signatures(moved.manifest_digest).expect("read");
    let refusal = policy.check(&place, moved.manifest_digest, &bundles).expect_err("re-tagged");
    assert!(refusal.to_string().contains("is not signed"), "{refusal}");
}

#[tokio::test]
async fn a_certificate_counts_when_its_authority_does() {
    let Some(debian) = DebianRegistry::with_tls() else { return };
    let place = reference(&format!("{}/acme/alpha:1.0", debian.address));
    let push = async |config: RegistryConfig| {
        Registry::new(config).push_component(component("a"), &facts("alpha"), &place, silent()).await
    };
    let error = push(quick()).await.expect_err("unknown").to_string();
    assert!(error.contains("does not count") && error.contains("`registries.ca_file`"), "{error}");
    push(RegistryConfig { ca_file: Some(debian.authority()), ..quick() }).await.expect("pushed by TLS");
    let plain = RegistryConfig { plain_http: vec![debian.address.clone()], attempts_max: 1, ..quick() };
    let error = push(plain).await.expect_err("TLS").to_string();
    assert!(error.contains("it speaks TLS, and was asked in plain HTTP"), "{error}");
}

/// The tool of the Bytecode Alliance, where `cargo xtask test` has put it.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn wkg() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HOSTLER_TEST_WKG") {
        return Some(path.into());
    }
    let must = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!must, "under CI the tool `wkg` must be there: `HOSTLER_TEST_WKG` names it");
    eprintln!("\n!!! NOT RUN: `HOSTLER_TEST_WKG` names no `wkg` for this test\n");
    None
}

#[tokio::test]
async fn wkg_gets_what_we_push_and_we_get_what_it_pushes() {
    let (Some(wkg), Some(debian)) = (wkg(), DebianRegistry::open()) else { return };
    let registry = Registry::new(quick());
    let dir = tempfile::tempdir().expect("a folder");
    let wkg = |arguments: &[&str]| {
        let mut command = Command::new(&wkg);
        let output =
            command.args(arguments).current_dir(dir.path()).env("HOME", dir.path()).output().expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let ours = reference(&format!("{}/acme/ours:1.0.0", debian.address));
    registry.push_component(component("ours"), &facts("ours"), &ours, silent()).await.expect("pushed");
    let (mine, back) = (dir.path().join("theirs.wasm"), dir.path().join("ours.wasm"));
    wkg(&["oci", "pull", &ours.to_string(), "--insecure", &debian.address, "--output", &back.display().to_string()]);
    assert_eq!(std::fs::read(&back).expect("written"), component("ours"));

    std::fs::write(&mine, component("theirs")).expect("written");
    let theirs = reference(&format!("{}/acme/theirs:1.0.0", debian.address));
    wkg(&["oci", "push", &theirs.to_string(), "--insecure", &debian.address, &mine.display().to_string()]);
    let store = store(dir.path());
    let stored = registry.pull(&theirs, &store, silent()).await.expect("pulled");
    assert_eq!(store.component(stored.layer_digest).expect("there"), component("theirs"));
}
