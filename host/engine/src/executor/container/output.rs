//! The output of one attempt, from the engine to its reports, counted by stream.
//!
//! What runs for the host that started it is read from the attached streams: exact bytes, and a reader that is slow
//! holds the task up. What was started by an earlier host, or came loose, is read from the engine's own log from its
//! beginning, and as many bytes are left out as are known; that log bears each line's time.
//!
//! Invariants: a byte is passed on once; what may be missing is told as a gap. Must not know: what an end means.

use crate::executor::{Report, Reports, Stream};
use bollard::container::LogOutput;
use hostler_model::Timestamp;
use hostler_store::{LogKept, LogKeptStream};

const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// What the driver `local` adds to a line in its file, and to a part of a line that is too long for one.
const LINE_OVERHEAD: u64 = 36;
const PART_OVERHEAD: u64 = 112;

/// What was passed on so far, and to whom.
pub(super) struct Output {
    reports: Reports,
    stdout: LogKeptStream,
    stderr: LogKeptStream,
}

/// One reading of the engine's log, from its beginning.
pub(super) struct Replay {
    stdout: Seen,
    stderr: Seen,
    /// The log has lost its beginning: bytes cannot be counted, and times stand in.
    is_cut: bool,
    /// Lines that were cut in parts have lost their newline.
    mends_lines: bool,
}

struct Seen {
    bytes: u64,
    /// When the last was passed on before this reading.
    last: Option<Timestamp>,
    /// The time of a line whose newline has not come.
    open: Option<jiff::Timestamp>,
}

/// A piece of the log: where it belongs, when it was written, and what it says.
pub(super) struct Frame<'a> {
    stream: Stream,
    pub(super) at: jiff::Timestamp,
    bytes: &'a [u8],
}

impl Output {
    pub(super) fn new(reports: Reports, kept: LogKept) -> Self {
        Self { reports, stdout: kept.stdout, stderr: kept.stderr }
    }

    pub(super) async fn say(&self, report: Report) {
        // When nobody listens any more the task goes on all the same.
        let _ = self.reports.send(report).await;
    }

    /// Passes attached output on; false where the engine sent what cannot be output.
    pub(super) async fn take(&mut self, frame: LogOutput, now: Timestamp) -> bool {
        match frame {
            LogOutput::StdOut { message } => self.pass_on(Stream::Stdout, &message, None, now).await,
            LogOutput::StdErr { message } => self.pass_on(Stream::Stderr, &message, None, now).await,
            LogOutput::StdIn { .. } | LogOutput::Console { .. } => return false,
        }
        true
    }

    async fn pass_on(&mut self, stream: Stream, bytes: &[u8], at: Option<Timestamp>, now: Timestamp) {
        let kept = self.kept(stream);
        kept.bytes += bytes.len() as u64;
        kept.last = Some(at.unwrap_or(now));
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            self.say(Report::Output { stream, bytes: chunk.to_vec(), at }).await;
        }
    }

    /// A reading that begins where this output stands.
    pub(super) fn replay_of(&self, is_cut: bool, mends_lines: bool) -> Replay {
        let seen = |kept: LogKeptStream| Seen { bytes: 0, last: kept.last, open: None };
        Replay { stdout: seen(self.stdout), stderr: seen(self.stderr), is_cut, mends_lines }
    }

    fn kept(&mut self, stream: Stream) -> &mut LogKeptStream {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Passes on what of a piece of the log was not passed on before.
    pub(super) async fn replay(&mut self, replay: &mut Replay, frame: &Frame<'_>, now: Timestamp) {
        let at = Timestamp(frame.at.as_millisecond());
        if replay.is_cut {
            if replay.seen(frame.stream).last.is_none_or(|last| at > last) {
                self.pass_on(frame.stream, frame.bytes, Some(at), now).await;
            }
            return;
        }
        let is_mended = replay.mends_lines;
        let seen = replay.seen(frame.stream);
        let is_new_line = is_mended && seen.open.is_some_and(|open| open != frame.at);
        seen.open = (!frame.bytes.ends_with(b"\n")).then_some(frame.at);
        let before = seen.bytes;
        seen.bytes += frame.bytes.len() as u64 + u64::from(is_new_line);
        let known = self.kept(frame.stream).bytes;
        let mut skip = usize::try_from(known.saturating_sub(before)).unwrap_or(usize::MAX);
        if is_new_line {
            match skip {
                0 => self.pass_on(frame.stream, b"\n", Some(at), now).await,
                _ => skip -= 1,
            }
        }
        if let Some(rest) = frame.bytes.get(skip..).filter(|rest| !rest.is_empty()) {
            self.pass_on(frame.stream, rest, Some(at), now).await;
        }
    }
}

