//! Secrets and their keys: unreadable on disk, versions that count for a while, a rotation that can be cut off.

use crate::support::{NOW, host};
use hostler_model::{Actor, Duration, Slug, Timestamp};
use hostler_store::{
    Error, GivenKeys, KeySource, KvOwner, KvWrite, NamespaceId, NewRecording, NewSecret, Options, Resealing, Store,
};

const NAMESPACE: NamespaceId = NamespaceId::DEFAULT;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn new<'a>(name: &'a Slug, value: &'a [u8], actor: &'a Actor) -> NewSecret<'a> {
    NewSecret { namespace: NAMESPACE, name, value, keep_until: None, actor, now: NOW }
}

fn values(store: &Store, name: &str) -> Vec<Vec<u8>> {
    let found = store.read(|tx| tx.secret_values(NAMESPACE, &slug(name), NOW)).unwrap();
    found.into_iter().map(|value| value.to_vec()).collect()
}

#[test]
fn a_new_value_replaces_the_old_one_at_once_or_after_a_while() {
    let mut host = host();
    let (actor, name) = (Actor::host(), slug("token"));
    assert_eq!(host.write(|tx| tx.set_secret(new(&name, b"one", &actor))).unwrap(), 1);
    let later = NOW.plus(Duration::from_secs(60));
    let kept = NewSecret { keep_until: Some(later), ..new(&name, b"two", &actor) };
    assert_eq!(host.write(|tx| tx.set_secret(kept)).unwrap(), 2);
    assert_eq!(values(&host.store, "token"), [b"two".to_vec(), b"one".to_vec()]);
    let after = host.store.read(|tx| tx.secret_values(NAMESPACE, &name, later)).unwrap();
    assert_eq!(after.len(), 1, "the old one no longer counts");
    assert_eq!(host.write(|tx| tx.set_secret(new(&name, b"three", &actor))).unwrap(), 3);
    let row = host.store.read(|tx| tx.secret(NAMESPACE, &name, NOW)).unwrap().unwrap();
    assert_eq!((row.version, row.values), (3, 2));
    assert!(host.write(|tx| tx.delete_secret(NAMESPACE, &name, NOW)).unwrap());
    assert!(!host.write(|tx| tx.delete_secret(NAMESPACE, &name, NOW)).unwrap());
    assert!(values(&host.store, "token").is_empty());
    assert_eq!(host.write(|tx| tx.set_secret(new(&name, b"four", &actor))).unwrap(), 4, "no version is used twice");
}

