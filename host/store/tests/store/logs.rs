//! Logs: nothing twice, nothing missed, nothing cut silently.

use crate::support::{NOW, host, host_with};
use hostler_model::{RunId, TaskIndex};
use hostler_store::{
    LOG_CHUNK_MAX, LogFilter, LogLimits, LogRecord, LogSource, LogStream, Logs, Options, RunLog, Store,
};
use std::path::{Path, PathBuf};

const RUN: RunId = RunId(uuid::Uuid::from_u128(0x1234));
const ALL: LogFilter = LogFilter { task: None, item: None, attempt: None, stream: None };

fn source(task: u32) -> LogSource {
    LogSource { task: TaskIndex(task), item: 0, attempt: 1 }
}

fn say(log: &RunLog, task: u32, text: &str) {
    log.write(source(task), LogStream::Stdout, NOW, text.as_bytes()).unwrap();
}

fn read(logs: &Logs, filter: LogFilter) -> Vec<LogRecord> {
    logs.reader(RUN, 0, filter).unwrap().map(|record| record.unwrap().1).collect()
}

fn text(records: &[LogRecord]) -> String {
    records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()).collect()
}

fn file(dir: &Path) -> PathBuf {
    dir.join("logs/34").join(format!("{}.log", RUN.0.simple()))
}

#[test]
fn a_log_is_made_at_the_first_byte_and_reads_back_in_order() {
    let host = host();
    let logs = host.store.logs();
    let log = logs.append(RUN);
    assert!(!host.dir.path().join("logs").exists());
    assert!(read(logs, ALL).is_empty());
    say(&log, 0, "one ");
    say(&log, 1, "two ");
    say(&logs.append(RUN), 0, "three");
    let records = read(logs, ALL);
    assert_eq!(text(&records), "one two three");
    assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(text(&read(logs, LogFilter { task: Some(TaskIndex(1)), ..ALL })), "two ");
    let extent = log.finish(source(0)).unwrap();
    assert_eq!((extent.first, extent.bytes, extent.dropped), (0, 9, 0));
    assert_eq!(extent.end, std::fs::metadata(file(host.dir.path())).unwrap().len());
    assert_eq!(log.bytes().unwrap(), 13);
    logs.delete(RUN).unwrap();
    logs.delete(RUN).unwrap();
    assert!(!file(host.dir.path()).exists());
}

#[test]
fn a_follower_goes_on_from_its_offset_with_no_gap_and_no_repeat() {
    let host = host();
    let (logs, log) = (host.store.logs(), host.store.logs().append(RUN));
    let mut reader = logs.reader(RUN, 0, LogFilter { task: Some(TaskIndex(0)), ..ALL }).unwrap();
    let (mut seen, mut resumed) = (String::new(), String::new());
    for n in 0..40 {
        say(&log, n % 2, &format!("{n} "));
        seen.extend(reader.by_ref().map(|record| text(&[record.unwrap().1])));
        let from = reader.offset();
        // Another follower that begins where the first one stands sees what comes next and nothing else.
        let rest = logs.reader(RUN, from, ALL).unwrap().count();
        assert_eq!(rest, 0);
        resumed.push_str(if n % 2 == 0 { "x" } else { "" });
    }
    assert_eq!(seen.split_whitespace().count(), resumed.len());
    let all: Vec<_> = logs.reader(RUN, 0, ALL).unwrap().map(|record| record.unwrap().0).collect();
    let half = logs.reader(RUN, all[19], ALL).unwrap().map(|record| record.unwrap().0).collect::<Vec<_>>();
    assert_eq!(half, all[20..]);
}

#[test]
fn a_torn_tail_is_not_shown_and_is_cut_off_before_the_next_byte() {
    for garbage in [&b"HLR1\x05\0"[..], &[0; 100], b"HLR1 something that is no header at all, and long enough"] {
        let host = host();
        let log = host.store.logs().append(RUN);
        say(&log, 0, "kept ");
        say(&log, 0, "also kept ");
        drop(log);
        let path = file(host.dir.path());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole, garbage].concat()).unwrap();
        let dir = host.dir;
        drop((host.store, host.writer));

        let opened = Store::open(dir.path(), Options::new(NOW)).unwrap();
        let logs = opened.store.logs();
        assert_eq!(text(&read(logs, ALL)), "kept also kept ");
        let mut reader = logs.reader(RUN, 0, ALL).unwrap();
        assert_eq!(reader.by_ref().count(), 2);
        assert_eq!(reader.rest().unwrap(), garbage.len() as u64);
        let log = logs.append(RUN);
        assert_eq!(log.extent(source(0)).unwrap().bytes, 15);
        say(&log, 0, "and on");
        assert_eq!(text(&read(logs, ALL)), "kept also kept and on");
        assert_eq!(read(logs, ALL).iter().map(|r| r.sequence).collect::<Vec<_>>(), [0, 1, 2]);
        // A follower that stood before the torn tail sees what took its place.
        assert_eq!(text(&[reader.next().unwrap().unwrap().1]), "and on");
    }
}

#[test]
fn every_cut_through_the_last_record_leaves_the_ones_before_it() {
    let host = host();
    let log = host.store.logs().append(RUN);
    say(&log, 0, "whole");
    let end = log.extent(source(0)).unwrap().end;
    say(&log, 0, "cut");
    let path = file(host.dir.path());
    let bytes = std::fs::read(&path).unwrap();
    for length in end..bytes.len() as u64 {
        std::fs::write(&path, &bytes[..length as usize]).unwrap();
        assert_eq!(text(&read(host.store.logs(), ALL)), "whole", "{length}");
    }
    for damaged in end as usize..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[damaged] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(text(&read(host.store.logs(), ALL)), "whole", "{damaged}");
    }
}

