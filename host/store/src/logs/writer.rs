//! Writing a run's log: one handle a run, however many tasks write to it; the file is opened when it is needed.
//!
//! A write that fails leaves the file as it was. A file that is found (after a restart) is read once, to cut a torn
//! tail and to know what each attempt has kept.

use super::reader::LogReader;
use super::record::{HEADER_BYTES, Header, encode};
use super::{LOG_CHUNK_MAX, LogFilter, LogKept, LogLimits, LogSource, LogStream, LogWritten, files::Files};
use crate::{Error, folder};
use hostler_model::{LogExtent, RunId, Timestamp};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log of one run, for writing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RunLog {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    run: RunId,
    path: PathBuf,
    limits: LogLimits,
    files: Arc<Files>,
    tail: Mutex<Tail>,
    /// Up to where the file is durable. Held by the one who syncs, while others go on writing.
    synced: Mutex<u64>,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct Tail {
    /// The file was looked at, or made.
    known: bool,
    end: u64,
    /// Rises with each write.
    written: u64,
    /// Output bytes of all attempts.
    bytes: u64,
    /// The run's limit has been marked.
    marked: bool,
    attempts: HashMap<LogSource, Tally>,
    /// Records on their way into the file; kept for its memory.
    buffer: Vec<u8>,
}

/// What one attempt has written.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sequence: u64,
    kept: LogKept,
    extent: LogExtent,
    any: bool,
    /// The attempt's limit has been marked.
    marked: bool,
}

impl RunLog {
    pub(super) fn new(run: RunId, path: PathBuf, limits: LogLimits, files: Arc<Files>) -> Self {
        Self { inner: Arc::new(Inner { run, path, limits, files, tail: Mutex::default(), synced: Mutex::default() }) }
    }

    /// Written when it returns (a reader sees it), durable after `sync`. Streams of tasks stop at the limits, what the
    /// host says is always kept.
    pub fn write(
        &self,
        source: LogSource,
        stream: LogStream,
        at: Timestamp,
        bytes: &[u8],
    ) -> Result<LogWritten, Error> {
        let mut tail = self.tail()?;
        let limits = self.inner.limits;
        let mut tally = tail.attempts.get(&source).copied().unwrap_or_default();
        let room = tail.room(&tally, stream, limits);
        let kept = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let dropped = (bytes.len() - kept) as u64;
        let mark = (dropped > 0).then(|| tail.mark(&tally, kept as u64, limits)).flatten();
        let mut buffer = std::mem::take(&mut tail.buffer);
        buffer.clear();
        let mut record = |stream, payload: &[u8]| {
            encode(Header { source, sequence: tally.sequence, stream, at }, payload, &mut buffer);
            tally.sequence += 1;
        };
        bytes[..kept].chunks(LOG_CHUNK_MAX).for_each(|chunk| record(stream, chunk));
        mark.iter().for_each(|mark| record(LogStream::Host, mark.text().as_bytes()));
        let written = self.put(&mut tail, &buffer);
        let length = buffer.len() as u64;
        // A long write must not keep its memory for the rest of the run.
        buffer.shrink_to(2 * (LOG_CHUNK_MAX + HEADER_BYTES));
        tail.buffer = buffer;
        written?;
        if kept > 0 {
            tally.kept.count(stream, at, kept as u64);
        }
        tail.count(source, tally, stream, length, kept as u64, dropped, mark);
        Ok(LogWritten { end: tail.end, kept: kept as u64, dropped })
    }

