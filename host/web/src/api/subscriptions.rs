//! Subscriptions: made, looked at, paused, previewed, explained, deleted; and the fires they had.

use super::runs::{object, subscription_id};
use super::{next, page};
use crate::Web;
use crate::error::Error;
use crate::extract::{Caller, InBody, InPath, InQuery};
use crate::state::{namespace, pipeline_row};
use crate::types::{
    CatchUp, Explanation, Fire, Listing, NamespacePath, Overlap, PageQuery, PreviewQuery, Subscribe, Subscription,
    SubscriptionPath, SubscriptionQuery, Upcoming,
};
use axum::Json;
use axum::extract::State;
use hostler_model::{Actor, Problem, Slug, SubscriptionId};
use hostler_store::{FireRow, ReadTx, SubscriptionFilter, SubscriptionRow};
use http::StatusCode;

/// Instants of a preview unless told, and at most.
const PREVIEW: u32 = 10;
const PREVIEW_MAX: u32 = 1_000;

fn shown(row: SubscriptionRow) -> Result<Subscription, Error> {
    use hostler_store::{CatchUp as CatchUpWord, Overlap as OverlapWord};
    let policy = row.policy;
    let (overlap, queue_max) = match policy.overlap {
        OverlapWord::Skip => (Overlap::Skip, None),
        OverlapWord::Queue => (Overlap::Queue, Some(policy.queue_max)),
        OverlapWord::Allow => (Overlap::Allow, None),
        OverlapWord::CancelRunning => (Overlap::CancelRunning, None),
    };
    let (catch_up, catch_up_window, catch_up_cap) = match policy.catch_up {
        CatchUpWord::None => (CatchUp::None, None, None),
        CatchUpWord::Latest => (CatchUp::Latest, None, None),
        CatchUpWord::All => (CatchUp::All, Some(policy.catch_up_window), Some(policy.catch_up_cap)),
    };
    Ok(Subscription {
        id: row.id.0.to_string(),
        pipeline: row.pipeline_id,
        plugin: row.plugin,
        label: row.label,
        status: row.status.into(),
        params: object(&row.params)?,
        run_params: object(&row.run_params)?,
        overlap,
        queue_max,
        catch_up,
        catch_up_window,
        catch_up_cap,
        jitter: policy.jitter,
        next_at: row.schedule.next_at.map(Into::into),
        due_at: row.schedule.due_at.map(Into::into),
        ends: row.schedule.ends,
        note: row.note,
        error: row.error,
        created_at: row.created_at.into(),
        created_by: row.created_by.into(),
    })
}

impl From<FireRow> for Fire {
    fn from(row: FireRow) -> Self {
        Self {
            at: row.at.into(),
            decided_at: row.decided_at.into(),
            decision: row.decision.to_string(),
            status: row.status.to_string(),
            note: row.note,
            failures: row.failures,
            runs: row.runs,
            ended_at: row.ended_at.map(Into::into),
        }
    }
}

/// The subscription of this namespace; a deleted one, or one of another, is as if it were not there.
fn subscription_row(tx: &ReadTx<'_>, path: &SubscriptionPath) -> Result<SubscriptionRow, Error> {
    let namespace = namespace(tx, &path.namespace)?;
    let row = tx.subscription(subscription_id(&path.subscription)?)?;
    let row = row.filter(|row| row.namespace == namespace && row.deleted_at.is_none());
    row.ok_or_else(|| {
        Error::not_found(format!("subscription `{}` does not exist", path.subscription))
            .hint("`hostler subscription list` shows those that do")
    })
}

async fn find(web: &Web, path: SubscriptionPath) -> Result<SubscriptionId, Error> {
    web.find(move |tx| Ok(subscription_row(tx, &path)?.id)).await
}

fn request(namespace: Slug, body: Subscribe, actor: Actor) -> hostler_engine::Subscribe {
    hostler_engine::Subscribe {
        namespace,
        policy: body.policy(),
        pipeline: body.pipeline,
        plugin: body.plugin,
        label: body.label,
        params: body.params,
        run_params: body.run_params,
        narrowing: body.narrowing,
        actor,
    }
}

/// List the subscriptions
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/subscriptions", tag = "Subscriptions", params(NamespacePath, SubscriptionQuery),
    responses((status = 200, description = "A page of subscriptions.", body = Listing<Subscription>)))]
pub(super) async fn list_subscriptions(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<SubscriptionQuery>,
) -> Result<Json<Listing<Subscription>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    web.find(move |tx| {
        let filter = SubscriptionFilter {
            namespace: Some(namespace(tx, &path.namespace)?),
            pipeline: query.pipeline.map(|id| pipeline_row(tx, &path.namespace, &id)).transpose()?.map(|row| row.key),
            status: query.status.map(Into::into),
            label: query.label,
        };
        let paged = tx.subscriptions(&filter, page)?;
        let items = paged.items.into_iter().map(shown).collect::<Result<_, _>>()?;
        Ok(Json(Listing { items, next: next(paged.next) }))
    })
    .await
}

/// Subscribe a pipeline to a trigger
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/subscriptions", tag = "Subscriptions", params(NamespacePath),
    request_body = Subscribe, responses((status = 201, description = "The subscription.", body = Subscription)))]
