//! Output of tasks: one append-only file per run, made at the first byte, in records that a checksum closes.
//!
//! Invariants: order is exact within a stream of an attempt; a record is written by one call and read whole or not at all;
//! a cursor is an offset behind a record, so a follower that goes on from it sees nothing twice and misses nothing; what a
//! limit keeps out is marked in the log, once. Must not know: what a task prints, who reads it.

use crate::Error;
use hostler_model::{LogExtent, RunId, TaskIndex, Timestamp};
use std::sync::Arc;

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
pub struct Logs {}

impl Logs {
    /// The same log for the same run, however often it is asked for.
    pub fn append(&self, run: RunId) -> RunLog {
        todo!()
    }

    /// Reads from an offset that a reader gave (0: from the beginning). A run without output is an empty log.
    pub fn reader(&self, run: RunId, from: u64, filter: LogFilter) -> Result<LogReader, Error> {
        todo!()
    }

    /// A log that is not there is no error.
    pub fn delete(&self, run: RunId) -> Result<(), Error> {
        todo!()
    }
}

/// The log of one run, for writing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RunLog {
    inner: Arc<()>,
}

impl RunLog {
    /// Written when it returns (a reader sees it), durable after `sync`. Streams of tasks stop at the limits, what the host
    /// says is always kept.
    pub fn write(
        &self,
        source: LogSource,
        stream: LogStream,
        at: Timestamp,
        bytes: &[u8],
    ) -> Result<LogWritten, Error> {
        todo!()
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> Result<(), Error> {
        todo!()
    }

    /// Where an attempt's records lie so far.
    pub fn extent(&self, source: LogSource) -> Result<LogExtent, Error> {
        todo!()
    }

    /// `sync`, then the attempt's extent; what was remembered about the attempt is forgotten.
    pub fn finish(&self, source: LogSource) -> Result<LogExtent, Error> {
        todo!()
    }

    /// Output bytes kept, of all attempts.
    pub fn bytes(&self) -> Result<u64, Error> {
        todo!()
    }
}

/// Gives records with the offset behind each. After None it can be asked again, for what was written since.
#[derive(Debug)]
pub struct LogReader {}

impl LogReader {
    /// Where to go on: behind the last whole record that was looked at, also where the filter passed it over.
    pub fn offset(&self) -> u64 {
        todo!()
    }
}

impl Iterator for LogReader {
    type Item = Result<(u64, LogRecord), Error>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
