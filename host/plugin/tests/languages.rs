//! Guests with a runtime of their own are cut off like any other: in time, with the cause, and the next call is well.

mod support;

use hostler_model::{Duration, Timestamp};
use hostler_plugin::{Failure, LimitSettings, Plugin, PluginSource};
use std::time::Instant;
use support::{behaving, example, house, plugins};

const AT: Timestamp = Timestamp(1_700_000_000_000);
/// From the deadline to the answer; 100 ms on an idle machine, and more on one that also builds.
const LATE_MS_MAX: u128 = 2_000;

/// Spins on both threads of the host, beside timers that come in time.
async fn is_cut_off(name: &str, foe: &Plugin) {
    let begun = Instant::now();
    let spin = behaving("spin");
    let timers = tokio::spawn(async move {
        let mut latest = 0;
        while begun.elapsed().as_millis() < 900 {
            let slept = Instant::now();
            // tidy: allow(sleep), because the timer itself is what is looked at.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            latest = latest.max(slept.elapsed().as_millis().saturating_sub(10));
        }
        latest
    });
    let (one, two) = tokio::join!(foe.upcoming(&spin, AT, 1), foe.upcoming(&spin, AT, 1));
    let late = begun.elapsed().as_millis().saturating_sub(1_000);
    for error in [one.expect_err("cut off"), two.expect_err("cut off")] {
        assert_eq!(error.failure, Failure::Timeout { limit: Duration::from_secs(1) });
    }
    let timer = timers.await.expect("no panic");
    println!("{name}: cut off {late} ms late, timers at most {timer} ms late");
    assert!(late < LATE_MS_MAX && timer < 1_000, "{name}: {late} ms, {timer} ms");
}

async fn misbehaves_and_is_contained(name: &str) {
    let Some(file) = example(name) else { return };
    let house = house();
    let limits =
        LimitSettings { time_max: Some(Duration::from_secs(1)), faults_max: Some(0), ..LimitSettings::default() };
    let source = PluginSource { limits, ..support::source_without_grants(name, &file) };
    let foe = plugins(&house, vec![source]).await.get(name).expect("loaded");
    is_cut_off(name, &foe).await;
    let hoard = foe.upcoming(&behaving("hoard"), AT, 1).await.expect_err("too much");
    let told = matches!(hoard.failure, Failure::Memory { .. } | Failure::Trap(_));
    assert!(told && hoard.memory_bytes_peak <= 64 << 20, "{name}: {hoard}");
    let threw = foe.upcoming(&behaving("throw"), AT, 1).await.expect_err("it threw");
    assert!(
        threw.stderr.contains("the sky falls") || threw.to_string().contains("the sky falls"),
        "{threw} {}",
        threw.stderr
    );
    assert_eq!(foe.upcoming(&behaving("well"), AT, 2).await.expect("the next call is well").len(), 2);
}

#[tokio::test]
async fn a_guest_in_rust_is_cut_off() {
    let house = house();
    let limits = LimitSettings { time_max: Some(Duration::from_secs(1)), ..LimitSettings::default() };
    is_cut_off("hostile", &support::hostile_plugin(&house, limits).await).await;
}

#[tokio::test]
async fn a_guest_in_javascript_is_cut_off() {
    misbehaves_and_is_contained("hostile-js").await;
}

#[tokio::test]
async fn a_guest_in_python_is_cut_off() {
    misbehaves_and_is_contained("hostile-python").await;
}
