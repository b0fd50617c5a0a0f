//! What stays and what does not, when things go wrong in the middle.

use crate::support::{NOW, add_version, host, host_with, slug};
use hostler_model::{Actor, Kind};
use hostler_store::{Cursor, Error, EventFilter, NamespaceId, NewEvent, NewPipeline, Options, Page, WriteTx};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn create(tx: &mut WriteTx<'_>, id: &str) -> Result<(), Error> {
    let key = tx.create_pipeline(NewPipeline { namespace: NamespaceId::DEFAULT, id: &slug(id), now: NOW })?;
    add_version(tx, key).map(|_| ())
}

fn event(tx: &mut WriteTx<'_>, data: &str) -> Result<Cursor, Error> {
    let actor = Actor::host();
    let event = NewEvent::new(NOW, NamespaceId::DEFAULT, "test.happened", &actor);
    tx.insert_event(NewEvent { data: Some(data), ..event })
}

#[test]
fn a_part_that_fails_or_panics_leaves_the_rest_of_the_batch() {
    let mut host = host();
    let mut tx = host.writer.begin().unwrap();
    create(&mut tx, "first").unwrap();
    let refused = tx.savepoint(|tx| {
        create(tx, "second")?;
        create(tx, "first")
    });
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        tx.savepoint(|tx| -> Result<(), Error> {
            create(tx, "third")?;
            panic!("a defect in one run");
        })
    }));
    assert!(panicked.is_err());
    let nested = tx.savepoint(|tx| {
        create(tx, "fourth")?;
        let inner: Result<(), Error> = tx.savepoint(|tx| {
            create(tx, "fifth")?;
            Err(Error::NotFound { what: "something".into() })
        });
        assert!(inner.is_err());
        Ok::<_, Error>(())
    });
    nested.unwrap();
    tx.commit().unwrap();
    let kept = host.store.read(|tx| tx.pipelines(NamespaceId::DEFAULT, Page::first(10))).unwrap().items;
    let kept: Vec<_> = kept.iter().map(|pipeline| pipeline.id.as_str()).collect();
    assert_eq!(kept, ["first", "fourth"]);
}

#[test]
fn a_transaction_that_is_dropped_leaves_nothing_and_the_writer_goes_on() {
    let mut host = host();
    let mut tx = host.writer.begin().unwrap();
    create(&mut tx, "gone").unwrap();
    assert!(tx.pipeline_by_id(NamespaceId::DEFAULT, &slug("gone")).unwrap().is_some(), "it reads what it wrote");
    drop(tx);
    host.write(|tx| create(tx, "kept")).unwrap();
    let found = |id| host.store.read(|tx| tx.pipeline_by_id(NamespaceId::DEFAULT, &slug(id))).unwrap().is_some();
    assert!(!found("gone") && found("kept"));
}

#[test]
fn a_full_disk_is_said_and_what_was_committed_stays() {
    let mut host = host_with(Options { database_bytes_max: Some(512 * 1024), ..Options::new(NOW) });
    let first = host.write(|tx| event(tx, "{}")).unwrap();
    let text = "x".repeat(10_000);
    let mut tx = host.writer.begin().unwrap();
    let full = (0..1_000).find_map(|_| event(&mut tx, &text).err()).unwrap();
    assert!(matches!(&full, Error::DiskFull { path } if path.ends_with("hostler.db")), "{full:?}");
    assert_eq!(full.kind(), Kind::Unavailable);
    drop(tx);
    let left = host.store.read(|tx| tx.events(Cursor(0), EventFilter::default(), 10)).unwrap();
    assert_eq!(left.iter().map(|event| event.cursor).collect::<Vec<_>>(), [first]);
    host.write(|tx| event(tx, "{}")).unwrap();
}

/// The database gives up the whole transaction when the disk is full; what came after it would be committed by itself.
#[test]
fn a_full_disk_within_a_part_ends_the_transaction_and_nothing_of_it_stays() {
    let mut host = host_with(Options { database_bytes_max: Some(512 * 1024), ..Options::new(NOW) });
    let text = "x".repeat(10_000);
    let mut tx = host.writer.begin().unwrap();
    event(&mut tx, "{}").unwrap();
    let full = tx.savepoint(|tx| (0..1_000).try_for_each(|_| event(tx, &text).map(|_| ())));
    assert!(matches!(full, Err(Error::DiskFull { .. })), "{full:?}");
    assert!(matches!(event(&mut tx, "{}"), Err(Error::TransactionLost { .. })));
    assert!(matches!(tx.savepoint(|_| Ok::<_, Error>(())), Err(Error::TransactionLost { .. })));
    assert!(matches!(tx.commit(), Err(Error::TransactionLost { .. })));
    assert!(host.store.read(|tx| tx.events(Cursor(0), EventFilter::default(), 10)).unwrap().is_empty());
    host.write(|tx| event(tx, "{}")).unwrap();
}

#[test]
fn a_read_sees_one_moment_while_the_writer_goes_on() {
    let mut host = host();
    let store = host.store.clone();
    let seen = store.read(|tx| {
        let before = tx.last_cursor()?;
        host.write(|tx| event(tx, "{}"))?;
        Ok((before, tx.last_cursor()?))
    });
    assert_eq!(seen.unwrap(), (Cursor(0), Cursor(0)));
    assert_eq!(store.read(|tx| tx.last_cursor()).unwrap(), Cursor(1));
}

#[test]
fn a_read_that_finds_no_connection_is_told_so_and_a_panic_gives_its_own_back() {
    let options = Options { read_connections: 1, read_wait: Duration::from_millis(1), ..Options::new(NOW) };
    let host = host_with(options);
    let inner = host.store.read(|_| Ok(host.store.read(|tx| tx.epoch()))).unwrap();
    assert!(matches!(inner, Err(Error::Busy { connections: 1, .. })), "{inner:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| host.store.read(|_| -> Result<(), Error> { panic!("a defect") })));
    assert!(panicked.is_err());
    host.store.read(|tx| tx.epoch()).unwrap();
}

#[test]
fn events_are_read_behind_a_cursor_and_cursors_only_rise() {
    let mut host = host();
    let pipeline = host.pipeline("p");
    let (run, _) = host.run(pipeline);
    let cursors = host.write(|tx| (0..5).map(|_| event(tx, r#"{"n":1}"#)).collect::<Result<Vec<_>, _>>()).unwrap();
    assert!(cursors.is_sorted());
    let read = |after, limit| host.store.read(|tx| tx.events(after, EventFilter::default(), limit)).unwrap();
    assert_eq!(read(Cursor(0), 2).iter().map(|event| event.cursor).collect::<Vec<_>>(), cursors[..2]);
    assert_eq!(read(cursors[1], 10).iter().map(|event| event.cursor).collect::<Vec<_>>(), cursors[2..]);
    let of_run = EventFilter { run: Some(run), ..EventFilter::default() };
    assert!(host.store.read(|tx| tx.events(Cursor(0), of_run, 10)).unwrap().is_empty());
}
