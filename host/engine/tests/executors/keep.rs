//! Processes that outlive their host: what a warden keeps, and what the next host finds.

use crate::conformance::{EPOCH, Trial};
use crate::process::{TESTBED, is_alive, leftovers, script, until};
use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::{Executor, Report, Stream, What};
use hostler_engine::isolation::Isolation;
use hostler_engine::warden::Containment;
use hostler_model::{AttemptId, Duration, Epoch, Exit, RunKey, TaskIndex};
use hostler_store::{LogKept, LogKeptStream};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(600);
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

fn config(folder: &Path, epoch: Epoch, keep: Duration) -> WardenConfig {
    WardenConfig {
        program: TESTBED.into(),
        args: vec!["warden".into()],
        epoch,
        scratch: folder.to_owned(),
        containment: Containment::default(),
        keep,
        // A folder whose name alone is longer than the path of a socket may be.
        meeting: folder.join("m".repeat(120)),
        isolation: Isolation::default(),
    }
}

async fn host(folder: &Path, later: u64, keep: Duration) -> ProcessExecutor {
    let config = config(folder, Epoch(EPOCH.0 + later), keep);
    ProcessExecutor::start_warden(config).await.expect("the warden answers")
}

/// What one host has heard and kept of an attempt.
#[derive(Default)]
struct Log {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Option<Exit>,
}

impl Log {
    fn kept(&self) -> LogKept {
        let of = |bytes: &Vec<u8>| LogKeptStream { bytes: bytes.len() as u64, ..LogKeptStream::default() };
        LogKept { stdout: of(&self.stdout), stderr: of(&self.stderr) }
    }

    fn keep(&mut self, report: Report) {
        match report {
            Report::Output { stream: Stream::Stdout, bytes, .. } => self.stdout.extend(bytes),
            Report::Output { stream: Stream::Stderr, bytes, .. } => self.stderr.extend(bytes),
            Report::Started { .. } | Report::Note { .. } => {}
            Report::Gap { reason } => panic!("nothing is missing here, but it said: {reason}"),
            Report::Exit(exit) => self.exit = Some(exit),
        }
    }

    async fn hear(&mut self, reports: &mut mpsc::Receiver<Report>, mut enough: impl FnMut(&Self) -> bool) {
        while !enough(self) {
            match tokio::time::timeout(SOON, reports.recv()).await.expect("reports come") {
                Some(report) => self.keep(report),
                None => return,
            }
        }
    }

    /// Goes on with the attempt at the next host until its end.
    async fn finish(&mut self, executor: &ProcessExecutor, id: AttemptId) {
        let (sender, mut reports) = mpsc::channel(4);
        executor.adopt(id, self.kept(), sender).await;
        self.hear(&mut reports, |_| false).await;
    }
}

/// Prints 200,000 numbered lines, faster than anybody here reads.
fn numbers() -> What {
    script("seq -f %09.0f 1 200000; echo done >&2; exit 3")
}

