//! The bytes of a record: a header of fixed size, then the payload. The checksum covers both.

use super::{LOG_CHUNK_MAX, LogRecord, LogSource, LogStream};
use hostler_model::{TaskIndex, Timestamp};

/// magic 4, length 4, task 4, item 4, attempt 4, sequence 8, time 8, stream 1, zeros 3, checksum 4.
pub(super) const HEADER_BYTES: usize = 44;

const MAGIC: [u8; 4] = *b"HLR1";
const CHECKSUM_AT: usize = 40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) source: LogSource,
    pub(super) sequence: u64,
    pub(super) stream: LogStream,
    pub(super) at: Timestamp,
}

/// Adds one record to `out`.
pub(super) fn encode(header: Header, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(payload.len() <= LOG_CHUNK_MAX);
    let mut bytes = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&MAGIC);
    put(&(payload.len() as u32).to_le_bytes());
    put(&header.source.task.0.to_le_bytes());
    put(&header.source.item.to_le_bytes());
    put(&header.source.attempt.to_le_bytes());
    put(&header.sequence.to_le_bytes());
    put(&header.at.0.to_le_bytes());
    put(&[stream_code(header.stream)]);
    let checksum = checksum(&bytes, payload);
    bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&bytes);
    out.extend_from_slice(payload);
}

/// What the beginning of some bytes is.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Decoded<'a> {
    Whole(Header, &'a [u8]),
    /// So far it may become a record, which needs this many bytes in all.
    Short(usize),
    /// No record of ours.
    Broken,
}

pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Decoded::Short(HEADER_BYTES);
    };
    let length = u32::from_le_bytes(part(head, 4)) as usize;
    if head[..4] != MAGIC || length > LOG_CHUNK_MAX {
        return Decoded::Broken;
    }
    let Some(payload) = rest.get(..length) else { return Decoded::Short(HEADER_BYTES + length) };
    let Some(stream) = stream_of(head[36]) else { return Decoded::Broken };
    if checksum(head, payload) != u32::from_le_bytes(part(head, CHECKSUM_AT)) {
        return Decoded::Broken;
    }
    let header = Header {
        source: LogSource {
            task: TaskIndex(u32::from_le_bytes(part(head, 8))),
            item: u32::from_le_bytes(part(head, 12)),
            attempt: u32::from_le_bytes(part(head, 16)),
        },
        sequence: u64::from_le_bytes(part(head, 20)),
        at: Timestamp(i64::from_le_bytes(part(head, 28))),
        stream,
    };
    Decoded::Whole(header, payload)
}

impl Header {
    pub(super) fn record(self, payload: &[u8]) -> LogRecord {
        let Self { source, sequence, stream, at } = self;
        LogRecord { source, sequence, stream, at, bytes: payload.to_vec() }
    }
}

fn part<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    *head[at..].first_chunk().expect("all fields lie within the header")
}

fn checksum(head: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..CHECKSUM_AT]);
    hasher.update(payload);
    hasher.finalize()
}

const fn stream_code(stream: LogStream) -> u8 {
    match stream {
        LogStream::Stdout => 1,
        LogStream::Stderr => 2,
        LogStream::Host => 3,
    }
}

const fn stream_of(code: u8) -> Option<LogStream> {
    match code {
        1 => Some(LogStream::Stdout),
        2 => Some(LogStream::Stderr),
        3 => Some(LogStream::Host),
        _ => None,
    }
}
