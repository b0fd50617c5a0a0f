//! Backups: whole while the host writes, refused when a byte is wrong, restored all or nothing.

use crate::support::{Host, NOW, host, moves, new_run};
use hostler_model::{Actor, AttemptId, Cause, Duration, Epoch, Kind, RunId, RunKey, RunStatus, TaskIndex};
use hostler_store::{
    Error, KvOwner, KvWrite, LogFilter, LogSource, LogStream, NamespaceId, NewAttempt, NewBackup, NewToken, Options,
    Page, RunFilter, Store,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const OWNER: KvOwner<'static> = KvOwner { plugin: "poller", namespace: NamespaceId::DEFAULT };

fn source(attempt: u32) -> LogSource {
    LogSource { task: TaskIndex(0), item: 0, attempt }
}

fn back_up(store: &Store, to: PathBuf) -> Result<hostler_store::BackupInfo, Error> {
    store.back_up(&NewBackup { to, now: NOW, free_min: 0 })
}

fn read_log(store: &Store, run: RunId) -> String {
    let reader = store.logs().reader(run, 0, LogFilter::default()).unwrap();
    let bytes: Vec<u8> = reader.flat_map(|record| record.unwrap().1.bytes).collect();
    String::from_utf8(bytes).unwrap()
}

/// An open run whose attempt 1 has its row.
fn running(host: &mut Host, pipeline: hostler_store::PipelineKey) -> (RunKey, RunId) {
    let (key, id) = host.run(pipeline);
    host.write(|tx| {
        tx.change_run(moves(key, RunStatus::Queued, RunStatus::Running, &Cause::Ready))?;
        let id = AttemptId { epoch: Epoch(1), run: key, task: TaskIndex(0), item: 0, attempt: 1 };
        tx.begin_attempt(NewAttempt { id, executor: "process", instance: "local", now: NOW })
    })
    .unwrap();
    (key, id)
}

/// With a finished run, an open one, what a plugin keeps, and a token.
fn furnished() -> (Host, RunId, RunId) {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (done, done_id) = running(&mut host, pipeline);
    let (_, open_id) = running(&mut host, pipeline);
    let logs = host.store.logs().clone();
    logs.append(done_id).write(source(1), LogStream::Stdout, NOW, b"all is done\n").unwrap();
    logs.append(open_id).write(source(1), LogStream::Stdout, NOW, b"half way\n").unwrap();
    let write = KvWrite { scope: "s".into(), key: "etag".into(), value: Some(b"secret".to_vec()) };
    host.write(|tx| {
        tx.change_run(moves(done, RunStatus::Running, RunStatus::Success, &Cause::AllDone { failed: None }))?;
        tx.kv_apply(OWNER, &[], &[write], 1_000)?;
        let name = crate::support::slug("first");
        tx.add_token(NewToken { name: &name, hash: &[7; 32], permissions: &[], now: NOW }).map(|_| ())
    })
    .unwrap();
    (host, done_id, open_id)
}

#[test]
fn a_backup_holds_what_was_committed_and_the_new_folder_is_another_host() {
    let (mut host, done, open) = furnished();
    let logs = host.store.logs().clone();
    // To the snapshot attempt 2 does not exist, so what it wrote is not the run's yet.
    logs.append(open).write(source(2), LogStream::Stdout, NOW, b"begun too late\n").unwrap();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("one.tar");
    let made = back_up(&host.store, file.clone()).unwrap();
    assert_eq!((made.runs, made.logs), (2, 2));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(outside.path()), ["one.tar"], "no draft is left");
    // What comes later is not in it.
    let pipeline = host.pipeline("q");
    host.run(pipeline);

    let mut verified = Store::verify_backup(&file).unwrap();
    assert_eq!(verified, made);
    let dir = outside.path().join("new/data");
    std::fs::create_dir_all(&dir).unwrap();
    let restored = Store::restore_backup(&file, &dir, NOW.plus(Duration::from_secs(9))).unwrap();
    verified.bytes = restored.info.bytes;
    assert_eq!(restored.info, verified);
    assert_eq!(names(&outside.path().join("new")), ["data"]);
    let back = Store::open(&dir, Options::new(NOW)).unwrap();
    assert!(back.epoch > host.store.epoch());
    let ids = (back.store.read(|tx| tx.host_id()).unwrap(), host.store.read(|tx| tx.host_id()).unwrap());
    assert_eq!(ids.0, restored.host);
    assert_ne!(ids.0, ids.1);
    assert_eq!(restored.info.host, ids.1);
    let runs = back.store.read(|tx| tx.runs(RunFilter::default(), Page::first(10))).unwrap().items;
    let before = host.store.read(|tx| tx.runs(RunFilter::default(), Page::first(10))).unwrap().items;
    assert_eq!(runs, before[1..], "the newest run came after the backup");
    assert_eq!(read_log(&back.store, done), "all is done\n");
    assert_eq!(read_log(&back.store, open), "half way\n");
    let kept = back.store.read(|tx| tx.kv_get(OWNER, "s", "etag")).unwrap().unwrap();
    assert_eq!(kept.value, b"secret");
    assert!(back.store.read(|tx| tx.token_by_hash(&[7; 32])).unwrap().is_some(), "clients keep their tokens");
}

