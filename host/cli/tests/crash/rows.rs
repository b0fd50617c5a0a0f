//! The laws that hold for every data folder whose host is stopped, read with plain SQLite so that no code of ours can
//! hide what is wrong.

use crate::ledger::Ledger;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// A name, and a query that must find nothing.
const LAWS: &[(&str, &str)] = &[
    ("a run is not over", "SELECT key FROM run WHERE ended_at IS NULL"),
    ("an attempt is not over", "SELECT run_key FROM attempt WHERE status <> 'ended'"),
    (
        "a task of a finished run is not over",
        "SELECT run_key FROM task WHERE status NOT IN ('success', 'failed', 'skipped', 'cancelled')",
    ),
    (
        "attempts are not numbered from one without a gap",
        "SELECT run_key FROM attempt GROUP BY run_key, task, item HAVING count(*) <> max(attempt) OR min(attempt) <> 1",
    ),
    (
        "a later attempt has an earlier epoch",
        "SELECT a.run_key FROM attempt a JOIN attempt b USING (run_key, task, item)
         WHERE a.attempt < b.attempt AND a.epoch > b.epoch",
    ),
    (
        "a run ended twice, or without an event",
        "SELECT run.key FROM run LEFT JOIN event ON event.run_key = run.key
            AND event.kind IN ('run.success', 'run.failed', 'run.cancelled', 'run.timed_out')
         GROUP BY run.key HAVING count(event.cursor) <> 1",
    ),
    (
        "a task ended twice",
        "SELECT run_key FROM event WHERE kind IN ('task.success', 'task.failed', 'task.skipped', 'task.cancelled')
         GROUP BY run_key, task, item HAVING count(*) <> 1",
    ),
    (
        "a fire started two runs",
        "SELECT key FROM run WHERE subscription_id IS NOT NULL GROUP BY subscription_id, fire_at HAVING count(*) > 1",
    ),
    (
        "a run belongs to no fire",
        "SELECT key FROM run LEFT JOIN fire ON fire.subscription_id = run.subscription_id AND fire.at = run.fire_at
         WHERE run.subscription_id IS NOT NULL AND fire.at IS NULL",
    ),
    (
        "a fire that started has no run",
        "SELECT at FROM fire LEFT JOIN run ON run.subscription_id = fire.subscription_id AND run.fire_at = fire.at
         WHERE fire.decision = 'start' AND run.key IS NULL",
    ),
    ("a fire is not over", "SELECT at FROM fire WHERE status = 'open'"),
    (
        "an instant between two fires was forgotten",
        "SELECT at FROM (SELECT at, lag(at) OVER (PARTITION BY subscription_id ORDER BY at) AS before FROM fire)
         WHERE at - before <> 1000",
    ),
    ("two runs have one key", "SELECT key FROM run WHERE subscription_id IS NULL GROUP BY summary HAVING count(*) > 1"),
];

pub(crate) struct Counted {
    pub(crate) runs: i64,
    pub(crate) fires: i64,
    pub(crate) attempts: i64,
    pub(crate) lost: i64,
    pub(crate) transitions: usize,
    /// Starts of attempts that left a mark.
    pub(crate) marked: usize,
}

/// The published state machine: what may follow what. The first of each line is where it begins or comes from.
const RUN_MOVES: &[(&str, &[&str])] = &[
    ("queued", &["running", "cancelling"]),
    ("running", &["success", "failed", "cancelling"]),
    ("cancelling", &["cancelled", "timed_out", "failed"]),
];
const TASK_MOVES: &[(&str, &[&str])] = &[
    ("pending", &["starting", "success", "skipped", "cancelled"]),
    ("starting", &["running", "success", "failed", "backoff", "stopping", "cancelling"]),
    ("running", &["success", "failed", "backoff", "stopping", "cancelling"]),
    ("stopping", &["failed", "backoff", "cancelling"]),
    ("backoff", &["starting", "cancelled"]),
    ("cancelling", &["cancelled"]),
];

/// Follows the events of each run and each task from state to state; answers how many moves there were.
fn moves_are_legal(database: &Connection) -> usize {
    let sql = "SELECT coalesce(run_key, 0), coalesce(task, -1), kind, coalesce(attempt, 0) FROM event
               WHERE run_key IS NOT NULL AND (kind LIKE 'run.%' OR kind LIKE 'task.%') ORDER BY run_key, task, cursor";
    let mut statement = database.prepare(sql).expect("the query is good");
    let mut rows = statement.query([]).expect("it runs");
    let (mut before, mut state, mut last, mut count) = ((0, 0), String::new(), 0, 0);
    while let Some(row) = rows.next().expect("a row") {
        let read =
            || Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?));
        let (run, task, kind, attempt): (i64, i64, String, i64) = read().expect("numbers and a text");
        let (noun, to) = kind.split_once('.').expect("a noun and a verb");
        if (run, task) != before {
            (before, last) = ((run, task), 0);
            state = if noun == "run" { "queued".into() } else { "pending".into() };
        }
        let table = if noun == "run" { RUN_MOVES } else { TASK_MOVES };
        let may = table.iter().find(|(from, _)| *from == state).map_or(&[][..], |(_, to)| to);
        assert!(may.contains(&to), "run {run}, task {task}: {state} -> {to} is no legal move");
        assert!(attempt == 0 || attempt >= last, "run {run}, task {task}: attempt {attempt} came after {last}");
        (state, last, count) = (to.to_owned(), attempt.max(last), count + 1);
    }
    count
}

/// Checks all laws and answers how much they were checked on.
pub(crate) fn check(data: &Path, ledger: &Ledger, marks: &Path) -> Counted {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let database = Connection::open_with_flags(data.join("hostler.db"), flags).expect("the database opens");
    let one = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a row");
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    assert_eq!(found(&database, "PRAGMA foreign_key_check"), 0, "a row points to nothing");
    for (broken, query) in LAWS {
        let count = found(&database, query);
        assert_eq!(count, 0, "{broken}: {count} times");
    }
    let mut by_summary = database.prepare("SELECT count(*) FROM run WHERE summary = ?1").expect("prepared");
    for key in ledger.keys() {
        let runs: i64 = by_summary.query_row([&key], |row| row.get(0)).expect("a count");
        // Those of one pipeline go.
        let may_be_gone = runs == 0 && ledger.pipeline_of(&key) == "brief";
        assert!(runs == 1 || may_be_gone, "{runs} runs of key {key}");
    }
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    Counted {
        runs: count("SELECT count(*) FROM run"),
        fires: count("SELECT count(*) FROM fire"),
        attempts: count("SELECT count(*) FROM attempt"),
        lost: count("SELECT count(*) FROM attempt WHERE exit LIKE '%lost%'"),
        transitions: moves_are_legal(&database),
        marked: crate::marks::check(marks, &database),
    }
}

fn found(database: &Connection, query: &str) -> usize {
    let mut statement = database.prepare(query).expect("the query is good");
    let mut rows = statement.query([]).expect("it runs");
    let mut count = 0;
    while rows.next().expect("a row").is_some() {
        count += 1;
    }
    count
}