#[test]
fn a_value_lies_readable_in_no_file_and_opens_at_no_other_place() {
    let mut host = host();
    let (actor, secret) = (Actor::host(), b"a-very-secret-deploy-token-indeed");
    host.write(|tx| tx.set_secret(new(&slug("a"), secret, &actor))).unwrap();
    host.write(|tx| tx.set_secret(new(&slug("b"), b"other", &actor))).unwrap();
    for entry in std::fs::read_dir(host.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
    let database = rusqlite::Connection::open(host.dir.path().join("hostler.db")).unwrap();
    let swap = "UPDATE secret_version SET value = (SELECT value FROM secret_version AS a WHERE a.name = 'a')
                WHERE name = 'b'";
    database.execute(swap, []).unwrap();
    let moved = host.store.read(|tx| tx.secret_values(NAMESPACE, &slug("b"), NOW));
    assert!(matches!(moved, Err(Error::Undecryptable { .. })), "{moved:?}");
}

/// A rotation in slices of two, up to `slices` of them.
fn rotate(host: &mut crate::support::Host, slices: usize) -> Resealing {
    let mut at = Resealing::default();
    for _ in 0..slices {
        if !at.done {
            host.write(|tx| tx.reseal(&mut at, 2)).unwrap();
        }
    }
    at
}

#[test]
fn a_rotation_that_was_cut_off_goes_on_after_a_restart_and_loses_nothing() {
    let mut host = host();
    let actor = Actor::host();
    let owner = KvOwner { plugin: "poller", namespace: NAMESPACE };
    for n in 0..5 {
        host.write(|tx| tx.set_secret(new(&slug(&format!("s{n}")), format!("value {n}").as_bytes(), &actor))).unwrap();
        let write = KvWrite { scope: "plugin".into(), key: format!("k{n}"), value: Some(vec![n; 3]) };
        host.write(|tx| tx.kv_apply(owner, &[], &[write], 1_000)).unwrap();
    }
    let before = std::fs::read(host.dir.path().join("key")).unwrap();
    host.store.begin_key_rotation().unwrap();
    assert!(!rotate(&mut host, 3).done, "cut off in the middle");
    let mut host = host.reopen();
    assert!(host.store.is_rotating_keys(), "it is known that it goes on");
    let at = rotate(&mut host, 100);
    assert!(at.done && at.sealed > 0 && at.sealed < 10, "only what was left: {at:?}");
    host.store.end_key_rotation().unwrap();
    let after = std::fs::read(host.dir.path().join("key")).unwrap();
    assert!(after.len() == before.len() && after != before);
    let host = host.reopen();
    assert!(!host.store.is_rotating_keys());
    for n in 0..5 {
        assert_eq!(values(&host.store, &format!("s{n}")), [format!("value {n}").into_bytes()]);
        let kept = host.store.read(|tx| tx.kv_get(owner, "plugin", &format!("k{n}"))).unwrap().unwrap();
        assert_eq!(kept.value, vec![n; 3]);
    }
}

#[test]
fn keys_from_outside_are_written_nowhere_and_a_wrong_one_is_noticed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    let with = |text: &str| {
        let key = KeySource::Given(GivenKeys::parse(text).unwrap());
        Store::open(dir.path(), Options { key, ..Options::new(NOW) })
    };
    drop(with(&one).unwrap());
    assert!(!dir.path().join("key").exists());
    let wrong = with(&two).unwrap_err();
    assert!(matches!(wrong, Error::WrongKey { .. }), "{wrong}");
    let both = with(&format!("{two}\n{one}\n")).unwrap();
    assert!(both.store.is_rotating_keys());
    assert!(matches!(both.store.begin_key_rotation(), Err(Error::KeyFromOutside)));
    drop(both);
    for wrong in ["", "abc", &"zz".repeat(32)] {
        GivenKeys::parse(wrong).unwrap_err();
    }
}

#[test]
fn recordings_are_sealed_trimmed_and_go_with_their_plugin() {
    let mut host = host();
    let (plugin, text) = (slug("poller"), "{\"what\": \"somebody has sent\"}");
    let new = |n: i64| NewRecording {
        namespace: NAMESPACE,
        plugin: &plugin,
        digest: "sha256:00",
        function: "wake",
        at: Timestamp(NOW.0 + n),
        error: (n == 3).then_some("it broke"),
        content: text,
    };
    for n in 1..=20 {
        host.write(|tx| tx.add_recording(new(n))).unwrap();
    }
    host.write(|tx| tx.trim_recordings(NAMESPACE, &plugin, 18)).unwrap();
    let rows = host.store.read(|tx| tx.recordings(NAMESPACE, &plugin)).unwrap();
    assert_eq!((rows.len(), rows[0].at.0, rows[17].error.as_deref()), (18, NOW.0 + 20, Some("it broke")));
    let database = std::fs::read(host.dir.path().join("hostler.db")).unwrap();
    let log = std::fs::read(host.dir.path().join("hostler.db-wal")).unwrap_or_default();
    for bytes in [database, log] {
        assert!(!bytes.windows(8).any(|window| window == b"somebody"));
    }
    host.store.begin_key_rotation().unwrap();
    let mut at = Resealing::default();
    while !at.done {
        host.write(|tx| tx.reseal(&mut at, 500)).unwrap();
    }
    assert_eq!(at.sealed, 18);
    host.store.end_key_rotation().unwrap();
    let (row, content) = host.store.read(|tx| tx.recording(NAMESPACE, &plugin, rows[3].id)).unwrap().unwrap();
    assert_eq!((row.at.0, content.as_str()), (NOW.0 + 17, text));
    assert!(host.store.read(|tx| tx.recording(NAMESPACE, &slug("other"), rows[3].id)).unwrap().is_none());
    host.write(|tx| tx.delete_plugin(NAMESPACE, &plugin)).unwrap();
    assert!(host.store.read(|tx| tx.recordings(NAMESPACE, &plugin)).unwrap().is_empty());
}
