//! What is decided about instants, told as lines; and the gate of a subscription held to its laws over random
//! histories.

use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SUBSCRIPTION: SubscriptionId = SubscriptionId(7);
const MINUTE: i64 = 60_000;

fn minutes(at: &[i64]) -> Vec<Timestamp> {
    at.iter().map(|at| Timestamp(at * MINUTE)).collect()
}

fn policy(overlap: Overlap, catch_up: CatchUp) -> Policy {
    Policy { overlap, catch_up, jitter: Duration::ZERO }
}

/// Decides instants, given in minutes, at a minute; a line for each.
fn told(policy: Policy, at: &[i64], now: i64, open: Open) -> String {
    let line = |(at, decision): (Timestamp, Decision)| match decision {
        Decision::Start => format!("{} start\n", at.0 / MINUTE),
        Decision::Skip(why) => format!("{} skip: {why}\n", at.0 / MINUTE),
        Decision::Missed(why) => format!("{} missed: {why}\n", at.0 / MINUTE),
    };
    decide(&policy, SUBSCRIPTION, &minutes(at), Timestamp(now * MINUTE), open).into_iter().map(line).collect()
}

fn open(running: u32, queued: u32) -> Open {
    Open { running, queued }
}

#[test]
fn an_instant_is_on_time_for_a_minute() {
    let policy = policy(Overlap::Allow, CatchUp::None);
    let decide_at = |now| decide(&policy, SUBSCRIPTION, &[Timestamp(0)], Timestamp(now), Open::default())[0].1;
    assert_eq!(decide_at(-5), Decision::Start, "a clock that was set back makes nothing missed");
    assert_eq!(decide_at(60_000), Decision::Start);
    assert_eq!(decide_at(60_001), Decision::Missed(Missed::NoCatchUp));
}

#[test]
fn with_jitter_an_instant_is_missed_a_minute_after_its_own_due_time() {
    let jitter = Duration::from_secs(3600);
    let policy = Policy { jitter, ..policy(Overlap::Allow, CatchUp::None) };
    let late = due(Timestamp(0), SUBSCRIPTION, jitter).plus(MISSED_AFTER);
    assert!(!is_missed(&policy, SUBSCRIPTION, Timestamp(0), late));
    assert!(is_missed(&policy, SUBSCRIPTION, Timestamp(0), Timestamp(late.0 + 1)));
}

