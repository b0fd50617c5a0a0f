//! The thread that advances the epoch every 10 ms while a guest runs, so that a spinning guest gives way.
//!
//! Invariants: an operating-system thread, since a task of an async runtime would starve behind the guests it must
//! interrupt; it sleeps while no guest runs, so an idle host has no wake-ups. Must not know: what the guests do.

use crate::engine::EPOCH;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use wasmtime::Engine;

/// Epochs without a guest before the thread goes to sleep. Short calls in a row then do not wake it each time.
const IDLE_EPOCHS: u32 = 10;

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    waker: Thread,
}

/// While one of these lives, epochs advance.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let seen = shared.clone();
        let thread = std::thread::Builder::new().name("wasm-epoch".into()).spawn(move || tick(&engine, &seen))?;
        let waker = thread.thread().clone();
        Ok(Self { shared, thread: Some(thread), waker })
    }

    pub(crate) fn run(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.waker.unpark();
        }
        Running { shared: self.shared.clone() }
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if idle < IDLE_EPOCHS {
            std::thread::sleep(EPOCH);
            engine.increment_epoch();
            idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            continue;
        }
        // First said, then looked: a guest that begins between the two sees the flag, or we see the guest.
        shared.asleep.store(true, Ordering::SeqCst);
        if shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.waker.unpark();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there is nothing to do if it did.
            drop(thread.join());
        }
    }
}
