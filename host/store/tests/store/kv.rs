//! What plugins remember: in order, within limits, unreadable on disk.

use crate::support::{NOW, host};
use hostler_store::{Error, KvExpect, KvOwner, KvWrite, NamespaceId, Options, Store};

const OWNER: KvOwner<'static> = KvOwner { plugin: "poller", namespace: NamespaceId::DEFAULT };

fn set(key: &str, value: &[u8]) -> KvWrite {
    KvWrite { scope: "s".into(), key: key.into(), value: Some(value.to_vec()) }
}

fn delete(key: &str) -> KvWrite {
    KvWrite { scope: "s".into(), key: key.into(), value: None }
}

fn expect(key: &str, version: Option<u64>) -> KvExpect {
    KvExpect { scope: "s".into(), key: key.into(), version }
}

#[test]
fn a_value_does_not_lie_readable_in_any_file() {
    let mut host = host();
    let secret = b"the-very-secret-etag-of-a-feed";
    host.write(|tx| tx.kv_apply(OWNER, &[], &[set("etag", secret)], 1_000)).unwrap();
    let value = host.store.read(|tx| tx.kv_get(OWNER, "s", "etag")).unwrap().unwrap();
    assert_eq!(value.value, secret);
    for entry in std::fs::read_dir(host.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
}

#[test]
fn a_write_based_on_what_has_changed_since_is_a_conflict() {
    let mut host = host();
    host.write(|tx| tx.kv_apply(OWNER, &[expect("a", None)], &[set("a", b"1")], 1_000)).unwrap();
    let first = host.store.read(|tx| tx.kv_get(OWNER, "s", "a")).unwrap().unwrap().version;
    host.write(|tx| tx.kv_apply(OWNER, &[expect("a", Some(first))], &[delete("a")], 1_000)).unwrap();
    host.write(|tx| tx.kv_apply(OWNER, &[expect("a", None)], &[set("a", b"1")], 1_000)).unwrap();
    // It holds the same value again, and is another one all the same.
    let stale = host.write(|tx| tx.kv_apply(OWNER, &[expect("a", Some(first))], &[set("b", b"2")], 1_000));
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    assert_eq!(host.store.read(|tx| tx.kv_get(OWNER, "s", "b")).unwrap(), None);
}

#[test]
fn an_owner_stays_within_its_bytes_and_a_delete_gives_them_back() {
    let mut host = host();
    host.write(|tx| tx.kv_apply(OWNER, &[], &[set("a", b"12345"), set("a", b"123")], 10)).unwrap();
    assert_eq!(host.store.read(|tx| tx.kv_bytes(OWNER)).unwrap(), 4);
    let full = host.write(|tx| tx.kv_apply(OWNER, &[], &[set("b", b"123456")], 10));
    assert!(matches!(full, Err(Error::KvFull { bytes: 11, bytes_max: 10, .. })), "{full:?}");
    host.write(|tx| tx.kv_apply(OWNER, &[], &[delete("a"), delete("nothing"), set("b", b"123456")], 10)).unwrap();
    assert_eq!(host.store.read(|tx| tx.kv_bytes(OWNER)).unwrap(), 7);
}

#[test]
fn keys_come_in_order_behind_one_and_a_prefix_is_no_pattern() {
    let mut host = host();
    let writes: Vec<_> = ["a%1", "a%2", "aX3", "b", "a%"].iter().map(|key| set(key, b"")).collect();
    host.write(|tx| tx.kv_apply(OWNER, &[], &writes, 1_000)).unwrap();
    let keys = |prefix, after, limit| host.store.read(|tx| tx.kv_keys(OWNER, "s", prefix, after, limit)).unwrap();
    assert_eq!(keys("a%", None, 10), ["a%", "a%1", "a%2"]);
    assert_eq!(keys("a%", Some("a%"), 1), ["a%1"]);
    assert_eq!(keys("", None, 10).len(), 5);
    let other = KvOwner { plugin: "other", ..OWNER };
    assert!(host.store.read(|tx| tx.kv_keys(other, "s", "", None, 10)).unwrap().is_empty());
}

#[test]
fn another_key_file_and_a_missing_one_stop_the_start() {
    let mut host = host();
    host.write(|tx| tx.kv_apply(OWNER, &[], &[set("a", b"1")], 1_000)).unwrap();
    let dir = host.dir;
    drop((host.store, host.writer));
    std::fs::remove_file(dir.path().join("key")).unwrap();
    let missing = Store::open(dir.path(), Options::new(NOW)).map(|_| ());
    assert!(matches!(missing, Err(Error::KeyMissing { .. })), "{missing:?}");
    std::fs::write(dir.path().join("key"), [9; 32]).unwrap();
    let other = Store::open(dir.path(), Options::new(NOW)).map(|_| ());
    assert!(matches!(other, Err(Error::WrongKey { .. })), "{other:?}");
}
