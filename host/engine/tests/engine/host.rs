//! A host for one test, and the words to ask it things. Waiting is always for a condition, with a limit.

use hostler_engine::executor::container::{ContainerConfig, ContainerExecutor};
use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::wasm::WasmExecutor;
use hostler_engine::isolation::Isolation;
use hostler_engine::warden::Containment;
use hostler_engine::{
    Clock, Config, Engine, Error, Executors, Handle, Manual, Policy, Register, Retention, RunStarted, SlotSizes,
    StartRun, StopMode, Storage, Subscribe,
};
use hostler_model::schedule::{CatchUp, Overlap};
use hostler_model::{Actor, Duration, RunId, RunStatus, Slug, SubscriptionId, TaskStatus, Timestamp};
use hostler_plugin::{Compiler, Plugins, Runtime, RuntimeConfig, Sources};
use hostler_store::{FireRow, LogFilter, LogStream, Options, Page, RunFilter, RunRow, Store, TaskDetail, TaskFilter};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR: Timestamp = Timestamp(1_767_225_600_000);

/// No condition that a test waits for takes longer, on the slowest machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<Manual>,
    _runtime: Runtime,
}

/// Nothing is removed, and there is no floor.
pub(crate) fn storage(data: &Path) -> Storage {
    let retention = Retention::unlimited(Duration::from_secs(3600));
    Storage { backup_dir: data.join("backups"), backups_kept: 2, free_min: 0, retention }
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

impl Host {
    pub(crate) async fn start(data: &Path, at: Timestamp) -> Self {
        Self::start_with(data, at, storage(data)).await
    }

    pub(crate) async fn start_with(data: &Path, at: Timestamp, storage: Storage) -> Self {
        let (clock, manual) = Clock::manual(at);
        let opened = Store::open(data, Options::new(at)).expect("the store opens");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
        let runtime = Runtime::new(RuntimeConfig::new(cache, Compiler::InProcess)).expect("the runtime starts");
        let (plugins, failed) = Plugins::load(&runtime, Vec::new()).await;
        assert!(failed.is_empty(), "{failed:?}");
        let sources = Sources::plain(&data.join("plugins"), 64 << 20).expect("a store of components");
        let scratch = data.join("scripts");
        std::fs::create_dir_all(&scratch).expect("a folder");
        let warden = WardenConfig {
            program: env!("CARGO_BIN_EXE_executor-testbed").into(),
            args: vec!["warden".into()],
            epoch: opened.epoch,
            scratch,
            containment: Containment::default(),
            keep: Duration::ZERO,
            meeting: data.join("warden"),
            isolation: Isolation::default(),
        };
        let process = ProcessExecutor::start_warden(warden).await.expect("the warden starts");
        let executors = Executors {
            process: Arc::new(process),
            container: ContainerExecutor::new(ContainerConfig::without_engine(opened.epoch), clock.clone()),
            wasm: WasmExecutor::new(runtime.commands(), clock.clone(), opened.epoch),
        };
        let host_env = vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())];
        let slots = SlotSizes { process: 16, container: 2, wasm: 2 };
        let requests_max = 1_000;
        let config = Config { opened, plugins, sources, executors, clock, slots, host_env, storage, requests_max };
        let engine = Engine::start(config).await;
        Self { engine: engine.expect("the engine starts"), clock: manual, _runtime: runtime }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.engine.handle()
    }

    pub(crate) async fn stop(self) {
        self.engine.stop(StopMode::Finish, std::time::Duration::from_secs(20)).await.expect("it stops");
    }

    /// For runs that would not end by themselves.
    pub(crate) async fn cancel_and_stop(self) {
        self.engine.stop(StopMode::Cancel, std::time::Duration::from_secs(20)).await.expect("it stops");
    }

    pub(crate) fn look<T>(
        &self,
        look: impl FnOnce(&hostler_store::ReadTx<'_>) -> Result<T, hostler_store::Error>,
    ) -> T {
        self.handle().store().read(look).expect("a look")
    }

    /// Asks again after each commit until the answer is there.
    pub(crate) async fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let mut events = self.handle().watch_events();
        let waiting = async {
            loop {
                if let Some(answer) = ask(self) {
                    return answer;
                }
                // Not every commit writes an event, so a look now and then is needed too.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(20), events.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    pub(crate) async fn up(&self, document: Value) {
        let document = document.to_string();
        let register = Register { namespace: slug("default"), document, release: true, actor: Actor::token("test") };
        self.handle().register(register).await.expect("registered");
    }

    pub(crate) async fn try_start(&self, pipeline: &str, params: Value) -> Result<RunStarted, Error> {
        let Value::Object(params) = params else { panic!("params are an object") };
        let start = StartRun {
            namespace: slug("default"),
            pipeline: slug(pipeline),
            version: None,
            params,
            summary: None,
            idempotency_key: None,
            actor: Actor::token("test"),
        };
        self.handle().start_run(start).await
    }

    pub(crate) async fn begin(&self, pipeline: &str) -> RunStarted {
        self.try_start(pipeline, json!({})).await.expect("started")
    }

    pub(crate) fn run(&self, id: RunId) -> RunRow {
        self.look(|tx| tx.run_by_id(id)).expect("the run is there")
    }

    pub(crate) async fn ended(&self, id: RunId) -> RunStatus {
        self.until("the end of the run", |host| Some(host.run(id).status).filter(|status| status.is_terminal())).await
    }

    pub(crate) fn tasks(&self, run: &RunStarted) -> Vec<TaskDetail> {
        self.look(|tx| tx.task_page(run.key, TaskFilter::default(), Page::first(1_000_000))).items
    }

    /// `name status` of each task that has a row.
    pub(crate) fn states(&self, run: &RunStarted) -> Vec<(String, TaskStatus)> {
        let row = self.run(run.id);
        let document = self.look(|tx| tx.version(row.pipeline, row.version)).expect("its version").document;
        let pipeline = hostler_model::Pipeline::parse(&document).expect("a pipeline");
        let state = |task: TaskDetail| (pipeline.task(task.task).name.to_string(), task.status);
        self.tasks(run).into_iter().map(state).collect()
    }

    pub(crate) fn log(&self, run: &RunStarted, stream: LogStream) -> String {
        let filter = LogFilter { stream: Some(stream), ..LogFilter::default() };
        let reader = self.handle().store().logs().reader(run.id, 0, filter).expect("the log opens");
        let bytes: Vec<u8> = reader.flat_map(|record| record.expect("a record").1.bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) async fn subscribe(
        &self,
        plugin: &str,
        params: Value,
        overlap: Overlap,
        catch_up: CatchUp,
    ) -> SubscriptionId {
        let subscribe = subscription("p", plugin, params, overlap, catch_up);
        self.handle().subscribe(subscribe).await.expect("subscribed")
    }

    pub(crate) fn fires(&self, id: SubscriptionId) -> Vec<FireRow> {
        let mut fires = self.look(|tx| tx.fires(id, Page::first(1_000))).items;
        fires.reverse();
        fires
    }

    pub(crate) fn all_runs(&self) -> Vec<RunRow> {
        let mut runs = self.look(|tx| tx.runs(RunFilter::default(), Page::first(10_000))).items;
        runs.reverse();
        runs
    }

    /// The subscription has a next instant and no fire of it is under way.
    pub(crate) async fn is_scheduled(&self, id: SubscriptionId) {
        self.until("a quiet subscription", |host| {
            let row = host.look(|tx| tx.subscription(id)).expect("it is there");
            assert_eq!(row.error, None);
            let open = host.look(|tx| tx.open_fires(100)).is_empty();
            let waits = row.schedule.ends || row.schedule.due_at.is_some_and(|due| due > host.handle().clock().wall());
            (open && waits).then_some(())
        })
        .await;
    }
}

pub(crate) fn subscription(
    pipeline: &str,
    plugin: &str,
    params: Value,
    overlap: Overlap,
    catch_up: CatchUp,
) -> Subscribe {
    let Value::Object(params) = params else { panic!("params are an object") };
    Subscribe {
        namespace: slug("default"),
        pipeline: slug(pipeline),
        plugin: plugin.into(),
        label: slug("label"),
        params,
        run_params: Map::new(),
        narrowing: hostler_plugin::Narrowing::default(),
        policy: Policy { overlap, catch_up, jitter: Duration::ZERO },
        actor: Actor::token("test"),
    }
}

/// A pipeline of one task with nothing to run, so that its runs are over at once.
pub(crate) fn nothing() -> Value {
    json!({"id": "p", "tasks": {"only": {}}})
}

pub(crate) fn script(text: &str) -> Value {
    json!({"process": {"script": text}})
}
