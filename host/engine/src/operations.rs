//! What takes longer than a request may: fetching, compiling and installing a plugin, begun and then asked for.
//!
//! Invariants: each operation ends, and says how; the last ones are remembered. Must not know: HTTP.

use crate::error::Error;
use crate::handle::Handle;
use crate::plugins::{Comparison, Inspected, Install};
use hostler_model::Slug;
use hostler_plugin::oci::Progress;
use hostler_plugin::sources::From;
use hostler_store::PluginRow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const REMEMBERED_MAX: usize = 64;
/// Each holds a component in memory while it is compiled.
const RUNNING_MAX: usize = 4;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Task {
    /// Look at a component, and where a plugin is named, at what it would change for it.
    Inspect {
        namespace: Slug,
        from: From,
        against: Option<Slug>,
    },
    Install(Install),
    Update {
        install: Install,
        name: Slug,
    },
}

#[derive(Clone, Debug)]
pub enum Done {
    Inspected { seen: Box<Inspected>, comparison: Option<Box<Comparison>> },
    Installed(Box<PluginRow>),
}

#[derive(Clone, Debug)]
pub enum State {
    Running,
    Done(Done),
    Failed(Arc<Error>),
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub id: u64,
    /// Bytes that have come, and bytes in all; both 0 before they are known.
    pub progress: Progress,
    pub state: State,
}

#[derive(Default)]
pub(crate) struct Operations {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    last: u64,
    operations: VecDeque<Operation>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<Operation, Error> {
        let mut known = self.lock();
        let running = known.operations.iter().filter(|one| matches!(one.state, State::Running)).count();
        if running >= RUNNING_MAX {
            return Err(Error::Busy { waiting: running });
        }
        known.last += 1;
        let operation = Operation { id: known.last, progress: Progress { done: 0, total: 0 }, state: State::Running };
        if known.operations.len() == REMEMBERED_MAX
            && let Some(at) = known.operations.iter().position(|one| !matches!(one.state, State::Running))
        {
            known.operations.remove(at);
        }
        known.operations.push_back(operation.clone());
        Ok(operation)
    }

    fn with(&self, id: u64, act: impl FnOnce(&mut Operation)) {
        if let Some(operation) = self.lock().operations.iter_mut().find(|one| one.id == id) {
            act(operation);
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<Operation> {
        self.lock().operations.iter().find(|one| one.id == id).cloned()
    }
}

impl Handle {
    /// Begins it and answers at once.
    pub fn begin_operation(&self, task: Task) -> Result<Operation, Error> {
        let operation = self.parts.operations.begin()?;
        let (this, id) = (self.clone(), operation.id);
        let work = tokio::spawn(async move { this.work(id, task).await });
        let operations = self.parts.operations.clone();
        tokio::spawn(async move {
            let state = match work.await {
                Ok(Ok(done)) => State::Done(done),
                Ok(Err(error)) => State::Failed(Arc::new(error)),
                Err(_) => {
                    State::Failed(Arc::new(Error::Internal { message: "an operation failed in the code".into() }))
                }
            };
            operations.with(id, |operation| operation.state = state);
        });
        Ok(operation)
    }

    pub fn operation(&self, id: u64) -> Option<Operation> {
        self.parts.operations.get(id)
    }

    async fn work(&self, id: u64, task: Task) -> Result<Done, Error> {
        let operations = self.parts.operations.clone();
        let progress = move |progress| operations.with(id, |operation| operation.progress = progress);
        match task {
            Task::Inspect { namespace, from, against } => {
                let seen = self.inspect_plugin(&from, progress).await?;
                let comparison = match against {
                    Some(name) => Some(Box::new(self.compare_plugin(&namespace, &name, &seen).await?)),
                    None => None,
                };
                Ok(Done::Inspected { seen: Box::new(seen), comparison })
            }
            Task::Install(install) => Ok(Done::Installed(Box::new(self.install_plugin(install, progress).await?))),
            Task::Update { install, name } => {
                Ok(Done::Installed(Box::new(self.update_plugin(install, name, progress).await?)))
            }
        }
    }
}
