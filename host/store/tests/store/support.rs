//! A store in a folder of its own, with a pipeline and what else the cases need to begin.

use hostler_model::{Actor, Cause, Duration, RunId, RunKey, RunStatus, Slug, SubscriptionId, Timestamp};
use hostler_store::{
    CatchUp, Error, NamespaceId, NewPipeline, NewRun, NewSubscription, NewVersion, Opened, Options, Origin, Overlap,
    PipelineKey, Policy, RunChange, Schedule, Store, Trust, WriteTx, Writer,
};
use tempfile::TempDir;

pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    ids: u8,
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn host() -> Host {
    host_with(Options::new(NOW))
}

pub(crate) fn host_with(options: Options) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let Opened { store, writer, .. } = Store::open(dir.path(), options).unwrap();
    Host { dir, store, writer, ids: 0 }
}

impl Host {
    /// One transaction that is kept when `f` is content.
    pub(crate) fn write<T>(&mut self, f: impl FnOnce(&mut WriteTx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let mut tx = self.writer.begin()?;
        let answer = f(&mut tx)?;
        tx.commit()?;
        Ok(answer)
    }

    /// The same folder after a restart.
    pub(crate) fn reopen(self) -> Self {
        let Self { dir, store, writer, ids } = self;
        drop((store, writer));
        let Opened { store, writer, .. } = Store::open(dir.path(), Options::new(NOW)).unwrap();
        Self { dir, store, writer, ids }
    }

    pub(crate) fn pipeline(&mut self, id: &str) -> PipelineKey {
        self.write(|tx| {
            let key = tx.create_pipeline(NewPipeline { namespace: NamespaceId::DEFAULT, id: &slug(id), now: NOW })?;
            add_version(tx, key)?;
            Ok(key)
        })
        .unwrap()
    }

    pub(crate) fn next_id(&mut self) -> RunId {
        self.ids += 1;
        RunId::new(NOW, [self.ids; 10])
    }

    pub(crate) fn run(&mut self, pipeline: PipelineKey) -> (RunKey, RunId) {
        let id = self.next_id();
        let (key, _) = self.write(|tx| tx.create_run(&new_run(pipeline, id, &Actor::host()))).unwrap();
        (key, id)
    }

    pub(crate) fn subscription(&mut self, pipeline: PipelineKey, label: &str, schedule: Schedule) -> SubscriptionId {
        self.write(|tx| tx.create_subscription(new_subscription(pipeline, &slug(label), schedule))).unwrap()
    }
}

pub(crate) fn add_version(tx: &mut WriteTx<'_>, pipeline: PipelineKey) -> Result<u32, Error> {
    let actor = Actor::token("first");
    tx.add_version(NewVersion { pipeline, name: None, digest: "sha256:0", document: "{}", actor: &actor, now: NOW })
}

pub(crate) fn new_run(pipeline: PipelineKey, id: RunId, created_by: &Actor) -> NewRun<'_> {
    NewRun {
        id,
        namespace: NamespaceId::DEFAULT,
        pipeline,
        version: 1,
        definition_digest: "sha256:0",
        params: "{}",
        attributes: "{}",
        summary: None,
        origin: Origin::Asked,
        created_by,
        retry_of: None,
        parent: None,
        trust: Trust::Trusted,
        tasks_total: 1,
        now: NOW,
    }
}

pub(crate) fn new_subscription(pipeline: PipelineKey, label: &Slug, schedule: Schedule) -> NewSubscription<'_> {
    static ACTOR: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(Actor::host);
    NewSubscription {
        namespace: NamespaceId::DEFAULT,
        pipeline,
        plugin: "interval",
        label,
        params: r#"{"every":"5m"}"#,
        run_params: "{}",
        narrowing: None,
        policy: Policy {
            overlap: Overlap::Skip,
            queue_max: 1,
            catch_up: CatchUp::Latest,
            catch_up_window: Duration::from_secs(3600),
            catch_up_cap: 10,
            jitter: Duration::ZERO,
        },
        schedule,
        mark_at: NOW,
        actor: &ACTOR,
        now: NOW,
    }
}

/// A transition with nothing else to say.
pub(crate) fn moves(run: RunKey, from: RunStatus, to: RunStatus, cause: &Cause) -> RunChange<'_> {
    RunChange { run, from, to, cause, cancelled_by: None, deadline: None, log_bytes: None, now: NOW }
}
