//! Why a request was not answered as asked, and the one table from kind to HTTP status.
//!
//! Invariants: an error is turned into a body in one place (`render`), which knows the request's id; what is our own
//! defect is told to the log with its whole chain and to the caller without details. Must not know: routes, rows.

use crate::types::ErrorBody;
use axum::response::{IntoResponse, Response};
use hostler_model::{Kind, Problem, Problems};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

/// How long a caller should wait where nothing better is known.
const RETRY_AFTER_SECONDS: &str = "1";

#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    pub problems: Vec<Problem>,
    pub hint: Option<String>,
    /// What lies beneath, for the log only.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The path is there and the method is not: 405 and not 404.
    method_not_allowed: bool,
}

/// The table. Documents and bodies with mistakes are 400 like any other bad input: one kind, one status.
pub const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            problems: Vec::new(),
            hint: None,
            source: None,
            method_not_allowed: false,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..Self::new(Kind::Internal, "") }
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "this path does not know this method; the reference page lists those that it knows";
        Self { method_not_allowed: true, ..Self::not_found(message) }
    }

    #[must_use]
    pub fn problem(mut self, problem: Problem) -> Self {
        self.problems.push(problem);
        self
    }

    #[must_use]
    pub fn problems(mut self, problems: Problems) -> Self {
        self.problems.extend(problems.0);
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn status(&self) -> StatusCode {
        if self.method_not_allowed { StatusCode::METHOD_NOT_ALLOWED } else { status(self.kind) }
    }

    /// What the log gets: the source with all that lies beneath it, else the message.
    fn chain(&self) -> String {
        let Some(source) = self.source.as_deref() else { return self.message.clone() };
        let mut text = source.to_string();
        let mut next = source.source();
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

impl From<hostler_engine::Error> for Error {
    fn from(source: hostler_engine::Error) -> Self {
        let mut error = Self::new(source.kind(), source.to_string());
        error.problems = source.problems().map(|problems| problems.0.clone()).unwrap_or_default();
        if let Some(beneath) = std::error::Error::source(&source) {
            // A plugin's or the disk's own words say what is wrong; the wrapper alone would leave the caller guessing.
            error.message = format!("{}: {beneath}", error.message);
        }
        error.source = Some(Arc::new(source));
        error
    }
}

impl From<hostler_store::Error> for Error {
    fn from(source: hostler_store::Error) -> Self {
        let mut error = Self::new(source.kind(), source.to_string());
        error.source = Some(Arc::new(source));
        error
    }
}

/// Leaves the error on the answer; `render` writes the body where the request's id is known.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of an answer that carries an error, and tells the log what someone must look at.
pub(crate) fn render(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<Error>() else { return response };
    if matches!(error.kind, Kind::Internal | Kind::Unavailable) {
        tracing::error!(request.id = request_id, "request {request_id} failed: {}", error.chain());
    }
    let status = error.status();
    let kind = error.kind;
    let body = ErrorBody {
        kind,
        message: if kind == Kind::Internal { "something went wrong within the host".into() } else { error.message },
        problems: error.problems.into_iter().map(Into::into).collect(),
        hint: match kind {
            Kind::Internal => {
                Some("this is a defect of hostler; the host's log has the details under this request id".into())
            }
            _ => error.hint,
        },
        request_id: request_id.into(),
    };
    let mut answer = (status, axum::Json(body)).into_response();
    // A 405 says which methods there are, as axum found out.
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow);
    }
    if kind == Kind::Unauthenticated {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(kind, Kind::Busy | Kind::Unavailable) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    answer
}
