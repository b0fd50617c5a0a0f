//! What a client was promised: each run that the host acknowledged, each cancel, and each request whose answer was
//! lost.
//!
//! Invariant: an entry is written before the request goes out and changed only by the host's answer, so that nothing
//! here is more than what a client can know. Must not know how requests travel.

use hostler_web::types::RunStatus;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Book {
    /// By idempotency key: the run's id, or None while no answer has come.
    starts: BTreeMap<String, Option<String>>,
    /// Pipeline of each key.
    pipelines: BTreeMap<String, &'static str>,
    /// Runs whose cancel was acknowledged.
    cancelled: Vec<String>,
    /// Subscriptions that were acknowledged, by id.
    subscriptions: Vec<String>,
    /// The last backup that was said to be done; names are in the order of time.
    backup: Option<String>,
    /// How runs were seen to have ended.
    ended: BTreeMap<String, RunStatus>,
    /// Output as it was read; the newest runs only.
    logs: BTreeMap<String, Vec<u8>>,
    /// Answers that said "not now": the disk was full.
    refused: u64,
}

/// Runs whose output is remembered.
const LOGS_MAX: usize = 12;

/// What is done to the host, and so what may be expected of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// SIGKILL.
    Kill,
    /// A power cut: what was not synced is gone.
    Power,
    /// A disk that fills up now and then, and SIGKILL.
    Full,
}

/// Shared by all clients of a round.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    pub(crate) mode: Mode,
    stopping: AtomicBool,
}

impl Ledger {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { book: Mutex::default(), mode, stopping: AtomicBool::new(false) }
    }

    /// It was told to stop, and may refuse what comes.
    pub(crate) fn stop(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

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

    pub(crate) fn acknowledge_subscription(&self, id: &str) {
        self.book().subscriptions.push(id.into());
    }

    pub(crate) fn subscriptions(&self) -> Vec<String> {
        self.book().subscriptions.clone()
    }

    pub(crate) fn acknowledge_backup(&self, name: &str) {
        let mut book = self.book();
        book.backup = book.backup.take().max(Some(name.to_owned()));
    }

    pub(crate) fn backup(&self) -> Option<String> {
        self.book().backup.clone()
    }

    pub(crate) fn refuse(&self) {
        self.book().refused += 1;
    }

    pub(crate) fn refused(&self) -> u64 {
        self.book().refused
    }

    /// A run was seen; an end never changes.
    pub(crate) fn see(&self, run: &str, status: RunStatus) {
        let mut book = self.book();
        if let Some(known) = book.ended.get(run) {
            assert_eq!(*known, status, "run {run} had ended, and its end has changed");
        }
        if status.is_terminal() {
            book.ended.insert(run.into(), status);
        }
    }

    /// Output was read from its beginning; what was read before is its beginning for ever.
    pub(crate) fn read(&self, run: &str, output: Vec<u8>) {
        let mut book = self.book();
        if let Some(known) = book.logs.get(run) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let is_prefix = output.starts_with(known);
            assert!(is_prefix, "run {run} lost output:\n{}\n--- before it had\n{}", text(&output), text(known));
        }
        book.logs.insert(run.into(), output);
        while book.logs.len() > LOGS_MAX {
            // Ids rise with time.
            book.logs.pop_first();
        }
    }

    pub(crate) fn logs(&self) -> Vec<String> {
        self.book().logs.keys().cloned().collect()
    }

    pub(crate) fn pipeline_of(&self, key: &str) -> &'static str {
        self.book().pipelines[key]
    }

    /// By key, with the run.
    pub(crate) fn answered(&self) -> Vec<(String, String)> {
        let book = self.book();
        book.starts.iter().filter_map(|(key, run)| Some((key.clone(), run.clone()?))).collect()
    }

    pub(crate) fn cancelled(&self) -> Vec<String> {
        self.book().cancelled.clone()
    }
}
