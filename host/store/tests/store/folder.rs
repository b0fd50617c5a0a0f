//! Opening: who may, what is made, what is refused and how it is said.

use crate::support::{NOW, host};
use hostler_model::Kind;
use hostler_store::{Error, NamespaceId, Opened, Options, Store};
use rusqlite::Connection;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

fn open(dir: &Path) -> Result<Opened, Error> {
    Store::open(dir, Options::new(NOW))
}

#[test]
fn a_new_folder_and_its_files_are_for_their_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/data");
    let _opened = open(&dir).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in ["hostler.db", "hostler.db-wal", "key", "lock"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn each_boot_has_a_higher_epoch_and_the_same_host_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let opened = open(dir.path()).unwrap();
        assert_eq!(opened.store.epoch(), opened.epoch);
        assert_eq!(opened.migrated_from, None);
        seen.push((opened.epoch.0, opened.store.read(|tx| tx.host_id()).unwrap()));
    }
    assert_eq!(seen.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(seen.iter().all(|(_, id)| *id == seen[0].1 && id.len() == 36));
}

#[test]
fn a_second_host_is_refused_with_the_process_that_holds_the_folder() {
    let host = host();
    let refused = open(host.dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused:?}");
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(refused.to_string().contains("stop it, or choose another data folder"));
    // The writer alone holds the folder too: it could still commit.
    let dir = host.dir;
    let writer = host.writer;
    drop(host.store);
    assert!(open(dir.path()).is_err());
    drop(writer);
    open(dir.path()).unwrap();
}

#[test]
fn a_file_of_a_newer_hostler_or_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join("hostler.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 900).unwrap();
    let newer = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(newer, Error::Newer { found: 900, .. }), "{newer:?}");
    assert!(newer.to_string().contains("made by a newer hostler"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostler.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    assert!(matches!(open(dir.path()).map(|_| ()), Err(Error::Foreign { .. })));
    std::fs::write(&path, "this is a text and no database, whatever its name says".repeat(40)).unwrap();
    assert!(matches!(open(dir.path()).map(|_| ()), Err(Error::Foreign { .. })));
}

#[test]
fn a_damaged_file_is_called_damaged() {
    let mut host = host();
    (0..200).for_each(|n| {
        host.pipeline(&format!("p{n}"));
    });
    let dir = host.dir;
    drop((host.store, host.writer));
    let path = dir.path().join("hostler.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    // All but the first page, which says what the file is.
    bytes[4096..length].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let damaged = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(damaged, Error::Corrupt { .. }), "{damaged:?}");
    assert!(damaged.is_fatal());
}

/// Root may write everywhere, so the folder is opened by a child that is nobody.
#[test]
#[expect(clippy::disallowed_methods, reason = "the child is this test again, and is told so")]
fn a_folder_that_cannot_be_written_to_is_said_to_be_so() {
    const ASKED: &str = "STORE_TEST_READ_ONLY_FOLDER";
    if let Some(dir) = std::env::var_os(ASKED) {
        let refused = open(Path::new(&dir)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused:?}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o555)).unwrap();
    let program = dir.path().join("test");
    let this = std::env::current_exe().unwrap();
    // The child may not be able to reach the build folder; a link beside the data folder it can.
    std::fs::hard_link(&this, &program).or_else(|_| std::fs::copy(&this, &program).map(|_| ())).unwrap();
    let mut child = std::process::Command::new(&program);
    child.args(["--exact", "folder::a_folder_that_cannot_be_written_to_is_said_to_be_so"]).env(ASKED, dir.path());
    if rustix::process::geteuid().is_root() {
        child.uid(65534).gid(65534);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_once_a_folder_can_be_asked() {
    let host = host();
    assert!(host.store.free_bytes().unwrap() > 0);
    assert!(host.store.dir().is_absolute());
    let (made, namespace) = host.store.read(|tx| Ok((tx.made_at()?, tx.namespaces()?))).unwrap();
    assert_eq!((made, namespace[0].id, namespace[0].name.as_str()), (NOW, NamespaceId::DEFAULT, "default"));
}
