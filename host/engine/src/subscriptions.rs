//! Requests about subscriptions: make, pause, resume, delete, preview.

use crate::core::Core;
use crate::error::Error;
use crate::fires::{as_plugin_sees, first_ask, policy_row, schedule};
use crate::handle::{Handle, Subscribe, Upcoming};
use hostler_model::schedule::due;
use hostler_model::{Actor, Slug, SubscriptionId, Timestamp};
use hostler_plugin::{CallError, Instant, Plugin, Role, Subscription};
use hostler_store::{
    NewSubscription, PipelineRow, Policy as PolicyRow, Schedule, SubscriptionRow, SubscriptionStatus, WriteTx,
};
use serde_json::Value;
use std::sync::Arc;

/// Instants of one preview.
const PREVIEW_MAX: u32 = 1_000;

/// A subscription that has been checked.
struct Checked {
    pipeline: PipelineRow,
    plugin: Plugin,
    params: Value,
    policy: PolicyRow,
}

async fn check(handle: &Handle, subscribe: &Subscribe) -> Result<Checked, Error> {
    let namespace = handle.namespace(&subscribe.namespace).await?;
    let id = subscribe.pipeline.clone();
    let pipeline = handle.look(move |tx| tx.pipeline_by_id(namespace, &id)).await?;
    let pipeline = pipeline.ok_or_else(|| Error::UnknownPipeline(subscribe.pipeline.clone()))?;
    let plugin = handle.plugins().get(&subscribe.plugin);
    let plugin = plugin.ok_or_else(|| missing(handle, &subscribe.plugin))?;
    if !plugin.manifest().roles.contains_key(&Role::Trigger) {
        return Err(Error::WrongRole { plugin: subscribe.plugin.clone(), role: "trigger" });
    }
    let params = plugin.check_params(Role::Trigger, &Value::Object(subscribe.params.clone()));
    let params = params.map_err(|problems| Error::Invalid { what: "list of params for the plugin", problems })?;
    check_run_params(handle, &pipeline, subscribe).await?;
    Ok(Checked { pipeline, plugin, params, policy: policy_row(&subscribe.policy) })
}

/// Why a plugin cannot be asked.
fn missing(handle: &Handle, plugin: &str) -> Error {
    match handle.plugins().why_not(plugin) {
        Some(why) => Error::PluginNotReady { plugin: plugin.into(), why },
        None => Error::UnknownPlugin(plugin.into()),
    }
}

/// What the runs will be given must fit now, not only when the first one starts. Required params that a plugin is to
/// bring cannot be known yet, so only what is given is looked at.
async fn check_run_params(handle: &Handle, pipeline: &PipelineRow, subscribe: &Subscribe) -> Result<(), Error> {
    let (Some(version), false) = (pipeline.released, subscribe.run_params.is_empty()) else { return Ok(()) };
    let definitions = handle.parts.definitions.clone();
    let (key, id) = (pipeline.key, pipeline.id.clone());
    let released =
        handle.look(move |tx| Ok(crate::runs::Released::read(tx, &definitions, key, &id, version))).await??;
    let problems = released.pipeline.check_given(&subscribe.run_params);
    if problems.0.is_empty() { Ok(()) } else { Err(Error::Invalid { what: "list of params for the runs", problems }) }
}

impl Checked {
    fn as_plugin_sees(&self, subscribe: &Subscribe, id: SubscriptionId, created: Timestamp) -> Subscription {
        Subscription {
            id,
            label: subscribe.label.clone(),
            namespace: subscribe.namespace.clone(),
            pipeline: subscribe.pipeline.clone(),
            created,
            params: self.params.clone(),
            narrowing: Arc::new(subscribe.narrowing.clone()),
        }
    }
}

pub(crate) async fn subscribe(handle: &Handle, subscribe: Subscribe) -> Result<SubscriptionId, Error> {
    let checked = check(handle, &subscribe).await?;
    let now = handle.clock().wall();
    // The plugin is asked before anything is made, so that params it refuses leave nothing behind.
    let seen = checked.as_plugin_sees(&subscribe, SubscriptionId(0), now);
    let next = checked.plugin.upcoming(&seen, now, 1).await.map_err(refused)?.into_iter().next();
    handle.change(move |core, tx| make(core, tx, &checked, &subscribe, next.as_ref(), now)).await
}

