//! Registries that are slow, broken, or mean ill: each is told apart, none gets anything into the store.

use crate::fake::{Ask, Fake, Good, Reply, assert_nothing_left};
use crate::materials::{heard, quick, reference, silent, sized_component, store};
use crate::small_disk::SmallDisk;
use hostler_model::Kind;
use hostler_plugin::oci::registry::{Login, RegistryLogin};
use hostler_plugin::oci::{Digest, Progress, Registry, RegistryConfig, RegistryError, Stored};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn pull(config: RegistryConfig, fake: &Fake, root: &Path) -> Result<Stored, RegistryError> {
    Registry::new(config).pull(&fake.reference(), &store(root), silent()).await
}

/// The pull fails so, and leaves nothing. Answers the registry, for its count of requests.
async fn check(good: Good, script: impl Fn(&Ask) -> Reply + Send + Sync + 'static, kind: Kind, words: &str) -> Fake {
    let fake = Fake::start(good, script);
    check_with(quick(), &fake, kind, words).await;
    fake
}

async fn check_with(config: RegistryConfig, fake: &Fake, kind: Kind, words: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let error = pull(config, fake, dir.path()).await.expect_err(words);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words}: {error}");
    assert_nothing_left(dir.path());
}

fn is_layer(ask: &Ask, good: &Good) -> bool {
    ask.path.ends_with(&format!("/blobs/{}", Digest::of(&good.layer)))
}

fn blob(length: &str, body: &[u8]) -> Reply {
    Reply::Raw(200, [length.as_bytes(), b"\r\n", body].concat())
}

#[tokio::test]
async fn a_good_artifact_comes_with_progress_in_bytes() {
    let good = Good::of(sized_component("large", 600 << 10));
    let total = good.layer.len() as u64;
    let fake = Fake::start(good.clone(), |_| Reply::Good);
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let (progress, told) = heard();
    let stored = Registry::new(quick()).pull(&fake.reference(), &store, progress).await.expect("pulled");
    assert_eq!((stored.manifest_digest, stored.size), (good.digest(), total));
    assert_eq!(store.component(stored.layer_digest).expect("there"), good.layer);
    let told = told.lock().expect("no panic").clone();
    assert_eq!(told.first(), Some(&Progress { done: 0, total }));
    assert_eq!(told.last(), Some(&Progress { done: total, total }));
    assert!(told.len() > 3 && told.windows(2).all(|two| two[0].done <= two[1].done), "{told:?}");
    let name = store.list().expect("listed")[0].ref_name.clone();
    assert_eq!(name, Some(fake.reference().to_string()));
}

#[tokio::test]
async fn what_is_not_a_component_is_told_by_its_kind() {
    let good = Good::new("a");
    let layers = |layers: serde_json::Value| good.with_manifest(|manifest| manifest["layers"] = layers);
    let image =
        json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": Digest::of(b"x"), "size": 1}]);
    let fake =
        check(layers(image), |_| Reply::Good, Kind::Invalid, "`application/vnd.oci.image.layer.v1.tar+gzip`").await;
    assert_eq!(fake.count("/blobs/"), 0);
    let two = serde_json::from_slice::<serde_json::Value>(&good.manifest).expect("JSON")["layers"][0].clone();
    check(layers(json!([two, two])), |_| Reply::Good, Kind::Invalid, "2 layers").await;
    check(layers(json!([])), |_| Reply::Good, Kind::Invalid, "no layer").await;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": "x", "digest": Digest::of(b"x"), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": "x", "digest": Digest::of(b"y"), "size": 1, "platform": {"os": "linux", "architecture": "arm64"}},
    ]});
    let index = Good { manifest: index.to_string().into_bytes(), ..good.clone() };
    check(index, |_| Reply::Good, Kind::Invalid, "several platforms (linux/amd64, linux/arm64)").await;
    let page = Good { manifest: b"<!doctype html><title>Sign in</title>".to_vec(), ..good.clone() };
    check(page, |_| Reply::Good, Kind::Invalid, "a page of HTML").await;
    let other = Good { manifest: b"[1]".to_vec(), ..good };
    check(other, |_| Reply::Good, Kind::Invalid, "JSON of another kind").await;
}

