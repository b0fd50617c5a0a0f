//! One subscription as its plugin sees it, and what a plugin wants done for it: shared by the roles that are
//! subscribed.
//!
//! Invariant: what a guest answers is checked here before anyone sees it. Must not know: fires, deliveries, events.

use crate::bindings::hostler::plugin::types;
use crate::invoke::{Call, Input};
use crate::{CallError, Failure, Narrowing, Plugin};
use hostler_model::{Duration, Problem, Problems, Slug, SubscriptionId, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Runs and skips that one call can ask for.
const ACTIONS_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub label: Slug,
    pub namespace: Slug,
    pub pipeline: Slug,
    pub created: Timestamp,
    /// As `Plugin::check_params` gave them back: checked, with defaults applied.
    pub params: Value,
    /// What it leaves of the plugin's grants.
    pub narrowing: Arc<Narrowing>,
}

/// Asks for a run of the subscribed pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct RunRequest {
    pub params: Map<String, Value>,
    pub attributes: Vec<(String, String)>,
    pub summary: String,
    /// Two requests of one subscription with the same key start one run.
    pub key: Option<String>,
    pub untrusted: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Start(RunRequest),
    /// Nothing, and why.
    Skip(String),
    /// A kind that this host does not know.
    Other {
        kind: String,
        body: String,
    },
}

impl Plugin {
    #[expect(clippy::result_large_err, reason = "made once for a call that failed; a box would not pay")]
    pub(crate) fn guest_view(
        &self,
        call: &Call,
        subscription: &Subscription,
    ) -> Result<types::Subscription, CallError> {
        let params = self.input(call, Input { what: "params", text: subscription.params.to_string() })?;
        Ok(types::Subscription {
            id: subscription.id.0.to_string(),
            label: subscription.label.to_string(),
            namespace: subscription.namespace.to_string(),
            pipeline: subscription.pipeline.to_string(),
            created: millis(subscription.created),
            params,
            extra: Vec::new(),
        })
    }
}

/// As the contract counts: nothing is before 1970.
pub(crate) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

pub(crate) fn attributes(given: &[(String, String)]) -> Vec<types::Attribute> {
    given.iter().map(|(name, value)| types::Attribute { name: name.clone(), value: value.clone() }).collect()
}

pub(crate) fn pairs(told: Vec<types::Attribute>) -> Vec<(String, String)> {
    told.into_iter().map(|attribute| (attribute.name, attribute.value)).collect()
}

pub(crate) fn read_actions(actions: Vec<types::Action>) -> Result<Vec<Action>, String> {
    if actions.len() > ACTIONS_MAX {
        return Err(format!("{} actions, at most {ACTIONS_MAX} can be carried out for one call", actions.len()));
    }
    let actions = actions.into_iter().enumerate();
    actions.map(|(place, action)| read_action(action).map_err(|wrong| format!("action {place}: {wrong}"))).collect()
}

fn read_action(action: types::Action) -> Result<Action, String> {
    match action {
        types::Action::Skip(why) => Ok(Action::Skip(why)),
        types::Action::Other(request) => Ok(Action::Other { kind: request.kind, body: request.body }),
        types::Action::Start(request) => {
            let params = serde_json::from_str(&request.params)
                .map_err(|error| format!("its params are no JSON object: {error}"))?;
            let (summary, key, untrusted) = (request.summary, request.key, request.untrusted);
            Ok(Action::Start(RunRequest { params, attributes: pairs(request.attributes), summary, key, untrusted }))
        }
    }
}

pub(crate) fn failure(said: types::Failure) -> Failure {
    match said {
        types::Failure::Invalid(problems) => Failure::Invalid(Problems(problems.into_iter().map(problem).collect())),
        types::Failure::Denied(message) => Failure::Denied(message),
        types::Failure::Temporary(retry) => {
            Failure::Temporary { message: retry.message, after: retry.after_ms.map(Duration::from_millis) }
        }
        types::Failure::Failed(message) => Failure::Failed(message),
        types::Failure::Other(reason) => Failure::Other { kind: reason.kind, message: reason.message },
    }
}

pub(crate) fn problem(told: types::Problem) -> Problem {
    Problem { at: told.at, line: told.line, column: told.column, message: told.message, hint: told.hint }
}
