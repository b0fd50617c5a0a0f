//! The executors of this host, picked by what is to be started.

use crate::executor::container::ContainerExecutor;
use crate::executor::process::ProcessExecutor;
use crate::executor::wasm::WasmExecutor;
use crate::executor::{Executor, Reports, Start, What};
use hostler_model::{AttemptId, Duration, Pipeline, Problem, TaskKind};
use hostler_store::LogKept;
use std::collections::HashSet;
use std::sync::Arc;

/// One of each kind. Cheap to clone.
#[derive(Clone)]
pub struct Executors {
    pub process: Arc<ProcessExecutor>,
    pub container: ContainerExecutor,
    pub wasm: WasmExecutor,
}

/// Which executor an attempt is with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ExecutorKind {
    Process,
    Container,
    Wasm,
}

impl ExecutorKind {
    pub(crate) const ALL: [Self; 3] = [Self::Process, Self::Container, Self::Wasm];

    /// None: the task runs nothing.
    pub(crate) fn of(kind: &TaskKind) -> Option<Self> {
        match kind {
            TaskKind::Process(_) => Some(Self::Process),
            TaskKind::Container(_) => Some(Self::Container),
            TaskKind::Wasm(_) => Some(Self::Wasm),
            TaskKind::None => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Wasm => "wasm",
        }
    }
}

/// The same call on the executor of a kind; each has a type of its own.
macro_rules! on {
    ($executors:expr, $kind:expr, $executor:ident => $call:expr) => {
        match $kind {
            ExecutorKind::Process => {
                let $executor = &*$executors.process;
                $call
            }
            ExecutorKind::Container => {
                let $executor = &$executors.container;
                $call
            }
            ExecutorKind::Wasm => {
                let $executor = &$executors.wasm;
                $call
            }
        }
    };
}

impl Executors {
    pub(crate) async fn start(&self, start: Start, reports: Reports) {
        let kind = match start.what {
            What::Process { .. } | What::Script { .. } => ExecutorKind::Process,
            What::Container(_) => ExecutorKind::Container,
            What::Wasm { .. } => ExecutorKind::Wasm,
        };
        on!(self, kind, executor => executor.start(start, reports).await);
    }

    pub(crate) async fn stop(&self, kind: ExecutorKind, id: AttemptId, grace: Duration) {
        on!(self, kind, executor => executor.stop(id, grace).await);
    }

    pub(crate) async fn kill(&self, kind: ExecutorKind, id: AttemptId) {
        on!(self, kind, executor => executor.kill(id).await);
    }

    pub(crate) fn dies_with_host(&self, kind: ExecutorKind) -> Option<&'static str> {
        on!(self, kind, executor => executor.dies_with_host())
    }

    pub(crate) async fn adopt(&self, kind: ExecutorKind, id: AttemptId, kept: LogKept, reports: Reports) {
        on!(self, kind, executor => executor.adopt(id, kept, reports).await);
    }

    pub(crate) async fn forget(&self, kind: ExecutorKind, id: AttemptId) {
        on!(self, kind, executor => executor.forget(id).await);
    }

    /// Something may be kept of an attempt that has ended, until it is forgotten.
    pub(crate) fn is_holding(&self, kind: ExecutorKind, id: AttemptId) -> bool {
        match kind {
            ExecutorKind::Process => self.process.is_holding(id),
            ExecutorKind::Container => true,
            ExecutorKind::Wasm => false,
        }
    }

    /// Ends what is left of earlier epochs but for what was adopted.
    pub(crate) async fn sweep(&self, adopted: &[(ExecutorKind, AttemptId)]) {
        for kind in ExecutorKind::ALL {
            let of_kind = adopted.iter().filter(|(one, _)| *one == kind);
            let ids: HashSet<AttemptId> = of_kind.map(|(_, id)| *id).collect();
            if self.dies_with_host(kind).is_none() {
                on!(self, kind, executor => executor.sweep(ids).await);
            }
        }
    }

    /// What this host refuses to run, whenever it is started.
    pub(crate) fn problems(&self, pipeline: &Pipeline) -> Vec<Problem> {
        let refusal = |task: &hostler_model::Task| match &task.kind {
            TaskKind::Container(container) => {
                let message = self.container.refusal(container)?;
                Some(Problem::new(format!("/tasks/{}/container/network", task.name), message))
            }
            TaskKind::Process(_) | TaskKind::Wasm(_) | TaskKind::None => None,
        };
        pipeline.tasks.iter().filter_map(refusal).collect()
    }
}
