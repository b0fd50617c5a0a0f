//! What all attempts of a run share, read once from its row.

use crate::error::Error;
use crate::runs::subscription_of;
use hostler_model::params::Bound;
use hostler_model::{Epoch, Pipeline, RunId, RunKey, SubscriptionId, TaskIndex};
use hostler_store::{AttemptRow, NamespaceId, PipelineKey, RunRow};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct RunFacts {
    pub(crate) key: RunKey,
    pub(crate) id: RunId,
    pub(crate) number: u64,
    pub(crate) namespace: NamespaceId,
    pub(crate) pipeline_key: PipelineKey,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) params: Bound,
    /// What the trigger passed; reaches tasks as `HOSTLER_EVENT_*`.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) subscription: Option<SubscriptionId>,
    /// Attempts that were begun in another epoch than this boot's: which.
    pub(crate) epochs: HashMap<(TaskIndex, u32), Epoch>,
}

impl RunFacts {
    pub(crate) fn of(row: &RunRow, pipeline: Arc<Pipeline>, open: &[AttemptRow]) -> Result<Self, Error> {
        let broken = |what: &str| Error::Internal { message: format!("the {what} of run {} cannot be read", row.id) };
        let kept = serde_json::from_str(&row.params).map_err(|_| broken("params"))?;
        let params = pipeline.rebind(kept).map_err(|_| broken("params"))?;
        let attributes: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&row.attributes).map_err(|_| broken("attributes"))?;
        let text = |(name, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        };
        Ok(Self {
            key: row.key,
            id: row.id,
            number: row.number,
            namespace: row.namespace,
            pipeline_key: row.pipeline,
            params,
            attributes: attributes.into_iter().map(text).collect(),
            subscription: subscription_of(&row.origin),
            epochs: open.iter().map(|row| ((row.id.task, row.id.attempt), row.id.epoch)).collect(),
            pipeline,
        })
    }

    /// The epoch that reports about this attempt must carry.
    pub(crate) fn epoch_of(&self, task: TaskIndex, attempt: u32, current: Epoch) -> Epoch {
        self.epochs.get(&(task, attempt)).copied().unwrap_or(current)
    }
}