fn assert_numbers(log: &Log) {
    let mut lines = log.stdout.split(|byte| *byte == b'\n');
    for number in 1..=200_000 {
        let line = lines.next().unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(line), format!("{number:09}"), "of {} bytes", log.stdout.len());
    }
    assert_eq!(log.stdout.len(), 2_000_000);
    assert_eq!(log.stderr, b"done\n");
    assert_eq!(log.exit, Some(Exit::Code { code: 3 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hosts_one_after_the_other_have_every_byte_once() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&numbers());
    let first = host(folder.path(), 0, LONG).await;
    trial.begin(&first).await;
    let mut log = Log::default();
    log.hear(&mut trial.reports, |log| log.stdout.len() > 100_000).await;
    first.detach().await;
    for later in 1..5 {
        let next = host(folder.path(), later, LONG).await;
        assert_eq!(next.dies_with_host(), None);
        let (sender, mut reports) = mpsc::channel(4);
        next.adopt(trial.id, log.kept(), sender).await;
        let wanted = log.stdout.len() + 300_000;
        log.hear(&mut reports, |log| log.stdout.len() > wanted).await;
        // Reports that are under way now are lost, as with SIGKILL.
        next.detach().await;
    }
    let last = host(folder.path(), 5, LONG).await;
    log.finish(&last, trial.id).await;
    assert_numbers(&log);
    last.forget(trial.id).await;
    last.close().await;
    assert!(!folder.path().join("m".repeat(120)).join("socket").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_while_nobody_is_there_is_told_until_it_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&script("echo ready; until test -e go; do sleep 0.01; done; echo went; exit 7"));
    let first = host(folder.path(), 0, LONG).await;
    trial.begin(&first).await;
    trial.printed().await;
    let mut log = Log { stdout: b"ready\n".to_vec(), ..Log::default() };
    first.detach().await;
    std::fs::write(trial.start.workspace.join("go"), "").expect("written");
    until("it has ended", SOON, || leftovers(&trial.token) == 0).await;
    for later in 1..3 {
        let next = host(folder.path(), later, LONG).await;
        let mut told = Log { stdout: log.stdout.clone(), ..Log::default() };
        told.finish(&next, trial.id).await;
        assert_eq!((told.stdout.as_slice(), told.exit), (b"ready\nwent\n".as_slice(), Some(Exit::Code { code: 7 })));
        if later == 2 {
            next.forget(trial.id).await;
        }
        next.detach().await;
    }
    // With nothing left to keep, the warden ends, or is found on its way out.
    let next = host(folder.path(), 3, LONG).await;
    log.finish(&next, trial.id).await;
    assert!(matches!(log.exit, Some(Exit::Lost { .. })), "{:?}", log.exit);
    next.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_writes_while_nobody_reads_waits_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial =
        Trial::new(&script("until test -e go; do sleep 0.01; done; seq -f %09.0f 1 200000; echo done >&2; exit 3"));
    let first = host(folder.path(), 0, LONG).await;
    trial.begin(&first).await;
    first.detach().await;
    std::fs::write(trial.start.workspace.join("go"), "").expect("written");
    let next = host(folder.path(), 1, LONG).await;
    let mut log = Log::default();
    log.finish(&next, trial.id).await;
    assert_numbers(&log);
    next.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_time_is_over_everything_is_gone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&script("trap '' TERM; echo ready; while :; do sleep 1000; done"));
    let first = host(folder.path(), 0, Duration::from_millis(300)).await;
    trial.begin(&first).await;
    trial.printed().await;
    let warden = first.warden_pid().expect("a warden lives");
    first.detach().await;
    until("all of it is gone", SOON, || leftovers(&trial.token) == 0 && !is_alive(warden)).await;
    let next = host(folder.path(), 1, LONG).await;
    assert!(next.dies_with_host().is_some());
    next.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_row_knows_is_ended() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (mut known, mut unknown) =
        (Trial::new(&script("echo ready; sleep 1000")), Trial::new(&script("echo ready; sleep 1000")));
    let first = host(folder.path(), 0, LONG).await;
    for trial in [&mut known, &mut unknown] {
        trial.begin(&first).await;
        trial.printed().await;
    }
    first.detach().await;
    // The next host keeps nothing itself, and goes on with what is there all the same.
    let next = host(folder.path(), 1, Duration::ZERO).await;
    let (sender, mut reports) = mpsc::channel(4);
    next.adopt(known.id, LogKept::default(), sender).await;
    next.sweep(HashSet::from([known.id])).await;
    until("the unknown one is gone", SOON, || leftovers(&unknown.token) == 0).await;
    assert!(leftovers(&known.token) > 0);
    next.stop(known.id, Duration::from_secs(10)).await;
    let mut log = Log::default();
    log.hear(&mut reports, |_| false).await;
    assert_eq!((log.stdout.as_slice(), log.exit), (b"ready\n".as_slice(), Some(Exit::Signal { signal: 15 })));
    next.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_never_reached_the_warden_may_be_started_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&script("sleep 1000"));
    let first = host(folder.path(), 0, LONG).await;
    trial.begin(&first).await;
    first.detach().await;
    let next = host(folder.path(), 1, LONG).await;
    let never = AttemptId { epoch: EPOCH, run: RunKey(999_999), task: TaskIndex(0), item: 0, attempt: 1 };
    let mut log = Log::default();
    log.finish(&next, never).await;
    assert!(matches!(log.exit, Some(Exit::NotStarted { transient: true, .. })), "{:?}", log.exit);
    next.close().await;
    assert_eq!(leftovers(&trial.token), 0);
}

/// Says hello as a host would, and answers what came back before the warden hung up.
fn knock(socket: &Path, hello: &serde_json::Value) -> Vec<u8> {
    let folder = std::fs::File::open(socket.parent().expect("it lies in a folder")).expect("it can be entered");
    let short = format!("/proc/self/fd/{}/socket", folder.as_raw_fd());
    let mut stream = UnixStream::connect(short).expect("the warden listens");
    let text = serde_json::json!({"Hello": hello}).to_string();
    let length = u32::try_from(text.len()).expect("it is short").to_le_bytes();
    stream.write_all(&[&length, text.as_bytes()].concat()).expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_secret_changes_nothing_and_another_version_ends_it_all() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&script("echo ready; sleep 1000"));
    let first = host(folder.path(), 0, LONG).await;
    trial.begin(&first).await;
    trial.printed().await;
    let meeting = folder.path().join("m".repeat(120));
    let secret = std::fs::read_to_string(meeting.join("secret")).expect("it is there");
    let mode = |name: &str| std::fs::metadata(meeting.join(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("secret"), mode("socket"), mode("")), (0o600, 0o600, 0o700));
    let warden = first.warden_pid().expect("a warden lives");
    first.detach().await;
    let socket = meeting.join("socket");
    for wrong in ["", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(knock(&socket, &serde_json::json!({"version": 0, "secret": wrong})), b"");
    }
    assert!(is_alive(warden) && leftovers(&trial.token) > 0);
    let answer = knock(&socket, &serde_json::json!({"version": 0, "secret": secret}));
    assert!(String::from_utf8_lossy(&answer).contains("version 0"), "{answer:?}");
    until("all of it is gone", SOON, || leftovers(&trial.token) == 0 && !is_alive(warden)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warden_that_has_seen_a_newer_host_is_ended_by_an_older_one() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut trial = Trial::new(&script("echo ready; sleep 1000"));
    let newer = host(folder.path(), 3, LONG).await;
    trial.start.id.epoch = Epoch(EPOCH.0 + 3);
    trial.begin(&newer).await;
    trial.printed().await;
    newer.detach().await;
    let older = host(folder.path(), 0, LONG).await;
    assert!(older.dies_with_host().is_some());
    assert_eq!(leftovers(&trial.token), 0);
    older.close().await;
}
