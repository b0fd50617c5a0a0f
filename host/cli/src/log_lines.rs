//! Puts pieces of output together to lines, each stream of each attempt apart, so that no line is mixed with another.

use hostler_web::types::{LogRecord, LogStream};
use std::collections::BTreeMap;

/// A line longer than this is given out in parts: it might never end.
const LINE_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct LogLines {
    open: BTreeMap<(String, u32, u8), (LogStream, Vec<u8>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogLine {
    pub(crate) task: String,
    pub(crate) attempt: u32,
    pub(crate) stream: LogStream,
    /// Without its line end.
    pub(crate) bytes: Vec<u8>,
}

impl LogLines {
    /// Takes in a piece; answers the lines that it completes.
    pub(crate) fn push(&mut self, record: &LogRecord, bytes: &[u8]) -> Vec<LogLine> {
        let key = (record.task.to_string(), record.attempt, place(record.stream));
        let (_, open) = self.open.entry(key).or_insert_with(|| (record.stream, Vec::new()));
        let line = |bytes: Vec<u8>| LogLine {
            task: record.task.to_string(),
            attempt: record.attempt,
            stream: record.stream,
            bytes,
        };
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            open.extend_from_slice(piece);
            if open.ends_with(b"\n") {
                open.pop();
                lines.push(line(std::mem::take(open)));
            } else if open.len() >= LINE_BYTES_MAX {
                lines.push(line(std::mem::take(open)));
            }
        }
        lines
    }

    /// What was written without a line end.
    pub(crate) fn finish(self) -> Vec<LogLine> {
        let rest = self.open.into_iter().filter(|(_, (_, bytes))| !bytes.is_empty());
        rest.map(|((task, attempt, _), (stream, bytes))| LogLine { task, attempt, stream, bytes }).collect()
    }
}

fn place(stream: LogStream) -> u8 {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
        LogStream::Host => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostler_model::{Slug, Timestamp};

    fn record(stream: LogStream) -> LogRecord {
        let task = Slug::parse("build").expect("a slug");
        LogRecord { next: 0, task, attempt: 1, stream, at: Timestamp(0).into(), text: None, base64: None }
    }

    #[test]
    fn pieces_of_two_streams_become_whole_lines() {
        let mut lines = LogLines::default();
        let (out, err) = (record(LogStream::Stdout), record(LogStream::Stderr));
        assert!(lines.push(&out, b"one ").is_empty());
        assert!(lines.push(&err, b"bad").is_empty());
        let done: Vec<_> = lines.push(&out, b"line\ntwo\nthr").into_iter().map(|line| line.bytes).collect();
        assert_eq!(done, [b"one line".to_vec(), b"two".to_vec()]);
        let rest: Vec<_> = lines.finish().into_iter().map(|line| (line.stream, line.bytes)).collect();
        assert_eq!(rest, [(LogStream::Stdout, b"thr".to_vec()), (LogStream::Stderr, b"bad".to_vec())]);
    }

    #[test]
    fn a_line_without_end_is_given_out_in_parts() {
        let mut lines = LogLines::default();
        let parts = lines.push(&record(LogStream::Stdout), &vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(
            parts.iter().map(|line| line.bytes.len()).sum::<usize>()
                + lines.finish().iter().map(|line| line.bytes.len()).sum::<usize>(),
            LINE_BYTES_MAX + 1
        );
    }
}
