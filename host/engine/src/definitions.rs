//! Compiled pipelines, one for each digest, shared by all runs of it.

use crate::error::Error;
use hostler_model::Pipeline;
use hostler_store::{ReadTx, RunRow};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Pipelines that no open run uses are kept up to this number.
const IDLE_MAX: usize = 128;

#[derive(Default)]
pub(crate) struct Definitions {
    known: Mutex<HashMap<String, Arc<Pipeline>>>,
}

impl Definitions {
    /// The pipeline of a stored document, which was valid when it was stored.
    pub(crate) fn get(
        &self,
        digest: &str,
        document: impl FnOnce() -> Result<String, Error>,
    ) -> Result<Arc<Pipeline>, Error> {
        if let Some(known) = self.lock().get(digest) {
            return Ok(known.clone());
        }
        let text = document()?;
        let pipeline = Pipeline::parse(&text).map_err(|problems| Error::Internal {
            message: format!("a stored pipeline document is not valid for this version of hostler: {problems}"),
        })?;
        Ok(self.insert(digest, Arc::new(pipeline)))
    }

    pub(crate) fn insert(&self, digest: &str, pipeline: Arc<Pipeline>) -> Arc<Pipeline> {
        let mut known = self.lock();
        if known.len() >= IDLE_MAX {
            known.retain(|_, pipeline| Arc::strong_count(pipeline) > 1);
        }
        known.entry(digest.to_owned()).or_insert(pipeline).clone()
    }

    /// The pipeline of a run's own version.
    pub(crate) fn of_run(&self, tx: &ReadTx, row: &RunRow) -> Result<Arc<Pipeline>, Error> {
        self.get(&row.definition_digest, || {
            let missing = || Error::Internal { message: format!("the definition of run {} is gone", row.id) };
            Ok(tx.version(row.pipeline, row.version)?.ok_or_else(missing)?.document.into())
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Pipeline>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
