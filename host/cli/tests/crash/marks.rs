//! Marks that attempts have left outside the data folder: each once, and each with its row.

use rusqlite::Connection;
use std::collections::HashSet;
use std::path::Path;

/// Checks all marks and answers how many there are. Runs of pipelines whose runs go are not marked.
pub(crate) fn check(marks: &Path, database: &Connection) -> usize {
    let text = std::fs::read_to_string(marks).unwrap_or_default();
    let mut seen = HashSet::new();
    let sql = "SELECT count(*) FROM attempt JOIN run ON run.key = attempt.run_key
               WHERE run.id = unhex(replace(?1, '-', '')) AND attempt.attempt = ?2";
    let mut row = database.prepare(sql).expect("the query is good");
    for line in text.lines() {
        assert!(seen.insert(line), "a start was done twice: {line}");
        let mut words = line.split(' ');
        let (run, attempt) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        let count: i64 = row.query_row((run, attempt), |row| row.get(0)).expect("a count");
        assert!(count > 0, "a start has no row: {line}");
    }
    // What has ended well was begun.
    let sql = "SELECT lower(hex(run.id)), pipeline.id, attempt.task, attempt.attempt
               FROM attempt JOIN run ON run.key = attempt.run_key JOIN pipeline ON pipeline.key = run.pipeline_key
               WHERE pipeline.id IN ('chain', 'chatty') AND json_extract(attempt.exit, '$.code') = 0";
    let mut ended = database.prepare(sql).expect("the query is good");
    let mut rows = ended.query([]).expect("it runs");
    while let Some(row) = rows.next().expect("a row") {
        let read =
            || Ok::<_, rusqlite::Error>((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?));
        let (id, pipeline, task, attempt): (String, String, u32, u32) = read().expect("text and numbers");
        let names: &[&str] = if pipeline == "chain" { &["a", "b", "c"] } else { &["talk"] };
        let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        let line = format!("{uuid} {} {attempt}", names[task as usize]);
        assert!(seen.contains(line.as_str()), "an attempt ended well and never began: {line}");
    }
    seen.len()
}
