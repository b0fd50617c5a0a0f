//! What every request passes on its way in and every answer on its way out, in one place.
//!
//! In: a request id, the guard against other sites, a time limit, a net under panics. Out: the body of errors, security
//! headers, figures, a line for the log. Must not know: what any route does.

use crate::error::{Error, render};
use crate::{Web, guard};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hostler_model::Kind;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No script, nothing from elsewhere, in no frame. The reference page needs its own style and no more.
const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn outer(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id();
    let method = request.method().clone();
    // The pattern and never the path: a figure for each id that anyone asks for would grow without end.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let answer = match guard::check(&web.options().hosts, &request) {
        Ok(()) => {
            request.extensions_mut().insert(web.clone());
            within_limits(web.options().request_timeout, &id, next.run(request)).await
        }
        Err(error) => error.into_response(),
    };
    let mut answer = render(answer, &id);
    protect(&mut answer, &id);
    web.metrics().answered(&route, &method, answer.status(), began.elapsed());
    tracing::debug!(request.id = %id, %method, route, status = answer.status().as_u16(), "request {id}: {method} {route} answered");
    answer
}

/// The answer to a request that gets no further than the door.
pub(crate) fn refused(error: Error) -> Response {
    let id = request_id();
    let mut answer = render(error.into_response(), &id);
    protect(&mut answer, &id);
    answer
}

/// Random, so that it says nothing about how many there were before.
fn request_id() -> String {
    let mut bytes = [0_u8; 12];
    // Without randomness the id is of no use in the log, and the request can be answered all the same.
    let _ = getrandom::fill(&mut bytes);
    crate::auth::hex(&bytes)
}

/// The answer of a route, unless it takes too long or panics: both are answers too, and the host lives on.
async fn within_limits(limit: Duration, id: &str, route: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(tokio::time::timeout(limit, route)).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            let message = format!("the request took longer than {} s and was given up", limit.as_secs());
            let hint = "what it began may still come about; look before you repeat it";
            Error::new(Kind::Unavailable, message).hint(hint).into_response()
        }
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            Error::internal(std::io::Error::other(format!("request {id} panicked: {said}"))).into_response()
        }
    }
}

fn protect(answer: &mut Response, id: &str) {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[tokio::test]
    async fn a_panic_or_a_hang_of_a_route_is_an_answer() {
        let long = Duration::from_secs(60);
        let panics = within_limits(long, "1", async { panic!("a defect") }).await;
        assert_eq!(render(panics, "1").status(), StatusCode::INTERNAL_SERVER_ERROR);
        let hangs = within_limits(Duration::ZERO, "1", std::future::pending()).await;
        assert_eq!(render(hangs, "1").status(), StatusCode::SERVICE_UNAVAILABLE);
        let fine = within_limits(long, "1", async { StatusCode::NO_CONTENT.into_response() }).await;
        assert_eq!(render(fine, "1").status(), StatusCode::NO_CONTENT);
    }
}
