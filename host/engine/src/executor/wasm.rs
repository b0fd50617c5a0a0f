//! Attempts that are WebAssembly commands: a thin coat over the plugin room's `Commands`.
//!
//! Differences from processes: there are no signals, so `stop` ends the guest at once and `grace` means nothing;
//! nothing outlives the host, so after a restart every attempt is gone.

use super::{Executor, Report, Reports, Start, Stream, What};
use crate::clock::Clock;
use crate::ended::Ended;
use hostler_model::{AttemptId, Duration, Epoch, Exit};
use hostler_plugin::command::{Output, Stream as GuestStream};
use hostler_plugin::{CommandExit, CommandSpec, Commands, Preopen};
use hostler_store::LogKept;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Output chunks on their way from the guest.
const OUTPUTS_WAITING: usize = 16;

/// Cheap to clone.
#[derive(Clone)]
pub struct WasmExecutor {
    commands: Commands,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    epoch: Epoch,
    live: HashMap<AttemptId, CancellationToken>,
    ended: Ended,
}

impl WasmExecutor {
    /// `epoch`: of this boot; starts of an earlier one are refused.
    pub fn new(commands: Commands, clock: Clock, epoch: Epoch) -> Self {
        let state = State { epoch, live: HashMap::new(), ended: Ended::default() };
        Self { commands, clock, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it runs already.
    fn begin(&self, id: AttemptId) -> Result<Option<CancellationToken>, Exit> {
        let mut state = self.lock();
        if id.epoch < state.epoch {
            return Err(refused("it was ordered by a host of an earlier epoch".into()));
        }
        if state.ended.contains(id) {
            return Err(Ended::exit());
        }
        state.epoch = id.epoch;
        if state.live.contains_key(&id) {
            return Ok(None);
        }
        let cancel = CancellationToken::new();
        state.live.insert(id, cancel.clone());
        Ok(Some(cancel))
    }

    fn cancel(&self, id: AttemptId) {
        if let Some(cancel) = self.lock().live.get(&id) {
            cancel.cancel();
        }
    }

    async fn run(self, spec: CommandSpec, id: AttemptId, cancel: CancellationToken, reports: Reports) {
        let (output, outputs) = mpsc::channel(OUTPUTS_WAITING);
        let (started_tx, started) = tokio::sync::oneshot::channel();
        let passing = tokio::spawn(pass_on(started, outputs, reports.clone(), self.clock.clone()));
        let started = move |digest: String| {
            let _ = started_tx.send(digest);
        };
        let end = self.commands.run(spec, output, cancel, started).await;
        // All output is passed on before the end is told.
        let _ = passing.await;
        {
            let mut state = self.lock();
            state.live.remove(&id);
            state.ended.insert(id);
        }
        let _ = reports.send(Report::Exit(exit(end.exit))).await;
    }
}

async fn pass_on(
    started: tokio::sync::oneshot::Receiver<String>,
    mut outputs: mpsc::Receiver<Output>,
    reports: Reports,
    clock: Clock,
) {
    // The sender goes without a word when the command never starts.
    if let Ok(digest) = started.await {
        let _ = reports.send(Report::Started { at: clock.wall(), digest: Some(digest) }).await;
    }
    while let Some(Output { stream, bytes }) = outputs.recv().await {
        let stream = match stream {
            GuestStream::Stdout => Stream::Stdout,
            GuestStream::Stderr => Stream::Stderr,
        };
        if reports.send(Report::Output { stream, bytes, at: None }).await.is_err() {
            return;
        }
    }
}

fn exit(exit: CommandExit) -> Exit {
    match exit {
        CommandExit::Code(code) => Exit::Code { code },
        CommandExit::Trapped { message } => Exit::Trapped { message },
        CommandExit::Exceeded { limit } => Exit::Exceeded { limit },
        CommandExit::Cancelled => Exit::Stopped,
        CommandExit::NotStarted { reason, transient } => Exit::NotStarted { reason, transient },
    }
}

fn refused(reason: String) -> Exit {
    Exit::NotStarted { reason, transient: false }
}

impl Executor for WasmExecutor {
    async fn start(&self, start: Start, reports: Reports) {
        let Start { id, what, env, workspace, outputs } = start;
        let What::Wasm { component, args, stdin, memory_max } = what else {
            let _ = reports.send(Report::Exit(refused("the wasm executor runs components only".into()))).await;
            return;
        };
        let cancel = match self.begin(id) {
            Ok(Some(cancel)) => cancel,
            Ok(None) => return,
            Err(exit) => {
                let _ = reports.send(Report::Exit(exit)).await;
                return;
            }
        };
        let preopens = vec![Preopen { host: outputs, guest: "/outputs".into() }];
        let spec = CommandSpec {
            component,
            args,
            env,
            stdin,
            workspace,
            preopens,
            memory_bytes_max: memory_max,
            time_max: None,
        };
        tokio::spawn(self.clone().run(spec, id, cancel, reports));
    }

    async fn stop(&self, id: AttemptId, _grace: Duration) {
        self.cancel(id);
    }

    async fn kill(&self, id: AttemptId) {
        self.cancel(id);
    }

    fn dies_with_host(&self) -> Option<&'static str> {
        Some("the host ended while it ran, and a guest does not outlive it")
    }

    async fn adopt(&self, id: AttemptId, _kept: LogKept, reports: Reports) {
        let reason = format!("attempt {id} is not here");
        let _ = reports.send(Report::Exit(Exit::Lost { reason })).await;
    }

    async fn forget(&self, _id: AttemptId) {}

    async fn sweep(&self, _adopted: HashSet<AttemptId>) {}
}