#[test]
fn without_catch_up_what_is_missed_stays_missed_and_what_is_on_time_starts() {
    assert_snapshot!(told(policy(Overlap::Allow, CatchUp::None), &[0, 5, 10], 10, open(0, 0)), @r"
    0 missed: it passed while the host could not decide it, and catch-up is `none`
    5 missed: it passed while the host could not decide it, and catch-up is `none`
    10 start
    ");
}

#[test]
fn catching_up_the_latest_starts_the_newest_missed_one() {
    assert_snapshot!(told(policy(Overlap::Allow, CatchUp::Latest), &[0, 5, 10], 13, open(0, 0)), @r"
    0 missed: it passed while the host could not decide it, and catch-up is `latest`: a newer one starts
    5 missed: it passed while the host could not decide it, and catch-up is `latest`: a newer one starts
    10 start
    ");
}

#[test]
fn catching_up_all_keeps_the_newest_within_window_and_cap_in_order() {
    let all = CatchUp::All { window: Duration::from_secs(20 * 60), cap: 3 };
    assert_snapshot!(told(policy(Overlap::Allow, all), &[0, 5, 10, 15, 20, 25, 30], 30, open(0, 0)), @r"
    0 missed: it passed while the host could not decide it, and catch-up looks back 20m only
    5 missed: it passed while the host could not decide it, and catch-up looks back 20m only
    10 missed: it passed while the host could not decide it, and catch-up starts 3 at most
    15 start
    20 start
    25 start
    30 start
    ");
}

#[test]
fn skipping_lets_one_run_be_open_also_when_many_are_caught_up() {
    let all = CatchUp::All { window: Duration::from_secs(3600), cap: 9 };
    assert_snapshot!(told(policy(Overlap::Skip, all), &[0, 5], 30, open(0, 0)), @r"
    0 start
    5 skip: an earlier run is still open, and overlap is `skip`
    ");
    assert_snapshot!(told(policy(Overlap::Skip, CatchUp::None), &[30], 30, open(1, 1)), @"30 skip: 2 earlier runs are still open, and overlap is `skip`");
}

#[test]
fn a_queue_takes_what_it_has_room_for() {
    let all = CatchUp::All { window: Duration::from_secs(3600), cap: 9 };
    assert_snapshot!(told(policy(Overlap::Queue { max: 2 }, all), &[0, 5, 10, 15], 30, open(0, 0)), @r"
    0 start
    5 start
    10 start
    15 skip: an earlier run is still open, and the queue behind it takes 2 at most
    ");
    assert_snapshot!(told(policy(Overlap::Queue { max: 0 }, all), &[30], 30, open(1, 0)), @"30 skip: an earlier run is still open, and the queue behind it takes 0 at most");
}

#[test]
fn cancelling_what_runs_starts_always() {
    assert_snapshot!(told(policy(Overlap::CancelRunning, CatchUp::None), &[30], 30, open(3, 2)), @"30 start");
}

#[test]
fn jitter_is_the_same_for_ever_and_spreads_subscriptions_out() {
    let jitter = Duration::from_secs(60);
    let lag = |id| due(Timestamp(0), SubscriptionId(id), jitter).0;
    // Written out, since a change would move the due time of every subscription there is.
    assert_eq!([lag(1), lag(2), lag(3), lag(1_000_000)], [24_996, 53_223, 43_814, 43_464]);
    assert_eq!(due(Timestamp(5), SUBSCRIPTION, Duration::ZERO), Timestamp(5));
    let mut seconds = [0; 60];
    (1..=6_000).for_each(|id| seconds[lag(id) as usize / 1000] += 1);
    assert!(seconds.iter().all(|count| (50..200).contains(count)), "{seconds:?}");
}

fn any_overlap() -> impl Strategy<Value = Overlap> {
    prop_oneof![
        Just(Overlap::Skip),
        (0u32..4).prop_map(|max| Overlap::Queue { max }),
        Just(Overlap::Allow),
        Just(Overlap::CancelRunning),
    ]
}

fn any_catch_up() -> impl Strategy<Value = CatchUp> {
    let all =
        (0u64..1_000, 0u32..5).prop_map(|(seconds, cap)| CatchUp::All { window: Duration::from_secs(seconds), cap });
    prop_oneof![Just(CatchUp::None), Just(CatchUp::Latest), all]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_instant_is_decided_once_and_the_policies_hold(
        overlap in any_overlap(),
        catch_up in any_catch_up(),
        jitter in 0u64..200_000,
        instants in proptest::collection::btree_set(0i64..1_000_000, 0..20),
        now in 0i64..1_500_000,
        running in 0u32..3,
    ) {
        let policy = Policy { overlap, catch_up, jitter: Duration::from_millis(jitter) };
        let instants: Vec<_> = instants.into_iter().map(Timestamp).collect();
        let decided = decide(&policy, SUBSCRIPTION, &instants, Timestamp(now), open(running, 0));
        let (at, decisions): (Vec<_>, Vec<_>) = decided.into_iter().unzip();
        prop_assert_eq!(&at, &instants);
        let missed = instants.iter().filter(|at| is_missed(&policy, SUBSCRIPTION, **at, Timestamp(now))).count();
        // Whatever is not missed by its time is not called missed, and the other way round only a catch-up saves it.
        prop_assert!(decisions[missed..].iter().all(|decision| !matches!(decision, Decision::Missed(_))));
        let caught_up = decisions[..missed].iter().filter(|decision| !matches!(decision, Decision::Missed(_))).count();
        let saved_max = match catch_up {
            CatchUp::None => 0,
            CatchUp::Latest => 1,
            CatchUp::All { cap, .. } => cap as usize,
        };
        prop_assert!(caught_up <= saved_max);
        let started = decisions.iter().filter(|decision| **decision == Decision::Start).count();
        match overlap {
            Overlap::Skip => prop_assert!(started <= usize::from(running == 0)),
            Overlap::Queue { max } => prop_assert!(started <= max as usize + usize::from(running == 0)),
            Overlap::Allow | Overlap::CancelRunning => prop_assert_eq!(started, decisions.len() - (missed - caught_up)),
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_either_way_fires_nothing_twice_and_forgets_nothing(
        jumps in proptest::collection::vec(-500_000i64..500_000, 1..30),
        catch_up in any_catch_up(),
    ) {
        let policy = policy(Overlap::Allow, catch_up);
        let every = 30_000;
        let (mut wall, mut mark) = (0, 0);
        let mut seen = Vec::new();
        for jump in jumps {
            wall += jump;
            let grid = (mark / every + 1..).map(|n| n * every);
            let undecided: Vec<_> = grid.take_while(|at| *at <= wall).map(Timestamp).collect();
            for (at, _) in decide(&policy, SUBSCRIPTION, &undecided, Timestamp(wall), Open::default()) {
                prop_assert!(at.0 > mark);
                mark = at.0;
                seen.push(at.0);
            }
        }
        prop_assert_eq!(seen, (1..=mark / every).map(|n| n * every).collect::<Vec<_>>());
    }

    #[test]
    fn a_gate_lets_one_run_at_a_time_go_on_in_order_and_forgets_none(
        overlap in any_overlap().prop_filter("allow has a test of its own", |overlap| *overlap != Overlap::Allow),
        events in proptest::collection::vec(any::<(u8, u8)>(), 0..60),
    ) {
        let (mut gate, mut open, mut begun) = (Gate::default(), BTreeSet::new(), Vec::new());
        let mut last = 0;
        for (what, which) in events {
            if what < 128 {
                last += 1;
                let run = RunKey(last);
                match gate.arrive(run, overlap) {
                    Arrival::Begin => begun.push(run),
                    Arrival::Wait => prop_assert!(overlap != Overlap::CancelRunning && !open.is_empty(), "it waits for nobody"),
                    Arrival::Supersede(others) => {
                        prop_assert_eq!(others.into_iter().collect::<BTreeSet<_>>(), open.clone());
                    }
                }
                open.insert(run);
            } else if let Some(run) = open.iter().nth(usize::from(which) % open.len().max(1)).copied() {
                open.remove(&run);
                begun.extend(gate.ended(run));
            } else {
                prop_assert_eq!(gate.ended(RunKey(last)), None, "what is not there ends without a trace");
            }
            prop_assert!(gate.open().running <= 1, "two at once");
            prop_assert_eq!(gate.open().running + gate.open().queued, open.len() as u32);
            prop_assert_eq!(gate.is_empty(), open.is_empty());
            prop_assert_eq!(open.is_empty(), gate.open().running == 0, "somebody waits for nobody");
            prop_assert!(begun.is_sorted(), "they begin in the order they came");
            gate = reload(&gate, &open);
        }
    }
}

/// The gate as rows give it back; it must be the same.
fn reload(gate: &Gate, open: &BTreeSet<RunKey>) -> Gate {
    let mut loaded = Gate::default();
    open.iter().for_each(|run| loaded.restore(*run, !gate.may_begin(*run)));
    assert_eq!(loaded.advance(), None);
    assert_eq!(&loaded, gate);
    loaded
}

#[test]
fn a_gate_that_allows_overlap_keeps_nobody_waiting() {
    let mut gate = Gate::default();
    for run in 1..4 {
        assert_eq!(gate.arrive(RunKey(run), Overlap::Allow), Arrival::Begin);
    }
    assert_eq!(gate.ended(RunKey(2)), None);
    assert_eq!(gate.open(), open(2, 0));
}

#[test]
fn a_gate_read_back_with_nobody_under_way_lets_the_first_begin() {
    let mut gate = Gate::default();
    gate.restore(RunKey(4), true);
    gate.restore(RunKey(5), true);
    assert_eq!(gate.advance(), Some(RunKey(4)));
    assert_eq!(gate.advance(), None);
    assert!(gate.may_begin(RunKey(4)) && !gate.may_begin(RunKey(5)));
}