    /// Says in the log that so many bytes of a stream are not in it, though the task has written them. They count as
    /// kept: whoever goes on with the attempt must not take them a second time, behind later ones.
    pub fn miss(&self, source: LogSource, stream: LogStream, at: Timestamp, bytes: u64) -> Result<LogWritten, Error> {
        let text = format!("{bytes}{MISSING}{}: the disk did not take them\n", word(stream));
        let written = self.write(source, LogStream::Host, at, text.as_bytes())?;
        if let Some(tally) = self.tail()?.attempts.get_mut(&source) {
            tally.kept.miss(stream, bytes);
        }
        Ok(written)
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> Result<(), Error> {
        let wanted = self.lock().written;
        // Whoever waited here finds that the one before has often synced for him too.
        let mut synced = self.inner.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= wanted {
            return Ok(());
        }
        let upto = self.lock().written;
        let file = self.inner.files.get(self.inner.run, &self.inner.path)?;
        file.sync_data().map_err(|source| Error::io("sync", &self.inner.path, source))?;
        *synced = upto;
        Ok(())
    }

    /// Where an attempt's records lie so far.
    pub fn extent(&self, source: LogSource) -> Result<LogExtent, Error> {
        Ok(self.tail()?.attempts.get(&source).map(|tally| tally.extent).unwrap_or_default())
    }

    /// What of an attempt's output the file holds, as long as the attempt is not finished.
    pub fn kept(&self, source: LogSource) -> Result<LogKept, Error> {
        Ok(self.tail()?.attempts.get(&source).map(|tally| tally.kept).unwrap_or_default())
    }

    /// `sync`, then the attempt's extent; what was remembered about the attempt is forgotten.
    pub fn finish(&self, source: LogSource) -> Result<LogExtent, Error> {
        self.sync()?;
        Ok(self.tail()?.attempts.remove(&source).map(|tally| tally.extent).unwrap_or_default())
    }

    /// Output bytes kept, of all attempts.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.tail()?.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.inner.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail, after a look at the file if there has been none.
    fn tail(&self) -> Result<MutexGuard<'_, Tail>, Error> {
        let mut tail = self.lock();
        if !tail.known {
            if self.inner.path.exists() {
                *tail = look_at(&self.inner.path)?;
            }
            tail.known = true;
        }
        Ok(tail)
    }

    /// Appends by one write; a write that fails is taken back.
    fn put(&self, tail: &mut Tail, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = &self.inner.path;
        let file = self.inner.files.get(self.inner.run, path)?;
        if let Err(source) = file.write_all_at(bytes, tail.end) {
            if let Err(source) = file.set_len(tail.end) {
                tracing::warn!("`{}` keeps half a record, which the next start cuts off: {source}", path.display());
            }
            return Err(Error::io("write", path, source));
        }
        tail.end += bytes.len() as u64;
        tail.written += 1;
        Ok(())
    }
}

/// Which limit is to be marked in the log.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Attempt(u64),
    Run(u64),
}

/// Between a number of bytes and the stream that they are missing of.
const MISSING: &str = " bytes of output are missing here, of ";

const ATTEMPT_MARK: &str = "the output of this attempt reached its limit of";
const RUN_MARK: &str = "the output of this run reached its limit of";

impl Mark {
    fn text(self) -> String {
        let (what, bytes) = match self {
            Self::Attempt(bytes) => (ATTEMPT_MARK, bytes),
            Self::Run(bytes) => (RUN_MARK, bytes),
        };
        format!("{what} {bytes} bytes; the rest is not kept\n")
    }
}

impl Tail {
    /// How many more bytes the limits let in.
    fn room(&self, tally: &Tally, stream: LogStream, limits: LogLimits) -> u64 {
        match stream {
            LogStream::Host => u64::MAX,
            LogStream::Stdout | LogStream::Stderr => {
                let attempt = limits.attempt_bytes_max.saturating_sub(tally.extent.bytes);
                attempt.min(limits.run_bytes_max.saturating_sub(self.bytes))
            }
        }
    }

