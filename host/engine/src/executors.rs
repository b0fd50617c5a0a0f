//! The executors of this host, picked by what is to be started.

use crate::executor::process::ProcessExecutor;
use crate::executor::wasm::WasmExecutor;
use crate::executor::{Executor, Reports, Start, What};
use hostler_model::{AttemptId, Duration, TaskKind};
use hostler_store::LogKept;
use std::collections::HashSet;
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

    pub(crate) fn dies_with_host(&self, kind: ExecutorKind) -> Option<&'static str> {
        match kind {
            ExecutorKind::Process => self.process.dies_with_host(),
            ExecutorKind::Wasm => self.wasm.dies_with_host(),
        }
    }

    pub(crate) async fn adopt(&self, kind: ExecutorKind, id: AttemptId, kept: LogKept, reports: Reports) {
        match kind {
            ExecutorKind::Process => self.process.adopt(id, kept, reports).await,
            ExecutorKind::Wasm => self.wasm.adopt(id, kept, reports).await,
        }
    }

    pub(crate) fn forget(&self, kind: ExecutorKind, id: AttemptId) {
        match kind {
            ExecutorKind::Process => self.process.forget(id),
            ExecutorKind::Wasm => self.wasm.forget(id),
        }
    }

    /// Ends what is left of earlier epochs but for what was adopted.
    pub(crate) async fn sweep(&self, adopted: &[(ExecutorKind, AttemptId)]) {
        let of = |wanted: ExecutorKind| -> HashSet<AttemptId> {
            adopted.iter().filter(|(kind, _)| *kind == wanted).map(|(_, id)| *id).collect()
        };
        if self.process.dies_with_host().is_none() {
            self.process.sweep(of(ExecutorKind::Process)).await;
        }
        if self.wasm.dies_with_host().is_none() {
            self.wasm.sweep(of(ExecutorKind::Wasm)).await;
        }
    }
}
