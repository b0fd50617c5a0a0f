//! Subscriptions with their policies, fires, and the instants to come.

use super::{Actor, Time, mirrored};
use hostler_model::{Duration, Slug, schedule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SubscriptionPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    /// The id of the subscription.
    #[param(value_type = String, example = "1")]
    pub subscription: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubscriptionQuery {
    /// Only subscriptions of this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub pipeline: Option<Slug>,
    /// Only the one of this label, or those of all pipelines that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub label: Option<Slug>,
    /// Only subscriptions in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<SubscriptionStatus>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most: 1 to 500, 50 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// How many instants: 1 to 1,000, 10 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub count: Option<u32>,
}

mirrored! {
    /// What a subscription does now: `error` waits for a person, who resumes it.
    SubscriptionStatus of hostler_store::SubscriptionStatus { Active, Paused, Error }
}

/// What a fire does while an earlier run of its subscription is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Starts nothing.
    #[default]
    Skip,
    /// Waits for its turn.
    Queue,
    /// Runs beside it.
    Allow,
    /// Cancels it and takes its place.
    CancelRunning,
}

/// What becomes of instants that passed while nobody could decide them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They stay missed.
    #[default]
    None,
    /// The newest of them is made up for.
    Latest,
    /// All of them are, within a window and up to a cap.
    All,
}

/// A pipeline and a trigger to join.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    #[schema(value_type = String, example = "hello")]
    pub pipeline: Slug,
    #[schema(example = "interval")]
    pub plugin: String,
    /// Names the subscription within its pipeline.
    #[schema(value_type = String, example = "every-five")]
    pub label: Slug,
    /// For the plugin; checked against its manifest's schema.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// For the runs it starts.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub run_params: Map<String, Value>,
    /// What it leaves of the plugin's grants: `http`, a list of beginnings of addresses, and `secrets`, a list of
    /// names. What is absent is left whole.
    #[serde(default, skip_serializing_if = "hostler_plugin::Narrowing::is_empty")]
    #[schema(value_type = Object)]
    pub narrowing: hostler_plugin::Narrowing,
    #[serde(default)]
    pub overlap: Overlap,
    /// With `overlap: queue`, how many runs may wait; 10 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_max: Option<u32>,
    #[serde(default)]
    pub catch_up: CatchUp,
    /// With `catch_up: all`, instants that passed longer ago stay missed; `1d` unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1d")]
    pub catch_up_window: Option<Duration>,
    /// With `catch_up: all`, how many at most; 10 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_cap: Option<u32>,
    /// Spreads starts over this span, each subscription always by the same delay.
    #[serde(default)]
    #[schema(value_type = String, example = "30s")]
    pub jitter: Duration,
}

impl Subscribe {
    pub(crate) fn policy(&self) -> schedule::Policy {
        let overlap = match self.overlap {
            Overlap::Skip => schedule::Overlap::Skip,
            Overlap::Queue => schedule::Overlap::Queue { max: self.queue_max.unwrap_or(10) },
            Overlap::Allow => schedule::Overlap::Allow,
            Overlap::CancelRunning => schedule::Overlap::CancelRunning,
        };
        let catch_up = match self.catch_up {
            CatchUp::None => schedule::CatchUp::None,
            CatchUp::Latest => schedule::CatchUp::Latest,
            CatchUp::All => schedule::CatchUp::All {
                window: self.catch_up_window.unwrap_or(Duration::from_secs(86_400)),
                cap: self.catch_up_cap.unwrap_or(10),
            },
        };
        schedule::Policy { overlap, catch_up, jitter: self.jitter }
    }
}

/// A pipeline joined to a trigger.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    pub id: String,
    #[schema(value_type = String, example = "hello")]
    pub pipeline: Slug,
    pub plugin: String,
    #[schema(value_type = String, example = "every-five")]
    pub label: Slug,
    pub status: SubscriptionStatus,
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    #[schema(value_type = Object)]
    pub run_params: Map<String, Value>,
    pub overlap: Overlap,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_max: Option<u32>,
    pub catch_up: CatchUp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub catch_up_window: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_cap: Option<u32>,
    #[schema(value_type = String)]
    pub jitter: Duration,
    /// The next instant, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// When its timer goes off: `next_at` with its jitter, or an extra call that the plugin asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// No further instant comes.
    pub ends: bool,
    /// What the plugin said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why its status is `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created_at: Time,
    pub created_by: Actor,
}

/// An instant at which a subscription will fire, if nothing changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upcoming {
    pub at: Time,
    /// The same with the offset of its time zone.
    pub local: String,
    /// With jitter: when it really starts.
    pub due: Time,
}

impl From<hostler_engine::Upcoming> for Upcoming {
    fn from(upcoming: hostler_engine::Upcoming) -> Self {
        Self { at: upcoming.at.into(), local: upcoming.local, due: upcoming.due.into() }
    }
}

/// What was decided about an instant of a subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Fire {
    pub at: Time,
    pub decided_at: Time,
    /// `start`, `skip` (an earlier run was open) or `missed`.
    pub decision: String,
    /// `open` while the plugin is asked, then `done` or `failed`.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Calls of the plugin that failed.
    pub failures: u32,
    /// Runs that it started.
    pub runs: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}
