//! Asks more of the real host than it can do, for as long as told, and holds it to what it acknowledged.
//!
//! The data folder has a past: runs that are over and runs that wait. Many clients start runs with idempotency keys,
//! some twice on purpose, some without waiting for the answer; some cancel. Now and then a storm of clients comes that
//! wait for nothing. Readers take a few bytes a second of logs and events. Each refusal must say when to come again. At
//! the end, and again after SIGKILL and a restart, each acknowledged run exists once. `cargo xtask load` sets the
//! environment to ask for more; among all tests it is short, and its limits are low so that they are met.

#[path = "../../benches/budget/bare.rs"]
#[allow(dead_code, reason = "the bench measures more")]
mod bare;
mod checks;
mod clients;
#[path = "../../benches/budget/figures.rs"]
#[allow(dead_code, reason = "the bench has rows")]
mod figures;
mod history;
#[path = "../crash/host.rs"]
mod host;
mod ledger;
#[path = "../../benches/budget/machine.rs"]
mod machine;
mod memory;
#[path = "../../benches/budget/processes.rs"]
#[allow(dead_code, reason = "the bench looks at more")]
mod processes;
#[path = "../crash/random.rs"]
mod random;
mod report;
mod slow;
mod story;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use story::{Scale, Story};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_refused_and_nothing_acknowledged_is_lost() {
    let seed = setting("HOSTLER_LOAD_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    let scale = match setting("HOSTLER_LOAD_MINUTES") {
        Some(minutes) => {
            let some = |name| setting(name).map(|count| usize::try_from(count).expect("a count"));
            let (clients, readers) = (some("HOSTLER_LOAD_CLIENTS"), some("HOSTLER_LOAD_READERS"));
            Scale::full(Duration::from_secs(60 * minutes), clients, readers)
        }
        None => Scale::short(),
    };
    println!("the same choices again with seed {seed}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let report = Story::begin(home.path(), scale, seed).await.tell().await;
    println!("{}", report.table());
    if let Some(path) = text("HOSTLER_LOAD_JSON") {
        let json = report.json().to_string();
        std::fs::write(&path, json).unwrap_or_else(|error| panic!("`{path}` cannot be written: {error}"));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn setting(name: &str) -> Option<u64> {
    text(name).map(|text| text.parse().unwrap_or_else(|error| panic!("{name} is `{text}`: {error}")))
}
