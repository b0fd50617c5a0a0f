//! What waits, what is due, and that no instant is decided twice.

use crate::support::{Host, NOW, host, new_subscription, slug};
use hostler_model::{SubscriptionId, Timestamp};
use hostler_store::{
    Error, FireDecision, FireStatus, NamespaceId, NewFire, Page, Schedule, SubscriptionFilter, SubscriptionStatus,
};

fn at(offset: i64) -> Timestamp {
    Timestamp(NOW.0 + offset)
}

fn due(offset: i64) -> Schedule {
    Schedule { next_at: Some(at(offset)), due_at: Some(at(offset)), again_at: None, ends: false }
}

fn ids(rows: &[hostler_store::SubscriptionRow]) -> Vec<SubscriptionId> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn only_active_subscriptions_whose_time_has_come_are_due() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let late = host.subscription(pipeline, "late", due(20));
    let soon = host.subscription(pipeline, "soon", due(10));
    let unknown = host.subscription(pipeline, "unknown", Schedule::default());
    host.subscription(pipeline, "over", Schedule { ends: true, ..Schedule::default() });
    let due_at = |host: &Host, offset| ids(&host.store.read(|tx| tx.due_subscriptions(at(offset), 10)).unwrap());
    assert_eq!(due_at(&host, 9), []);
    assert_eq!(due_at(&host, 30), [soon, late]);
    assert_eq!(host.store.read(|tx| tx.next_due()).unwrap(), Some(at(10)));
    let unscheduled = |host: &Host| ids(&host.store.read(|tx| tx.unscheduled_subscriptions(None, 10)).unwrap());
    assert_eq!(unscheduled(&host), [unknown]);

    let (active, paused) = (SubscriptionStatus::Active, SubscriptionStatus::Paused);
    host.write(|tx| tx.set_subscription_status(soon, active, paused, None, NOW)).unwrap();
    let twice = host.write(|tx| tx.set_subscription_status(soon, active, paused, None, NOW));
    assert!(matches!(twice, Err(Error::Conflict { .. })));
    assert_eq!(due_at(&host, 30), [late]);
    host.write(|tx| tx.set_schedule(late, due(40), NOW)).unwrap();
    assert_eq!(host.store.read(|tx| tx.next_due()).unwrap(), Some(at(40)));
    host.write(|tx| tx.delete_subscription(late, NOW)).unwrap();
    host.write(|tx| tx.delete_subscription(unknown, NOW)).unwrap();
    assert_eq!((due_at(&host, 90), unscheduled(&host)), (vec![], vec![]));
    assert_eq!(host.store.read(|tx| tx.next_due()).unwrap(), None);
}

#[test]
fn an_instant_is_decided_once_even_when_its_row_is_gone_or_the_clock_went_back() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let subscription = host.subscription(pipeline, "s", due(10));
    let decide = |host: &mut Host, offset, decision| {
        host.write(|tx| tx.decide_fire(NewFire { subscription, at: at(offset), decision, note: None, now: at(50) }))
    };
    decide(&mut host, 10, FireDecision::Start).unwrap();
    decide(&mut host, 20, FireDecision::Missed).unwrap();
    for offset in [0, 10, 15, 20] {
        let again = decide(&mut host, offset, FireDecision::Start);
        assert!(matches!(again, Err(Error::Conflict { .. })), "{offset}: {again:?}");
    }
    host.write(|tx| tx.advance_mark(subscription, at(40))).unwrap();
    host.write(|tx| tx.advance_mark(subscription, at(30))).unwrap();
    assert!(matches!(decide(&mut host, 35, FireDecision::Start), Err(Error::Conflict { .. })));
    assert_eq!(host.store.read(|tx| tx.subscription(subscription)).unwrap().unwrap().mark_at, at(40));
}

#[test]
fn an_open_fire_is_found_again_until_it_is_finished() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let subscription = host.subscription(pipeline, "s", due(10));
    for (offset, decision) in [(10, FireDecision::Skip), (20, FireDecision::Start), (30, FireDecision::Start)] {
        let new = NewFire { subscription, at: at(offset), decision, note: Some("said"), now: at(offset) };
        host.write(|tx| tx.decide_fire(new)).unwrap();
    }
    let open = |host: &Host| host.store.read(|tx| tx.open_fires(10)).unwrap().iter().map(|f| f.at).collect::<Vec<_>>();
    assert_eq!(open(&host), [at(20), at(30)]);
    host.write(|tx| tx.fail_fire_once(subscription, at(20), "it trapped")).unwrap();
    let end = |host: &mut Host, offset| {
        host.write(|tx| tx.finish_fire(subscription, at(offset), FireStatus::Done, 2, None, at(60)))
    };
    end(&mut host, 20).unwrap();
    assert!(matches!(end(&mut host, 20), Err(Error::Conflict { .. })));
    assert!(matches!(end(&mut host, 10), Err(Error::Conflict { .. })), "a skipped one was never open");
    assert_eq!(open(&host), [at(30)]);
    let row = host.store.read(|tx| tx.fire(subscription, at(20))).unwrap().unwrap();
    assert_eq!((row.status, row.runs, row.failures, row.ended_at), (FireStatus::Done, 2, 1, Some(at(60))));
    let page = host.store.read(|tx| tx.fires(subscription, Page::first(2))).unwrap();
    assert_eq!(page.items.iter().map(|fire| fire.at).collect::<Vec<_>>(), [at(30), at(20)]);
    let rest = host.store.read(|tx| tx.fires(subscription, Page { after: page.next, limit: 2 })).unwrap();
    assert_eq!(rest.items.iter().map(|fire| fire.at).collect::<Vec<_>>(), [at(10)]);
}

#[test]
fn a_label_is_used_once_in_a_pipeline_until_its_subscription_is_deleted() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let first = host.subscription(pipeline, "s", due(10));
    let label = slug("s");
    let taken = host.write(|tx| tx.create_subscription(new_subscription(pipeline, &label, due(10))));
    assert!(matches!(taken, Err(Error::Exists { .. })), "{taken:?}");
    host.write(|tx| tx.delete_subscription(first, NOW)).unwrap();
    let second = host.write(|tx| tx.create_subscription(new_subscription(pipeline, &label, due(10)))).unwrap();
    let by_label = host.store.read(|tx| tx.subscription_by_label(pipeline, &label)).unwrap().unwrap();
    assert_eq!(by_label.id, second);
    assert!(host.store.read(|tx| tx.subscription(first)).unwrap().unwrap().deleted_at.is_some());
    let filter = SubscriptionFilter { namespace: Some(NamespaceId::DEFAULT), ..SubscriptionFilter::default() };
    let listed = host.store.read(|tx| tx.subscriptions(&filter, Page::first(10))).unwrap().items;
    assert_eq!(ids(&listed), [second]);
    let counts = host.store.read(|tx| tx.counts()).unwrap();
    assert_eq!((counts.pipelines, counts.subscriptions), (1, vec![(SubscriptionStatus::Active, 1)]));
}
