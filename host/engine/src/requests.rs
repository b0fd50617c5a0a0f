//! Requests about runs: start, cancel, start again. What can be checked before is checked off the dispatcher.

use crate::core::{Core, EventError};
use crate::error::Error;
use crate::handle::{Handle, RetryVersion, RunStarted, StartRun};
use crate::runs::{Released, Wanted, subscription_of};
use hostler_model::{Actor, CancelReason, Duration, RunId, RunKey, RunStatus, document};
use hostler_store::{NamespaceId, NewIdempotent, Origin, RunRow, Trust, WriteTx};

/// How long an idempotency key is remembered.
pub(crate) const KEY_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Old keys forgotten with each new one.
const KEYS_FORGOTTEN: u32 = 8;

/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

pub(crate) async fn start_run(handle: &Handle, start: StartRun) -> Result<RunStarted, Error> {
    let namespace = handle.namespace(&start.namespace).await?;
    let definitions = handle.parts.definitions.clone();
    let (id, version) = (start.pipeline.clone(), start.version);
    let (key, released) = {
        let id = id.clone();
        let found = handle.look(move |tx| {
            let Some(row) = tx.pipeline_by_id(namespace, &id)? else { return Ok(Err(Error::UnknownPipeline(id))) };
            let Some(version) = version.or(row.released) else { return Ok(Err(Error::NothingReleased(id))) };
            Ok(Released::read(tx, &definitions, row.key, &id, version).map(|released| (row.key, released)))
        });
        found.await??
    };
    let fingerprint = fingerprint(&start);
    let params = released.pipeline.bind(start.params);
    let params = params.map_err(|problems| Error::Invalid { what: "list of params", problems })?;
    let wanted = Wanted {
        namespace,
        pipeline_key: key,
        version: released.version,
        digest: released.digest,
        pipeline: released.pipeline,
        params,
        attributes: Vec::new(),
        summary: start.summary,
        origin: Origin::Asked,
        retry_of: None,
        trust: Trust::Trusted,
        actor: start.actor,
    };
    let idempotency = start.idempotency_key.map(|key| Key { key, fingerprint });
    if let Some(Key { key, .. }) = &idempotency
        && (key.is_empty() || key.len() > KEY_BYTES_MAX)
    {
        let message = format!("an idempotency key has 1 to {KEY_BYTES_MAX} bytes");
        return Err(Error::Invalid {
            what: "idempotency key",
            problems: hostler_model::Problem::new("", message).into(),
        });
    }
    handle.change(move |core, tx| make(core, tx, wanted, idempotency.as_ref())).await
}

pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) fingerprint: [u8; 32],
}

pub(crate) fn make(
    core: &mut Core,
    tx: &mut WriteTx<'_>,
    wanted: Wanted,
    key: Option<&Key>,
) -> Result<RunStarted, Error> {
    let (namespace, actor) = (wanted.namespace, wanted.actor.clone());
    if let Some(key) = key
        && let Some(started) = known(core, tx, namespace, &actor, key)?
    {
        return Ok(started);
    }
    core.floor.check()?;
    let still = tx.pipeline(wanted.pipeline_key)?.is_some_and(|row| row.deleted_at.is_none());
    if !still {
        return Err(Error::UnknownPipeline(wanted.pipeline.id.clone()));
    }
    let made = core.make_run(tx, wanted)?;
    if let Some(Key { key, fingerprint }) = key {
        let (run, now, actor) = (made.key, core.wall, actor.name.as_str());
        tx.remember_idempotency(NewIdempotent { namespace, actor, key, fingerprint, run, now })?;
        // Each new key takes a few old ones with it, so that they never pile up.
        tx.forget_idempotency(now.minus(KEY_KEPT), KEYS_FORGOTTEN)?;
    }
    let (id, key, number) = (made.id, made.key, made.number);
    let status = core.begin_run(tx, made, None);
    Ok(RunStarted { id, key, number, status, existing: false })
}

