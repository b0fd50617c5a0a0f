//! The file itself: spellings, old schemas, and that what was released is never edited.

use crate::support::{NOW, host};
use hostler_model::{CancelReason, RunStatus, TaskStatus};
use hostler_store::{
    AttemptStatus, CatchUp, Cursor, EventFilter, FireDecision, FireStatus, NamespaceId, Options, Overlap, Page,
    PluginStatus, RunFilter, Store, SubscriptionStatus, Trust,
};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::Path;

fn table(database: &Connection, name: &str) -> String {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    database.query_row(sql, [name], |row| row.get(0)).unwrap()
}

/// The words that the first `CHECK` of a column lets in.
fn checked(database: &Connection, name: &str, column: &str) -> BTreeSet<String> {
    let sql = table(database, name);
    if let Some(start) = sql.find(&format!("{column} IN (")) {
        let list = &sql[start..][sql[start..].find('(').unwrap() + 1..];
        let list = &list[..list.find(')').unwrap()];
        return list.split(',').map(|word| word.trim().trim_matches('\'').to_string()).collect();
    }
    let first = sql.split("CHECK (").find(|check| check.trim_start().starts_with(&format!("{column} = '")));
    let check = first.unwrap_or_else(|| panic!("{name}.{column} has no CHECK"));
    let is = format!("{column} = '");
    let words = check[..check.find(')').unwrap()].split(&is).skip(1);
    words.map(|rest| rest[..rest.find('\'').unwrap()].to_string()).collect()
}

#[test]
fn the_checks_know_the_same_words_as_the_enums() {
    let host = host();
    let database = Connection::open(host.dir.path().join("hostler.db")).unwrap();
    let check = |name: &str, column: &str, words: &[&str]| {
        let words: BTreeSet<_> = words.iter().map(ToString::to_string).collect();
        assert_eq!(checked(&database, name, column), words, "{name}.{column}");
    };
    macro_rules! words {
        ($type:ident) => {
            $type::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>()
        };
    }
    let tasks: Vec<_> = words!(TaskStatus).into_iter().filter(|word| *word != "pending").collect();
    check("run", "status", &words!(RunStatus));
    check("run", "cancel_reason", &words!(CancelReason));
    check("run", "trust", &words!(Trust));
    check("task", "status", &tasks);
    check("attempt", "status", &words!(AttemptStatus));
    check("subscription", "status", &words!(SubscriptionStatus));
    check("plugin", "status", &words!(PluginStatus));
    check("subscription", "overlap", &words!(Overlap));
    check("subscription", "catch_up", &words!(CatchUp));
    check("fire", "decision", &words!(FireDecision));
    check("fire", "status", &words!(FireStatus));
    let actors = ["token", "subscription", "host"];
    for (name, column) in [("version", "actor_kind"), ("subscription", "actor_kind"), ("event", "actor_kind")] {
        check(name, column, &actors);
    }
    check("run", "created_by_kind", &actors);
    check("run", "cancelled_by_kind", &actors);
    let open: Vec<_> = RunStatus::ALL.iter().filter(|status| !status.is_terminal()).map(|s| s.as_str()).collect();
    let sql: String =
        database.query_row("SELECT sql FROM sqlite_schema WHERE name = 'run_open'", [], |row| row.get(0)).unwrap();
    assert!(open.iter().all(|word| sql.contains(&format!("'{word}'"))) && sql.matches('\'').count() == 2 * open.len());
}

fn shape(database: &Connection) -> BTreeSet<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    // The dump may quote names and break lines in its own way.
    let plain = |sql: String| sql.replace('"', "").split_whitespace().collect::<Vec<_>>().join(" ");
    rows.map(|sql| plain(sql.unwrap())).collect()
}

fn restore(dump: &str, dir: &Path) {
    Connection::open(dir.join("hostler.db")).unwrap().execute_batch(dump).unwrap();
    std::fs::write(dir.join("key"), [7; 32]).unwrap();
}

/// One for each released schema; they are never edited.
const DUMPS: [&str; 4] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

#[test]
fn every_old_schema_opens_with_its_rows_and_becomes_the_newest() {
    let newest = {
        let host = host();
        shape(&Connection::open(host.dir.path().join("hostler.db")).unwrap())
    };
    for (older, dump) in DUMPS.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        restore(dump, dir.path());
        let opened = Store::open(dir.path(), Options::new(NOW)).unwrap();
        let schema = older as u32 + 1;
        let is_newest = schema == DUMPS.len() as u32;
        assert_eq!(opened.migrated_from, (!is_newest).then_some(schema));
        assert_eq!(dir.path().join("backups").exists(), !is_newest);
        assert_eq!(shape(&Connection::open(dir.path().join("hostler.db")).unwrap()), newest);
        assert_eq!(opened.epoch.0, 5);
        let check: String = Connection::open(dir.path().join("hostler.db"))
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        let (runs, pipelines, events) = opened
            .store
            .read(|tx| {
                let runs = tx.runs(RunFilter::default(), Page::first(10))?.items;
                let pipelines = tx.pipelines(NamespaceId::DEFAULT, Page::first(10))?.items;
                Ok((runs, pipelines, tx.events(Cursor(0), EventFilter::default(), 10)?))
            })
            .unwrap();
        assert_eq!((runs.len(), pipelines.len(), events.len()), (2, 1, 1));
        assert_eq!((runs[0].status, runs[1].status), (RunStatus::Running, RunStatus::Success));
    }
}

/// What the host of the first schema has made by `hostler backup create`: a failed run of two tasks, an open one, fires
/// of a subscription. Never edited: what can be restored today can be restored for ever.
const FIRST_BACKUP: &[u8] = include_bytes!("backup-1.tar");

#[test]
fn the_first_backup_restores_and_its_database_becomes_the_newest() {
    let outside = tempfile::tempdir().unwrap();
    let (file, dir) = (outside.path().join("backup-1.tar"), outside.path().join("data"));
    std::fs::write(&file, FIRST_BACKUP).unwrap();
    let restored = Store::restore_backup(&file, &dir, NOW).unwrap();
    assert_eq!((restored.info.schema, restored.info.logs), (1, 2));
    let opened = Store::open(&dir, Options::new(NOW)).unwrap();
    assert_eq!(opened.epoch.0, 2);
    assert_eq!(shape(&Connection::open(dir.join("hostler.db")).unwrap()), {
        let host = host();
        shape(&Connection::open(host.dir.path().join("hostler.db")).unwrap())
    });
    let runs = opened.store.read(|tx| tx.runs(RunFilter::default(), Page::first(100))).unwrap().items;
    assert_eq!(runs.len() as u64, restored.info.runs);
    let failed = runs.iter().find(|run| run.status == RunStatus::Failed).unwrap();
    let records = opened.store.logs().reader(failed.id, 0, hostler_store::LogFilter::default()).unwrap();
    let text: Vec<u8> = records.flat_map(|record| record.unwrap().1.bytes).collect();
    assert_eq!(String::from_utf8_lossy(&text), "hello from the first database\nagain\nagain\n");
    assert!(runs.iter().any(|run| run.status == RunStatus::Running));
    let fires = opened.store.read(|tx| tx.fires(hostler_model::SubscriptionId(1), Page::first(10))).unwrap().items;
    assert!(fires.iter().all(|fire| fire.decision == FireDecision::Start) && !fires.is_empty());
}
