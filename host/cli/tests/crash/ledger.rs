//! What a client was promised: each run that the host acknowledged, each cancel, and each request whose answer was
//! lost.
//!
//! Invariant: an entry is written before the request goes out and changed only by the host's answer, so that nothing
//! here is more than what a client can know. Must not know how requests travel.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Book {
    /// By idempotency key: the run's id, or None while no answer has come.
    starts: BTreeMap<String, Option<String>>,
    /// Pipeline of each key.
    pipelines: BTreeMap<String, &'static str>,
    /// Runs whose cancel was acknowledged.
    cancelled: Vec<String>,
}

/// Shared by all clients of a round.
#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new key for a start of this pipeline.
    pub(crate) fn ask(&self, pipeline: &'static str) -> String {
        let mut book = self.book();
        let key = format!("{pipeline}-{}", book.starts.len());
        book.starts.insert(key.clone(), None);
        book.pipelines.insert(key.clone(), pipeline);
        key
    }

    /// The host answered with this run. A key that was answered before must get the same one.
    pub(crate) fn acknowledge(&self, key: &str, run: &str) {
        let before = self.book().starts.insert(key.into(), Some(run.into())).flatten();
        assert!(before.is_none_or(|before| before == run), "key {key} got two runs");
    }

    pub(crate) fn acknowledge_cancel(&self, run: &str) {
        self.book().cancelled.push(run.into());
    }

    /// Requests whose answer was lost, with their pipeline.
    pub(crate) fn unanswered(&self) -> Vec<(String, &'static str)> {
        let book = self.book();
        let open = book.starts.iter().filter(|(_, run)| run.is_none());
        open.map(|(key, _)| (key.clone(), book.pipelines[key])).collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.book().starts.keys().cloned().collect()
    }

    pub(crate) fn runs(&self) -> Vec<String> {
        self.book().starts.values().flatten().cloned().collect()
    }

    pub(crate) fn cancelled(&self) -> Vec<String> {
        self.book().cancelled.clone()
    }
}