pub(super) async fn create_subscription(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<NamespacePath>,
    InBody(body): InBody<Subscribe>,
) -> Result<(StatusCode, Json<Subscription>), Error> {
    let id = web.handle().subscribe(request(path.namespace.clone(), body, caller.actor())).await?;
    let path = SubscriptionPath { namespace: path.namespace, subscription: id.0.to_string() };
    Ok((StatusCode::CREATED, get_subscription(State(web), InPath(path)).await?))
}

/// Preview a subscription before it stands
///
/// Checks all that creating it would check, and changes nothing.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/subscriptions/preview", tag = "Subscriptions",
    params(NamespacePath, PreviewQuery), request_body = Subscribe,
    responses((status = 200, description = "The instants to come.", body = Listing<Upcoming>)))]
pub(super) async fn preview_new_subscription(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<PreviewQuery>,
    InBody(body): InBody<Subscribe>,
) -> Result<Json<Listing<Upcoming>>, Error> {
    let count = preview_count(&query)?;
    let upcoming = web.handle().preview_new(&request(path.namespace, body, caller.actor()), count).await?;
    Ok(upcoming_list(upcoming))
}

fn preview_count(query: &PreviewQuery) -> Result<u32, Error> {
    let count = query.count.unwrap_or(PREVIEW);
    if (1..=PREVIEW_MAX).contains(&count) {
        return Ok(count);
    }
    let message = format!("is {count}; a preview has 1 to {PREVIEW_MAX} instants");
    Err(Error::invalid("the query is not valid").problem(Problem::new("?count", message)))
}

fn upcoming_list(upcoming: Vec<hostler_engine::Upcoming>) -> Json<Listing<Upcoming>> {
    Json(Listing { items: upcoming.into_iter().map(Into::into).collect(), next: None })
}

/// Show a subscription
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}", tag = "Subscriptions", params(SubscriptionPath),
    responses((status = 200, description = "The subscription.", body = Subscription)))]
pub(super) async fn get_subscription(
    State(web): State<Web>,
    InPath(path): InPath<SubscriptionPath>,
) -> Result<Json<Subscription>, Error> {
    web.find(move |tx| Ok(Json(shown(subscription_row(tx, &path)?)?))).await
}

/// Delete a subscription
///
/// Runs that it started go on.
#[utoipa::path(delete, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}", tag = "Subscriptions", params(SubscriptionPath),
    responses((status = 204, description = "It is deleted.")))]
pub(super) async fn delete_subscription(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<SubscriptionPath>,
) -> Result<StatusCode, Error> {
    let id = find(&web, path).await?;
    web.handle().unsubscribe(id, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a subscription
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}/pause", tag = "Subscriptions", params(SubscriptionPath),
    responses((status = 200, description = "The subscription as it is now.", body = Subscription)))]
pub(super) async fn pause_subscription(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<SubscriptionPath>,
) -> Result<Json<Subscription>, Error> {
    let id = find(&web, path.clone()).await?;
    web.handle().pause(id, caller.actor()).await?;
    get_subscription(State(web), InPath(path)).await
}

/// Resume a subscription
///
/// Instants that passed meanwhile are treated as its catch-up policy says. Also ends the state `error`.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}/resume", tag = "Subscriptions", params(SubscriptionPath),
    responses((status = 200, description = "The subscription as it is now.", body = Subscription)))]
pub(super) async fn resume_subscription(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<SubscriptionPath>,
) -> Result<Json<Subscription>, Error> {
    let id = find(&web, path.clone()).await?;
    web.handle().resume(id, caller.actor()).await?;
    get_subscription(State(web), InPath(path)).await
}

/// Preview the instants to come
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}/preview", tag = "Subscriptions",
    params(SubscriptionPath, PreviewQuery), responses((status = 200, description = "The instants to come.", body = Listing<Upcoming>)))]
pub(super) async fn preview_subscription(
    State(web): State<Web>,
    InPath(path): InPath<SubscriptionPath>,
    InQuery(query): InQuery<PreviewQuery>,
) -> Result<Json<Listing<Upcoming>>, Error> {
    let count = preview_count(&query)?;
    let id = find(&web, path).await?;
    Ok(upcoming_list(web.handle().preview(id, count).await?))
}

/// List the fires of a subscription
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}/fires", tag = "Subscriptions",
    params(SubscriptionPath, PageQuery), responses((status = 200, description = "A page of fires.", body = Listing<Fire>)))]
pub(super) async fn list_fires(
    State(web): State<Web>,
    InPath(path): InPath<SubscriptionPath>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Listing<Fire>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    web.find(move |tx| {
        let paged = tx.fires(subscription_row(tx, &path)?.id, page)?;
        let items = paged.items.into_iter().map(Into::into).collect();
        Ok(Json(Listing { items, next: next(paged.next) }))
    })
    .await
}

/// Say why a subscription is as it is
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/subscriptions/{subscription}/explain", tag = "Subscriptions", params(SubscriptionPath),
    responses((status = 200, description = "In sentences.", body = Explanation)))]
pub(super) async fn explain_subscription(
    State(web): State<Web>,
    InPath(path): InPath<SubscriptionPath>,
) -> Result<Json<Explanation>, Error> {
    let id = find(&web, path).await?;
    Ok(Json(web.handle().explain_subscription(id).await?.into()))
}