fn make(
    core: &mut Core,
    tx: &mut WriteTx<'_>,
    checked: &Checked,
    subscribe: &Subscribe,
    next: Option<&Instant>,
    now: Timestamp,
) -> Result<SubscriptionId, Error> {
    let pipeline = tx.pipeline(checked.pipeline.key)?.filter(|row| row.deleted_at.is_none());
    let pipeline = pipeline.ok_or_else(|| Error::UnknownPipeline(subscribe.pipeline.clone()))?;
    if tx.subscription_by_label(pipeline.key, &subscribe.label)?.is_some() {
        return Err(Error::LabelTaken { pipeline: pipeline.id, label: subscribe.label.clone() });
    }
    let narrowing = (!subscribe.narrowing.is_empty()).then(|| serde_json::to_string(&subscribe.narrowing));
    let narrowing = narrowing.and_then(Result::ok);
    let id = tx.create_subscription(NewSubscription {
        namespace: pipeline.namespace,
        pipeline: pipeline.key,
        plugin: &subscribe.plugin,
        label: &subscribe.label,
        params: &checked.params.to_string(),
        run_params: &Value::Object(subscribe.run_params.clone()).to_string(),
        narrowing: narrowing.as_deref(),
        policy: checked.policy,
        schedule: Schedule::default(),
        mark_at: now,
        actor: &subscribe.actor,
        now,
    })?;
    let row = tx.subscription(id)?.ok_or(Error::UnknownSubscription(id))?;
    // Jitter hangs on the id, so the schedule can only be written now.
    tx.set_schedule(id, schedule(&row, next.map(|instant| instant.at), None), now)?;
    core.fires.touch();
    core.subscription_event(tx, &row, "subscription.created", &subscribe.actor, "")?;
    Ok(id)
}

fn refused(error: CallError) -> Error {
    match &error.failure {
        hostler_plugin::Failure::Invalid(problems) => {
            Error::Invalid { what: "list of params for the plugin", problems: problems.clone() }
        }
        _ => Error::Plugin { kind: error.kind(), source: Box::new(error) },
    }
}

fn standing(tx: &WriteTx<'_>, id: SubscriptionId) -> Result<SubscriptionRow, Error> {
    let row = tx.subscription(id)?.filter(|row| row.deleted_at.is_none());
    row.ok_or(Error::UnknownSubscription(id))
}

pub(crate) async fn pause(handle: &Handle, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
    handle
        .change(move |core, tx| {
            let row = standing(tx, id)?;
            match row.status {
                SubscriptionStatus::Paused => return Ok(()),
                SubscriptionStatus::Active | SubscriptionStatus::Error => {}
            }
            tx.set_subscription_status(id, row.status, SubscriptionStatus::Paused, None, core.now)?;
            core.fires.touch();
            core.subscription_event(tx, &row, "subscription.paused", &actor, "")?;
            Ok(())
        })
        .await
}

pub(crate) async fn resume(handle: &Handle, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
    handle
        .change(move |core, tx| {
            let row = standing(tx, id)?;
            match row.status {
                SubscriptionStatus::Active => return Ok(()),
                SubscriptionStatus::Paused | SubscriptionStatus::Error => {}
            }
            tx.set_subscription_status(id, row.status, SubscriptionStatus::Active, None, core.now)?;
            // What passed meanwhile is found from the mark, as after a stop of the host.
            tx.set_schedule(id, Schedule::default(), core.now)?;
            core.ask(tx, &row, first_ask(&row, core.wall))?;
            core.fires.touch();
            core.subscription_event(tx, &row, "subscription.resumed", &actor, "")?;
            Ok(())
        })
        .await
}

pub(crate) async fn unsubscribe(handle: &Handle, id: SubscriptionId, actor: Actor) -> Result<(), Error> {
    handle
        .change(move |core, tx| {
            let row = standing(tx, id)?;
            tx.delete_subscription(id, core.wall)?;
            core.fires.touch();
            core.subscription_event(tx, &row, "subscription.deleted", &actor, "")?;
            Ok(())
        })
        .await
}

pub(crate) async fn preview(handle: &Handle, id: SubscriptionId, count: u32) -> Result<Vec<Upcoming>, Error> {
    let found = handle.look(move |tx| {
        let row = tx.subscription(id)?.filter(|row| row.deleted_at.is_none());
        let Some(row) = row else { return Ok(None) };
        let name = tx.namespaces()?.into_iter().find(|known| known.id == row.namespace).map(|known| known.name);
        Ok(name.map(|name| (row, name)))
    });
    let (row, namespace): (SubscriptionRow, Slug) = found.await?.ok_or(Error::UnknownSubscription(id))?;
    let plugin = handle.plugins().get(&row.plugin).ok_or_else(|| missing(handle, &row.plugin))?;
    let after = handle.clock().wall().max(row.mark_at);
    let seen = as_plugin_sees(&row, namespace);
    let instants = plugin.upcoming(&seen, after, count.min(PREVIEW_MAX)).await.map_err(refused)?;
    Ok(instants.into_iter().map(|instant| upcoming(instant, id, row.policy.jitter)).collect())
}

pub(crate) async fn preview_new(handle: &Handle, subscribe: &Subscribe, count: u32) -> Result<Vec<Upcoming>, Error> {
    let checked = check(handle, subscribe).await?;
    let now = handle.clock().wall();
    let seen = checked.as_plugin_sees(subscribe, SubscriptionId(0), now);
    let instants = checked.plugin.upcoming(&seen, now, count.min(PREVIEW_MAX)).await.map_err(refused)?;
    // Its share of the jitter hangs on an id that it has not got yet.
    Ok(instants.into_iter().map(|instant| Upcoming { due: instant.at, at: instant.at, local: instant.local }).collect())
}

fn upcoming(instant: Instant, id: SubscriptionId, jitter: hostler_model::Duration) -> Upcoming {
    Upcoming { at: instant.at, due: due(instant.at, id, jitter), local: instant.local }
}
