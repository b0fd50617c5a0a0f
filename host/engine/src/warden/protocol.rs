//! What host and warden say to each other: orders one way, notices the other, each a length and a JSON text.
//!
//! Invariants: a frame is at most `FRAME_BYTES_MAX`; the descriptors of a `Start` or a `Held` travel with the first
//! byte of its frame, so that they are there when the frame is complete; a `Hello` has the fields of `Knock` in every
//! version. Must not know: sockets, processes.

use crate::isolation::Isolation;
use hostler_model::{AttemptId, Duration, Epoch, Exit, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::PathBuf;

/// Rises when the words below change; the two sides are the same binary, except for an upgrade between them.
pub(crate) const VERSION: u32 = 2;

/// The kernel takes a few MiB of arguments and environment; a script may be larger, but not without limit.
pub(crate) const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Of a `Start`: the write ends of stdout and stderr, and where the warden holds the output, what it holds.
pub(crate) const START_DESCRIPTORS: usize = 2;

/// What a warden holds of the output of one attempt: the read end of the pipe and the spool, of stdout and of stderr.
pub(crate) const HELD_DESCRIPTORS: usize = 4;

const LENGTH_BYTES: usize = 4;

/// How the processes of an attempt are kept together, so that all of them can be found and ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containment {
    /// The first of the following that works here.
    #[default]
    Auto,
    /// A leaf of the `pids` hierarchy per attempt (control groups, version 1).
    PidsGroup,
    /// A leaf of the unified hierarchy per attempt (control groups, version 2).
    UnifiedGroup,
    /// By parentage, process group and a mark in the environment, read from `/proc`. Works everywhere; a process that
    /// hides its environment and outlives its parents is ended only when no attempt runs any more.
    Marks,
}

#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    /// Proves to a warden that lives already that this is the next host: it is in a file that no task can read.
    pub(crate) secret: String,
    pub(crate) epoch: Epoch,
    /// An existing folder for script files, outside all workspaces. Held by its warden as long as it lives.
    pub(crate) scratch: PathBuf,
    pub(crate) containment: Containment,
    /// How long attempts may go on without a host; not at all where it is zero.
    pub(crate) keep: Duration,
    /// The socket at which the next host finds the warden; needed where `keep` is not zero.
    pub(crate) meeting: PathBuf,
    /// How tasks are kept from what is the host's.
    pub(crate) isolation: Isolation,
    /// This warden follows one of the same epoch, of whose attempts it knows nothing.
    pub(crate) replaces: bool,
}

/// The part of a `Hello` that all versions share.
#[derive(Deserialize, Debug)]
pub(crate) struct Knock {
    pub(crate) version: u32,
    pub(crate) secret: String,
}

/// As `Order::Hello` is written, read only so far as all versions share it.
#[derive(Deserialize, Debug)]
enum AnyHello {
    Hello(Knock),
}

/// The first words of somebody at the socket; `None` if they are not those of a host.
pub(crate) fn knock(text: &RawValue) -> Option<Knock> {
    let AnyHello::Hello(knock) = serde_json::from_str(text.get()).ok()?;
    Some(knock)
}

#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Program {
    Argv(Vec<String>),
    Script { shell: PathBuf, text: String },
}

#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct StartOrder {
    pub(crate) id: AttemptId,
    pub(crate) program: Program,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) workspace: PathBuf,
    pub(crate) outputs: PathBuf,
    /// The warden gets what it needs to hold the output, too.
    pub(crate) is_held: bool,
}

#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Order {
    Hello(Hello),
    /// Accompanied by `START_DESCRIPTORS`, and `HELD_DESCRIPTORS` where it is held.
    Start(StartOrder),
    /// Asks for an attempt that an earlier host started.
    Adopt {
        id: AttemptId,
    },
    /// The exit is durable, or nobody wants it: what is held of the attempt may go.
    Forget {
        id: AttemptId,
    },
    Stop {
        id: AttemptId,
        grace: Duration,
    },
    Kill {
        id: AttemptId,
    },
    /// Ends all attempts and the warden, whatever `keep` says.
    End,
}

#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Notice {
    /// The warden is ready, and the orphans of dead wardens are gone.
    Welcome {
        containment: Containment,
        /// Attempts of earlier hosts, those included that have ended since.
        held: Vec<AttemptId>,
    },
    /// The host is older than one that this warden has obeyed, or speaks another version.
    Refused {
        reason: String,
    },
    Started {
        id: AttemptId,
        at: Timestamp,
    },
    /// Answers `Adopt`, accompanied by `HELD_DESCRIPTORS`.
    Held {
        id: AttemptId,
        /// When it was started.
        at: Timestamp,
    },
    /// Nothing of the attempt is left.
    Exit {
        id: AttemptId,
        exit: Exit,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {bytes} bytes is over the limit of {FRAME_BYTES_MAX} bytes")]
    TooLong { bytes: usize },
    #[error("a message cannot be written as JSON")]
    Encode { source: serde_json::Error },
    #[error("a message cannot be read")]
    Decode { source: serde_json::Error },
    #[error("the first message is not the hello of a host")]
    NoHello,
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, message).map_err(|source| FrameError::Encode { source })?;
    let bytes = frame.len() - LENGTH_BYTES;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
    let length = length.ok_or(FrameError::TooLong { bytes })?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Collects bytes as they arrive and gives back whole messages.
#[derive(Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// How much at the front of `bytes` was given back already.
    taken: usize,
}

impl Decoder {
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((message, length)) = self.read()? else { return Ok(None) };
        self.taken += length;
        Ok(Some(message))
    }

    /// The next message, which `next` then gives back again.
    pub(crate) fn peek<T: DeserializeOwned>(&self) -> Result<Option<T>, FrameError> {
        Ok(self.read()?.map(|(message, _)| message))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<Option<(T, usize)>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: length });
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(text).map_err(|source| FrameError::Decode { source })?;
        Ok(Some((message, LENGTH_BYTES + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_whole_however_they_are_cut() {
        let mut stream = encode(&"first").expect("it is short");
        stream.extend(encode(&"second").expect("it is short"));
        let mut decoder = Decoder::default();
        let mut seen: Vec<String> = Vec::new();
        for byte in stream {
            decoder.extend(&[byte]);
            seen.extend(decoder.next::<String>().expect("it is well formed"));
        }
        assert_eq!(seen, ["first", "second"]);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_kept() {
        let mut decoder = Decoder::default();
        decoder.extend(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next::<String>(), Err(FrameError::TooLong { .. })));
    }
}
