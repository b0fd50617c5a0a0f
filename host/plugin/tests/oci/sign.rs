//! A signature counts for one artifact, by one key or identity, and for nothing else.

use crate::materials::{COMPONENT_BYTES_MAX, component, facts, reference, store};
use hostler_model::Kind;
use hostler_plugin::Sources;
use hostler_plugin::oci::sign::{KeyError, KeyPair, PublicKey, Rule, SignatureFile};
use hostler_plugin::oci::{Digest, Policy, Reference, Refusal, Registry, RegistryConfig, Signer, Store, Stored, Trust};
use hostler_plugin::sources::From;
use std::path::{Path, PathBuf};
use std::process::Command;

fn place() -> Reference {
    reference("ghcr.io/acme/alpha:1.0")
}

fn policy(trust: Trust) -> Policy {
    let rule = Rule { prefix: "ghcr.io/acme".into(), trust };
    Policy::new(vec![rule], Trust::Any, None).expect("a policy")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("made").0
}

fn signed_by(key: &KeyPair) -> Policy {
    policy(Trust::SignedBy(vec![key.public().clone()]))
}

struct House {
    _dir: tempfile::TempDir,
    store: Store,
    stored: Stored,
}

fn house() -> House {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let stored = store.put_component(&component("a"), &facts("alpha")).expect("stored");
    House { _dir: dir, store, stored }
}

impl House {
    fn sign(&self, key: &KeyPair) -> SignatureFile {
        key.sign(&self.store.subject(self.stored.manifest_digest).expect("there")).expect("signed")
    }

    fn check(&self, policy: &Policy) -> Result<Signer, Refusal> {
        let manifest = self.stored.manifest_digest;
        policy.check(&place(), manifest, &self.store.signatures(manifest).expect("read"))
    }

    fn refusal(&self, policy: &Policy, words: &str) {
        let refusal = self.check(policy).expect_err(words);
        assert_eq!(refusal.kind(), Kind::Denied);
        assert!(refusal.to_string().contains(words), "{words}: {refusal}");
    }
}

#[test]
fn a_signature_by_one_of_the_keys_is_enough() {
    let house = house();
    let (ours, other) = (key(), key());
    house.refusal(
        &signed_by(&ours),
        "is not signed, and the rule for `ghcr.io/acme` asks for a signature by key sha256:",
    );
    house.store.put_signature(&house.sign(&other)).expect("kept");
    house.refusal(&signed_by(&ours), "made with another key, or is altered");
    house.store.put_signature(&house.sign(&ours)).expect("kept");
    assert_eq!(house.check(&signed_by(&ours)), Ok(Signer::Key(ours.public().digest())));
    let both = policy(Trust::SignedBy(vec![key().public().clone(), other.public().clone()]));
    assert_eq!(house.check(&both), Ok(Signer::Key(other.public().digest())));
    assert_eq!(house.store.list().expect("listed")[0].signatures, 2);
}

#[test]
fn a_signature_of_another_artifact_counts_for_nothing() {
    let house = house();
    let key = key();
    let other = house.store.put_component(&component("b"), &facts("beta")).expect("stored");
    let signature = key.sign(&house.store.subject(other.manifest_digest).expect("there")).expect("signed");
    let bundles = [signature.bundle().to_vec()];
    let refusal = signed_by(&key).check(&place(), house.stored.manifest_digest, &bundles).expect_err("moved over");
    assert!(refusal.to_string().contains("one is of another artifact"), "{refusal}");
}

/// The bundle with its statement changed and its signature left, or made anew.
fn altered(bundle: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut bundle: serde_json::Value = serde_json::from_slice(bundle).expect("JSON");
    change(&mut bundle);
    bundle.to_string().into_bytes()
}

#[test]
fn what_was_altered_or_is_no_signature_is_refused_and_says_why() {
    let house = house();
    let key = key();
    let bundle = house.sign(&key).bundle().to_vec();
    let check = |bundle: Vec<u8>, words: &str| {
        let refusal = signed_by(&key).check(&place(), house.stored.manifest_digest, &[bundle]).expect_err(words);
        assert!(refusal.to_string().contains(words), "{words}: {refusal}");
    };
    check(b"<html>".to_vec(), "cannot be read");
    check(vec![0xff], "is not text");
    check(altered(&bundle, |it| it["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA".into()), "is altered");
    check(
        altered(&bundle, |it| it["dsseEnvelope"]["payloadType"] = "text/plain".into()),
        "something else than a statement",
    );
    let statement = |kind: &str, digest: Digest| {
        let hex = digest.to_string().trim_start_matches("sha256:").to_owned();
        let text = serde_json::json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": {},
            "subject": [{"digest": {"sha256": hex}}]});
        base64(text.to_string().as_bytes())
    };
    let report = statement("https://example.com/bad-report", house.stored.manifest_digest);
    check(
        altered(&bundle, |it| it["dsseEnvelope"]["payload"] = report.into()),
        "no signature but a statement of the type",
    );
    let ours = statement("https://sigstore.dev/cosign/sign/v1", house.stored.manifest_digest);
    let foreign = house_of_another(&key);
    check(altered(&foreign, |it| it["dsseEnvelope"]["payload"] = ours.into()), "is altered");
}

