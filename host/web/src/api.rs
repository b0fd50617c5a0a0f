//! All routes, each with the access it asks for, and the two halves that come of them: the router and its OpenAPI
//! document.

mod backups;
mod events;
mod follow_log;
mod host;
mod logs;
mod pipelines;
mod plugins;
mod runs;
mod secrets;
mod subscriptions;
mod tasks;

use crate::Web;
use crate::auth::{Access, Noun, Permission, Verb};
use crate::error::Error;
use crate::outer::outer;
use crate::routes::Routes;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use hostler_model::Problem;
use hostler_store::{Cursor, Page};
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

/// How many things a page holds unless told.
const PAGE: u32 = 50;

/// How many things a page holds at most.
const PAGE_MAX: u32 = 500;

/// A loaded plugin as the API shows it.
pub use plugins::shown as plugin_shown;

/// The whole API over one engine.
pub fn router(web: Web) -> Router {
    let (routes, _) = all().finish();
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(web.clone(), outer))
        .with_state(web)
}

/// The OpenAPI 3.1 document of the API, read off the code.
pub fn openapi() -> OpenApi {
    all().finish().1
}

const fn needs(noun: Noun, verb: Verb) -> Access {
    Access::Needs(Permission { noun, verb })
}

fn all() -> Routes {
    use Noun::{Backup, Event, Host, Pipeline, Plugin, Run, Secret, Subscription};
    use Verb::{Change, Create, Delete, Read};
    Routes::new()
        .add(Access::Public, routes!(host::health))
        .add(Access::Public, routes!(host::ready))
        .add(Access::Public, routes!(host::openapi_document))
        .add(Access::Public, routes!(host::reference_page))
        .add(Access::Known, routes!(host::whoami))
        .add(needs(Host, Read), routes!(host::metrics))
        .add(needs(Backup, Read), routes!(backups::list_backups))
        .add(needs(Backup, Create), routes!(backups::create_backup))
        .add(needs(Backup, Read), routes!(backups::get_backup))
        .add(needs(Pipeline, Read), routes!(pipelines::list_pipelines))
        .add(needs(Pipeline, Create), routes!(pipelines::register_pipeline))
        .add(needs(Pipeline, Read), routes!(pipelines::validate_document))
        .add(needs(Pipeline, Read), routes!(pipelines::get_pipeline))
        .add(needs(Pipeline, Delete), routes!(pipelines::delete_pipeline))
        .add(needs(Pipeline, Read), routes!(pipelines::list_versions))
        .add(needs(Pipeline, Read), routes!(pipelines::get_version))
        .add(needs(Pipeline, Change), routes!(pipelines::release_version))
        .add(needs(Run, Create), routes!(runs::start_run))
        .add(needs(Run, Read), routes!(runs::get_run_by_number))
        .add(needs(Run, Read), routes!(runs::list_runs))
        .add(needs(Run, Read), routes!(runs::get_run))
        .add(needs(Run, Change), routes!(runs::cancel_run))
        .add(needs(Run, Create), routes!(runs::retry_run))
        .add(needs(Run, Read), routes!(runs::explain_run))
        .add(needs(Run, Read), routes!(tasks::list_tasks))
        .add(needs(Run, Read), routes!(tasks::get_task))
        .add(needs(Run, Read), routes!(tasks::list_attempts))
        .add(needs(Run, Read), routes!(tasks::explain_task))
        .add(needs(Run, Read), routes!(logs::get_log))
        .add(needs(Run, Read), routes!(follow_log::follow_log))
        .add(needs(Event, Read), routes!(events::list_events))
        .add(needs(Event, Read), routes!(events::follow_events))
        .add(needs(Subscription, Read), routes!(subscriptions::list_subscriptions))
        .add(needs(Subscription, Create), routes!(subscriptions::create_subscription))
        .add(needs(Subscription, Read), routes!(subscriptions::preview_new_subscription))
        .add(needs(Subscription, Read), routes!(subscriptions::get_subscription))
        .add(needs(Subscription, Delete), routes!(subscriptions::delete_subscription))
        .add(needs(Subscription, Change), routes!(subscriptions::pause_subscription))
        .add(needs(Subscription, Change), routes!(subscriptions::resume_subscription))
        .add(needs(Subscription, Read), routes!(subscriptions::preview_subscription))
        .add(needs(Subscription, Read), routes!(subscriptions::list_fires))
        .add(needs(Subscription, Read), routes!(subscriptions::explain_subscription))
        .add(needs(Plugin, Read), routes!(plugins::list_plugins))
        .add(needs(Plugin, Read), routes!(plugins::get_plugin))
        .add(needs(Plugin, Read), routes!(plugins::list_plugin_calls))
        .add(needs(Plugin, Read), routes!(plugins::list_plugin_recordings))
        // It shows what senders sent and what the plugin keeps.
        .add(needs(Plugin, Change), routes!(plugins::get_plugin_recording))
        .add(needs(Plugin, Create), routes!(plugins::upload_component))
        .add(needs(Plugin, Create), routes!(plugins::begin_plugin_operation))
        .add(needs(Plugin, Read), routes!(plugins::get_plugin_operation))
        .add(needs(Plugin, Change), routes!(plugins::change_plugin))
        .add(needs(Plugin, Change), routes!(plugins::enable_plugin))
        .add(needs(Plugin, Change), routes!(plugins::disable_plugin))
        .add(needs(Plugin, Delete), routes!(plugins::uninstall_plugin))
        .add(needs(Plugin, Delete), routes!(plugins::collect_components))
        .add(needs(Plugin, Read), routes!(plugins::download_bundle))
        .add(needs(Plugin, Create), routes!(plugins::upload_bundle))
        .add(needs(Secret, Read), routes!(secrets::list_secrets))
        .add(needs(Secret, Change), routes!(secrets::set_secret))
        .add(needs(Secret, Delete), routes!(secrets::delete_secret))
        .add(needs(Host, Change), routes!(secrets::rotate_key))
}

async fn not_found() -> Response {
    Error::not_found("nothing is at this path").hint("the page `/` of this host lists all paths").into_response()
}

async fn method_not_allowed() -> Response {
    Error::method_not_allowed().into_response()
}

/// A page of a list as the caller asked for it.
fn page(after: Option<&str>, limit: Option<u32>) -> Result<Page, Error> {
    let after = after.map(|text| text.parse().map(Cursor)).transpose().map_err(|_| {
        Error::invalid("the query is not valid")
            .problem(Problem::new("?after", "is not a cursor; pass on `next` of the page before as it is"))
    })?;
    Ok(Page { after, limit: page_limit(limit)? })
}

fn page_limit(limit: Option<u32>) -> Result<u32, Error> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::invalid("the query is not valid")
        .problem(Problem::new("?limit", format!("is {limit}; pages hold 1 to {PAGE_MAX} items"))))
}

fn next(cursor: Option<Cursor>) -> Option<String> {
    cursor.map(|cursor| cursor.0.to_string())
}