impl Replay {
    fn seen(&mut self, stream: Stream) -> &mut Seen {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl<'a> Frame<'a> {
    /// None: not a piece of a log with times.
    pub(super) fn read(output: &'a LogOutput) -> Option<Self> {
        let (stream, message) = match output {
            LogOutput::StdOut { message } => (Stream::Stdout, message),
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdIn { .. } | LogOutput::Console { .. } => return None,
        };
        let space = message.iter().take(64).position(|byte| *byte == b' ')?;
        let at = std::str::from_utf8(&message[..space]).ok()?.parse().ok()?;
        Some(Self { stream, at, bytes: &message[space + 1..] })
    }

    /// About what it takes in the engine's file.
    pub(super) fn bytes_in_file(&self) -> u64 {
        let overhead = if self.bytes.ends_with(b"\n") { LINE_OVERHEAD } else { PART_OVERHEAD };
        self.bytes.len() as u64 + overhead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn frame(second: u32, text: &str) -> LogOutput {
        LogOutput::StdOut { message: format!("2026-01-02T03:04:{second:02}.000000007Z {text}").into_bytes().into() }
    }

    /// What arrives when so many bytes were kept, the last of them at this second.
    async fn replayed(kept: u64, last: i64, is_cut: bool, frames: &[LogOutput]) -> String {
        let (reports, mut heard) = mpsc::channel(100);
        let zero: jiff::Timestamp = "2026-01-02T03:04:00Z".parse().expect("a time");
        let last = Some(Timestamp(zero.as_millisecond() + last * 1000));
        let stdout = LogKeptStream { bytes: kept, last, bytes_at_last: 0 };
        let mut output = Output::new(reports, LogKept { stdout, ..LogKept::default() });
        let mut replay = output.replay_of(is_cut, true);
        for frame in frames {
            let frame = Frame::read(frame).expect("a frame");
            output.replay(&mut replay, &frame, Timestamp(0)).await;
        }
        drop(output);
        let mut text = Vec::new();
        while let Some(Report::Output { bytes, .. }) = heard.recv().await {
            text.extend(bytes);
        }
        String::from_utf8(text).expect("text")
    }

    #[tokio::test]
    async fn as_many_bytes_are_left_out_as_are_known_wherever_they_end() {
        let frames = [frame(1, "one\n"), frame(2, "two\n"), frame(2, "three\n")];
        let whole = "one\ntwo\nthree\n";
        for kept in 0..=whole.len() {
            assert_eq!(replayed(kept as u64, 9, false, &frames).await, whole[kept..]);
        }
        assert_eq!(replayed(99, 9, false, &frames).await, "");
    }

    #[tokio::test]
    async fn a_line_that_the_engine_cut_in_parts_has_its_newline_again() {
        let frames = [frame(1, "lo"), frame(1, "ng"), frame(2, ""), frame(3, "next\n"), frame(4, "end")];
        let whole = "long\n\nnext\nend";
        for kept in 0..=whole.len() {
            assert_eq!(replayed(kept as u64, 9, false, &frames).await, whole[kept..], "{kept}");
        }
    }

    #[tokio::test]
    async fn a_log_without_its_beginning_goes_on_by_time() {
        let frames = [frame(5, "five\n"), frame(6, "six\n"), frame(7, "seven\n"), frame(7, "again\n")];
        assert_eq!(replayed(1_000_000, 6, true, &frames).await, "seven\nagain\n");
        assert_eq!(replayed(0, 2, true, &frames).await, "five\nsix\nseven\nagain\n");
    }

    #[test]
    fn what_is_no_piece_of_a_log_is_told_apart() {
        assert!(Frame::read(&LogOutput::StdOut { message: "nonsense".into() }).is_none());
        assert!(Frame::read(&LogOutput::StdOut { message: "no-time x".into() }).is_none());
        assert!(Frame::read(&LogOutput::Console { message: "2026-01-02T03:04:05Z x".into() }).is_none());
    }
}
