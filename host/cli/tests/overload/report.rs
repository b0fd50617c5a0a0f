//! What came out, as a table and as JSON.

use crate::figures::Spread;
use crate::ledger::Book;
use crate::machine::Machine;
use crate::memory::Memory;
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(crate) struct Report {
    machine: String,
    figures: Vec<(&'static str, String, Value)>,
}

/// What was measured beside what the books hold.
pub(crate) struct Measured {
    pub(crate) runs_over: u64,
    pub(crate) runs_open: u64,
    pub(crate) clients: usize,
    pub(crate) readers: usize,
    pub(crate) time: Duration,
    pub(crate) memory: Memory,
    pub(crate) slow_bytes: u64,
    pub(crate) runs_made: u64,
    pub(crate) written_in: Duration,
    pub(crate) ready_first: Duration,
    pub(crate) ready_again: Duration,
}

impl Report {
    /// `steady` books come first.
    pub(crate) fn new(machine: &Machine, books: &[Book], measured: &Measured) -> Self {
        let mut report = Self { machine: machine.text(), figures: Vec::new() };
        report.scale(measured);
        report.answers(books, measured);
        report.memory(&measured.memory);
        report
    }

    fn add(&mut self, name: &'static str, shown: String, value: impl Into<Value>) {
        self.figures.push((name, shown, value.into()));
    }

    fn count(&mut self, name: &'static str, count: u64) {
        self.add(name, count.to_string(), count);
    }

    fn millis(&mut self, name: &'static str, time: Duration) {
        let ms = time.as_millis() as u64;
        self.add(name, format!("{ms} ms"), ms);
    }

    fn scale(&mut self, measured: &Measured) {
        self.count("runs that were over before", measured.runs_over);
        self.count("runs that waited before", measured.runs_open);
        self.millis("written in", measured.written_in);
        self.millis("first start with them, ready after", measured.ready_first);
        let seconds = measured.time.as_secs();
        self.add("time under load", format!("{seconds} s"), seconds);
        self.count("steady clients", measured.clients as u64);
        self.count("slow readers", measured.readers as u64);
        self.count("  bytes they took", measured.slow_bytes);
    }

    fn answers(&mut self, books: &[Book], measured: &Measured) {
        let sum = |value: fn(&Book) -> u64| books.iter().map(value).sum::<u64>();
        let (steady, storm) = books.split_at(measured.clients);
        let of = |books: &[Book]| books.iter().map(|book| book.acknowledged() as u64).sum::<u64>();
        self.count("starts acknowledged, all there once", of(books));
        self.count("  of them in storms", of(storm));
        let rate = of(steady) as f64 / measured.time.as_secs_f64();
        self.add("  by steady clients, each second", format!("{rate:.0}"), rate);
        let waited: Vec<f64> = steady.iter().flat_map(|book| &book.waited_ms).map(|ms| f64::from(*ms)).collect();
        let waited = Spread::new(waited);
        for (name, share) in [("  acknowledged after, p50", 0.5), ("  acknowledged after, p99", 0.99)] {
            let ms = waited.quantile(share);
            self.add(name, format!("{ms:.1} ms"), ms);
        }
        self.count("cancels acknowledged, all held", sum(|book| book.cancels() as u64));
        self.count("keys sent again, same run each", sum(|book| book.repeated));
        self.count("keys whose first answer was not awaited", sum(|book| book.given_up));
        self.count("refused with Retry-After", sum(|book| book.refused));
        self.count("  of them steady clients", steady.iter().map(|book| book.refused).sum());
        self.count("requests without an answer", sum(|book| book.unanswered));
        self.count("runs made by all of this", measured.runs_made);
        self.millis("start after SIGKILL, ready after", measured.ready_again);
    }

    fn memory(&mut self, memory: &Memory) {
        let [first, second] = memory.halves();
        let mut mib = |name, value: f64| self.add(name, format!("{value:.1} MiB"), value);
        mib("memory at most", memory.most());
        mib("  first half, median", first.median_mib);
        mib("  second half, median", second.median_mib);
        mib("  first half, each minute", first.slope_mib_per_minute);
        mib("  second half, each minute", second.slope_mib_per_minute);
    }

    pub(crate) fn table(&self) -> String {
        let lines = self.figures.iter().map(|(name, shown, _)| format!("  {name:<40} {shown:>14}"));
        std::iter::once(self.machine.clone()).chain(lines).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn json(&self) -> Value {
        let figures: Map<_, _> =
            self.figures.iter().map(|(name, _, value)| (name.trim().to_owned(), value.clone())).collect();
        json!({"machine": self.machine, "figures": figures})
    }
}
