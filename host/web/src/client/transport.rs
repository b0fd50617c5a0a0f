//! Requests and answers over HTTP/1.1, and what can go wrong on the way.
//!
//! Invariants: every wait has a limit; an error of the host arrives with all that it said. Must not know: endpoints.

use crate::types::ErrorBody;
use hostler_model::{Kind, Problem};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, body included. Longer than the host gives itself, so that its own error comes first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host answered that it will not.
    #[error("{message}")]
    Refused {
        kind: Kind,
        message: String,
        problems: Vec<Problem>,
        hint: Option<String>,
        request_id: String,
        /// How long to wait before the same is asked again, where that helps.
        retry_after: Option<Duration>,
    },
    #[error("cannot reach the host at {url}: is it running? `hostler serve` starts one")]
    Unreachable { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the host at {url} took longer than {} s to answer", .after.as_secs())]
    TimedOut { url: String, after: Duration },
    #[error("`{url}` is no address of a host; write one such as `http://127.0.0.1:7367`")]
    Url { url: String },
    #[error(
        "`{url}` is on another machine and not encrypted: the token could be read on the way; use a tunnel to it, such as `ssh -L`"
    )]
    Insecure { url: String },
    #[error("what answers at {url} is not a host of this version: {what}")]
    Strange { url: String, what: String },
    #[error("the request cannot be sent: {what}")]
    Request { what: String },
}

impl ClientError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused { kind, .. } => *kind,
            Self::Unreachable { .. } | Self::TimedOut { .. } => Kind::Unavailable,
            Self::Url { .. } | Self::Insecure { .. } | Self::Request { .. } => Kind::Invalid,
            Self::Strange { .. } => Kind::Internal,
        }
    }

    /// All that is wrong with what was sent, where that is the matter.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused { problems, .. } => problems,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Url { .. }
            | Self::Insecure { .. }
            | Self::Strange { .. }
            | Self::Request { .. } => &[],
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => hint.as_deref(),
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Url { .. }
            | Self::Insecure { .. }
            | Self::Strange { .. }
            | Self::Request { .. } => None,
        }
    }

    /// What the host's log knows the request by.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused { request_id, .. } => Some(request_id),
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Url { .. }
            | Self::Insecure { .. }
            | Self::Strange { .. }
            | Self::Request { .. } => None,
        }
    }

    /// How long the host asks to wait before the same is asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Url { .. }
            | Self::Insecure { .. }
            | Self::Strange { .. }
            | Self::Request { .. } => None,
        }
    }

    /// Nobody answered; it may be that no host runs there.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

/// The body of an answer that has none.
pub(super) struct Nothing {}

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

/// What is to be sent.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    /// Path and query.
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    /// Of the body.
    kind: &'static str,
}

impl Request {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, target: path, headers: Vec::new(), body: None, kind: "application/json" }
    }

    pub(super) fn bytes(self, body: Bytes, kind: &'static str) -> Self {
        Self { body: Some(body), kind, ..self }
    }

    pub(super) fn query(mut self, query: &impl Serialize) -> Result<Self, ClientError> {
        let Value::Object(fields) = serde_json::to_value(query).map_err(unsendable)? else {
            return Err(ClientError::Request { what: "a query is a list of names with values".into() });
        };
        let mut joint = '?';
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            // Writing into a String cannot fail.
            let _ = write!(self.target, "{joint}{name}={}", segment(&text));
            joint = '&';
        }
        Ok(self)
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        self.body = Some(serde_json::to_vec(body).map_err(unsendable)?.into());
        Ok(self)
    }

    /// A body that is JSON text already.
    pub(super) fn text(mut self, json: &str) -> Self {
        self.body = Some(Bytes::copy_from_slice(json.as_bytes()));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: Option<&str>) -> Result<Self, ClientError> {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).map_err(|_| ClientError::Request {
                what: format!("the value of `{name}` has characters that no header can hold"),
            })?;
            self.headers.push((HeaderName::from_static(name), value));
        }
        Ok(self)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn unsendable(error: serde_json::Error) -> ClientError {
    ClientError::Request { what: error.to_string() }
}

/// One piece of a path or query: what could end or split it is written as percent signs.
pub(super) fn segment(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    // A dot alone would be taken for a step in the path.
    if safe.chars().all(|c| c == '.') { safe.replace('.', "%2E") } else { safe }
}

