//! Output of tasks: one append-only file per run, made at the first byte, in records that a checksum closes.
//!
//! Invariants: order is exact within a stream of an attempt; a record is written by one call and read whole or not at
//! all; a cursor is an offset behind a record, so a follower that goes on from it sees nothing twice and misses
//! nothing; what a limit keeps out is marked in the log, once. Must not know: what a task prints, who reads it.

mod files;
mod reader;
mod record;
mod writer;

pub use reader::LogReader;
pub use writer::RunLog;

use crate::Error;
use files::Files;
use hostler_model::{RunId, TaskIndex, Timestamp};
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The longest payload of a record; what is longer is written as several.
pub const LOG_CHUNK_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogStream {
    Stdout,
    Stderr,
    /// Said by the host about the attempt.
    Host,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLimits {
    pub run_bytes_max: u64,
    pub attempt_bytes_max: u64,
    /// Files kept open for writing at once; more runs than that may write.
    pub open_files_max: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { run_bytes_max: 1 << 30, attempt_bytes_max: 256 << 20, open_files_max: 256 }
    }
}

/// Whose output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogSource {
    pub task: TaskIndex,
    pub item: u32,
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogRecord {
    pub source: LogSource,
    /// Counts the records of one attempt from 0.
    pub sequence: u64,
    pub stream: LogStream,
    pub at: Timestamp,
    pub bytes: Vec<u8>,
}

/// What became of the bytes of one write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogWritten {
    /// Offset behind the last record of the file.
    pub end: u64,
    pub kept: u64,
    pub dropped: u64,
}

/// What of an attempt's output is in the log: where an executor that kept more has to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogKept {
    pub stdout: LogKeptStream,
    pub stderr: LogKeptStream,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogKeptStream {
    pub bytes: u64,
    /// The time of the last record, and how many bytes the records of that time have together.
    pub last: Option<Timestamp>,
    pub bytes_at_last: u64,
}

impl LogKept {
    fn of(&mut self, stream: LogStream) -> Option<&mut LogKeptStream> {
        match stream {
            LogStream::Stdout => Some(&mut self.stdout),
            LogStream::Stderr => Some(&mut self.stderr),
            LogStream::Host => None,
        }
    }

    /// Bytes that the log says are missing.
    fn miss(&mut self, stream: LogStream, bytes: u64) {
        if let Some(kept) = self.of(stream) {
            kept.bytes += bytes;
        }
    }

    fn count(&mut self, stream: LogStream, at: Timestamp, bytes: u64) {
        let Some(kept) = self.of(stream) else { return };
        kept.bytes += bytes;
        kept.bytes_at_last = if kept.last == Some(at) { kept.bytes_at_last + bytes } else { bytes };
        kept.last = Some(at);
    }
}

/// All that is set must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogFilter {
    pub task: Option<TaskIndex>,
    pub item: Option<u32>,
    pub attempt: Option<u32>,
    pub stream: Option<LogStream>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limits: LogLimits,
    files: Arc<Files>,
    /// One writer a run: two would write over each other.
    live: Mutex<HashMap<RunId, Weak<writer::Inner>>>,
}

impl Logs {
    pub(crate) fn open(dir: PathBuf, limits: LogLimits) -> Self {
        let files = Arc::new(Files::new(limits.open_files_max));
        Self { inner: Arc::new(Inner { dir, limits, files, live: Mutex::default() }) }
    }

    /// The same log for the same run, however often it is asked for.
    pub fn append(&self, run: RunId) -> RunLog {
        let mut live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = live.get(&run).and_then(Weak::upgrade) {
            return RunLog { inner };
        }
        // Those that are gone are swept out when the map would grow, so that it stays as large as what is in use.
        if live.len() == live.capacity() {
            live.retain(|_, log| log.strong_count() > 0);
        }
        let log = RunLog::new(run, self.path(run), self.inner.limits, self.inner.files.clone());
        live.insert(run, Arc::downgrade(&log.inner));
        log
    }

    /// Reads from an offset that a reader gave (0: from the beginning; another is an error once it is read). A run
    /// without output is an empty log.
    pub fn reader(&self, run: RunId, from: u64, filter: LogFilter) -> Result<LogReader, Error> {
        Ok(LogReader::new(self.path(run), from, filter))
    }

    /// Of a run that is over. A log that is not there is no error.
    pub fn delete(&self, run: RunId) -> Result<(), Error> {
        let path = self.path(run);
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        self.inner.files.close(run);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io("delete", &path, source)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub fn exists(&self, run: RunId) -> bool {
        self.path(run).exists()
    }

    /// Removes the logs of runs that are not known any more; answers how many. A run that can write has its row first.
    pub fn sweep(&self, known: impl Fn(RunId) -> Result<bool, Error>) -> Result<u64, Error> {
        let dir = &self.inner.dir;
        let fail = |source| Error::io("look into", dir, source);
        let mut removed = 0;
        for folder in entries(dir).map_err(fail)? {
            for path in entries(&folder).map_err(fail)? {
                let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
                let Ok(run) = name.parse::<RunId>() else { continue };
                if self.path(run) == path && !known(run)? {
                    self.delete(run)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// How much of a run's log these attempts have written, up to the first record of another.
    pub(crate) fn bytes_of(&self, run: RunId, sources: &HashSet<LogSource>) -> Result<u64, Error> {
        let mut reader = LogReader::new(self.path(run), 0, LogFilter::default());
        let mut end = 0;
        while let Some((header, _)) = reader.advance()? {
            if !sources.contains(&header.source) {
                break;
            }
            end = reader.offset();
        }
        Ok(end)
    }

    pub(crate) fn path(&self, run: RunId) -> PathBuf {
        path_in(&self.inner.dir, run)
    }
}

/// What a folder holds; nothing where it is no folder or is not there.
fn entries(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// The only place that makes a path of a log. The last two digits are random in a version 7 id, so that 256 folders
/// share the files evenly.
pub(crate) fn path_in(dir: &Path, run: RunId) -> PathBuf {
    let name = run.0.simple().to_string();
    dir.join(&name[name.len() - 2..]).join(format!("{name}.log"))
}
