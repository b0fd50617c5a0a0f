//! `hostler:host/kv`: reads through to the store, collects writes for the transaction of the call's result.
//!
//! Invariants: a call sees its own writes; every key it looked at is remembered with the version it saw, also one that
//! was not there; nothing is written here but the cache. Must not know: SQL.

use super::Guest;
use crate::bindings::hostler::host::kv::Host;
use crate::bindings::hostler::plugin::types::{Reason, Refusal};
use crate::kv::{KvChanges, KvEntry, KvReader, KvSeen, KvWrite};
use crate::tape::Tape;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 << 10;
const WRITES_MAX: usize = 1_000;
/// Keys that one call may look at or write.
const SEEN_MAX: usize = 10_000;
/// The most keys that one question is answered with.
const KEYS_MAX: u32 = 1_000;

/// One key of the store: its scope and name.
type Place = (String, String);

/// The memory of one call.
pub(crate) struct Memory {
    /// Absent where the call has nothing to remember.
    reader: Option<KvReader>,
    /// The stored name of the scope `subscription`; absent where the call is about none.
    own_scope: Option<String>,
    seen: BTreeMap<Place, Option<i64>>,
    writes: BTreeMap<Place, Option<Vec<u8>>>,
    /// Of the writes, keys and values.
    bytes: u64,
    bytes_max: u64,
    cache: Arc<Cache>,
    namespace: String,
    pub(crate) tape: Tape,
}

impl Memory {
    pub(crate) fn none() -> Self {
        Self {
            reader: None,
            own_scope: None,
            seen: BTreeMap::new(),
            writes: BTreeMap::new(),
            bytes: 0,
            bytes_max: 0,
            cache: Arc::default(),
            namespace: String::new(),
            tape: Tape::Off,
        }
    }

    /// `bytes_max`: what the plugin may keep in the namespace, and so the most that one call can want kept.
    pub(crate) fn of(
        reader: KvReader,
        subscription: Option<i64>,
        cache: Arc<Cache>,
        namespace: String,
        bytes_max: u64,
    ) -> Self {
        let own_scope = subscription.map(|id| format!("subscription:{id}"));
        Self { reader: Some(reader), own_scope, cache, namespace, bytes_max, ..Self::none() }
    }

    pub(crate) fn take_changes(&mut self) -> KvChanges {
        let bytes_max = self.bytes_max;
        let seen = std::mem::take(&mut self.seen).into_iter();
        let writes = std::mem::take(&mut self.writes).into_iter();
        KvChanges {
            bytes_max,
            seen: seen.map(|((scope, key), version)| KvSeen { scope, key, version }).collect(),
            writes: writes.map(|((scope, key), value)| KvWrite { scope, key, value }).collect(),
        }
    }

    fn reader(&self) -> Result<KvReader, Refusal> {
        self.reader.clone().ok_or_else(|| Refusal::Denied("this call has no memory".into()))
    }

    fn scope(&self, scope: &str) -> Result<Scope, Refusal> {
        self.reader()?;
        match scope {
            "subscription" => {
                let none = || Refusal::Missing("this call is about no subscription".into());
                self.own_scope.clone().map(Scope::Stored).ok_or_else(none)
            }
            "plugin" => Ok(Scope::Stored("plugin".into())),
            "cache" => Ok(Scope::Cache),
            other => Err(Refusal::Missing(format!("no scope `{other}`; there are subscription, plugin and cache"))),
        }
    }

    async fn read(&mut self, scope: String, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        let place = (scope, key);
        if let Some(written) = self.writes.get(&place) {
            return Ok(written.clone());
        }
        if self.seen.len() >= SEEN_MAX && !self.seen.contains_key(&place) {
            return Err(Refusal::Limit(format!("one call may look at {SEEN_MAX} keys")));
        }
        let reader = self.reader()?;
        let (scope, key) = place.clone();
        let entry = ask(move || (reader.get)(&scope, &key)).await?;
        let (value, version) = match entry {
            Some(KvEntry { value, version }) => (Some(value), Some(version)),
            None => (None, None),
        };
        self.tape.kv(&place.0, &place.1, value.as_deref());
        // The first look counts: a later one that differs would be caught at the commit anyway.
        self.seen.entry(place).or_insert(version);
        Ok(value)
    }

