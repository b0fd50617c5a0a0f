//! The files that are open for writing: a bounded number, the one not used for longest is closed first.

use super::writer::open_file;
use crate::Error;
use hostler_model::RunId;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Files {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<RunId, (Arc<File>, u64)>,
    /// Counts uses; tells which is the older one.
    uses: u64,
}

impl Files {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), open: Mutex::default() }
    }

    pub(super) fn get(&self, run: RunId, path: &Path) -> Result<Arc<File>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let now = open.uses;
        if let Some((file, used)) = open.files.get_mut(&run) {
            *used = now;
            return Ok(file.clone());
        }
        drop(open);
        // Opening may wait for the disk, which must not hold up writers of other runs.
        let file = Arc::new(open_file(path)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.files.len() >= self.max {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(run, _)| *run);
            oldest.map(|run| open.files.remove(&run));
        }
        open.files.insert(run, (file.clone(), now));
        Ok(file)
    }

    pub(super) fn close(&self, run: RunId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).files.remove(&run);
    }
}
