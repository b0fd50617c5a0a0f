//! `hostler:host/http`: checks a guest's request against its rights and its budget, and sends it.

use super::{Guest, secrets};
use crate::bindings::hostler::host::http::{Host, Request, Response};
use crate::bindings::hostler::plugin::types::{Attribute, Refusal};
use crate::cases;
use crate::egress::{EgressError, Incoming, Outgoing, headers};
use crate::target::Target;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What one call may still send, and what all calls of the plugin together may send in a minute.
pub(crate) struct HttpBudget {
    pub(crate) requests_left: u32,
    pub(crate) requests_max: u32,
    pub(crate) bytes_max: u64,
    /// The call ends then; no request waits longer.
    pub(crate) deadline: Instant,
    pub(crate) rate: std::sync::Arc<crate::rate::Rate>,
    pub(crate) per_minute_max: u32,
}

impl HttpBudget {
    fn take(&mut self) -> Result<(), Refusal> {
        if self.requests_left == 0 {
            let limit = self.requests_max;
            return Err(Refusal::Limit(format!("one call may send {limit} requests (`limits.http_requests_max`)")));
        }
        if !self.rate.take(self.per_minute_max) {
            let limit = self.per_minute_max;
            return Err(Refusal::Limit(format!(
                "the plugin may send {limit} requests a minute (`limits.http_per_minute_max`)"
            )));
        }
        self.requests_left -= 1;
        Ok(())
    }
}

impl Host for Guest {
    async fn send(&mut self, request: Request) -> Result<Response, Refusal> {
        let wrong = |message: String| Refusal::Denied(message);
        let target = Target::parse(&request.url).map_err(wrong)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| Refusal::Denied(format!("`{}` is no method", request.method)))?;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Denied(format!("{method} is not for plugins")));
        }
        self.refused(self.reach.admit(method.as_str(), &target).map(drop))?;
        let given: Vec<_> = request.headers.into_iter().map(|header| (header.name, header.value)).collect();
        let sent = self.tape.is_recording().then(|| (method.clone(), target.clone(), given.clone()));
        let headers = headers(&given).map_err(wrong)?;
        if request.body.len() as u64 > self.http.bytes_max {
            let limit = self.http.bytes_max;
            return Err(Refusal::Limit(format!("a body may have {limit} bytes (`limits.http_bytes_max`)")));
        }
        let credential = match &request.credential {
            None => None,
            Some(name) => Some(secrets::credential(self, name, &target).await?),
        };
        self.http.take()?;
        let left = self.http.deadline.saturating_duration_since(Instant::now());
        let asked = request.timeout_ms.map_or(left, |asked| Duration::from_millis(asked.into()));
        let sent_body = bytes::Bytes::from(request.body);
        let outgoing = Outgoing {
            method,
            target,
            headers,
            body: sent_body.clone(),
            credential,
            time_max: asked.min(left),
            response_bytes_max: self.http.bytes_max,
        };
        let reach = self.reach.clone();
        let answer = reach.services.egress.send(outgoing, |method, target| reach.admit(method.as_str(), target)).await;
        if let Some((method, target, given)) = sent {
            let bytes = target.as_str().len() + sent_body.len() + size(&answer);
            self.tape.http(bytes, || (cases::request(&method, &target, &given, &sent_body), told(&answer)));
        }
        answer.map(response).map_err(|error| self.refusal(error))
    }
}

impl Guest {
    fn refusal(&mut self, error: EgressError) -> Refusal {
        match error {
            EgressError::Denied(message) => {
                self.denials.add(&message);
                Refusal::Denied(message)
            }
            EgressError::Limit(message) => Refusal::Limit(message),
            EgressError::Unreachable(message) => Refusal::Unreachable(message),
        }
    }
}

fn size(answer: &Result<Incoming, EgressError>) -> usize {
    const REFUSAL: usize = 200;
    answer.as_ref().map_or(REFUSAL, |answer| {
        answer.body.len() + answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    })
}

/// As a case gives it.
fn told(answer: &Result<Incoming, EgressError>) -> Value {
    match answer {
        Ok(answer) => cases::response(answer.status.as_u16(), &answer.headers, &answer.body),
        Err(EgressError::Denied(message)) => json!({"denied": message}),
        Err(EgressError::Limit(message)) => json!({"limit": message}),
        Err(EgressError::Unreachable(message)) => json!({"unreachable": message}),
    }
}

fn response(answer: Incoming) -> Response {
    let headers = answer.headers.iter();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| Attribute {
        name: name.to_string(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    Response { status: answer.status.as_u16(), headers: headers.map(header).collect(), body: answer.body.into() }
}