#[derive(Clone)]
pub(super) struct Transport {
    url: String,
    authority: Authority,
    token: HeaderValue,
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Transport {
    pub(super) fn new(url: &str, token: &str, may_be_insecure: bool) -> Result<Self, ClientError> {
        let shown = url.trim().trim_end_matches('/').to_owned();
        let bad = || ClientError::Url { url: shown.clone() };
        let uri: Uri = shown.parse().map_err(|_| bad())?;
        let authority = uri.authority().cloned().ok_or_else(bad)?;
        if uri.scheme() != Some(&Scheme::HTTP) || !matches!(uri.path(), "" | "/") || authority.as_str().contains('@') {
            return Err(bad());
        }
        if !may_be_insecure && !is_this_machine(authority.host()) {
            return Err(ClientError::Insecure { url: shown });
        }
        let mut token = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ClientError::Request { what: "the token has characters that no token has".into() })?;
        token.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url: shown, authority, token, http })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The value that was asked for.
    pub(super) async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, ClientError> {
        let body = self.body(request, "application/json").await?;
        let bytes: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(bytes).map_err(|error| self.strange(error.to_string()))
    }

    pub(super) async fn text(&self, request: Request) -> Result<String, ClientError> {
        let body = self.body(request, "text/plain").await?;
        String::from_utf8(body.into()).map_err(|error| self.strange(error.to_string()))
    }

    pub(super) async fn body(&self, request: Request, accept: &'static str) -> Result<Bytes, ClientError> {
        let answered = async {
            let answer = self.open(request, accept).await?;
            answer.collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| self.unreachable(error))
        };
        let late = |_| ClientError::TimedOut { url: self.url.clone(), after: ANSWER_TIMEOUT };
        tokio::time::timeout(ANSWER_TIMEOUT, answered).await.map_err(late)?
    }

    /// The body of an answer that is no error.
    pub(super) async fn open(&self, request: Request, accept: &'static str) -> Result<Incoming, ClientError> {
        let unsendable = |error: http::Error| ClientError::Request { what: error.to_string() };
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(request.target);
        let mut building = http::Request::builder()
            .method(request.method)
            .uri(uri.build().map_err(unsendable)?)
            .header(ACCEPT, accept)
            .header(AUTHORIZATION, self.token.clone());
        for (name, value) in request.headers {
            building = building.header(name, value);
        }
        if request.body.is_some() {
            building = building.header(CONTENT_TYPE, request.kind);
        }
        let request = building.body(Full::new(request.body.unwrap_or_default())).map_err(unsendable)?;
        let answer = self.http.request(request).await.map_err(|error| self.unreachable(error))?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let status = answer.status();
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.into_body().collect().await.map_err(|error| self.unreachable(error))?.to_bytes();
        Err(self.refusal(status, &body, seconds.map(Duration::from_secs)))
    }

    fn refusal(&self, status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ClientError {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { kind, message, problems, hint, request_id }) => {
                let problems = problems.into_iter().map(Into::into).collect();
                ClientError::Refused { kind, message, problems, hint, request_id, retry_after }
            }
            Err(_) => self.strange(format!("it answered {status}")),
        }
    }

    fn strange(&self, what: String) -> ClientError {
        ClientError::Strange { url: self.url.clone(), what }
    }

    pub(super) fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), source: source.into() }
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_clear_text_to_this_machine_only() {
        for good in ["http://127.0.0.1:7367", "http://localhost:7367/", "http://[::1]:7367"] {
            assert!(Transport::new(good, "t", false).is_ok(), "{good}");
        }
        for far in ["http://192.0.2.1:7367", "http://build.example", "http://localhost.evil.example"] {
            assert!(matches!(Transport::new(far, "t", false), Err(ClientError::Insecure { .. })), "{far}");
            assert!(Transport::new(far, "t", true).is_ok(), "{far}");
        }
        for bad in ["", "127.0.0.1:7367", "https://127.0.0.1", "http://127.0.0.1/api", "http://me@127.0.0.1", "http://"]
        {
            assert!(matches!(Transport::new(bad, "t", true), Err(ClientError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn what_a_person_types_stays_one_piece_of_the_path() {
        assert_eq!(segment("a-1_b.c~"), "a-1_b.c~");
        assert_eq!(segment("../x?y=1#z %é"), "..%2Fx%3Fy%3D1%23z%20%25%C3%A9");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