#[test]
fn a_limit_keeps_the_rest_out_and_says_so_once_also_after_a_restart() {
    let limits = LogLimits { run_bytes_max: 25, attempt_bytes_max: 10, open_files_max: 2 };
    let options = Options { logs: limits, ..Options::new(NOW) };
    let host = host_with(options.clone());
    let log = host.store.logs().append(RUN);
    say(&log, 0, "12345678");
    let written = log.write(source(0), LogStream::Stderr, NOW, b"90abc").unwrap();
    assert_eq!((written.kept, written.dropped), (2, 3));
    say(&log, 0, "def");
    say(&log, 1, "1234567890");
    log.write(source(2), LogStream::Stdout, NOW, b"123456789").unwrap();
    say(&log, 3, "more");
    log.write(source(3), LogStream::Host, NOW, b"could not be started\n").unwrap();
    let extents = [0, 1, 2, 3].map(|task| log.extent(source(task)).unwrap());
    assert_eq!(extents.map(|extent| (extent.bytes, extent.dropped)), [(10, 6), (10, 0), (5, 4), (0, 4)]);
    let said = "12345678|90|the output of this attempt reached its limit of 10 bytes; the rest is not kept\n\
                |1234567890|12345|the output of this run reached its limit of 25 bytes; the rest is not kept\n\
                |could not be started\n";
    let records = read(host.store.logs(), ALL);
    assert_eq!(records.iter().map(|r| text(std::slice::from_ref(r))).collect::<Vec<_>>().join("|"), said);
    let dir = host.dir;
    drop((log, host.store, host.writer));
    let opened = Store::open(dir.path(), options).unwrap();
    let log = opened.store.logs().append(RUN);
    say(&log, 0, "more");
    say(&log, 1, "more");
    assert_eq!(log.bytes().unwrap(), 25);
    let records = read(opened.store.logs(), ALL);
    let marks =
        |task| records.iter().filter(|r| r.source == source(task) && r.bytes.starts_with(b"the output")).count();
    assert_eq!([marks(0), marks(1), marks(2)], [1, 1, 1]);
}

#[test]
fn long_output_is_split_and_more_runs_write_than_files_stay_open() {
    let limits = LogLimits { open_files_max: 2, ..LogLimits::default() };
    let host = host_with(Options { logs: limits, ..Options::new(NOW) });
    let logs = host.store.logs();
    let runs: Vec<_> = (0..10).map(|n| logs.append(RunId(uuid::Uuid::from_u128(n)))).collect();
    let long = vec![b'x'; 2 * LOG_CHUNK_MAX + 1];
    for _ in 0..2 {
        runs.iter().for_each(|log| {
            log.write(source(0), LogStream::Stdout, NOW, &long).unwrap();
        });
    }
    runs.iter().for_each(|log| log.sync().unwrap());
    for n in 0..10 {
        let records = logs.reader(RunId(uuid::Uuid::from_u128(n)), 0, ALL).unwrap();
        let lengths: Vec<_> = records.map(|record| record.unwrap().1.bytes.len()).collect();
        assert_eq!(lengths, [LOG_CHUNK_MAX, LOG_CHUNK_MAX, 1, LOG_CHUNK_MAX, LOG_CHUNK_MAX, 1]);
    }
}

#[test]
fn an_offset_that_no_reader_gave_is_refused_rather_than_waited_at() {
    let host = host();
    let (logs, log) = (host.store.logs(), host.store.logs().append(RUN));
    (0..3).for_each(|n| say(&log, n, "a line of some length, so that a header would fit into it"));
    let good: Vec<_> = logs.reader(RUN, 0, ALL).unwrap().map(|record| record.unwrap().0).collect();
    for from in 1..good[1] {
        let first = logs.reader(RUN, from, ALL).unwrap().next().unwrap();
        assert_eq!(first.is_ok(), good.contains(&from), "{from}: {first:?}");
    }
    assert!(logs.reader(RUN, good[2], ALL).unwrap().next().is_none());
}

#[test]
fn a_log_that_was_deleted_begins_anew() {
    let host = host();
    let logs = host.store.logs();
    let old = logs.append(RUN);
    say(&old, 0, "old");
    logs.delete(RUN).unwrap();
    say(&logs.append(RUN), 0, "new");
    assert_eq!(text(&read(logs, ALL)), "new");
}

#[test]
fn bytes_that_the_log_says_are_missing_count_as_kept_also_after_a_restart() {
    let host = host();
    let log = host.store.logs().append(RUN);
    say(&log, 0, "12345");
    log.miss(source(0), LogStream::Stdout, NOW, 700).unwrap();
    say(&log, 0, "67");
    // What a task writes is no word of the host.
    say(&log, 1, "9 bytes of output are missing here, of stdout: the disk did not take them\n");
    let kept = |log: &RunLog| {
        let kept = [0, 1].map(|task| log.kept(source(task)).unwrap());
        kept.map(|kept| (kept.stdout.bytes, kept.stderr.bytes))
    };
    let expected = [(707, 0), (74, 0)];
    assert_eq!(kept(&log), expected);
    let told = text(&read(host.store.logs(), LogFilter { task: Some(TaskIndex(0)), ..ALL }));
    assert_eq!(told, "12345700 bytes of output are missing here, of stdout: the disk did not take them\n67");
    let dir = host.dir;
    drop((log, host.store, host.writer));
    let opened = Store::open(dir.path(), Options::new(NOW)).unwrap();
    assert_eq!(kept(&opened.store.logs().append(RUN)), expected);
}
