//! How the host is, who asks, and what can be asked.

use crate::Web;
use crate::error::Error;
use crate::extract::Caller;
use crate::types::{Health, Ready, Whoami};
use crate::{metrics, reference};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// Say that the process lives
///
/// Asks nothing of the store or the engine; for a supervisor that restarts what does not answer.
#[utoipa::path(get, path = "/health", tag = "Host", responses((status = 200, description = "It lives.", body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// Say whether requests make sense now
///
/// Ready means: the data folder answers and the host is not stopping.
#[utoipa::path(get, path = "/ready", tag = "Host", responses(
    (status = 200, description = "It takes requests.", body = Ready),
    (status = 503, description = "It stops, or the data folder does not answer.", body = Ready),
))]
pub(super) async fn ready(State(web): State<Web>) -> Response {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is not general over the lifetime of the transaction"
    )]
    let reads = web.read(|tx| tx.last_cursor()).await.is_ok();
    let ready = reads && !web.handle().load().stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready })).into_response()
}

/// Show the token that asks
#[utoipa::path(get, path = "/api/v1/whoami", tag = "Host", responses((status = 200, description = "The token.", body = Whoami)))]
pub(super) async fn whoami(Caller(principal): Caller) -> Json<Whoami> {
    Json(Whoami { token: principal.name, permissions: principal.grants, version: env!("CARGO_PKG_VERSION").into() })
}

/// Give the figures of the host
///
/// Prometheus text format 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "Host", responses(
    (status = 200, description = "The figures.", content_type = "text/plain; version=0.0.4", body = String),
))]
pub(super) async fn metrics(State(web): State<Web>) -> Result<Response, Error> {
    let page = metrics::render(&web).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response())
}

/// Give this document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "Host", responses(
    (status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = String),
))]
pub(super) async fn openapi_document() -> Response {
    ([(CONTENT_TYPE, "application/json")], reference::document()).into_response()
}

/// Show the reference page
#[utoipa::path(get, path = "/", tag = "Host", responses(
    (status = 200, description = "A page for people.", content_type = "text/html", body = String),
))]
pub(super) async fn reference_page() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], reference::page()).into_response()
}
