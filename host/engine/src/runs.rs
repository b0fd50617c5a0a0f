//! Making runs: on request, by a fire, and again from an old one.
//!
//! Order inside the transaction: first all that can be refused (rows, keys, memory of plugins), then the first event of
//! the run. So a refusal leaves neither rows nor memory behind.

use crate::core::{Core, News};
use crate::error::Error;
use crate::fires::AnswerError;
use crate::run_facts::RunFacts;
use hostler_model::params::Bound;
use hostler_model::schedule::Arrival;
use hostler_model::{Actor, CancelReason, Event, Pipeline, Run, RunId, RunKey, RunStatus, SubscriptionId, Timestamp};
use hostler_plugin::Action;
use hostler_plugin::{KvChanges, RunRequest, Woken};
use hostler_store::{
    FireStatus, KvExpect, KvOwner, KvWrite, NamespaceId, NewRun, Origin, PipelineKey, Schedule, SubscriptionRow, Trust,
    WriteTx,
};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use tracing::warn;

/// A run to make.
pub(crate) struct Wanted {
    pub(crate) namespace: NamespaceId,
    pub(crate) pipeline_key: PipelineKey,
    pub(crate) version: u32,
    pub(crate) digest: String,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) params: Bound,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) summary: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) retry_of: Option<RunKey>,
    pub(crate) trust: Trust,
    pub(crate) actor: Actor,
}

/// A run whose row stands and whose first event is still to come.
pub(crate) struct Made {
    pub(crate) key: RunKey,
    pub(crate) id: RunId,
    pub(crate) number: u64,
    facts: Arc<RunFacts>,
    actor: Actor,
}

impl Core {
    /// Writes the row.
    pub(crate) fn make_run(&mut self, tx: &mut WriteTx<'_>, wanted: Wanted) -> Result<Made, Error> {
        let Wanted { namespace, pipeline_key, version, digest, pipeline, params, attributes, .. } = wanted;
        let id = RunId::new(self.wall, random()?);
        let object: Map<String, Value> =
            attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let subscription = subscription_of(&wanted.origin);
        let (key, number) = tx.create_run(&NewRun {
            id,
            namespace,
            pipeline: pipeline_key,
            version,
            definition_digest: &digest,
            params: &Value::Object(params.json().clone()).to_string(),
            attributes: &Value::Object(object).to_string(),
            summary: wanted.summary.as_deref(),
            origin: wanted.origin,
            created_by: &wanted.actor,
            retry_of: wanted.retry_of,
            parent: None,
            trust: wanted.trust,
            tasks_total: pipeline.tasks.len() as u32,
            now: self.now,
        })?;
        let facts = Arc::new(RunFacts {
            key,
            id,
            number,
            namespace,
            pipeline_key,
            pipeline,
            params,
            attributes,
            subscription,
            epochs: HashMap::new(),
        });
        Ok(Made { key, id, number, facts, actor: wanted.actor })
    }

    /// Begins it, or lets it wait for those before it.
    pub(crate) fn begin_run(
        &mut self,
        tx: &mut WriteTx<'_>,
        made: Made,
        overlap: Option<hostler_model::schedule::Overlap>,
    ) -> RunStatus {
        let Made { key, facts, actor, .. } = made;
        self.news.push(News::Accepted(facts.clone()));
        let subscription = facts.subscription;
        self.insert(Run::new(facts.pipeline.clone()), facts);
        let arrival = match (subscription, overlap) {
            (Some(id), Some(overlap)) => self.fires.gates.entry(id).or_default().arrive(key, overlap),
            _ => Arrival::Begin,
        };
        match arrival {
            Arrival::Begin => {
                if let Err(error) = self.event(tx, key, Event::Begin, &actor) {
                    warn!(run.key = key.0, "run {} could not begin yet: {error}", key.0);
                }
            }
            Arrival::Wait => {}
            Arrival::Supersede(earlier) => {
                for run in earlier {
                    if let Err(error) = self.cancel(tx, run, CancelReason::Superseded, &actor) {
                        warn!(run.key = run.0, "run {} could not be superseded: {error}", run.0);
                    }
                }
            }
        }
        // A run of nothing but joins may be over already.
        let resident = self.runs.get(&key).map(|resident| resident.run.status());
        resident.or_else(|| tx.run(key).ok().flatten().map(|row| row.status)).unwrap_or(RunStatus::Running)
    }

    /// What a plugin wants done at an instant: its runs, what it remembers and the fire's result, all or nothing.
    pub(crate) fn woken(
        &mut self,
        tx: &mut WriteTx<'_>,
        row: &SubscriptionRow,
        at: Timestamp,
        woken: &Woken,
    ) -> Result<(), AnswerError> {
        remember(tx, row, &woken.memory)?;
        let mut notes: Vec<String> = woken.note.iter().cloned().collect();
        let mut made = Vec::new();
        for (index, action) in woken.actions.iter().enumerate() {
            match action {
                Action::Start(request) => made.extend(self.fired_run(tx, row, at, index, request)?),
                Action::Skip(why) => notes.push(why.clone()),
                Action::Other { kind, .. } => {
                    notes.push(format!("it asked for `{kind}`, which this version does not know"));
                }
            }
        }
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        tx.finish_fire(row.id, at, FireStatus::Done, made.len() as u32, note.as_deref(), self.now)?;
        tx.set_subscription_note(row.id, note.as_deref(), self.now)?;
        if let Some(again) = woken.again.filter(|again| *again > at) {
            let next_due =
                row.schedule.next_at.map(|next| hostler_model::schedule::due(next, row.id, row.policy.jitter));
            let due_at = next_due.map_or(again, |next| next.min(again));
            tx.set_schedule(
                row.id,
                Schedule { again_at: Some(again), due_at: Some(due_at), ..row.schedule },
                self.now,
            )?;
            self.fires.touch();
        }
        for made in made {
            self.begin_run(tx, made, Some(crate::fires::policy(row).overlap));
        }
        Ok(())
    }

