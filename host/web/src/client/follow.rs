//! A stream of server-sent events that goes on over broken connections: what was seen last says where.
//!
//! Invariants: dropping the future of `next` loses nothing; an item comes once; a host that stays away ends the stream
//! with an error after a bounded wait. Must not know: what is followed.

use super::transport::{ClientError, Request, Transport};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use hostler_model::Kind;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The host says that it lives every 15 s; three of these missed mean that nobody is there.
const SILENCE: Duration = Duration::from_secs(50);

/// Connections that may break in a row without a single event between them.
const FAILURES_MAX: u32 = 8;

/// The longest line that is taken.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Items as they come.
pub struct Follow<T> {
    items: BoxStream<'static, Result<T, ClientError>>,
}

impl<T: DeserializeOwned + Send + 'static> Follow<T> {
    pub(super) fn new(transport: Transport, path: String, query: &impl Serialize) -> Self {
        let begin = Request::new(Method::GET, path).query(query);
        let items = stream::once(async move { begin.map(|request| Following::new(transport, request)) })
            .flat_map(|following| match following {
                Ok(following) => stream::unfold(following, Following::next).boxed(),
                Err(error) => stream::once(async move { Err(error) }).boxed(),
            })
            .boxed();
        Self { items }
    }

    /// None when there is nothing more to come. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        self.items.next().await
    }
}

struct Following {
    transport: Transport,
    request: Request,
    body: Option<Incoming>,
    parser: Parser,
    last_id: Option<String>,
    was_open: bool,
    failures: u32,
    over: bool,
}

impl Following {
    fn new(transport: Transport, request: Request) -> Self {
        let parser = Parser::default();
        Self { transport, request, body: None, parser, last_id: None, was_open: false, failures: 0, over: false }
    }

    async fn next<T: DeserializeOwned>(mut self) -> Option<(Result<T, ClientError>, Self)> {
        if self.over {
            return None;
        }
        match self.event().await {
            Ok(None) => None,
            Ok(Some(event)) => {
                let item = serde_json::from_str(&event.data).map_err(|error| ClientError::Strange {
                    url: self.transport.url().into(),
                    what: format!("an event cannot be read: {error}"),
                });
                self.over = item.is_err();
                Some((item, self))
            }
            Err(error) => {
                self.over = true;
                Some((Err(error), self))
            }
        }
    }

    /// The next event that carries an item; None once the host says that there are no more.
    async fn event(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.next() {
                self.failures = 0;
                if event.id.is_some() {
                    self.last_id.clone_from(&event.id);
                }
                if event.name == "end" {
                    return Ok(None);
                }
                return Ok(Some(event));
            }
            if let Err(error) = self.read_on().await {
                self.broken(error).await?;
            }
        }
    }

    /// Takes in some more bytes, over a new connection where there is none.
    async fn read_on(&mut self) -> Result<(), ClientError> {
        if self.body.is_none() {
            let request = self.request.clone().header("last-event-id", self.last_id.as_deref())?;
            self.body = Some(self.transport.open(request, "text/event-stream").await?);
            (self.parser, self.was_open) = (Parser::default(), true);
        }
        let Some(body) = self.body.as_mut() else { return Ok(()) };
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        let frame = frame.map_err(|_| ClientError::TimedOut { url: self.transport.url().into(), after: SILENCE })?;
        let frame = frame.ok_or_else(|| self.transport.unreachable("the stream ended before its end was said"))?;
        if let Ok(bytes) = frame.map_err(|error| self.transport.unreachable(error))?.into_data() {
            self.parser.push(&bytes);
        }
        if self.parser.line_is_too_long() {
            let what = format!("a line of the stream is longer than {LINE_BYTES_MAX} bytes");
            return Err(ClientError::Strange { url: self.transport.url().into(), what });
        }
        Ok(())
    }

    /// Waits a little where it makes sense to try again; else gives the error back.
    async fn broken(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.body = None;
        self.failures += 1;
        let passes = match &error {
            ClientError::Refused { kind, .. } => matches!(kind, Kind::Busy | Kind::Unavailable),
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => true,
            ClientError::Url { .. }
            | ClientError::Insecure { .. }
            | ClientError::Strange { .. }
            | ClientError::Request { .. } => false,
        };
        // One that never stood is told at once: the person may have mistyped the address.
        if !passes || !self.was_open || self.failures > FAILURES_MAX {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(self.failures.min(6))).await;
        Ok(())
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct ServerEvent {
    name: String,
    id: Option<String>,
    data: String,
}

/// Puts bytes together to events, as the HTML standard says ("server-sent events").
#[derive(Default)]
struct Parser {
    bytes: Vec<u8>,
    open: ServerEvent,
    ready: std::collections::VecDeque<ServerEvent>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.bytes[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.bytes[begin..begin + length]).into_owned();
            begin += length + 1;
            self.line(line.trim_end_matches('\r'));
        }
        self.bytes.drain(..begin);
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.open);
            if !event.data.is_empty() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.open.name = value.into(),
            "id" => self.open.id = Some(value.into()),
            "data" => {
                if !self.open.data.is_empty() {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
            }
            // A comment (an empty field name), or a field that we do not need.
            _ => {}
        }
    }

    fn next(&mut self) -> Option<ServerEvent> {
        self.ready.pop_front()
    }

    fn line_is_too_long(&self) -> bool {
        self.bytes.len() > LINE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_however_the_bytes_arrive() {
        let text = ": hello\n\nevent: record\nid: 7\ndata: {\"a\":\ndata: 1}\n\nid: 8\r\ndata: é\r\n\r\nevent: half\ndata: x\n";
        let event = |name: &str, id: &str, data: &str| ServerEvent {
            name: name.into(),
            id: Some(id.into()),
            data: data.into(),
        };
        let wanted = [event("record", "7", "{\"a\":\n1}"), event("", "8", "é")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            text.as_bytes().chunks(size).for_each(|chunk| parser.push(chunk));
            let got: Vec<_> = std::iter::from_fn(|| parser.next()).collect();
            assert_eq!(got, wanted, "in pieces of {size}");
        }
    }
}
