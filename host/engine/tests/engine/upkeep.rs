//! What is over goes and nothing else; a disk that is nearly full takes nothing new; backups of a busy host.

use crate::host::{Host, NEW_YEAR, nothing, script, storage};
use hostler_engine::{BackupStatus, Error, Storage};
use hostler_model::schedule::{CatchUp, Overlap};
use hostler_model::{Actor, Duration, Kind, RunId, RunStatus, spec};
use hostler_store::{FireDecision, LogStream, Options, Page, RunFilter, Store};
use serde_json::json;
use std::path::{Path, PathBuf};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn log_file(data: &Path, id: RunId) -> PathBuf {
    let name = id.0.simple().to_string();
    data.join("logs").join(&name[name.len() - 2..]).join(format!("{name}.log"))
}

fn often(data: &Path) -> Storage {
    let mut storage = storage(data);
    storage.retention.every = Duration::from_millis(5);
    storage
}

fn numbers(host: &Host) -> Vec<u64> {
    host.all_runs().iter().map(|run| run.number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_by_count_and_age_with_their_logs_and_open_ones_stay() {
    let data = tempfile::tempdir().expect("temp dir");
    let kept = spec::Retention { count: Some(3), period: Some(DAY) };
    let mut keeping = often(data.path());
    keeping.retention.runs = kept;
    let host = Host::start_with(data.path(), NEW_YEAR, keeping).await;
    // The pipeline says less than the host.
    host.up(json!({"id": "p", "retention": {"count": 2}, "tasks": {"only": script("echo $HOSTLER_RUN_ID")}})).await;
    host.up(json!({"id": "long", "tasks": {"only": {"process": {"script": "sleep 1000"}, "grace": "1s"}}})).await;
    let open = host.begin("long").await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let run = host.begin("p").await;
        host.ended(run.id).await;
        all.push(run);
    }
    host.until("three to be gone", |host| (numbers(host) == [1, 4, 5]).then_some(())).await;
    host.until("their logs to be gone", |_| {
        let there: Vec<_> = all.iter().map(|run| log_file(data.path(), run.id).exists()).collect();
        (there == [false, false, false, true, true]).then_some(())
    })
    .await;
    // All rows of theirs are gone, and their events stay.
    assert!(host.tasks(&all[0]).is_empty());
    assert_eq!(host.handle().load().removed[0], ("runs", 3));
    // The newest run of all stays, whatever its age, and so does one that is open.
    host.clock.advance(DAY);
    host.clock.advance(DAY);
    host.until("the older one to be gone", |host| (numbers(host) == [1, 5]).then_some(())).await;
    assert_eq!(host.run(open.id).status, RunStatus::Running);
    let next = host.begin("p").await;
    assert_eq!(next.number, 6, "a number is never given again");
    host.handle().cancel_run(open.id, hostler_model::CancelReason::Kill, Actor::token("test")).await.expect("killed");
    host.ended(open.id).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_key_is_remembered_stays_and_one_of_many_rows_goes_in_pieces() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut keeping = often(data.path());
    keeping.retention.runs.count = Some(1);
    let host = Host::start_with(data.path(), NEW_YEAR, keeping).await;
    let many = (0..2_000).map(|index| (format!("t{index}"), json!({})));
    host.up(json!({"id": "p", "tasks": many.collect::<serde_json::Map<_, _>>()})).await;
    let start = |key: Option<&str>| hostler_engine::StartRun {
        namespace: crate::host::slug("default"),
        pipeline: crate::host::slug("p"),
        version: None,
        params: serde_json::Map::new(),
        summary: None,
        idempotency_key: key.map(String::from),
        actor: Actor::token("test"),
    };
    let first = host.handle().start_run(start(Some("once"))).await.expect("started");
    host.ended(first.id).await;
    for _ in 0..3 {
        let run = host.handle().start_run(start(None)).await.expect("started");
        host.ended(run.id).await;
    }
    host.until("the others to be gone", |host| (numbers(host) == [1, 4]).then_some(())).await;
    let again = host.handle().start_run(start(Some("once"))).await.expect("the same");
    assert_eq!((again.id, again.existing), (first.id, true));
    host.clock.advance(DAY);
    host.clock.advance(Duration::from_secs(1));
    host.until("the first to be gone", |host| (numbers(host) == [4]).then_some(())).await;
    assert!(host.tasks(&first).is_empty());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_by_size_and_leave_their_runs_and_events_and_fires_go_by_count() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut keeping = often(data.path());
    keeping.retention.logs_bytes = Some(2_500);
    keeping.retention.events_count = Some(40);
    keeping.retention.fires_count = Some(2);
    let host = Host::start_with(data.path(), NEW_YEAR, keeping).await;
    host.up(json!({"id": "p", "tasks": {"only": script("printf %01000d 7")}})).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let run = host.begin("p").await;
        host.ended(run.id).await;
        all.push(run);
    }
    host.until("two logs to be gone", |host| {
        let bytes: Vec<_> = host.all_runs().iter().map(|run| run.log_bytes).collect();
        (bytes == [0, 0, 1000, 1000]).then_some(())
    })
    .await;
    assert!(!log_file(data.path(), all[1].id).exists() && log_file(data.path(), all[2].id).exists());
    assert!(host.look(|tx| tx.log_end(all[0].key)) > 1_000, "it is known that there was one");
    let id = host.subscribe("interval", json!({"every": "1m"}), Overlap::Allow, CatchUp::None).await;
    for _ in 0..5 {
        host.is_scheduled(id).await;
        host.clock.advance(Duration::from_secs(60));
        host.until("the fire", |host| {
            let runs = host.all_runs();
            runs.last().is_some_and(|run| run.created_at.since(NEW_YEAR) > Duration::ZERO).then_some(())
        })
        .await;
    }
    host.is_scheduled(id).await;
    host.until("two fires to be left", |host| (host.fires(id).len() == 2).then_some(())).await;
    host.until("few events to be left", |host| {
        let (last, rows) = host.look(|tx| {
            let rows = tx.events(hostler_store::Cursor(0), hostler_store::EventFilter::default(), 10_000)?;
            Ok((tx.last_cursor()?, rows))
        });
        (last.0 > 40 && rows.len() <= 40 && rows.last().map(|row| row.cursor) == Some(last)).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_run_is_swept_at_the_next_start_and_no_other() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(json!({"id": "p", "tasks": {"only": script("echo hello")}})).await;
    let run = host.begin("p").await;
    host.ended(run.id).await;
    host.stop().await;
    let stray = RunId(uuid::Uuid::from_u128(0x1234));
    for path in [log_file(data.path(), stray), data.path().join("logs/34/notes.txt")] {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "x").expect("written");
    }
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.until("the stray to be gone", |_| (!log_file(data.path(), stray).exists()).then_some(())).await;
    assert!(data.path().join("logs/34/notes.txt").exists(), "what is not ours stays");
    assert_eq!(host.log(&run, LogStream::Stdout), "hello\n");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_host_restores_to_runs_that_go_on() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(json!({"id": "p", "tasks": {"a": script("echo hello"), "b": {
        "process": {"script": "test -e /proc/self/never || sleep 1000"}, "grace": "1s", "depends_on": ["a"]}}}))
        .await;
    let run = host.begin("p").await;
    host.until("the second task to run", |host| {
        host.tasks(&run).iter().any(|task| task.status == hostler_model::TaskStatus::Running).then_some(())
    })
    .await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let begun = host.handle().create_backup(None, Actor::token("test")).expect("begun");
        made.push(
            host.until("the backup", |host| {
                let found = host.handle().backups().into_iter().find(|backup| backup.name == begun.name);
                found.filter(|backup| backup.status != BackupStatus::Running)
            })
            .await,
        );
        host.clock.advance(Duration::from_secs(1));
    }
    assert!(made.iter().all(|backup| backup.status == BackupStatus::Done), "{made:?}");
    let listed: Vec<_> = host.handle().backups().into_iter().map(|backup| backup.name).collect();
    assert_eq!(listed, [made[2].name.clone(), made[1].name.clone()], "two are kept");
    let relative = host.handle().create_backup(Some("somewhere".into()), Actor::token("test"));
    assert_eq!(relative.expect_err("refused").kind(), Kind::Invalid);

    let outside = tempfile::tempdir().expect("temp dir");
    let dir = outside.path().join("data");
    Store::restore_backup(&made[2].path, &dir, NEW_YEAR).expect("restored");
    let back = Host::start(&dir, NEW_YEAR).await;
    // Its process was the other host's: lost, as after a crash.
    assert_eq!(back.ended(run.id).await, RunStatus::Failed);
    assert_eq!(back.log(&run, LogStream::Stdout), "hello\n");
    assert_eq!(host.run(run.id).status, RunStatus::Running, "the old host goes on");
    back.stop().await;
    host.handle().cancel_run(run.id, hostler_model::CancelReason::Kill, Actor::token("test")).await.expect("killed");
    host.ended(run.id).await;
    host.stop().await;
}