    /// None: a run of this fire and key stands already.
    fn fired_run(
        &mut self,
        tx: &mut WriteTx<'_>,
        row: &SubscriptionRow,
        at: Timestamp,
        index: usize,
        request: &RunRequest,
    ) -> Result<Option<Made>, AnswerError> {
        let key = request.key.clone().unwrap_or_else(|| index.to_string());
        if tx.run_of_fire(row.id, at, &key)?.is_some() {
            return Ok(None);
        }
        let refused = |error: &dyn std::fmt::Display| AnswerError::Refused(error.to_string());
        let released = self.released(tx, row.pipeline, &row.pipeline_id).map_err(|error| refused(&error))?;
        let mut given: Map<String, Value> = serde_json::from_str(&row.run_params).unwrap_or_default();
        given.extend(request.params.clone());
        let params = released.pipeline.bind(given).map_err(|problems| {
            AnswerError::Refused(format!(
                "the params for the run do not fit pipeline `{}`: {problems}",
                row.pipeline_id
            ))
        })?;
        let wanted = Wanted {
            namespace: row.namespace,
            pipeline_key: row.pipeline,
            version: released.version,
            digest: released.digest,
            pipeline: released.pipeline,
            params,
            attributes: request.attributes.clone(),
            summary: Some(request.summary.clone()).filter(|summary| !summary.is_empty()),
            origin: Origin::Fired { subscription: row.id, at, key },
            retry_of: None,
            trust: if request.untrusted { Trust::Untrusted } else { Trust::Trusted },
            actor: Actor::subscription(row.id),
        };
        self.make_run(tx, wanted).map(Some).map_err(|error| match error {
            Error::Store(error) => AnswerError::Store(error),
            other => refused(&other),
        })
    }

    /// The version that is released, compiled.
    pub(crate) fn released(
        &self,
        tx: &WriteTx<'_>,
        key: PipelineKey,
        id: &hostler_model::Slug,
    ) -> Result<Released, Error> {
        let row = tx.pipeline(key)?.filter(|row| row.deleted_at.is_none());
        let row = row.ok_or_else(|| Error::UnknownPipeline(id.clone()))?;
        let version = row.released.ok_or_else(|| Error::NothingReleased(id.clone()))?;
        Released::read(tx, &self.definitions, key, id, version)
    }
}

/// A version ready to run.
pub(crate) struct Released {
    pub(crate) version: u32,
    pub(crate) digest: String,
    pub(crate) pipeline: Arc<Pipeline>,
}

impl Released {
    pub(crate) fn read(
        tx: &hostler_store::ReadTx<'_>,
        definitions: &crate::definitions::Definitions,
        key: PipelineKey,
        id: &hostler_model::Slug,
        version: u32,
    ) -> Result<Self, Error> {
        let row = tx.version(key, version)?;
        let row = row.ok_or_else(|| Error::UnknownVersion { pipeline: id.clone(), version })?;
        let pipeline = definitions.get(&row.digest, || Ok(row.document.clone().into()))?;
        Ok(Self { version, digest: row.digest, pipeline })
    }
}

/// What the plugin remembered during the call.
fn remember(tx: &mut WriteTx<'_>, row: &SubscriptionRow, memory: &KvChanges) -> Result<(), hostler_store::Error> {
    if memory.is_empty() {
        return Ok(());
    }
    let seen = memory.seen.iter().map(|seen| KvExpect {
        scope: seen.scope.clone(),
        key: seen.key.clone(),
        version: seen.version.and_then(|version| u64::try_from(version).ok()),
    });
    let write = |write: &hostler_plugin::KvWrite| KvWrite {
        scope: write.scope.clone(),
        key: write.key.clone(),
        value: write.value.clone(),
    };
    let writes: Vec<_> = memory.writes.iter().map(write).collect();
    let owner = KvOwner { plugin: &row.plugin, namespace: row.namespace };
    tx.kv_apply(owner, &seen.collect::<Vec<_>>(), &writes, memory.bytes_max)
}

/// Of the system, for ids.
fn random() -> Result<[u8; 10], Error> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Internal { message: format!("the system gives no random bytes: {error}") })?;
    Ok(bytes)
}

/// Which subscription a run came from.
pub(crate) fn subscription_of(origin: &Origin) -> Option<SubscriptionId> {
    match origin {
        Origin::Asked => None,
        Origin::Fired { subscription, .. } => Some(*subscription),
    }
}