    /// The mark that is due when something is dropped after `kept` more bytes; each is due once.
    fn mark(&self, tally: &Tally, kept: u64, limits: LogLimits) -> Option<Mark> {
        let of_attempt = tally.extent.bytes + kept >= limits.attempt_bytes_max;
        match of_attempt {
            true => (!tally.marked).then_some(Mark::Attempt(limits.attempt_bytes_max)),
            false => (!self.marked).then_some(Mark::Run(limits.run_bytes_max)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one write, used in one place")]
    fn count(
        &mut self,
        source: LogSource,
        mut tally: Tally,
        stream: LogStream,
        length: u64,
        kept: u64,
        dropped: u64,
        mark: Option<Mark>,
    ) {
        let output = stream != LogStream::Host;
        if length > 0 {
            tally.extent.first = if tally.any { tally.extent.first } else { self.end - length };
            tally.extent.end = self.end;
            tally.any = true;
        }
        if output {
            tally.extent.bytes += kept;
            self.bytes += kept;
        }
        tally.extent.dropped += dropped;
        match mark {
            Some(Mark::Attempt(_)) => tally.marked = true,
            Some(Mark::Run(_)) => self.marked = true,
            None => {}
        }
        self.attempts.insert(source, tally);
    }
}

/// Reads a file that was there before, and cuts off what a crash left half written.
fn look_at(path: &Path) -> Result<Tail, Error> {
    let mut tail = Tail { known: true, ..Tail::default() };
    let mut reader = LogReader::new(path.to_path_buf(), 0, LogFilter::default());
    let mut host_spoke = false;
    while let Some((header, length)) = reader.advance()? {
        let tally = tail.attempts.entry(header.source).or_default();
        tally.sequence = header.sequence + 1;
        tally.kept.count(header.stream, header.at, length as u64);
        tally.extent.first = if tally.any { tally.extent.first } else { tail.end };
        tally.any = true;
        tail.end = reader.offset();
        tally.extent.end = tail.end;
        host_spoke |= header.stream == LogStream::Host;
        if header.stream != LogStream::Host {
            tally.extent.bytes += length as u64;
            tail.bytes += length as u64;
        }
    }
    if host_spoke {
        look_at_words(path, &mut tail)?;
    }
    let torn = reader.rest()?;
    if torn > 0 {
        tracing::warn!("`{}` ends in {torn} bytes that are no whole record; they are cut off", path.display());
        let file = File::options().write(true).open(path).map_err(|source| Error::io("open", path, source))?;
        let cut = file.set_len(tail.end).and_then(|()| file.sync_all());
        cut.map_err(|source| Error::io("cut", path, source))?;
    }
    Ok(tail)
}

/// What the host itself has said: who is at a limit has its mark already, or was cut off just before it and gets it
/// with the next byte that is dropped; and what is missing.
fn look_at_words(path: &Path, tail: &mut Tail) -> Result<(), Error> {
    let said = LogFilter { stream: Some(LogStream::Host), ..LogFilter::default() };
    for record in LogReader::new(path.to_path_buf(), 0, said) {
        let (_, record) = record?;
        tail.marked |= record.bytes.starts_with(RUN_MARK.as_bytes());
        let Some(tally) = tail.attempts.get_mut(&record.source) else { continue };
        tally.marked |= record.bytes.starts_with(ATTEMPT_MARK.as_bytes());
        if let Some((stream, bytes)) = missing(&record.bytes) {
            tally.kept.miss(stream, bytes);
        }
    }
    Ok(())
}

fn missing(bytes: &[u8]) -> Option<(LogStream, u64)> {
    let (count, rest) = std::str::from_utf8(bytes).ok()?.split_once(MISSING)?;
    let streams = [LogStream::Stdout, LogStream::Stderr];
    let stream = streams.into_iter().find(|stream| rest.starts_with(word(*stream)))?;
    Some((stream, count.parse().ok()?))
}

const fn word(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Host => "what the host says",
    }
}

/// Opens a log for writing, and makes it and its folder where they are not there.
pub(super) fn open_file(path: &Path) -> Result<File, Error> {
    let is_new = !path.exists();
    let dir = path.parent().unwrap_or(path);
    if is_new {
        folder::make(dir)?;
    }
    let file = folder::make_file(path)?;
    if is_new {
        // Else a power cut could lose the name of a file whose bytes were synced.
        folder::sync_folder(dir)?;
        dir.parent().map_or(Ok(()), folder::sync_folder)?;
    }
    Ok(file)
}