/// A good signature of something else.
fn house_of_another(key: &KeyPair) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), COMPONENT_BYTES_MAX).expect("opened");
    let stored = store.put_component(&component("c"), &facts("gamma")).expect("stored");
    key.sign(&store.subject(stored.manifest_digest).expect("there")).expect("signed").bundle().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_claim_of_a_lax_place_does_not_help_what_a_client_sends() {
    let house = house();
    let manifest = house.stored.manifest_digest;
    let fetch = async |rules: Vec<Rule>, others: Trust, claimed: &str| {
        let policy = Policy::new(rules, others, None).expect("a policy");
        let sources = Sources::new(house.store.clone(), Registry::new(RegistryConfig::default()), policy);
        let given = From::Given { manifest, claimed: claimed.into() };
        sources.fetch(&given, |_| ()).await.map(|fetched| fetched.source)
    };
    let signed = || Trust::SignedBy(vec![key().public().clone()]);
    let rule = |prefix: &str, trust: Trust| Rule { prefix: prefix.into(), trust };
    for claimed in ["ghcr.io/open/alpha:1", "file:alpha.wasm", "stored.local/alpha:1"] {
        let refused = fetch(vec![rule("ghcr.io/open", Trust::Any)], signed(), claimed).await.expect_err(claimed);
        assert!(refused.to_string().contains("is not signed"), "{claimed}: {refused}");
    }
    let lax = || vec![rule("stored.local", Trust::Any), rule("ghcr.io/open", Trust::Any)];
    for claimed in ["ghcr.io/open/alpha:1", "file:alpha.wasm"] {
        assert_eq!(fetch(lax(), signed(), claimed).await.expect("allowed"), claimed);
    }
    let strict = fetch(lax(), signed(), "ghcr.io/acme/alpha:1").await.expect_err("the claim binds");
    assert!(strict.to_string().contains("is not signed"), "{strict}");
}

#[test]
fn rules_go_by_the_longest_prefix_of_whole_parts() {
    let key = key();
    let rule = |prefix: &str, trust: Trust| Rule { prefix: prefix.into(), trust };
    let rules = vec![
        rule("ghcr.io/", Trust::Digest),
        rule("ghcr.io/acme", Trust::SignedBy(vec![key.public().clone()])),
        rule("ghcr.io/acme/open/", Trust::Any),
    ];
    let policy = Policy::new(rules, Trust::Any, None).expect("a policy");
    let rule_of = |text: &str| policy.rule(&reference(text)).0.to_owned();
    assert_eq!(rule_of("ghcr.io/acme/alpha:1"), "ghcr.io/acme");
    assert_eq!(rule_of("ghcr.io/acme-evil/alpha:1"), "ghcr.io/");
    assert_eq!(rule_of("ghcr.io/acme/open/x:1"), "ghcr.io/acme/open/");
    assert_eq!(rule_of("ghcr.io.evil.example/acme/alpha:1"), "all others");
    let refusal = policy.check_reference(&reference("ghcr.io/x/y:1")).expect_err("no digest");
    assert!(refusal.to_string().contains("write `ghcr.io/x/y@sha256:"), "{refusal}");
    let digest = Digest::of(b"x");
    let pinned = reference("ghcr.io/x/y:1").with_digest(digest);
    assert_eq!(policy.check(&pinned, digest, &[]), Ok(Signer::Unasked));
}

#[test]
fn signatures_go_with_a_bundle_and_stay_when_their_artifact_stays() {
    let house = house();
    let key = key();
    house.store.put_signature(&house.sign(&key)).expect("kept");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("plugins.tar");
    house.store.export_bundle(&[house.stored.manifest_digest], &file).expect("written");
    let far = House { store: store(dir.path()), stored: house.stored, _dir: dir };
    assert_eq!(far.store.import_bundle(&file).expect("taken"), [house.stored]);
    assert!(far.check(&signed_by(&key)).is_ok());
    let now = std::time::Duration::ZERO;
    assert_eq!(far.store.gc(&[house.stored.manifest_digest], now).expect("collected").artifacts, 0);
    assert!(far.check(&signed_by(&key)).is_ok());
    let swept = far.store.gc(&[], now).expect("collected");
    assert_eq!((swept.artifacts, swept.blobs), (2, 6));
}

