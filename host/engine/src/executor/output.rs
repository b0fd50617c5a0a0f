//! The output of one process, from its pipe to its reports: read directly, or by way of a spool that outlives the host.
//!
//! A spool is a file in memory that the warden holds, too. Bytes go from the pipe to its end by one system call, so at
//! every instant a byte is in the pipe or in the spool, and the length of the spool is how much the task has written so
//! far. A host that dies between reading and keeping has lost nothing: the next one reads the spool from behind what is
//! in the log. Bytes that are kept are cut out of the spool, page by page.
//!
//! Must not know: attempts, the warden.

use super::{Report, Reports, Stream};
use hostler_store::LogKeptStream;
use rustix::fs::{FallocateFlags, MemfdFlags, SeekFrom};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::net::unix::pipe;

const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES_FIRST: usize = 4 * 1024;

/// Kept bytes are cut out when there are so many, so that little output costs no system call.
const CUT_BYTES_MIN: u64 = 256 * 1024;
const PAGE_BYTES: u64 = 4096;

/// One stream of an attempt, until its end.
pub(super) struct Source {
    stream: Stream,
    pipe: Option<pipe::Receiver>,
    spool: Option<Spool>,
}

struct Spool {
    file: OwnedFd,
    /// Bytes before this have been reported.
    reported: u64,
    /// Reports on their way: the number of each among all of the attempt, and where it ends in the spool.
    underway: VecDeque<(u64, u64)>,
    cut: u64,
}

/// What a warden gets of one stream.
pub(super) struct Ends {
    pub(super) write: OwnedFd,
    /// The read end and the spool, where it is to hold them.
    pub(super) held: Option<[OwnedFd; 2]>,
}

impl Source {
    /// The read end does not block, the write end does, as programs expect of their output.
    pub(super) fn make(stream: Stream, is_held: bool) -> io::Result<(Self, Ends)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        let (spool, held) = if is_held {
            let file = rustix::fs::memfd_create("hostler-output", MemfdFlags::CLOEXEC)?;
            let held = [read.try_clone()?, file.try_clone()?];
            (Some(Spool { file, reported: 0, underway: VecDeque::new(), cut: 0 }), Some(held))
        } else {
            (None, None)
        };
        Ok((Self { stream, pipe: Some(pipe::Receiver::from_owned_fd(read)?), spool }, Ends { write, held }))
    }

    /// Goes on behind what is kept. Where the limits of the log have kept less than was cut out, from what is there.
    pub(super) fn take_over(stream: Stream, pipe: OwnedFd, spool: OwnedFd, kept: LogKeptStream) -> io::Result<Self> {
        let length = length(&spool)?;
        let reported = match rustix::fs::seek(&spool, SeekFrom::Data(kept.bytes.min(length))) {
            Ok(at) => at,
            // There is nothing behind it.
            Err(Errno::NXIO) => length,
            Err(errno) => return Err(errno.into()),
        };
        // The offset is where the next bytes go.
        rustix::fs::seek(&spool, SeekFrom::Start(length))?;
        let spool = Spool { file: spool, reported, underway: VecDeque::new(), cut: reported / PAGE_BYTES * PAGE_BYTES };
        Ok(Self { stream, pipe: Some(pipe::Receiver::from_owned_fd(pipe)?), spool: Some(spool) })
    }

    /// The pipe is not closed, or something of the spool is not reported.
    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits for bytes; `None` when there was nothing after all, or the stream is over.
    pub(super) async fn next(&mut self) -> Option<Report> {
        if let Some(rest) = self.take_spooled() {
            return Some(rest);
        }
        let pipe = self.pipe.as_ref()?;
        if pipe.readable().await.is_err() {
            self.pipe = None;
            return None;
        }
        let taken = match &self.spool {
            Some(spool) => pipe.try_io(|| move_into(spool, pipe)),
            None => take(CHUNK_BYTES_FIRST, |bytes| pipe.try_read(bytes)),
        };
        self.report(taken)
    }

    /// What is there after the exit, asked of the kernel itself: the runtime may not have heard of it yet, and would
    /// answer that there is nothing.
    pub(super) fn take_rest(&mut self) -> Option<Report> {
        if let Some(rest) = self.take_spooled() {
            return Some(rest);
        }
        let pipe = self.pipe.as_ref()?;
        let taken = match &self.spool {
            Some(spool) => move_into(spool, pipe),
            None => take(CHUNK_BYTES_MAX, |bytes| Ok(rustix::io::read(pipe, bytes)?)),
        };
        self.report(taken)
    }

    fn report(&mut self, taken: io::Result<Taken>) -> Option<Report> {
        match taken {
            Ok(Taken::Bytes(bytes)) => Some(Report::Output { stream: self.stream, bytes, at: None }),
            Ok(Taken::Spooled) => self.take_spooled(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            Ok(Taken::End) | Err(_) => {
                self.pipe = None;
                None
            }
        }
    }

    /// What the spool holds and was not reported yet.
    fn take_spooled(&mut self) -> Option<Report> {
        let spool = self.spool.as_mut()?;
        let left = length(&spool.file).ok()?.saturating_sub(spool.reported);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(CHUNK_BYTES_MAX).min(CHUNK_BYTES_MAX)];
        let read = rustix::io::pread(&spool.file, &mut bytes[..], spool.reported).ok().filter(|read| *read > 0)?;
        bytes.truncate(read);
        spool.reported += read as u64;
        Some(Report::Output { stream: self.stream, bytes, at: None })
    }

    /// The report with this number was the last one of this stream.
    fn sent(&mut self, number: u64) {
        if let Some(spool) = &mut self.spool {
            spool.underway.push_back((number, spool.reported));
        }
    }

    /// Everything up to the report with this number is kept.
    fn cut(&mut self, kept: u64) {
        let Some(spool) = &mut self.spool else { return };
        let mut end = spool.cut;
        while let Some((_, to)) = spool.underway.pop_front_if(|(number, _)| *number <= kept) {
            end = to / PAGE_BYTES * PAGE_BYTES;
        }
        if end.saturating_sub(spool.cut) < CUT_BYTES_MIN {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Should it fail, the bytes stay until the attempt is over.
        if rustix::fs::fallocate(&spool.file, flags, spool.cut, end - spool.cut).is_ok() {
            spool.cut = end;
        }
    }
}