    /// A write also remembers what it replaces, so that two calls that never read cannot silently undo each other.
    async fn write(&mut self, scope: String, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let place = (scope, key);
        if self.writes.len() >= WRITES_MAX && !self.writes.contains_key(&place) {
            return Err(Refusal::Limit(format!("one call may write {WRITES_MAX} keys")));
        }
        let bytes_of = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |value| (place.1.len() + value.len()) as u64);
        let bytes = self.bytes - self.writes.get(&place).map_or(0, bytes_of) + bytes_of(&value);
        if bytes > self.bytes_max {
            let limit = self.bytes_max;
            return Err(Refusal::Limit(format!("a plugin may keep {limit} bytes (`limits.kv_bytes_max`)")));
        }
        if !self.seen.contains_key(&place) {
            self.read(place.0.clone(), place.1.clone()).await?;
        }
        self.bytes = bytes;
        self.writes.insert(place, value);
        Ok(())
    }

    async fn list(
        &mut self,
        scope: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Refusal> {
        let reader = self.reader()?;
        let limit = limit.min(KEYS_MAX);
        // As many more as this call has deleted, since those will be left out of the answer.
        let more = limit.saturating_add(u32::try_from(self.writes.len()).unwrap_or(0));
        let question = (scope.clone(), prefix.clone(), after.clone());
        let stored = ask(move || (reader.keys)(&question.0, &question.1, question.2.as_deref(), more)).await?;
        self.tape.kv_keys(&scope, &stored);
        let mut keys: BTreeSet<String> = stored.into_iter().collect();
        for ((_, key), value) in
            self.writes.range((scope.clone(), String::new())..).take_while(|((at, _), _)| *at == scope)
        {
            let fits = key.starts_with(&prefix) && after.as_ref().is_none_or(|after| key > after);
            match value {
                Some(_) if fits => keys.insert(key.clone()),
                Some(_) => false,
                None => keys.remove(key),
            };
        }
        Ok(keys.into_iter().take(limit as usize).collect())
    }
}

enum Scope {
    Stored(String),
    Cache,
}

/// The store blocks, so it is asked on a thread that may.
async fn ask<T: Send + 'static>(question: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Refusal> {
    let unreachable = |message: String| Refusal::Unreachable(message);
    tokio::task::spawn_blocking(question).await.map_err(|error| unreachable(error.to_string()))?.map_err(unreachable)
}

fn check_key(key: &str) -> Result<(), Refusal> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        length => Err(Refusal::Limit(format!("a key has 1 to {KEY_BYTES_MAX} bytes, this has {length}"))),
    }
}

fn check_value(value: &[u8]) -> Result<(), Refusal> {
    match value.len() {
        0..=VALUE_BYTES_MAX => Ok(()),
        length => Err(Refusal::Limit(format!("a value has at most {VALUE_BYTES_MAX} bytes, this has {length}"))),
    }
}

impl Guest {
    fn scope(&mut self, scope: &str) -> Result<Scope, Refusal> {
        // A call without a memory says so, whatever is granted.
        self.memory.reader()?;
        let may = self.reach.kv();
        self.refused(may)?;
        self.memory.scope(scope)
    }
}

impl Host for Guest {
    async fn get(&mut self, scope: String, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        check_key(&key)?;
        match self.scope(&scope)? {
            Scope::Stored(scope) => self.memory.read(scope, key).await,
            Scope::Cache => {
                let value = self.memory.cache.get(&self.memory.namespace, &key);
                self.tape.kv("cache", &key, value.as_deref());
                Ok(value)
            }
        }
    }

    async fn set(&mut self, scope: String, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        check_key(&key)?;
        check_value(&value)?;
        match self.scope(&scope)? {
            Scope::Stored(scope) => self.memory.write(scope, key, Some(value)).await,
            Scope::Cache => self.memory.cache.set(&self.memory.namespace, key, value),
        }
    }

    async fn delete(&mut self, scope: String, key: String) -> Result<(), Refusal> {
        check_key(&key)?;
        match self.scope(&scope)? {
            Scope::Stored(scope) => self.memory.write(scope, key, None).await,
            Scope::Cache => {
                self.memory.cache.delete(&self.memory.namespace, &key);
                Ok(())
            }
        }
    }

    async fn keys(
        &mut self,
        scope: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Refusal> {
        match self.scope(&scope)? {
            Scope::Stored(scope) => self.memory.list(scope, prefix, after, limit).await,
            Scope::Cache => Err(Refusal::Other(Reason {
                kind: "cache".into(),
                message: "the cache has no list of keys; what is in it may be gone".into(),
            })),
        }
    }
}

/// What the host may forget: in memory, bounded, shared by all calls of a plugin in one namespace.
#[derive(Default)]
pub(crate) struct Cache {
    entries: Mutex<HashMap<Place, Vec<u8>>>,
}

const CACHE_ENTRIES_MAX: usize = 256;

impl Cache {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Place, Vec<u8>>) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        self.with(|entries| entries.get(&(namespace.to_string(), key.to_string())).cloned())
    }

    pub(crate) fn set(&self, namespace: &str, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        let place = (namespace.to_string(), key);
        self.with(|entries| {
            // Full: all is forgotten, which a cache may do, and which needs no bookkeeping.
            if entries.len() >= CACHE_ENTRIES_MAX && !entries.contains_key(&place) {
                entries.clear();
            }
            entries.insert(place, value);
        });
        Ok(())
    }

    fn delete(&self, namespace: &str, key: &str) {
        self.with(|entries| entries.remove(&(namespace.to_string(), key.to_string())));
    }
}
