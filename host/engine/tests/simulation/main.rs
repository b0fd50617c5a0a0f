//! The engine under random faults: its own core, dispatcher and SQLite rows on a clock that jumps from one happening to
//! the next, with executors and plugins played by a script that loses, delays, doubles and shuffles what it tells, and
//! with a host that crashes between a commit and what should follow. Laws are checked after each run and each crash.
//!
//! What happens follows from the seed alone, so a seed that fails fails again:
//! `HOSTLER_SIM_SEED=17 cargo test --workspace --test simulation` tells each thing that happens. `HOSTLER_SIM_COUNT`
//! plays more scenarios than CI does, `HOSTLER_SIM_FROM` begins at another seed.

mod agenda;
mod dice;
mod fires;
mod laws;
mod ledger;
mod pipelines;
mod scenario;
mod script;

use scenario::{Tally, Telling};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Of one scenario each; takes some fifteen seconds on two cores.
const SCENARIOS: u64 = 100;

#[expect(clippy::disallowed_methods, reason = "a test reads its own settings")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{name}` is a number, not `{text}`")))
}

#[test]
fn the_laws_hold_in_random_histories_with_random_faults() {
    let one = setting("HOSTLER_SIM_SEED");
    let first = one.or_else(|| setting("HOSTLER_SIM_FROM")).unwrap_or(1);
    let count = if one.is_some() { 1 } else { setting("HOSTLER_SIM_COUNT").unwrap_or(SCENARIOS) };
    let begun = Instant::now();
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let total = Mutex::new(Tally::default());
    let telling = if one.is_some() { Telling::Loud } else { Telling::Quiet };
    let play = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| scenario::play(seed, telling))) {
                Ok(tally) => total.lock().expect("not poisoned").add(&tally),
                Err(_) => {
                    eprintln!("--- the panic above came from seed {seed}");
                    failed.lock().expect("not poisoned").push(seed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
        (0..threads).for_each(|_| drop(scope.spawn(play)));
    });
    let (total, seconds) = (total.into_inner().expect("not poisoned"), begun.elapsed().as_secs_f64());
    let a_minute = total.runs as f64 * 60.0 / seconds;
    println!("{count} scenarios in {seconds:.1} s: {total}; {a_minute:.0} runs a minute");
    let failed = failed.into_inner().expect("not poisoned");
    assert!(
        failed.is_empty(),
        "{} of {count} scenarios broke a law, with seeds {failed:?}; see one again with\n  \
         HOSTLER_SIM_SEED={} cargo test --workspace --test simulation -- --nocapture",
        failed.len(),
        failed[0]
    );
    if one.is_none() && count >= SCENARIOS {
        total.assert_covers_everything();
    }
}