/// Numbers the reports of one attempt, and knows which of them are kept: whoever receives them handles one after the
/// other, so all are that were received before the last one.
pub(super) struct Sender {
    reports: Reports,
    sent: u64,
}

impl Sender {
    pub(super) fn new(reports: Reports) -> Self {
        Self { reports, sent: 0 }
    }

    /// When nobody listens any more the bytes are read all the same, or the task would stand still for ever.
    pub(super) async fn send(&mut self, report: Report) {
        let _ = self.reports.send(report).await;
        self.sent += 1;
    }

    pub(super) async fn pass_on(&mut self, chunk: Report, sources: &mut Sources) {
        let stream = match chunk {
            Report::Output { stream, .. } => Some(stream),
            Report::Started { .. } | Report::Note { .. } | Report::Gap { .. } | Report::Exit(_) => None,
        };
        self.send(chunk).await;
        match stream {
            Some(Stream::Stdout) => sources.stdout.sent(self.sent),
            Some(Stream::Stderr) => sources.stderr.sent(self.sent),
            None => {}
        }
        let waiting = self.reports.max_capacity() - self.reports.capacity();
        let kept = self.sent.saturating_sub(waiting as u64 + 1);
        sources.stdout.cut(kept);
        sources.stderr.cut(kept);
    }
}

/// Both streams of an attempt.
pub(super) struct Sources {
    pub(super) stdout: Source,
    pub(super) stderr: Source,
}

impl Sources {
    /// Waits for output of either stream; for ever when both are over.
    pub(super) async fn next(&mut self) -> Option<Report> {
        tokio::select! {
            chunk = self.stdout.next(), if self.stdout.is_open() => chunk,
            chunk = self.stderr.next(), if self.stderr.is_open() => chunk,
            else => std::future::pending().await,
        }
    }

    pub(super) fn take_rest(&mut self) -> Option<Report> {
        self.stdout.take_rest().or_else(|| self.stderr.take_rest())
    }
}

enum Taken {
    Bytes(Vec<u8>),
    /// They stand in the spool now.
    Spooled,
    End,
}

fn move_into(spool: &Spool, pipe: &pipe::Receiver) -> io::Result<Taken> {
    let moved = rustix::pipe::splice(pipe, None, &spool.file, None, CHUNK_BYTES_MAX, SpliceFlags::NONBLOCK)?;
    Ok(if moved == 0 { Taken::End } else { Taken::Spooled })
}

/// Reads once, and again behind a first chunk that was full, so that much output costs few reports and little output no
/// large buffer.
fn take(first: usize, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> io::Result<Taken> {
    let mut bytes = vec![0; first];
    let mut length = read(&mut bytes)?;
    if length == 0 {
        return Ok(Taken::End);
    }
    if length == first && first < CHUNK_BYTES_MAX {
        bytes.resize(CHUNK_BYTES_MAX, 0);
        // Whatever goes wrong here is met again at the next read.
        length += read(&mut bytes[first..]).unwrap_or(0);
    }
    bytes.truncate(length);
    Ok(Taken::Bytes(bytes))
}

fn length(spool: impl AsFd) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(spool)?.st_size).unwrap_or(0))
}