#[tokio::test]
async fn artifacts_of_older_tools_are_read() {
    for kind in ["application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"] {
        let good = Good::new("a").with_manifest(|manifest| manifest["layers"][0]["mediaType"] = kind.into());
        let fake = Fake::start(good.clone(), |_| Reply::Good);
        let dir = tempfile::tempdir().expect("a folder");
        let stored = pull(quick(), &fake, dir.path()).await.expect("pulled");
        assert_eq!(stored.manifest_digest, good.digest());
    }
}

#[tokio::test]
async fn a_registry_that_lies_is_caught_while_it_sends() {
    let good = Good::new("a");
    let length = good.layer.len();
    let spoiled = |body: Vec<u8>, told: Option<usize>| {
        let good = good.clone();
        move |ask: &Ask| match is_layer(ask, &good) {
            true => blob(&told.map(|told| format!("content-length: {told}\r\n")).unwrap_or_default(), &body),
            false => Reply::Good,
        }
    };
    let long = [good.layer.clone(), vec![b'x'; 100]].concat();
    let fake = check(good.clone(), spoiled(long.clone(), None), Kind::Unavailable, "more than the").await;
    assert_eq!(fake.count("/blobs/"), 2, "a lie is not asked for again");
    check(good.clone(), spoiled(long, Some(length + 100)), Kind::Unavailable, "and its manifest says").await;
    let other = vec![b'x'; length];
    check(good.clone(), spoiled(other, Some(length)), Kind::Unavailable, "what it sent as").await;
    let told = Digest::of(b"other").to_string();
    let script = move |ask: &Ask| match ask.path.contains("/manifests/") {
        true => Reply::Whole(200, vec![("docker-content-digest", told.clone())], b"{}".to_vec()),
        false => Reply::Good,
    };
    check(good.clone(), script, Kind::Unavailable, "it calls the manifest").await;
    let gone = good.clone();
    let script = move |ask: &Ask| match is_layer(ask, &gone) {
        true => Reply::Whole(404, Vec::new(), Vec::new()),
        false => Reply::Good,
    };
    check(good, script, Kind::Unavailable, "which its manifest names").await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_comes() {
    let good = Good::new("a").with_manifest(|manifest| manifest["layers"][0]["size"] = json!(2_u64 << 30));
    let fake = check(good, |_| Reply::Good, Kind::TooLarge, "2147483648 bytes, 1048576 are allowed").await;
    assert_eq!(fake.count("/blobs/"), 0);
    let good = Good::new("a").with_manifest(|manifest| manifest["config"]["size"] = json!(2_u64 << 30));
    check(good, |_| Reply::Good, Kind::TooLarge, "a config of 2147483648 bytes").await;
    let endless = |_: &Ask| Reply::Endless;
    check(Good::new("a"), endless, Kind::Unavailable, "has more than 4194304 bytes").await;
}

#[tokio::test]
async fn a_line_that_drops_and_a_registry_that_is_ill_are_tried_again() {
    let good = Good::new("a");
    let shown = good.clone();
    let half = move |ask: &Ask| {
        let (half, length) = (&shown.layer[..shown.layer.len() / 2], shown.layer.len());
        blob(&format!("content-length: {length}\r\n"), if is_layer(ask, &shown) { half } else { b"" })
    };
    let half = std::sync::Arc::new(half);
    let (once, known) = (half.clone(), good.clone());
    let script = move |ask: &Ask| match ask.before {
        0 if is_layer(ask, &known) => once(ask),
        1 if is_layer(ask, &known) => Reply::Whole(503, Vec::new(), b"busy".to_vec()),
        0 if ask.path.ends_with("/manifests/1") => Reply::Raw(200, Vec::new()),
        _ => Reply::Good,
    };
    let fake = Fake::start(good.clone(), script);
    let dir = tempfile::tempdir().expect("a folder");
    pull(quick(), &fake, dir.path()).await.expect("the third try goes well");
    assert_eq!(fake.count(&Digest::of(&good.layer).to_string()), 3);
    let known = good.clone();
    let always = move |ask: &Ask| if is_layer(ask, &known) { half(ask) } else { Reply::Good };
    let fake = check(good.clone(), always, Kind::Unavailable, "was lost").await;
    assert_eq!(fake.count(&Digest::of(&good.layer).to_string()), 3);
    let ill = |_: &Ask| Reply::Whole(502, Vec::new(), b"<html>Bad gateway".to_vec());
    let fake = check(good, ill, Kind::Unavailable, "answers 502").await;
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn slowness_has_an_end() {
    let begun = Instant::now();
    let hasty = RegistryConfig { read_timeout: Duration::from_millis(100), attempts_max: 2, ..quick() };
    let silent = Fake::start(Good::new("a"), |_| Reply::Silence);
    check_with(hasty, &silent, Kind::Unavailable, "nothing came for a while (limit 0.1 s)").await;
    assert_eq!(silent.asked().len(), 2);
    let short = RegistryConfig { time_max: Duration::from_millis(300), ..quick() };
    let drip = Fake::start(Good::new("a"), |_| Reply::Drip);
    check_with(short, &drip, Kind::Unavailable, "the whole of it takes too long (limit 0.3 s)").await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_they_are_safe() {
    let good = Good::new("a");
    let known = good.clone();
    let store = Fake::start(good.clone(), move |_| Reply::Whole(200, Vec::new(), known.layer.clone()));
    let (known, target) = (good.clone(), store.address.clone());
    let script = move |ask: &Ask| match is_layer(ask, &known) {
        true => Reply::Whole(307, vec![("location", format!("http://{target}/storage?signed=yes"))], Vec::new()),
        false if ask.authorization.is_none() => challenge("Basic realm=\"x\""),
        false => Reply::Good,
    };
    let fake = Fake::start(good.clone(), script);
    let dir = tempfile::tempdir().expect("a folder");
    pull(with_password(&fake), &fake, dir.path()).await.expect("pulled from where it was sent");
    assert_eq!(store.asked().iter().map(|ask| ask.authorization.clone()).collect::<Vec<_>>(), [None]);

    let round = |_: &Ask| Reply::Whole(302, vec![("location", "/v2/again".into())], Vec::new());
    check(good.clone(), round, Kind::Unavailable, "more than 5 times").await;
    let out = |_: &Ask| Reply::Whole(302, vec![("location", "http://metadata.example/latest".into())], Vec::new());
    check(good.clone(), out, Kind::Unavailable, "`http://metadata.example` is not protected by TLS").await;
    let token = |_: &Ask| challenge("Bearer realm=\"http://tokens.example/\"");
    check(good, token, Kind::Unavailable, "`http://tokens.example` is not protected by TLS").await;
}

fn challenge(how: &str) -> Reply {
    let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#;
    Reply::Whole(401, vec![("www-authenticate", how.into())], body.to_vec())
}

fn with_login(fake: &Fake, login: Login) -> RegistryConfig {
    RegistryConfig { logins: vec![RegistryLogin { registry: fake.address.clone(), login }], ..quick() }
}

fn with_password(fake: &Fake) -> RegistryConfig {
    with_login(fake, Login::Password { username: "ann".into(), password: "secret".into() })
}

const ANN: &str = "Basic YW5uOnNlY3JldA==";

#[tokio::test]
async fn credentials_are_asked_for_named_and_never_given_up() {
    let closed = |_: &Ask| challenge("Basic realm=\"x\"");
    let fake = Fake::start(Good::new("a"), closed);
    check_with(quick(), &fake, Kind::Denied, "none were found in the configuration;").await;
    let before = fake.asked().len();
    check_with(with_password(&fake), &fake, Kind::Denied, "refuses the credentials from the configuration: UNAUTH")
        .await;
    let asked: Vec<_> = fake.asked().split_off(before).into_iter().map(|ask| ask.authorization).collect();
    assert_eq!(asked, [None, Some(ANN.to_owned())]);

    // A helper that is not there ends it, and nobody is asked as nobody.
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config.json");
    std::fs::write(&file, r#"{"credsStore": "hostler-none"}"#).expect("written");
    let open = Fake::start(Good::new("a"), |_| Reply::Good);
    let config = RegistryConfig { docker_config: Some(file.clone()), ..quick() };
    check_with(config.clone(), &open, Kind::Denied, "`docker-credential-hostler-none` cannot be started").await;
    assert!(open.asked().is_empty());
    std::fs::write(&file, format!(r#"{{"auths": {{"{}": {{}}}}}}"#, open.address)).expect("written");
    check_with(config.clone(), &open, Kind::Denied, "lack a name or a password").await;
    std::fs::write(&file, "{}").expect("written");
    check_with(config, &fake, Kind::Denied, "config.json`;").await;
}

/// Asks for a bearer token of its own authority, for which `shown` must be shown there.
fn token_registry(shown: Option<&'static str>) -> Fake {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    drop(listener);
    let own = address.clone();
    Fake::start_at(&address, Good::new("a"), move |ask: &Ask| {
        if ask.path.starts_with("/token") {
            let body = br#"{"access_token": "good-token"}"#.to_vec();
            return match ask.authorization.as_deref() == shown {
                true => Reply::Whole(200, Vec::new(), body),
                false => Reply::Whole(401, Vec::new(), b"no".to_vec()),
            };
        }
        match ask.authorization.as_deref() {
            Some("Bearer good-token") => Reply::Good,
            _ => challenge(&format!(
                "Bearer realm=\"http://{own}/token\",service=\"s\",scope=\"repository:things/good:pull\""
            )),
        }
    })
}

#[tokio::test]
async fn registries_with_tokens_are_understood() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = token_registry(None);
    pull(quick(), &open, dir.path()).await.expect("a token for nobody");
    assert_eq!(open.count("/token?scope=repository%3Athings%2Fgood%3Apull&service=s"), 1);
    let closed = token_registry(Some(ANN));
    pull(with_password(&closed), &closed, dir.path()).await.expect("a token for ann");
    let token = with_login(&closed, Login::Token("good-token".into()));
    pull(token, &closed, dir.path()).await.expect("a token that we have");
    pull(with_login(&open, Login::Identity("id".into())), &open, dir.path()).await.expect("a token for an identity");
    assert_eq!(open.asked().iter().filter(|ask| ask.method == "POST" && ask.path == "/token").count(), 1);
    check_with(quick(), &closed, Kind::Denied, "wants credentials").await;
    let wrong = with_login(&closed, Login::Password { username: "eve".into(), password: "x".into() });
    check_with(wrong, &closed, Kind::Denied, "refuses the credentials from the configuration: no").await;
}

#[tokio::test]
async fn a_tag_is_resolved_once_and_a_digest_holds() {
    let (first, second) = (Good::new("a"), Good::new("b"));
    let (now, later) = (first.clone(), second.manifest.clone());
    let fake = Fake::start(now, move |ask| match ask.path.ends_with("/manifests/1") && ask.before > 0 {
        true => Reply::Whole(200, Vec::new(), later.clone()),
        false => Reply::Good,
    });
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let registry = Registry::new(quick());
    let resolved = registry.resolve(&fake.reference()).await.expect("resolved");
    assert_eq!((resolved.digest, resolved.media_type.contains("manifest")), (first.digest(), true));
    let moved = registry.resolve(&fake.reference()).await.expect("resolved");
    assert_eq!(moved.digest, second.digest());
    let stored = registry.pull_resolved(&fake.reference(), &resolved, &store, silent()).await.expect("pulled");
    assert_eq!(stored.manifest_digest, first.digest());

    let swapped = second.manifest.clone();
    let liar = Fake::start(first.clone(), move |ask| match ask.path.contains("/manifests/") {
        true => Reply::Whole(200, Vec::new(), swapped.clone()),
        false => Reply::Good,
    });
    let error = registry.resolve(&liar.reference().with_digest(first.digest())).await.expect_err("pinned");
    assert!(matches!(&error, RegistryError::Moved { found, .. } if *found == second.digest()), "{error}");
}

#[tokio::test]
async fn what_is_not_there_and_who_does_not_answer_are_told_apart() {
    let fake = Fake::start(Good::new("a"), |_| Reply::Good);
    let registry = Registry::new(quick());
    let missing = reference(&format!("{}/things/good:2", fake.address));
    let error = registry.resolve(&missing).await.expect_err("not there");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(error.to_string().contains("MANIFEST_UNKNOWN"), "{error}");
    let nobody = reference("127.0.0.1:1/things/good:1");
    let error = registry.resolve(&nobody).await.expect_err("nobody there");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn plain_http_is_for_this_machine_and_for_those_that_are_named() {
    // This address leads to this machine and does not look like it.
    let fake = Fake::start_at("0.0.0.0:0", Good::new("a"), |_| Reply::Good);
    check_with(RegistryConfig { attempts_max: 1, ..quick() }, &fake, Kind::Unavailable, "does not speak TLS").await;
    let dir = tempfile::tempdir().expect("a folder");
    let named = RegistryConfig { plain_http: vec![fake.address.clone()], ..quick() };
    pull(named, &fake, dir.path()).await.expect("pulled in plain HTTP");
}

#[tokio::test]
async fn a_disk_that_fills_up_during_a_pull_is_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(small) = SmallDisk::mount(&dir.path().join("small"), 512) else { return };
    let fake = Fake::start(Good::of(sized_component("large", 900 << 10)), |_| Reply::Good);
    let error = pull(quick(), &fake, small.path()).await.expect_err("no space");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("failed to write"), "{error}");
    assert_nothing_left(small.path());
}

/// A registry that lists what names a manifest as its subject, and what it lists is made up.
fn listing(good: &Good, listed: &[(&str, Vec<u8>)], bundle: &[u8]) -> Fake {
    let entries: Vec<_> = listed
        .iter()
        .map(|(kind, manifest)| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(manifest),
                "size": manifest.len(), "artifactType": kind})
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string().into_bytes();
    let mut blobs: Vec<Vec<u8>> = listed.iter().map(|(_, manifest)| manifest.clone()).collect();
    blobs.push(bundle.to_vec());
    Fake::start(good.clone(), move |ask| {
        if ask.path.contains("/referrers/") {
            return Reply::Whole(200, Vec::new(), index.clone());
        }
        let found = blobs.iter().find(|blob| ask.path.ends_with(&Digest::of(blob).to_string()));
        found.map_or(Reply::Good, |blob| Reply::Whole(200, Vec::new(), blob.clone()))
    })
}

#[tokio::test]
async fn of_what_a_registry_lists_only_signatures_of_this_artifact_are_kept() {
    const KIND: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let good = Good::new("a");
    let bundle = b"{\"not\": \"yet looked at\"}";
    let signature = |subject: Digest, size: usize| {
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": KIND,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
            "layers": [{"mediaType": KIND, "digest": Digest::of(bundle), "size": size}],
            "subject": {"mediaType": "x", "digest": subject, "size": 1}})
        .to_string()
        .into_bytes()
    };
    let listed = [
        (KIND, signature(good.digest(), bundle.len())),
        (KIND, signature(Digest::of(b"another"), bundle.len())),
        (KIND, b"<html>".to_vec()),
        ("application/spdx+json", signature(good.digest(), 7)),
    ];
    let fake = listing(&good, &listed, bundle);
    let dir = tempfile::tempdir().expect("a folder");
    let stored = pull(quick(), &fake, dir.path()).await.expect("pulled");
    let kept = store(dir.path()).signatures(stored.manifest_digest).expect("read");
    assert_eq!(kept, [bundle.to_vec()]);

    // Listed under one digest, sent as another.
    let fake = listing(&good, &listed[..1], b"another bundle");
    let dir = tempfile::tempdir().expect("a folder");
    let error = pull(quick(), &fake, dir.path()).await.expect_err("the bundle is not there");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn a_registry_that_cannot_list_is_no_reason_to_stop() {
    for status in [400, 404, 405, 501] {
        let fake = Fake::start(Good::new("a"), move |ask| match ask.path.contains("/referrers/") {
            true => Reply::Whole(status, Vec::new(), b"<html>no such thing".to_vec()),
            false => Reply::Good,
        });
        let dir = tempfile::tempdir().expect("a folder");
        pull(quick(), &fake, dir.path()).await.expect("pulled");
        assert_eq!(fake.count("/manifests/sha256-"), 1, "the tag is asked for instead");
    }
}
