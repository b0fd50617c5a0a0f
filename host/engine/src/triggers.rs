//! Calls of trigger plugins at the edge: asks when a subscription fires next and what it wants done, and tells the
//! dispatcher.
//!
//! Invariants: calls for one subscription follow each other, in the order they were asked for, and never run at the
//! same time; each call is answered once, also when the plugin is gone or the call panics. Changes nothing itself.

use crate::inbox::{Inbox, Told};
use hostler_model::{Duration, SubscriptionId, Timestamp};
use hostler_plugin::{CallError, Instant, KvEntry, KvReader, Plugins, Subscription, Woken};
use hostler_store::{KvOwner, NamespaceId, Store};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Instants asked for in one call while looking for missed ones.
const PAGE: u32 = 1_000;

/// Pages looked through for missed instants; a schedule with more of them than this has been away for long.
const PAGES_MAX: u32 = 100;

/// Calls at once. Each holds a thread of the plugin runtime only while its guest computes.
const CALLS_AT_ONCE: usize = 8;

/// What a plugin is asked.
#[derive(Clone, Debug)]
pub struct Call {
    pub subscription: Arc<Subscription>,
    pub plugin: String,
    pub namespace: NamespaceId,
    pub ask: Ask,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// The next instant after this one.
    Next { after: Timestamp },
    /// What it wants done at this instant; `tries` counts calls that were in vain.
    Wake { at: Timestamp, tries: u32 },
    /// All instants after the first and up to the second, and the next one behind them.
    Passed { after: Timestamp, until: Timestamp },
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) call: Call,
    pub(crate) found: Found,
}

#[derive(Clone, Debug)]
pub enum Found {
    Next(Option<Instant>),
    Woken(Box<Woken>),
    Passed { instants: Vec<Timestamp>, next: Option<Instant> },
    Failed(Why),
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Why {
    #[error("plugin `{0}` is not installed")]
    NotInstalled(String),
    #[error("plugin `{plugin}` cannot be called: {why}")]
    NotReady { plugin: String, why: String },
    #[error(transparent)]
    Call(Arc<CallError>),
    #[error("it names more than {0} missed instants")]
    TooMany(u32),
}

impl Why {
    /// When the same call may work later without anybody changing something: not before so long.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let error = match self {
            Self::Call(error) => error,
            // It is disabled, or being compiled: what is due waits for it.
            Self::NotReady { .. } => return Some(Duration::from_secs(10)),
            Self::NotInstalled(_) | Self::TooMany(_) => return None,
        };
        match &error.failure {
            hostler_plugin::Failure::Temporary { after, .. } => Some(after.unwrap_or(Duration::from_secs(30))),
            _ if error.is_temporary() => Some(Duration::from_secs(30)),
            _ => None,
        }
    }
}

pub(crate) struct Triggers {
    plugins: Plugins,
    store: Store,
    inbox: Arc<Inbox>,
    waiting: Mutex<HashMap<SubscriptionId, VecDeque<Call>>>,
    permits: Semaphore,
    pub(crate) calls: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Triggers {
    pub(crate) fn new(plugins: Plugins, store: Store, inbox: Arc<Inbox>) -> Self {
        let (waiting, permits) = (Mutex::default(), Semaphore::new(CALLS_AT_ONCE));
        let (calls, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { plugins, store, inbox, waiting, permits, calls, failures }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, VecDeque<Call>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; the answer comes through the inbox.
    pub(crate) fn call(self: &Arc<Self>, call: Call) {
        let mut waiting = self.lock();
        if let Some(queue) = waiting.get_mut(&call.subscription.id) {
            queue.push_back(call);
            return;
        }
        waiting.insert(call.subscription.id, VecDeque::new());
        drop(waiting);
        self.plugins.call_threads().spawn(self.clone().calls_of(call));
    }

    async fn calls_of(self: Arc<Self>, first: Call) {
        let id = first.subscription.id;
        let mut next = Some(first);
        while let Some(call) = next {
            let found = self.find(&call).await;
            self.inbox.tell(Told::Trigger(Box::new(Answer { call, found })));
            let mut waiting = self.lock();
            next = waiting.get_mut(&id).and_then(VecDeque::pop_front);
            if next.is_none() {
                waiting.remove(&id);
            }
        }
    }

    async fn find(&self, call: &Call) -> Found {
        let _permit = self.permits.acquire().await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.ask(call).await.unwrap_or_else(|why| {
            self.failures.fetch_add(1, Ordering::Relaxed);
            Found::Failed(why)
        })
    }

    async fn ask(&self, call: &Call) -> Result<Found, Why> {
        let plugin = self.plugins.get(&call.plugin).ok_or_else(|| match self.plugins.why_not(&call.plugin) {
            Some(why) => Why::NotReady { plugin: call.plugin.clone(), why },
            None => Why::NotInstalled(call.plugin.clone()),
        })?;
        let failed = |error| Why::Call(Arc::new(error));
        let subscription = &*call.subscription;
        match call.ask {
            Ask::Next { after } => {
                Ok(Found::Next(plugin.upcoming(subscription, after, 1).await.map_err(failed)?.into_iter().next()))
            }
            Ask::Wake { at, .. } => {
                let memory = self.memory(call);
                Ok(Found::Woken(Box::new(plugin.wake(subscription, at, memory).await.map_err(failed)?)))
            }
            Ask::Passed { after, until } => {
                let mut instants = Vec::new();
                let mut after = after;
                for _ in 0..PAGES_MAX {
                    let page = plugin.upcoming(subscription, after, PAGE).await.map_err(failed)?;
                    let ended = (page.len() as u32) < PAGE;
                    for instant in page {
                        if instant.at > until {
                            return Ok(Found::Passed { instants, next: Some(instant) });
                        }
                        after = instant.at;
                        instants.push(instant.at);
                    }
                    if ended {
                        return Ok(Found::Passed { instants, next: None });
                    }
                }
                Err(Why::TooMany(PAGE * PAGES_MAX))
            }
        }
    }

    /// What this call may read of the plugin's memory.
    fn memory(&self, call: &Call) -> KvReader {
        let reader = KvScope { store: self.store.clone(), plugin: call.plugin.clone(), namespace: call.namespace };
        let other = reader.clone();
        KvReader::new(
            move |scope, key| reader.get(scope, key),
            move |scope, prefix, after, limit| other.keys(scope, prefix, after, limit),
        )
    }
}

#[derive(Clone)]
struct KvScope {
    store: Store,
    plugin: String,
    namespace: NamespaceId,
}

impl KvScope {
    fn owner(&self) -> KvOwner<'_> {
        KvOwner { plugin: &self.plugin, namespace: self.namespace }
    }

    fn get(&self, scope: &str, key: &str) -> Result<Option<KvEntry>, String> {
        let value = self.store.read(|tx| tx.kv_get(self.owner(), scope, key)).map_err(|error| error.to_string())?;
        let entry = |value: hostler_store::KvValue| {
            let version = i64::try_from(value.version).map_err(|_| "its version is out of range".to_owned())?;
            Ok(KvEntry { value: value.value, version })
        };
        value.map(entry).transpose()
    }

    fn keys(&self, scope: &str, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, String> {
        let keys = self.store.read(|tx| tx.kv_keys(self.owner(), scope, prefix, after, limit));
        keys.map_err(|error| error.to_string())
    }
}
