//! Counts the memory and tables of one guest, and remembers the growth that was refused.
//!
//! Invariant: a refused growth traps, so that a guest never goes on with half of what it asked for, and the error can
//! name the figure. It is an error of the limiter: a plain "no" would be an answer to the guest, which may ask for
//! ever. Must not know: what the limit is called.

use wasmtime::ResourceLimiter;

/// The growth that ended a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Memory { asked: u64 },
    Table { asked: u64 },
}

pub(crate) struct Limiter {
    memory_max: u64,
    table_max: u64,
    memory: u64,
    tables: u64,
    peak: u64,
    refused: Option<Refused>,
}

impl Limiter {
    pub(crate) fn new(memory_max: u64, table_max: u64) -> Self {
        Self { memory_max, table_max, memory: 0, tables: 0, peak: 0, refused: None }
    }

    /// Linear memory that is held now, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.memory
    }

    /// The most linear memory that was held, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// For the next call of the same guest, which holds what it holds.
    pub(crate) fn again(&mut self) {
        self.peak = self.memory;
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.memory + (desired as u64).saturating_sub(current as u64);
        if asked > self.memory_max {
            self.refused = Some(Refused::Memory { asked });
            return Err(wasmtime::format_err!("memory growth refused"));
        }
        self.memory = asked;
        self.peak = self.peak.max(asked);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context("memory growth refused"))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.tables + (desired as u64).saturating_sub(current as u64);
        if asked > self.table_max {
            self.refused = Some(Refused::Table { asked });
            return Err(wasmtime::format_err!("table growth refused"));
        }
        self.tables = asked;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context("table growth refused"))
    }

    // A Python component has more than eight instances; these only bound a component made to have thousands.
    fn instances(&self) -> usize {
        200
    }

    fn tables(&self) -> usize {
        200
    }

    fn memories(&self) -> usize {
        50
    }
}