fn openssl(arguments: &[&str], dir: &Path) {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output().expect("openssl is there");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn keys_are_those_of_openssl() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("written");
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"], dir.path());
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"], dir.path());
    let theirs = KeyPair::from_pem(&read("key.pem")).expect("a key of openssl");
    assert_eq!(PublicKey::read_all(&read("key.pub")).expect("its public half"), [theirs.public().clone()]);

    let (ours, text) = KeyPair::generate().expect("made");
    std::fs::write(dir.path().join("ours.pem"), text).expect("written");
    openssl(&["pkey", "-in", "ours.pem", "-pubout", "-out", "ours.pub"], dir.path());
    assert_eq!(read("ours.pub").trim(), ours.public().to_pem().trim());
    assert_eq!(PublicKey::read_all(&(read("key.pub") + &read("ours.pub"))).expect("two").len(), 2);

    // What we sign is ECDSA with SHA-256 over the envelope, and openssl says so too.
    let house = house();
    let bundle: serde_json::Value = serde_json::from_slice(house.sign(&ours).bundle()).expect("JSON");
    let decode = |text: &serde_json::Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text.as_str().expect("text")).expect("base64")
    };
    let payload = decode(&bundle["dsseEnvelope"]["payload"]);
    let kind = bundle["dsseEnvelope"]["payloadType"].as_str().expect("text");
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    std::fs::write(dir.path().join("signed"), [head.as_bytes(), &payload].concat()).expect("written");
    std::fs::write(dir.path().join("sig"), decode(&bundle["dsseEnvelope"]["signatures"][0]["sig"])).expect("written");
    openssl(&["dgst", "-sha256", "-verify", "ours.pub", "-signature", "sig", "signed"], dir.path());
}

#[test]
fn a_key_of_another_kind_is_refused_with_the_way_to_a_good_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("written");
    let check = |text: &str, words: &str| {
        let error = KeyPair::from_pem(text).expect_err(words);
        assert!(error.to_string().contains(words), "{words}: {error}");
    };
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "old.pem"], dir.path());
    check(&read("old.pem"), "it holds `EC PRIVATE KEY`");
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem"], dir.path());
    check(&read("rsa.pem"), "ec_paramgen_curve:P-256");
    check("hello", "not a PEM file");
    let public = key().public().to_pem();
    check(&public, "it holds `PUBLIC KEY`");
    let error = PublicKey::read_all(&read("rsa.pem")).expect_err("private");
    assert!(matches!(error, KeyError::NotPublic { .. }) && !error.to_string().contains("MII"), "{error}");
    PublicKey::read_all("").expect_err("none");
    // Verified with, never signed with.
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"], dir.path());
    openssl(&["pkey", "-in", "ed.pem", "-pubout", "-out", "ed.pub"], dir.path());
    assert_eq!(PublicKey::read_all(&read("ed.pub")).expect("a key").len(), 1);
}

/// What cosign made, in the sources of the library that reads it.
fn made_by_cosign() -> PathBuf {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    let output = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = read["packages"].as_array().expect("packages");
    let found = packages.iter().find(|package| package["name"] == "sigstore-verify").expect("it is there");
    Path::new(found["manifest_path"].as_str().expect("a path")).with_file_name("test_data")
}

#[test]
fn signatures_of_cosign_count_offline_by_identity_and_by_key() {
    let data = made_by_cosign();
    let read = |name: &str| std::fs::read(data.join(name)).expect("there");
    // A file, and not a manifest, but signed in the same way.
    let digest = Digest::of(&read("bundles/cosign-v3-blob.txt"));
    let bundles = [read("bundles/cosign-v3-blob.sigstore.json")];
    let issuer = "https://github.com/login/oauth";
    let by = |identity: &str, issuer: &str| {
        let trust = Trust::Identity { identity: identity.into(), issuer: issuer.into() };
        policy(trust).check(&place(), digest, &bundles)
    };
    let refusal = by("nobody@example.com", issuer).expect_err("another identity").to_string();
    assert!(refusal.contains("does not count") && refusal.contains("nobody@example.com"), "{refusal}");
    let identity = signer_of(&refusal);
    let expected = Signer::Identity { identity: identity.clone(), issuer: issuer.into() };
    assert_eq!(by(&identity, issuer), Ok(expected));
    by(&identity, "https://accounts.google.com").expect_err("another issuer");
    let trust = Trust::Identity { identity, issuer: issuer.into() };
    let other = policy(trust).check(&place(), Digest::of(b"x"), &bundles).expect_err("another artifact");
    assert!(other.to_string().contains("of another artifact"), "{other}");

    let keys = PublicKey::read_all(&String::from_utf8(read("managed-key/key.pub")).expect("text")).expect("a key");
    let digest = Digest::of(&read("managed-key/artifact.txt"));
    let bundles = [read("managed-key/bundle.sigstore.json")];
    let signer = policy(Trust::SignedBy(keys.clone())).check(&place(), digest, &bundles);
    assert_eq!(signer, Ok(Signer::Key(keys[0].digest())));
    signed_by(&key()).check(&place(), digest, &bundles).expect_err("another key");
}

/// The identity that the library says it found instead.
fn signer_of(refusal: &str) -> String {
    let words = refusal.split(|c: char| c.is_whitespace() || "'\"`(),;:".contains(c));
    let mut identities = words.filter(|word| word.contains('@') && *word != "nobody@example.com");
    identities.next().unwrap_or_else(|| panic!("{refusal}")).to_owned()
}
