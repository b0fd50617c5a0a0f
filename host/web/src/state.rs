//! What every route can reach: the engine, limits, figures, and the parsed documents that were asked for last.

use crate::error::Error;
use crate::guard::Hosts;
use crate::metrics::Metrics;
use hostler_engine::Handle;
use hostler_model::{Kind, Pipeline};
use hostler_model::{RunId, Slug};
use hostler_store::{NamespaceId, PipelineRow, ReadTx, RunRow};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Parsed documents kept, newest last; a page of tasks needs the names of one.
const DOCUMENTS_MAX: usize = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Names in `Host` that are this host, beside loopback and the listen address.
    pub hosts: Hosts,
    /// How long one request may take until its answer begins.
    pub request_timeout: Duration,
    /// Connections that may be open at once; one more is answered so and closed.
    pub connections_max: usize,
    /// Streams that may be followed at once.
    pub followers_max: usize,
    /// How often a quiet stream says that it lives.
    pub keep_alive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: Hosts::loopback(),
            request_timeout: Duration::from_secs(30),
            connections_max: 1_024,
            followers_max: 256,
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    options: Options,
    metrics: Metrics,
    followers: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    documents: Mutex<VecDeque<(String, Arc<Pipeline>)>>,
}

impl Web {
    pub fn new(handle: Handle, options: Options) -> Self {
        let followers = Arc::new(Semaphore::new(options.followers_max));
        let (stopping, _) = watch::channel(false);
        let inner =
            Inner { handle, options, metrics: Metrics::default(), followers, stopping, documents: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Ends all streams; requests that are being answered go on.
    pub fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stopping.subscribe()
    }

    pub(crate) fn follower(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.inner.followers).try_acquire_owned().map_err(|_| {
            let most = self.inner.options.followers_max;
            Error::new(Kind::Busy, format!("{most} streams are being followed already, which is the most at once"))
                .hint("end another one, try again later, or raise `limits.streams`")
        })
    }

    pub(crate) fn followers_now(&self) -> usize {
        self.inner.options.followers_max - self.inner.followers.available_permits()
    }

    /// Runs a read where it may block.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, hostler_store::Error> + Send + 'static,
    {
        let web = self.clone();
        self.blocking(move || Ok(web.handle().store().read(read)?)).await
    }

    /// A read that can also find that there is nothing, or that the question is wrong.
    pub(crate) async fn find<T, F>(&self, find: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let web = self.clone();
        self.blocking(move || web.handle().store().read(|tx| Ok(find(tx)))?).await
    }

    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }

    /// The document of a run as a graph. Parsed once while it is asked for.
    pub(crate) fn pipeline(&self, tx: &ReadTx<'_>, run: &RunRow) -> Result<Arc<Pipeline>, Error> {
        let lock = || self.inner.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            lock().iter().find(|(digest, _)| *digest == run.definition_digest).map(|(_, known)| Arc::clone(known));
        if let Some(known) = known {
            return Ok(known);
        }
        let version = tx.version(run.pipeline, run.version)?.ok_or_else(|| missing_version(run))?;
        let parsed = Pipeline::parse(&version.document).map_err(Error::internal)?;
        let parsed = Arc::new(parsed);
        let mut documents = lock();
        documents.push_back((run.definition_digest.clone(), Arc::clone(&parsed)));
        if documents.len() > DOCUMENTS_MAX {
            documents.pop_front();
        }
        Ok(parsed)
    }
}

fn missing_version(run: &RunRow) -> Error {
    Error::internal(std::io::Error::other(format!("run {} names version {}, which has no row", run.id, run.version)))
}

/// The row id of a namespace, or that it is not there.
pub(crate) fn namespace(tx: &ReadTx<'_>, name: &Slug) -> Result<NamespaceId, Error> {
    let id = tx.namespace_by_name(name)?;
    id.ok_or_else(|| Error::not_found(format!("namespace `{name}` does not exist")))
}

pub(crate) fn pipeline_row(tx: &ReadTx<'_>, namespace_name: &Slug, pipeline: &Slug) -> Result<PipelineRow, Error> {
    let namespace = namespace(tx, namespace_name)?;
    let row = tx.pipeline_by_id(namespace, pipeline)?;
    row.ok_or_else(|| {
        Error::not_found(format!("pipeline `{pipeline}` does not exist"))
            .hint("`hostler pipeline list` shows those that do")
    })
}

/// A run of this namespace; one of another is as if it were not there.
pub(crate) fn run_row(tx: &ReadTx<'_>, namespace_name: &Slug, run: &str) -> Result<RunRow, Error> {
    let namespace = namespace(tx, namespace_name)?;
    let id = run_id(run)?;
    let row = tx.run_by_id(id)?.filter(|row| row.namespace == namespace);
    row.ok_or_else(|| unknown_run(run))
}

pub(crate) fn run_id(text: &str) -> Result<RunId, Error> {
    text.parse().map_err(|_| unknown_run(text))
}

fn unknown_run(run: &str) -> Error {
    let shown: String = run.chars().take(60).collect();
    Error::not_found(format!("run `{shown}` does not exist")).hint("`hostler run list` shows those that do")
}
