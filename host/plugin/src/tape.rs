//! What one call found around it, kept so that the call can be made again; and the same given to a call that is made
//! again.
//!
//! Invariants: of a secret only what was done with it is kept, and each value that a guest was shown, or that a sender
//! rightly showed, is known here so that a recording can leave it out; a tape ends at its bound and says so. Must not
//! know: where a recording is kept, what a case is.

use crate::hex;
use hostler_model::Slug;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// What a recording may hold, in bytes of JSON.
pub(crate) const RECORDING_BYTES_MAX: usize = 1 << 20;
/// Looks at the clock that are kept.
const LOOKS_MAX: usize = 20_000;

/// Cheap to clone; all clones are one tape.
#[derive(Clone, Default)]
pub(crate) enum Tape {
    #[default]
    Off,
    Recording(Arc<Mutex<Recorded>>),
    Playing(Arc<Mutex<Course>>),
}

/// Chance, time and what was done with secrets: what no other part of a case can say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Course {
    /// 64 hexadecimal digits.
    pub(crate) seed: String,
    /// Nanoseconds since the call began, for each look at a clock.
    #[serde(default)]
    pub(crate) elapsed_ns: VecDeque<u64>,
    #[serde(default)]
    pub(crate) secrets: VecDeque<SecretUse>,
}

/// One use of a secret, with what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretUse {
    #[serde(rename = "use")]
    pub(crate) what: String,
    /// As the plugin calls it.
    pub(crate) secret: String,
    pub(crate) answer: Value,
}

/// What a call has found.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) course: Course,
    /// By scope and key, as it was before the call; none where there was nothing.
    pub(crate) kv: BTreeMap<(String, String), Option<Vec<u8>>>,
    /// Keys that were listed; not all were looked at.
    pub(crate) listed: BTreeSet<(String, String)>,
    /// None: its name was listed and nobody looked what is in it.
    pub(crate) files: BTreeMap<String, Option<Vec<u8>>>,
    /// Requests and their answers.
    pub(crate) http: Vec<(Value, Value)>,
    /// Values of secrets that may stand anywhere in what is recorded, by stored name.
    pub(crate) shown: Vec<(Slug, Zeroizing<Vec<u8>>)>,
    bytes: usize,
}

impl Recorded {
    /// Whether there is room; where there is none any more, what was kept is let go.
    fn take(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if !self.is_whole() {
            let bytes = self.bytes;
            *self = Self { bytes, ..Self::default() };
        }
        self.is_whole()
    }

    /// Whether all of it is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes <= RECORDING_BYTES_MAX
    }
}

fn lock<T>(tape: &Mutex<T>) -> MutexGuard<'_, T> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tape {
    pub(crate) fn recording(seed: &[u8; 32]) -> Self {
        let course = Course { seed: hex::encode(seed), ..Course::default() };
        Self::Recording(Arc::new(Mutex::new(Recorded { course, ..Recorded::default() })))
    }

    pub(crate) fn playing(course: Course) -> Self {
        Self::Playing(Arc::new(Mutex::new(course)))
    }

    /// The seed of a call that is made again.
    pub(crate) fn seed(&self) -> Option<[u8; 32]> {
        let Self::Playing(course) = self else { return None };
        hex::decode(&lock(course).seed)
    }

    /// What a clock shows that would show this.
    pub(crate) fn elapsed(&self, since: Duration) -> Duration {
        match self {
            Self::Off => since,
            Self::Recording(recorded) => {
                let mut recorded = lock(recorded);
                let looks = &mut recorded.course.elapsed_ns;
                looks.push_back(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
                if looks.len() > LOOKS_MAX {
                    recorded.take(RECORDING_BYTES_MAX + 1);
                }
                since
            }
            Self::Playing(course) => lock(course).elapsed_ns.pop_front().map_or(since, Duration::from_nanos),
        }
    }

    /// What came of the next use of this kind, in a call that is made again.
    pub(crate) fn played(&self, what: &str, secret: &str) -> Option<Value> {
        let Self::Playing(course) = self else { return None };
        let mut course = lock(course);
        let place = course.secrets.iter().position(|one| one.what == what && one.secret == secret)?;
        course.secrets.remove(place).map(|found| found.answer)
    }

    pub(crate) fn secret(&self, what: &str, secret: &str, answer: impl FnOnce() -> Value) {
        self.record(|recorded| {
            let answer = answer();
            if recorded.take(secret.len() + answer.to_string().len()) {
                let (what, secret) = (what.to_owned(), secret.to_owned());
                recorded.course.secrets.push_back(SecretUse { what, secret, answer });
            }
        });
    }

    /// A value that is known to the guest from now on, or was to its sender.
    pub(crate) fn shows(&self, stored: &Slug, value: &[u8]) {
        self.record(|recorded| {
            // A secret may have several values at a time.
            let known = recorded.shown.iter().any(|(name, known)| name == stored && known.as_slice() == value);
            if !known && recorded.take(value.len()) {
                recorded.shown.push((stored.clone(), Zeroizing::new(value.to_vec())));
            }
        });
    }

    /// The first look at a key counts: a later one may see what the call itself has written.
    pub(crate) fn kv(&self, scope: &str, key: &str, value: Option<&[u8]>) {
        self.record(|recorded| {
            if recorded.take(key.len() + value.map_or(0, <[u8]>::len)) {
                recorded.kv.entry((scope.into(), key.into())).or_insert_with(|| value.map(<[u8]>::to_vec));
            }
        });
    }

    /// A key that was listed is there, even if nobody looks what is in it.
    pub(crate) fn kv_keys(&self, scope: &str, keys: &[String]) {
        self.record(|recorded| {
            if recorded.take(keys.iter().map(String::len).sum()) {
                recorded.listed.extend(keys.iter().map(|key| (scope.to_owned(), key.clone())));
            }
        });
    }

    pub(crate) fn is_recording(&self) -> bool {
        matches!(self, Self::Recording(_))
    }

    /// `bytes`: of both together.
    pub(crate) fn http(&self, bytes: usize, exchange: impl FnOnce() -> (Value, Value)) {
        self.record(|recorded| {
            if recorded.take(bytes) {
                recorded.http.push(exchange());
            }
        });
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8]) {
        self.record(|recorded| {
            if recorded.take(path.len() + bytes.len()) {
                recorded.files.insert(path.into(), Some(bytes.to_vec()));
            }
        });
    }

    pub(crate) fn paths(&self, paths: &[String]) {
        self.record(|recorded| {
            if recorded.take(paths.iter().map(String::len).sum()) {
                for path in paths {
                    recorded.files.entry(path.clone()).or_default();
                }
            }
        });
    }

    fn record(&self, note: impl FnOnce(&mut Recorded)) {
        if let Self::Recording(recorded) = self {
            note(&mut lock(recorded));
        }
    }

    /// What was recorded, taken out.
    pub(crate) fn take(&self) -> Option<Recorded> {
        match self {
            Self::Recording(recorded) => Some(std::mem::take(&mut *lock(recorded))),
            Self::Off | Self::Playing(_) => None,
        }
    }
}
