//! Requests about pipelines: a new version, a release, the end of one.

use crate::error::Error;
use crate::handle::{Handle, Register, Registered};
use hostler_model::{Actor, Pipeline, Problems, Slug, document};
use hostler_store::{NewEvent, NewPipeline, NewVersion, PipelineRow, SubscriptionFilter, WriteTx};
use std::sync::Arc;

/// A document that has been checked, as it is stored.
pub(crate) struct Checked {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) canonical: String,
    pub(crate) digest: String,
}

/// Problems carry the places of the text that was given; what is stored, and what tasks are counted by, is the
/// canonical form.
pub(crate) fn check(text: &str) -> Result<Checked, Problems> {
    Pipeline::parse(text)?;
    let canonical = document::canonical(&serde_json::from_str(text).unwrap_or_default());
    let pipeline = Arc::new(Pipeline::parse(&canonical)?);
    Ok(Checked { pipeline, digest: document::digest(&canonical), canonical })
}

pub(crate) async fn register(handle: &Handle, register: Register) -> Result<Registered, Error> {
    let namespace = handle.namespace(&register.namespace).await?;
    let Register { document, release, actor, .. } = register;
    let checked = tokio::task::spawn_blocking(move || check(&document)).await;
    let checked = checked.map_err(|_| Error::Internal { message: "a document could not be checked".into() })?;
    let checked = checked.map_err(|problems| Error::Invalid { what: "pipeline document", problems })?;
    let problems = handle.parts.attempts.executors.problems(&checked.pipeline);
    if !problems.is_empty() {
        return Err(Error::Invalid { what: "pipeline document", problems: Problems(problems) });
    }
    let definitions = handle.parts.definitions.clone();
    handle
        .change(move |core, tx| {
            let id = checked.pipeline.id.clone();
            let row = match tx.pipeline_by_id(namespace, &id)? {
                Some(row) => row,
                None => {
                    let key = tx.create_pipeline(NewPipeline { namespace, id: &id, now: core.wall })?;
                    let made = tx.pipeline(key)?;
                    made.ok_or_else(|| Error::Internal { message: "a pipeline vanished".into() })?
                }
            };
            let latest = tx.version(row.key, row.latest)?;
            let unchanged = latest.is_some_and(|latest| latest.digest == checked.digest);
            let version = if unchanged {
                row.latest
            } else {
                let (name, now) = (checked.pipeline.name.as_deref(), core.wall);
                let (digest, document) = (checked.digest.as_str(), checked.canonical.as_str());
                tx.add_version(NewVersion { pipeline: row.key, name, digest, document, actor: &actor, now })?
            };
            let mut released = row.released;
            if release && released != Some(version) {
                tx.release_version(row.key, version)?;
                released = Some(version);
            }
            if !unchanged || released != row.released {
                let kind = if unchanged { "pipeline.released" } else { "pipeline.registered" };
                event(core, tx, &row, kind, &actor, version)?;
            }
            definitions.insert(&checked.digest, checked.pipeline);
            Ok(Registered { pipeline: id, version, digest: checked.digest, released, unchanged })
        })
        .await
}

fn event(
    core: &mut crate::core::Core,
    tx: &mut WriteTx<'_>,
    row: &PipelineRow,
    kind: &str,
    actor: &Actor,
    version: u32,
) -> Result<(), Error> {
    let data = format!(r#"{{"version":{version}}}"#);
    let event = NewEvent::new(core.now, row.namespace, kind, actor);
    core.tell(tx, NewEvent { pipeline: Some(row.key), data: Some(&data), ..event })?;
    Ok(())
}

pub(crate) async fn release(
    handle: &Handle,
    namespace: &Slug,
    pipeline: &Slug,
    version: u32,
    actor: Actor,
) -> Result<(), Error> {
    let (namespace, pipeline) = (handle.namespace(namespace).await?, pipeline.clone());
    handle
        .change(move |core, tx| {
            let row = tx.pipeline_by_id(namespace, &pipeline)?;
            let row = row.ok_or_else(|| Error::UnknownPipeline(pipeline.clone()))?;
            if tx.version(row.key, version)?.is_none() {
                return Err(Error::UnknownVersion { pipeline, version });
            }
            if row.released == Some(version) {
                return Ok(());
            }
            tx.release_version(row.key, version)?;
            event(core, tx, &row, "pipeline.released", &actor, version)
        })
        .await
}

pub(crate) async fn delete(handle: &Handle, namespace: &Slug, pipeline: &Slug, actor: Actor) -> Result<(), Error> {
    let (namespace, pipeline) = (handle.namespace(namespace).await?, pipeline.clone());
    handle
        .change(move |core, tx| {
            let row = tx.pipeline_by_id(namespace, &pipeline)?;
            let row = row.ok_or_else(|| Error::UnknownPipeline(pipeline.clone()))?;
            let open_runs = tx.count_of_pipeline_open(row.key)?;
            let filter = SubscriptionFilter { pipeline: Some(row.key), ..SubscriptionFilter::default() };
            let subscriptions = tx.subscriptions(&filter, hostler_store::Page::first(1_000))?.items.len() as u64;
            if open_runs > 0 || subscriptions > 0 {
                return Err(Error::PipelineInUse { pipeline, open_runs, subscriptions });
            }
            tx.delete_pipeline(row.key, core.wall)?;
            event(core, tx, &row, "pipeline.deleted", &actor, row.latest)
        })
        .await
}
