//! Subscriptions in time, with real plugins and a clock moved by hand.

use crate::host::{Host, NEW_YEAR, nothing, script, slug, subscription};
use hostler_engine::Error;
use hostler_model::schedule::{CatchUp, Overlap};
use hostler_model::{Actor, Duration, Kind, RunStatus, SubscriptionId};
use hostler_store::{FireDecision, FireRow, FireStatus};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn every(host: &Host, every: &str, overlap: Overlap, catch_up: CatchUp) -> SubscriptionId {
    host.subscribe("interval", json!({ "every": every }), overlap, catch_up).await
}

fn decisions(fires: &[FireRow]) -> Vec<(Duration, FireDecision)> {
    fires.iter().map(|fire| (fire.at.since(NEW_YEAR), fire.decision)).collect()
}

/// Lets time pass in steps of a minute, each fire settled before the next.
async fn pass(host: &Host, id: SubscriptionId, minutes: u64) {
    for _ in 0..minutes {
        host.clock.advance(MINUTE);
        host.is_scheduled(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instant_fires_once_and_starts_one_run() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let id = every(&host, "1m", Overlap::Skip, CatchUp::None).await;
    pass(&host, id, 5).await;
    let fires = host.fires(id);
    assert_eq!(fires.len(), 5, "{fires:?}");
    assert!(fires.iter().all(|fire| (fire.status, fire.runs) == (FireStatus::Done, 1)));
    let runs = host.all_runs();
    assert_eq!(runs.len(), 5);
    assert!(runs.iter().all(|run| run.created_by == Actor::subscription(id)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_either_way_fires_nothing_twice() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let id = every(&host, "1m", Overlap::Skip, CatchUp::None).await;
    pass(&host, id, 3).await;
    // An hour back, then time passes again up to where it was: all of it was decided before.
    host.clock.set_wall(NEW_YEAR.minus(HOUR));
    for _ in 0..62 {
        host.clock.advance(MINUTE);
    }
    assert_eq!(host.fires(id).len(), 3);
    pass(&host, id, 3).await;
    let before = host.fires(id).len();
    // A day forward: what lies between is missed, told by one row, and does not start.
    host.clock.set_wall(NEW_YEAR.plus(Duration::from_secs(86_400)));
    host.is_scheduled(id).await;
    let fires = host.fires(id);
    assert_eq!(fires.len(), before + 1);
    assert_eq!(fires.last().map(|fire| fire.decision), Some(FireDecision::Missed));
    let mut instants: Vec<_> = fires.iter().map(|fire| fire.at).collect();
    instants.dedup();
    assert_eq!(instants.len(), fires.len());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catch_up_after_a_stop_is_as_the_policy_says() {
    for (catch_up, started, missed) in [
        (CatchUp::None, 0, 1),
        (CatchUp::Latest, 1, 59),
        (CatchUp::All { window: HOUR, cap: 10 }, 10, 50),
        (CatchUp::All { window: Duration::from_secs(30 * 60), cap: 1_000 }, 29, 31),
    ] {
        let data = tempfile::tempdir().expect("temp dir");
        let host = Host::start(data.path(), NEW_YEAR).await;
        host.up(nothing()).await;
        let id = every(&host, "1m", Overlap::Allow, catch_up).await;
        host.stop().await;
        // 61 minutes and a half later: 60 instants are missed, the newest by 30 s; one more is 30 s old and on time.
        let back = NEW_YEAR.plus(HOUR).plus(Duration::from_secs(90)).minus(MINUTE);
        let host = Host::start(data.path(), back.plus(MINUTE)).await;
        host.is_scheduled(id).await;
        let fires = host.fires(id);
        let count = |decision| fires.iter().filter(|fire| fire.decision == decision).count();
        let on_time = fires.iter().filter(|fire| fire.at > NEW_YEAR.plus(HOUR)).count();
        assert_eq!(
            (count(FireDecision::Start) - on_time, count(FireDecision::Missed)),
            (started, missed),
            "{catch_up:?}: {:?}",
            decisions(&fires)
        );
        assert_eq!(host.all_runs().len(), started + on_time, "{catch_up:?}");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlap_decides_what_a_fire_does_while_a_run_is_open() {
    for overlap in [Overlap::Skip, Overlap::Queue { max: 1 }, Overlap::Allow, Overlap::CancelRunning] {
        let data = tempfile::tempdir().expect("temp dir");
        let host = Host::start(data.path(), NEW_YEAR).await;
        host.up(json!({"id": "p", "tasks": {"long": script("sleep 1000")}})).await;
        let id = every(&host, "1m", overlap, CatchUp::None).await;
        pass(&host, id, 3).await;
        let open = |host: &Host, status| host.all_runs().iter().filter(|run| run.status == status).count();
        let skipped = host.fires(id).iter().filter(|fire| fire.decision == FireDecision::Skip).count();
        match overlap {
            Overlap::Skip => assert_eq!((host.all_runs().len(), skipped), (1, 2)),
            Overlap::Queue { .. } => {
                assert_eq!((open(&host, RunStatus::Running), open(&host, RunStatus::Queued), skipped), (1, 1, 1));
                let first = host.all_runs()[0].id;
                let kill = hostler_model::CancelReason::Kill;
                host.handle().cancel_run(first, kill, Actor::token("test")).await.expect("killed");
                host.until("the queued run to begin", |host| {
                    (open(host, RunStatus::Queued) == 0 && open(host, RunStatus::Running) == 1).then_some(())
                })
                .await;
            }
            Overlap::Allow => assert_eq!(open(&host, RunStatus::Running), 3),
            Overlap::CancelRunning => {
                host.until("the superseded runs to end", |host| {
                    let is = (open(host, RunStatus::Running), open(host, RunStatus::Cancelled));
                    (is == (1, 2)).then_some(())
                })
                .await;
            }
        }
        host.cancel_and_stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_subscription_fires_nothing_and_goes_on_when_resumed() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let id = every(&host, "1m", Overlap::Skip, CatchUp::None).await;
    pass(&host, id, 1).await;
    host.handle().pause(id, Actor::token("test")).await.expect("paused");
    for _ in 0..5 {
        host.clock.advance(MINUTE);
    }
    let why = host.handle().explain_subscription(id).await.expect("explained");
    assert_eq!((why.state.as_str(), host.fires(id).len()), ("paused", 1));
    host.handle().resume(id, Actor::token("test")).await.expect("resumed");
    host.is_scheduled(id).await;
    pass(&host, id, 1).await;
    assert_eq!(host.fires(id).last().map(|fire| fire.at), Some(NEW_YEAR.plus(Duration::from_secs(7 * 60))));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cron_previews_and_fires_by_the_wall_clock_of_its_zone() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let params = json!({"expression": "30 2 * * *", "timezone": "Europe/Berlin"});
    let id = host.subscribe("cron", params, Overlap::Skip, CatchUp::None).await;
    let preview = host.handle().preview(id, 90).await.expect("a preview");
    let local: Vec<_> = preview.iter().map(|instant| instant.local.as_str()).collect();
    assert_eq!(local[0], "2026-01-01T02:30:00+01:00");
    // On 29 March 2026 there is no 02:30: once at the first instant after the gap.
    assert_eq!(local[87], "2026-03-29T03:00:00+02:00");
    assert_eq!(preview[0].at, NEW_YEAR.plus(Duration::from_secs(90 * 60)));
    host.clock.advance(Duration::from_secs(90 * 60));
    host.is_scheduled(id).await;
    assert_eq!(host.fires(id).iter().map(|fire| fire.at).collect::<Vec<_>>(), [preview[0].at]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_cannot_work_is_refused_with_every_problem() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let new = |plugin: &str, params| subscription("p", plugin, params, Overlap::Skip, CatchUp::None);
    let refused = host.handle().subscribe(new("interval", json!({"every": 5, "evry": 1}))).await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.problems().is_some_and(|problems| problems.0.len() >= 2), "{refused:?}");
    let refused = host.handle().subscribe(new("cron", json!({"expression": "0 0 30 2 *"}))).await.expect_err("never");
    assert_eq!(refused.kind(), Kind::Invalid, "{refused:?}");
    let refused = host.handle().subscribe(new("weekly", json!({}))).await.expect_err("unknown");
    assert!(matches!(refused, Error::UnknownPlugin(_)));
    let mut other = new("interval", json!({"every": "1m"}));
    other.pipeline = slug("nowhere");
    assert!(matches!(host.handle().subscribe(other).await, Err(Error::UnknownPipeline(_))));
    every(&host, "1m", Overlap::Skip, CatchUp::None).await;
    let taken = host.handle().subscribe(new("interval", json!({"every": "1m"}))).await.expect_err("taken");
    assert!(matches!(taken, Error::LabelTaken { .. }));
    #[expect(clippy::redundant_closure_for_method_calls, reason = "what it suggests does not live long enough")]
    let next_due = host.look(|tx| tx.next_due());
    assert_eq!(next_due, Some(NEW_YEAR.plus(MINUTE)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscriptions_of_one_instant_all_start() {
    let data = tempfile::tempdir().expect("temp dir");
    let host = Host::start(data.path(), NEW_YEAR).await;
    host.up(nothing()).await;
    let made = async {
        for index in 0..1_000 {
            let params = json!({"every": "1h", "anchor": "2026-01-01T00:00:00Z"});
            let mut new = subscription("p", "interval", params, Overlap::Skip, CatchUp::None);
            new.label = slug(&format!("s{index}"));
            host.handle().subscribe(new).await.expect("subscribed");
        }
    };
    made.await;
    host.clock.advance(HOUR);
    let done = |host: &Host| (host.all_runs().len() == 1_000).then_some(());
    host.until("a run of each", done).await;
    assert_eq!(host.look(|tx| tx.open_fires(10)).len(), 0);
    host.stop().await;
}