/// The run that an earlier request with this key made.
fn known(
    core: &Core,
    tx: &WriteTx<'_>,
    namespace: NamespaceId,
    actor: &Actor,
    key: &Key,
) -> Result<Option<RunStarted>, Error> {
    let Some(known) = tx.idempotent_run(namespace, &actor.name, &key.key)? else { return Ok(None) };
    if core.wall.since(known.created_at) > KEY_KEPT {
        return Ok(None);
    }
    if known.fingerprint != key.fingerprint {
        return Err(Error::KeyReused { key: key.key.clone() });
    }
    let row = tx.run(known.run)?;
    Ok(row.map(|row| RunStarted { id: row.id, key: row.key, number: row.number, status: row.status, existing: true }))
}

/// Of all that makes a request what it is.
fn fingerprint(start: &StartRun) -> [u8; 32] {
    let StartRun { pipeline, version, params, summary, .. } = start;
    let whole = serde_json::json!([pipeline, version, params, summary]);
    document::fingerprint(&document::canonical(&whole))
}

async fn row(handle: &Handle, run: RunId) -> Result<RunRow, Error> {
    handle.look(move |tx| tx.run_by_id(run)).await?.ok_or(Error::UnknownRun(run))
}

pub(crate) async fn cancel_run(
    handle: &Handle,
    run: RunId,
    reason: CancelReason,
    actor: Actor,
) -> Result<RunStatus, Error> {
    let key = row(handle, run).await?.key;
    handle.change(move |core, tx| cancel(core, tx, (run, key), reason, &actor)).await
}

pub(crate) fn cancel(
    core: &mut Core,
    tx: &mut WriteTx<'_>,
    (run, key): (RunId, RunKey),
    reason: CancelReason,
    actor: &Actor,
) -> Result<RunStatus, Error> {
    match core.cancel(tx, key, reason, actor) {
        Ok(status) => Ok(status),
        Err(EventError::NotOpen | EventError::Refused(_)) => {
            let status = tx.run(key)?.map_or(RunStatus::Cancelled, |row| row.status);
            Err(Error::RunFinished { run, status })
        }
        Err(EventError::Store(error)) => Err(error.into()),
        Err(EventError::NotWritten) => Err(Error::NotCommitted),
        Err(EventError::Quarantined) => {
            Err(Error::Internal { message: format!("run `{run}` was ended because the code failed on it") })
        }
    }
}

pub(crate) async fn retry_run(
    handle: &Handle,
    run: RunId,
    version: RetryVersion,
    actor: Actor,
) -> Result<RunStarted, Error> {
    let old = row(handle, run).await?;
    if !old.status.is_terminal() {
        return Err(Error::RunOpen { run, status: old.status });
    }
    let definitions = handle.parts.definitions.clone();
    let (key, id, same) = (old.pipeline, old.pipeline_id.clone(), old.version);
    let released = handle.look(move |tx| {
        let Some(row) = tx.pipeline(key)?.filter(|row| row.deleted_at.is_none()) else {
            return Ok(Err(Error::UnknownPipeline(id)));
        };
        let version = match version {
            RetryVersion::Same => Some(same),
            RetryVersion::Released => row.released,
        };
        let Some(version) = version else { return Ok(Err(Error::NothingReleased(id))) };
        Ok(Released::read(tx, &definitions, key, &id, version))
    });
    let released = released.await??;
    let given = serde_json::from_str(&old.params).unwrap_or_default();
    let params = released.pipeline.bind(given);
    let params = params.map_err(|problems| Error::Invalid { what: "list of params of the earlier run", problems })?;
    let attributes: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&old.attributes).unwrap_or_default();
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let wanted = Wanted {
        namespace: old.namespace,
        pipeline_key: old.pipeline,
        version: released.version,
        digest: released.digest,
        pipeline: released.pipeline,
        params,
        attributes: attributes.into_iter().map(|(name, value)| (name, text(value))).collect(),
        summary: Some(match subscription_of(&old.origin) {
            Some(_) => format!("retry of run {}, which a subscription had started", old.number),
            None => format!("retry of run {}", old.number),
        }),
        origin: Origin::Asked,
        retry_of: Some(old.key),
        trust: old.trust,
        actor,
    };
    handle.change(move |core, tx| make(core, tx, wanted, None)).await
}
