//! Kills the real host at instants nobody chose, many times, and holds it to what it had promised; cuts its power;
//! fills its disk.
//!
//! Each round: clients start and cancel runs, read logs, subscribe and ask for backups while a subscription fires each
//! second and retention removes what is over; the host dies in one of several ways; no task outlives it; it comes back
//! and knows all that was acknowledged. At the end every run ends, and the laws of `rows` hold.
//! `cargo xtask crash` sets `HOSTLER_CRASH_KILLS` and `HOSTLER_CRASH_SEED` to ask for more, or for the same again.

mod checks;
mod clients;
#[path = "../../../engine/tests/support/containers.rs"]
mod container_engine;
mod host;
mod ledger;
mod marks;
mod orphans;
mod pipelines;
mod power;
mod random;
mod rows;
mod small_disk;
mod story;

use host::Place;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use story::Story;

/// Of each test, unless told. A home run of `cargo xtask crash` asks for some hundreds.
const KILLS: u64 = 20;
const CUTS: u64 = 8;
const FILLS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_and_ends() {
    let (rounds, seed) = (setting("HOSTLER_CRASH_KILLS").unwrap_or(KILLS), seed());
    println!("{rounds} kills; the same again with HOSTLER_CRASH_SEED={seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let _evidence = Evidence(home.path().to_path_buf());
    Story::kill(home.path(), seed).tell(rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_power_cut_and_ends() {
    let (rounds, seed) = (setting("HOSTLER_CRASH_KILLS").unwrap_or(CUTS), seed());
    println!("{rounds} power cuts; the same again with HOSTLER_CRASH_SEED={seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let _evidence = Evidence(home.path().to_path_buf());
    match power::Disk::new(home.path()) {
        Some(disk) => Story::power(home.path(), seed, disk).tell(rounds).await,
        None => lacks("power cuts", "there is no C compiler `cc`"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_full_disk_and_ends() {
    let (rounds, seed) = (setting("HOSTLER_CRASH_KILLS").unwrap_or(FILLS), seed());
    println!("{rounds} full disks; the same again with HOSTLER_CRASH_SEED={seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let _evidence = Evidence(home.path().to_path_buf());
    match small_disk::SmallDisk::mount(&home.path().join("disk")) {
        Some(disk) => Story::full(home.path(), seed, disk).tell(rounds).await,
        None => lacks("full disks", "a small tmpfs cannot be mounted (are we root?)"),
    }
}

/// Where the test fails, what the hosts have said last: their folder goes with the test.
struct Evidence(PathBuf);

const LINES_MAX: usize = 80;

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = Place::plain(&self.0).said();
            let lines: Vec<_> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
            eprintln!("the last of {} lines that the hosts have said:\n{}", lines.len(), last.join("\n"));
        }
    }
}

/// Loud at home, a failure under CI.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn lacks(what: &str, why: &str) {
    assert!(std::env::var("CI").is_err(), "under CI {what} must be tested: {why}");
    eprintln!("!!! NOT TESTED: {what}, since {why}");
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name} is `{text}`: {error}")))
}

fn seed() -> u64 {
    setting("HOSTLER_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()))
}
