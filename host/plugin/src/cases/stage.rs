//! What a plugin finds around it in a case: secrets, a memory, and a network that answers what the case says.
//!
//! Invariant: set anew for each case, and nobody else is asked.

use super::expect::is_part;
use super::values::{Bytes, Pairs, pairs, shown};
use crate::egress::EgressError;
use crate::reach::Playback;
use crate::tape::Course;
use crate::target::Target;
use crate::{Egress, Grants, KvChanges, KvEntry, KvReader, LimitSettings, SecretReader, Services};
use hostler_model::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// As the case says it.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    /// The operator's.
    #[serde(default)]
    pub(super) settings: Value,
    /// Absent: all that the manifest asks for.
    #[serde(default)]
    pub(super) grants: Option<Grants>,
    /// By the stored name, which is the plugin's own unless the case's grants say otherwise.
    #[serde(default)]
    secrets: BTreeMap<Slug, Bytes>,
    #[serde(default)]
    kv: Memory,
    #[serde(default)]
    http: Vec<Exchange>,
    /// The operator's.
    #[serde(default)]
    pub(super) limits: LimitSettings,
    /// Of a recorded call.
    #[serde(default)]
    replay: Option<Course>,
}

#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    #[serde(default)]
    plugin: BTreeMap<String, Bytes>,
    #[serde(default)]
    subscription: BTreeMap<String, Bytes>,
    #[serde(default)]
    cache: BTreeMap<String, Bytes>,
}

impl Given {
    /// Whether it is what a recorded call has found.
    pub(super) fn is_recorded(&self) -> bool {
        self.replay.is_some()
    }
}

/// A request that is expected, and its answer.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// A part of the request; absent: any.
    #[serde(default)]
    request: Value,
    response: Response,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Response {
    Unreachable {
        unreachable: String,
    },
    Denied {
        denied: String,
    },
    Limit {
        limit: String,
    },
    Answer {
        status: u16,
        #[serde(default)]
        headers: Pairs,
        #[serde(default)]
        body: Bytes,
    },
}

#[derive(Default)]
struct Now {
    given: Given,
    /// Of `given.http`, which were used.
    used: Vec<bool>,
    sent: Vec<Value>,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Stage {
    now: Arc<Mutex<Now>>,
}

impl Stage {
    pub(super) fn set(&self, given: &Given) {
        *self.lock() = Now { used: vec![false; given.http.len()], given: given.clone(), sent: Vec::new() };
    }

    pub(super) fn services(&self) -> Services {
        let (secrets, network, replay) = (self.clone(), self.clone(), self.clone());
        Services {
            secrets: SecretReader::new(move |_, name| Ok(secrets.secret(name))),
            egress: Egress::scripted(move |request| network.answer(&request)),
            playback: Playback::of(move || replay.lock().given.replay.clone()),
        }
    }

    /// What the case says is in the cache.
    pub(super) fn cache(&self) -> Vec<(String, Vec<u8>)> {
        self.lock().given.kv.cache.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
    }

    /// What the case says is stored.
    pub(super) fn memory(&self) -> KvReader {
        let kv = self.lock().given.kv.clone();
        let stored = Arc::new(BTreeMap::from([("plugin", kv.plugin), ("subscription", kv.subscription)]));
        let listed = stored.clone();
        // The host's name of a subscription's scope holds its id; a case has one subscription.
        let scope = |name: &str| if name == "plugin" { "plugin" } else { "subscription" };
        KvReader::new(
            move |at, key| {
                let value = stored.get(scope(at)).and_then(|keys| keys.get(key));
                Ok(value.map(|value| KvEntry { value: value.0.clone(), version: 1 }))
            },
            move |at, prefix, after, limit| {
                let keys = listed.get(scope(at)).into_iter().flat_map(BTreeMap::keys);
                let fits = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
                Ok(keys.filter(fits).take(limit as usize).cloned().collect())
            },
        )
    }

    /// The requests that were sent, in order.
    pub(super) fn sent(&self) -> Vec<Value> {
        self.lock().sent.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self, name: &Slug) -> Vec<Zeroizing<Vec<u8>>> {
        self.lock().given.secrets.get(name).map(|value| Zeroizing::new(value.0.clone())).into_iter().collect()
    }

    /// The first answer that is not used yet and whose request fits.
    fn answer(&self, request: &http::Request<bytes::Bytes>) -> Result<http::Response<bytes::Bytes>, EgressError> {
        let sent = told(request);
        let mut now = self.lock();
        now.sent.push(sent.clone());
        let used = now.used.clone();
        let found =
            now.given.http.iter().zip(used).position(|(exchange, used)| {
                !used && (exchange.request.is_null() || is_part(&exchange.request, &sent))
            });
        let Some(place) = found else {
            let message = format!("the case has no answer for {} {}", request.method(), request.uri());
            return Err(EgressError::Unreachable(message));
        };
        now.used[place] = true;
        match now.given.http[place].response.clone() {
            Response::Unreachable { unreachable } => Err(EgressError::Unreachable(unreachable)),
            Response::Denied { denied } => Err(EgressError::Denied(denied)),
            Response::Limit { limit } => Err(EgressError::Limit(limit)),
            Response::Answer { status, headers, body } => {
                let mut response = http::Response::builder().status(status);
                for (name, value) in headers.0 {
                    response = response.header(name, value);
                }
                let broken = |error| EgressError::Unreachable(format!("the case's answer is none: {error}"));
                response.body(body.0.into()).map_err(broken)
            }
        }
    }
}

fn told(request: &http::Request<bytes::Bytes>) -> Value {
    exchange(request.method(), &request.uri().to_string(), &headers(request.headers()), request.body())
}

fn headers(headers: &http::HeaderMap) -> Value {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    pairs(&headers.iter().map(header).collect::<Vec<_>>())
}

fn exchange(method: &http::Method, url: &str, headers: &Value, body: &[u8]) -> Value {
    json!({"method": method.as_str(), "url": url, "headers": headers, "body": shown(body)})
}

/// A request of a guest, as a case expects it: without what the host adds.
pub(crate) fn request(method: &http::Method, target: &Target, given: &[(String, String)], body: &[u8]) -> Value {
    let lower: Vec<_> = given.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    exchange(method, target.as_str(), &pairs(&lower), body)
}

/// An answer, as a case gives it.
pub(crate) fn response(status: u16, given: &http::HeaderMap, body: &[u8]) -> Value {
    json!({"status": status, "headers": headers(given), "body": shown(body)})
}

/// What a call wants remembered, as a case writes it; null for what it deletes.
pub(crate) fn memory(changes: &KvChanges) -> Value {
    let mut scopes = json!({});
    for write in &changes.writes {
        let scope = write.scope.split(':').next().unwrap_or_default();
        scopes[scope][&write.key] = write.value.as_deref().map_or(Value::Null, shown);
    }
    scopes
}
