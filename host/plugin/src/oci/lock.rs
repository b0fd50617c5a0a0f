//! The lock file: which plugins are installed, from where, byte for byte, vouched for and approved by whom.
//!
//! JSON in the order of the names, so that it can be kept in version control, compared, and used to make another host
//! like this one. Invariants: it is replaced whole or not at all; a file of a later version is not guessed at. Must not
//! know: what grants mean.

use super::Digest;
use hostler_model::{Kind, Slug, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use thiserror::Error;

const VERSION: u32 = 1;

/// All that is installed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    pub plugins: BTreeMap<Slug, Locked>,
}

/// One plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// A reference, a file, or `builtin:NAME`, as the operator wrote it.
    pub source: String,
    pub manifest_digest: Digest,
    pub layer_digest: Digest,
    /// Who vouched for it; none where no rule asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    pub grants: Value,
    pub approved_by: String,
    #[serde(with = "rfc3339")]
    pub approved_at: Timestamp,
}

#[derive(Debug, Error)]
pub enum LockError {
    #[error("failed to {doing} the lock file `{path}`")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the lock file `{path}` cannot be used: {what}")]
    Invalid { path: PathBuf, what: String },
}

impl LockError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } => Kind::Unavailable,
            Self::Invalid { .. } => Kind::Invalid,
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, plugins: BTreeMap::new() }
    }
}

impl Lock {
    /// One that is not there is empty.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|source| LockError::Io { doing: "read", path: path.into(), source })?,
        };
        let invalid = |what: String| LockError::Invalid { path: path.into(), what };
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let form: Form = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
        if form.version != VERSION {
            return Err(invalid(format!(
                "it is of form {}, we know {VERSION}; use the hostler that wrote it",
                form.version
            )));
        }
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
    }

    /// Durable when this answers.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let fail = |source| LockError::Io { doing: "write", path: path.into(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| fail(error.into()))?;
        text.push(b'\n');
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = NamedTempFile::new_in(dir).map_err(fail)?;
        draft.write_all(&text).and_then(|()| draft.as_file().sync_all()).map_err(fail)?;
        draft.persist(path).map_err(|error| fail(error.error))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)
    }

    /// What a collection has to keep.
    pub fn digests(&self) -> Vec<Digest> {
        self.plugins.values().map(|plugin| plugin.manifest_digest).collect()
    }
}

/// Times as they are written everywhere outside the database.
mod rfc3339 {
    use hostler_model::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        let at = jiff::Timestamp::from_millisecond(at.0).map_err(ser::Error::custom)?;
        serializer.serialize_str(&format!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Timestamp(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Lock {
        let plugin = Locked {
            source: "ghcr.io/acme/alpha:1.0".into(),
            manifest_digest: Digest::of(b"manifest"),
            layer_digest: Digest::of(b"layer"),
            signer: Some("key sha256:00".into()),
            grants: serde_json::json!({"http": ["https://example.com/"]}),
            approved_by: "ann".into(),
            approved_at: Timestamp(1_700_000_000_123),
        };
        Lock { plugins: [(Slug::parse("alpha").expect("a slug"), plugin)].into(), ..Lock::default() }
    }

    #[test]
    fn what_is_locked_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("plugins.lock");
        assert_eq!(Lock::read(&path).expect("empty"), Lock::default());
        locked().write(&path).expect("written");
        assert_eq!(Lock::read(&path).expect("read"), locked());
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.contains(r#""approved_at": "2023-11-14T22:13:20.123Z""#), "{text}");
        assert_eq!(locked().digests(), [Digest::of(b"manifest")]);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_lock_file_that_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("plugins.lock");
        let check = |text: &str, words: &str| {
            fs::write(&path, text).expect("written");
            let error = Lock::read(&path).expect_err("refused");
            assert!(error.to_string().contains(words), "{error}");
        };
        check("{", "cannot be used");
        check(r#"{"version": 2, "plugins": []}"#, "form 2");
        check(r#"{"version": 1, "plugins": {}, "extra": 1}"#, "extra");
        check(r#"{"version": 1, "plugins": {"../x": {}}}"#, "cannot be used");
    }
}
