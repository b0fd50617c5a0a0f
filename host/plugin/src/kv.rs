//! The small memory of plugins as one call sees it: what it has read with the version it saw, and what it wants
//! written.
//!
//! Invariant: nothing is written here. The engine commits `KvChanges` in the transaction of the call's result, after
//! checking that each version seen is still the one in the store. Must not know: SQL, encryption, who calls.

use std::fmt;
use std::sync::Arc;

/// A value and the version of its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvEntry {
    pub value: Vec<u8>,
    pub version: i64,
}

/// One key that the call has looked at; `None`: it was not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvSeen {
    /// As stored: `plugin`, or `subscription:ID`.
    pub scope: String,
    pub key: String,
    pub version: Option<i64>,
}

/// `None` deletes the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvWrite {
    pub scope: String,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

/// What a finished call wants remembered. Both lists are in order of scope and key, each key at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KvChanges {
    pub seen: Vec<KvSeen>,
    pub writes: Vec<KvWrite>,
    /// Bytes of keys and values that the plugin may keep in the namespace.
    pub bytes_max: u64,
}

impl KvChanges {
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

type Get = dyn Fn(&str, &str) -> Result<Option<KvEntry>, String> + Send + Sync;
type Keys = dyn Fn(&str, &str, Option<&str>, u32) -> Result<Vec<String>, String> + Send + Sync;

/// Reads what is stored for one plugin in one namespace. Both functions may block; they are called off the async
/// threads.
#[derive(Clone)]
pub struct KvReader {
    pub(crate) get: Arc<Get>,
    pub(crate) keys: Arc<Keys>,
}

impl KvReader {
    /// `get(scope, key)`; `keys(scope, prefix, after, limit)` answers in order of bytes.
    pub fn new(
        get: impl Fn(&str, &str) -> Result<Option<KvEntry>, String> + Send + Sync + 'static,
        keys: impl Fn(&str, &str, Option<&str>, u32) -> Result<Vec<String>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { get: Arc::new(get), keys: Arc::new(keys) }
    }

    /// A memory with nothing in it, for previews and tests.
    pub fn empty() -> Self {
        Self::new(|_, _| Ok(None), |_, _, _, _| Ok(Vec::new()))
    }
}

impl fmt::Debug for KvReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvReader")
    }
}
