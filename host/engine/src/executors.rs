//! The executors of this host, picked by what is to be started.

use crate::executor::process::ProcessExecutor;
use crate::executor::wasm::WasmExecutor;
use crate::executor::{Executor, Recovered, Reports, Start, What};
use hostler_model::{AttemptId, Duration, TaskKind};
use std::sync::Arc;

/// One of each kind. Cheap to clone.
#[derive(Clone)]
pub struct Executors {
    pub process: Arc<ProcessExecutor>,
    pub wasm: WasmExecutor,
}

/// Which executor an attempt is with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ExecutorKind {
    Process,
    Wasm,
}

impl ExecutorKind {
    /// None: the task runs nothing.
    pub(crate) fn of(kind: &TaskKind) -> Option<Self> {
        match kind {
            TaskKind::Process(_) => Some(Self::Process),
            TaskKind::Wasm(_) => Some(Self::Wasm),
            TaskKind::None => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Wasm => "wasm",
        }
    }
}

impl Executors {
    pub(crate) async fn start(&self, start: Start, reports: Reports) {
        match start.what {
            What::Process { .. } | What::Script { .. } => self.process.start(start, reports).await,
            What::Wasm { .. } => self.wasm.start(start, reports).await,
        }
    }

    pub(crate) async fn stop(&self, kind: ExecutorKind, id: AttemptId, grace: Duration) {
        match kind {
            ExecutorKind::Process => self.process.stop(id, grace).await,
            ExecutorKind::Wasm => self.wasm.stop(id, grace).await,
        }
    }

    pub(crate) async fn kill(&self, kind: ExecutorKind, id: AttemptId) {
        match kind {
            ExecutorKind::Process => self.process.kill(id).await,
            ExecutorKind::Wasm => self.wasm.kill(id).await,
        }
    }

    pub(crate) async fn recover(&self, kind: ExecutorKind, id: AttemptId, reports: Reports) -> Recovered {
        match kind {
            ExecutorKind::Process => self.process.recover(id, reports).await,
            ExecutorKind::Wasm => self.wasm.recover(id, reports).await,
        }
    }
}
