//! Path, query, body and headers of a request as values, or the error that says what is wrong with them and where.
//!
//! Invariants: bodies are bounded while they are read; only JSON is taken, which a form on another site cannot send.

use crate::Web;
use crate::auth::Principal;
use crate::error::Error;
use crate::routes::{BODY_BYTES_MAX, DOCUMENT_BYTES_MAX};
use axum::RequestPartsExt as _;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use hostler_model::{Kind, Problem};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

/// The captures of the path.
pub(crate) struct InPath<T>(pub(crate) T);

/// The query.
pub(crate) struct InQuery<T>(pub(crate) T);

/// A JSON body of at most `BODY_BYTES_MAX`. An empty body is an empty object.
pub(crate) struct InBody<T>(pub(crate) T);

/// A pipeline document, as text, of at most `DOCUMENT_BYTES_MAX`.
pub(crate) struct Document(pub(crate) String);

/// The token that asks.
pub(crate) struct Caller(pub(crate) Principal);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let path = parts.extract::<axum::extract::Path<T>>().await;
        // A name that cannot be a name names nothing that is there.
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| Error::not_found(format!("nothing is at this path: {}", rejection.body_text())))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let parsed = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        parsed.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let said = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, rest)| rest);
            // The parser puts the name of the parameter before what is wrong with it, where it knows the name.
            let (name, message) = said.split_once(": ").filter(|(name, _)| !name.contains(' ')).unwrap_or(("", said));
            Error::invalid("the query is not valid").problem(Problem::new(format!("?{name}"), message))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| Error::internal(std::io::Error::other("a public route asked who is calling")))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let has_type = request.headers().contains_key(CONTENT_TYPE);
        let is_json = is_json(&request);
        let text = text(request, BODY_BYTES_MAX).await?;
        if text.is_empty() && !has_type {
            return parse("{}").map(Self);
        }
        if !is_json {
            return Err(not_json());
        }
        parse(if text.trim().is_empty() { "{}" } else { &text }).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        if !is_json(&request) {
            return Err(not_json());
        }
        text(request, DOCUMENT_BYTES_MAX).await.map(Self)
    }
}

/// The bytes of a component, not more of them than this host takes of one.
pub(crate) struct Component(pub(crate) Bytes);

impl FromRequest<Web> for Component {
    type Rejection = Error;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Error> {
        let limit = web.handle().plugin_sources().store().component_bytes_max();
        let bytes = bytes(request, usize::try_from(limit).unwrap_or(usize::MAX)).await;
        let hint = |error: Error| match error.kind {
            Kind::TooLarge => error.hint("raise `limits.component_bytes` in the config of the host"),
            _ => error,
        };
        bytes.map(Self).map_err(hint)
    }
}

/// A bundle of components in a file that goes with this value; it may be larger than one wants to hold in memory.
pub(crate) struct Bundle(pub(crate) tempfile::NamedTempFile);

const BUNDLE_BYTES_MAX: u64 = 4 << 30;

impl FromRequest<Web> for Bundle {
    type Rejection = Error;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Error> {
        let too_large = || {
            let message = format!("the bundle is larger than {BUNDLE_BYTES_MAX} bytes, the most that is taken");
            Error::new(Kind::TooLarge, message)
        };
        if declared(&request).is_some_and(|length| length > BUNDLE_BYTES_MAX) {
            return Err(too_large());
        }
        // Beside the data: the system's folder for temporary files may lie in memory.
        let folder = web.handle().store().dir().to_path_buf();
        let made =
            tokio::task::spawn_blocking(|| tempfile::NamedTempFile::new_in(folder)).await.map_err(Error::internal)?;
        let file = made.map_err(Error::internal)?;
        let mut to = tokio::fs::File::from_std(file.reopen().map_err(Error::internal)?);
        let mut body = request.into_body();
        let mut taken = 0_u64;
        while let Some(frame) = body.frame().await {
            let early = |error| Error::invalid(format!("the body ended too early: {error}"));
            let Ok(data) = frame.map_err(early)?.into_data() else { continue };
            taken += data.len() as u64;
            if taken > BUNDLE_BYTES_MAX {
                return Err(too_large());
            }
            to.write_all(&data).await.map_err(Error::internal)?;
        }
        to.flush().await.map_err(Error::internal)?;
        Ok(Self(file))
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn not_json() -> Error {
    Error::invalid("the body is not declared as JSON").hint("send it with `Content-Type: application/json`")
}

fn declared(request: &Request) -> Option<u64> {
    request.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn bytes(request: Request, bytes_max: usize) -> Result<Bytes, Error> {
    let too_large = || {
        Error::new(
            Kind::TooLarge,
            format!("the body is larger than {bytes_max} bytes, which is the most that is taken here"),
        )
    };
    if declared(&request).is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let limited = http_body_util::Limited::new(request.into_body(), bytes_max);
    match http_body_util::BodyExt::collect(limited).await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::invalid(format!("the body ended too early: {error}"))),
    }
}

async fn text(request: Request, bytes_max: usize) -> Result<String, Error> {
    let bytes = bytes(request, bytes_max).await?;
    String::from_utf8(bytes.into()).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Error::invalid(format!("the body is not UTF-8: byte {place} begins no character"))
    })
}

/// The value, or where it goes wrong: the JSON pointer of the place, and line and column.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    // A list would be taken for the fields in their order, which no caller means.
    if text.trim_start().starts_with('[') {
        return Err(
            Error::invalid("the body is not valid").problem(Problem::new("", "is a list; an object is wanted here"))
        );
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let at = pointer(error.path());
        problem(at, error.inner())
    });
    let value = parsed?;
    deserializer.end().map_err(|error| problem(String::new(), &error))?;
    Ok(value)
}

fn problem(at: String, error: &serde_json::Error) -> Error {
    let said = error.to_string();
    let message = said.rsplit_once(" at line ").map_or(said.as_str(), |(message, _)| message);
    let mut problem = Problem::new(at, message);
    problem.line = u32::try_from(error.line()).ok().filter(|line| *line > 0);
    problem.column = problem.line.and_then(|_| u32::try_from(error.column()).ok());
    Error::invalid("the body is not valid").problem(problem)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::RunStart;

    fn place(text: &str) -> String {
        let error = parse::<RunStart>(text).expect_err("a mistake");
        let problem = &error.problems[0];
        let place = |n: Option<u32>| n.map_or("-".into(), |n| n.to_string());
        format!("{} {}:{} {}", problem.at, place(problem.line), place(problem.column), problem.message)
    }

    #[test]
    fn a_mistake_in_a_body_is_said_with_its_place() {
        let bodies = [r#"{"version": "one"}"#, r#"{"verson": 1}"#, "{\"params\": {\n  \"a\": }", "{} x", "[]"];
        insta::assert_snapshot!(bodies.map(place).join("\n"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let deep = format!(r#"{{"params": {{"a": {}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(place(&deep).contains("recursion limit"));
    }
}