#[test]
fn a_backup_made_while_the_host_writes_has_whole_transactions_and_whole_logs() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let outside = tempfile::tempdir().unwrap();
    let store = host.store.clone();
    let (file, done) = (outside.path().join("b.tar"), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let made = back_up(&store, file.clone());
            done.store(true, std::sync::atomic::Ordering::Release);
            made
        });
        let mut count: u32 = 0;
        while !done.load(std::sync::atomic::Ordering::Acquire) || count < 20 {
            count += 1;
            let id =
                RunId::new(NOW, [count.to_be_bytes(), [1; 4]].concat().try_into().map(|b: [u8; 8]| pad(b)).unwrap());
            let line = format!("run {count}\n");
            let mut tx = host.writer.begin().unwrap();
            let (key, _) = tx.create_run(&new_run(pipeline, id, &Actor::host())).unwrap();
            let attempt = AttemptId { epoch: Epoch(1), run: key, task: TaskIndex(0), item: 0, attempt: 1 };
            tx.begin_attempt(NewAttempt { id: attempt, executor: "process", instance: "local", now: NOW }).unwrap();
            tx.commit().unwrap();
            let log = store.logs().append(id);
            log.write(source(1), LogStream::Stdout, NOW, line.as_bytes()).unwrap();
            let extent = log.finish(source(1)).unwrap();
            let mut report = hostler_model::Report::bare(hostler_model::Exit::Code { code: 0 });
            report.log = extent;
            let mut tx = host.writer.begin().unwrap();
            tx.end_attempt(attempt, &report, NOW).unwrap();
            tx.commit().unwrap();
        }
        copying.join().unwrap().unwrap();
    });
    let dir = outside.path().join("data");
    Store::restore_backup(&file, &dir, NOW).unwrap();
    let back = Store::open(&dir, Options::new(NOW)).unwrap().store;
    let runs = back.read(|tx| tx.runs(RunFilter::default(), Page::first(1_000_000))).unwrap().items;
    for run in runs {
        let open = back.read(|tx| tx.open_attempts(run.key)).unwrap();
        let attempts = back.read(|tx| tx.log_bytes(run.key)).unwrap();
        let text = read_log(&back, run.id);
        let line = format!("run {}\n", run.number);
        assert!(text == line || (text.is_empty() && !open.is_empty()), "{text:?} of run {}", run.number);
        assert!(attempts == 0 || text == line, "what is committed is in the log");
    }
}

fn pad(bytes: [u8; 8]) -> [u8; 10] {
    let mut all = [0; 10];
    all[..8].copy_from_slice(&bytes);
    all
}

#[test]
fn a_byte_that_is_wrong_or_missing_is_found_and_nothing_is_restored() {
    let (host, ..) = furnished();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("good.tar");
    back_up(&host.store, file.clone()).unwrap();
    let good = std::fs::read(&file).unwrap();
    let bad = outside.path().join("bad.tar");
    let dir = outside.path().join("data");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&bad, bytes).unwrap();
        let error = Store::restore_backup(&bad, &dir, NOW).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{what}: {error}");
        assert!(error.to_string().contains("bad.tar"), "{what}: {error}");
        assert!(Store::verify_backup(&bad).is_err(), "{what}");
        assert_eq!(names(outside.path()), ["bad.tar", "good.tar"], "{what}");
    };
    // Every part of the file has bytes among these; of the zeros between the parts nobody needs to know.
    for at in (0..good.len()).filter(|at| good[*at] != 0).step_by(good.len() / 60) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        refused(&bytes, &format!("byte {at}"));
    }
    for length in [0, 1, 511, 512, good.len() / 2, good.len() - 3_000] {
        refused(&good[..length], &format!("cut at {length}"));
    }
    refused(b"no tar at all, but some words in a file that somebody has named wrongly", "a text");
    let key = good.windows(4).rposition(|window| window == b"key\0").unwrap();
    let mut bytes = good.clone();
    bytes[key..key + 3].copy_from_slice(b"kex");
    refused(&bytes, "an entry with another name");
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let (host, ..) = furnished();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("b.tar");
    back_up(&host.store, file.clone()).unwrap();
    assert!(matches!(back_up(&host.store, file.clone()), Err(Error::Exists { .. })));
    let dir = outside.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("mine"), "x").unwrap();
    assert!(matches!(Store::restore_backup(&file, &dir, NOW), Err(Error::NotEmpty { .. })));
    assert_eq!(names(&dir), ["mine"]);
    let other = outside.path().join("other");
    std::fs::create_dir(outside.path().join("other.restoring")).unwrap();
    let left = Store::restore_backup(&file, &other, NOW).unwrap_err();
    assert!(left.to_string().contains("other.restoring"), "{left}");
    let full = host.store.back_up(&NewBackup { to: outside.path().join("c.tar"), now: NOW, free_min: u64::MAX / 2 });
    assert!(matches!(full, Err(Error::NoSpace { .. })), "{full:?}");
    assert_eq!(names(outside.path()), ["b.tar", "data", "other.restoring"]);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