/// A disk of its own, as small as we like.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where this machine does not let us mount one.
    fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("temp dir");
        let size = format!("size={mib}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "hostler-test"]).arg(dir.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a test that failed may still use it.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn is_ci() -> bool {
    std::env::var("CI").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_floor_nothing_new_begins_and_it_ends_by_itself() {
    let Some(disk) = SmallDisk::mount(64) else {
        assert!(!is_ci(), "under CI a small disk must be there: mounting a tmpfs needs root");
        eprintln!("!!! NOT TESTED: the disk floor, since a small tmpfs cannot be mounted (are we root?)");
        return;
    };
    let data = disk.0.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let floor = Storage { free_min: 32 << 20, ..storage(&data) };
    let host = Host::start_with(&data, NEW_YEAR, floor).await;
    host.up(nothing()).await;
    let before = host.begin("p").await;
    let id = host.subscribe("interval", json!({"every": "1m"}), Overlap::Allow, CatchUp::None).await;
    host.is_scheduled(id).await;
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![7; 40 << 20]).expect("written");
    let refused = host.try_start("p", json!({})).await.expect_err("refused");
    assert_eq!(refused.kind(), Kind::Unavailable);
    let text = refused.to_string();
    assert!(text.contains("MiB free, the floor is 32 MiB") && text.contains("storage.free_min"), "{text}");
    assert!(matches!(refused, Error::DiskLow { .. }));
    let retried = host.handle().retry_run(before.id, hostler_engine::RetryVersion::Same, Actor::token("test")).await;
    assert!(matches!(retried, Err(Error::DiskLow { .. })), "{retried:?}");
    host.clock.advance(Duration::from_secs(60));
    host.until("the fire", |host| (host.fires(id).len() == 1).then_some(())).await;
    let fire = host.fires(id).remove(0);
    assert_eq!(fire.decision, FireDecision::Skip);
    assert!(fire.note.expect("a reason").contains("the floor is 32 MiB"));
    let told = host.handle().explain_subscription(id).await.expect("explained");
    assert!(told.details.iter().any(|detail| detail.contains("the floor is 32 MiB")), "{told:?}");
    let full = host.handle().create_backup(None, Actor::token("test")).expect("begun");
    host.until("the backup to be refused", |host| {
        let found = host.handle().backups().into_iter().find(|backup| backup.name == full.name)?;
        matches!(found.status, BackupStatus::Failed { message } if message.contains("must stay free")).then_some(())
    })
    .await;
    std::fs::remove_file(&ballast).expect("removed");
    host.is_scheduled(id).await;
    host.begin("p").await;
    host.clock.advance(Duration::from_secs(60));
    host.until("the next fire", |host| {
        let runs =
            host.look(|tx| tx.runs(RunFilter { subscription: Some(id), ..RunFilter::default() }, Page::first(9)));
        (runs.items.len() == 1).then_some(())
    })
    .await;
    host.stop().await;
    drop(Store::open(&data, Options::new(NEW_YEAR)).expect("it opens"));
}
