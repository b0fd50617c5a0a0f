//! What a plugin finds of WASI: a clock that begins at the call's instant, random numbers from the call's seed, and two
//! streams of which the end is kept. Everything else is empty.
//!
//! Invariant: what a guest can observe here follows from the call's instant and seed, but for the time it takes itself.

use crate::tape::Tape;
use hostler_model::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

/// How much of stdout and stderr is kept for the error.
const TAIL_BYTES: usize = 64 << 10;
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// `born`: when the guest was made. Its monotonic clock counts from there, over all its calls.
pub(crate) fn context(now: Timestamp, born: Instant, seed: [u8; 32], tail: &Tail, tape: &Tape) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(tail.clone())
        .stderr(tail.clone())
        .wall_clock(CallClock { now, begun: Instant::now(), tape: tape.clone() })
        .monotonic_clock(CallClock { now, begun: born, tape: tape.clone() })
        .secure_random(Seeded::new(seed, b'S'))
        .insecure_random(Seeded::new(seed, b'I'))
        .insecure_random_seed(u128::from_le_bytes(Seeded::new(seed, b'H').take()))
        .max_random_size(RANDOM_BYTES_MAX);
    builder.build()
}

/// The call's own instant plus the time since the call began.
struct CallClock {
    now: Timestamp,
    begun: Instant,
    tape: Tape,
}

impl HostWallClock for CallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now.0).unwrap_or(0)) + self.tape.elapsed(self.begun.elapsed())
    }
}

impl HostMonotonicClock for CallClock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.tape.elapsed(self.begun.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// SHA-256 in counter mode over the call's seed: repeatable for who knows the seed, a secret to everybody else.
struct Seeded {
    seed: [u8; 32],
    stream: u8,
    counter: u64,
    left: VecDeque<u8>,
}

impl Seeded {
    fn new(seed: [u8; 32], stream: u8) -> Self {
        Self { seed, stream, counter: 0, left: VecDeque::new() }
    }

    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            if self.left.is_empty() {
                let mut hash = Sha256::new();
                hash.update(self.seed);
                hash.update([self.stream]);
                hash.update(self.counter.to_le_bytes());
                self.left.extend(hash.finalize());
                self.counter += 1;
            }
            *byte = self.left.pop_front().unwrap_or_default();
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl rand_core::TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.fill(into);
        Ok(())
    }
}

/// The end of what a guest wrote; what came before is dropped.
#[derive(Clone, Default)]
pub(crate) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
}

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let over = (kept.len() + bytes.len()).saturating_sub(TAIL_BYTES);
        kept.drain(..over);
        kept.extend(bytes);
    }

    pub(crate) fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim_end().to_string()
    }
}

impl IsTerminal for Tail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Tail {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Tail {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Tail {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(TAIL_BYTES)
    }
}

impl tokio::io::AsyncWrite for Tail {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.push(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
