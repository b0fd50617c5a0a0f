//! What a command writes, in chunks, to a bounded channel that the two streams share.
//!
//! Invariants: nothing is dropped while there is a reader; when the channel is full the guest waits; at most one write
//! of each stream is pending. When the reader is gone the stream is closed, as a pipe would be.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

const CHUNK_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// At most 64 KiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    pub stream: Stream,
    pub bytes: Vec<u8>,
}

/// One of the two streams.
#[derive(Clone)]
pub(super) struct Pipe {
    stream: Stream,
    sender: mpsc::Sender<Output>,
    pending: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

pub(super) fn pipes(sender: &mpsc::Sender<Output>) -> (Pipe, Pipe) {
    let pipe = |stream| Pipe { stream, sender: sender.clone(), pending: Arc::default() };
    (pipe(Stream::Stdout), pipe(Stream::Stderr))
}

impl Pipe {
    /// Sends what is pending, as far as the channel takes it now.
    fn push(&self) -> StreamResult<bool> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(bytes) = pending.pop_front() {
            match self.sender.try_send(Output { stream: self.stream, bytes }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(output)) => {
                    pending.push_front(output.bytes);
                    return Ok(false);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(StreamError::Closed),
            }
        }
        Ok(true)
    }

    fn pop(&self) -> Option<Vec<u8>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Sends what is left, waiting for the reader.
    pub(super) async fn drain(&self) {
        while let Some(bytes) = self.pop() {
            if self.sender.send(Output { stream: self.stream, bytes }).await.is_err() {
                return;
            }
        }
    }
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(NotLinked)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {
        if matches!(self.push(), Ok(false)) {
            // A permit is a free place; the loop in `push` then uses it. A closed channel is seen by the next write.
            if let Ok(permit) = self.sender.reserve().await
                && let Some(bytes) = self.pop()
            {
                permit.send(Output { stream: self.stream, bytes });
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Pipe {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.extend(bytes.chunks(CHUNK_BYTES_MAX).map(<[u8]>::to_vec));
        }
        self.push().map(drop)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.push().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.push()? { CHUNK_BYTES_MAX } else { 0 })
    }
}

/// The way out of WASI 0.3, which is not linked. An error, so that nothing could be lost in silence.
struct NotLinked;

impl NotLinked {
    fn refuse<T>() -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, "commands write through WASI 0.2")))
    }
}

impl tokio::io::AsyncWrite for NotLinked {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Self::refuse()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::refuse()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::refuse()
    }
}
