//! The name of bytes: their SHA-256, written `sha256:` and 64 hexadecimal digits.
//!
//! Invariant: parsed once; what holds a `Digest` needs no check before it becomes part of a path.

use crate::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const PREFIX: &str = "sha256:";
const BYTES: usize = 32;

/// SHA-256 of a blob. Other algorithms are refused where they come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; BYTES]);

#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is no digest: it needs `sha256:` and 64 digits of 0-9 and a-f")]
pub struct DigestError {
    pub text: String,
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    pub(super) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    pub(super) fn bytes(self) -> [u8; BYTES] {
        self.0
    }

    /// Without the name of the algorithm, as blobs are named on disk.
    pub(super) fn hex(&self) -> String {
        hex::encode(&self.0)
    }

    pub(super) fn parse_hex(digits: &str) -> Option<Self> {
        hex::decode(digits).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix(PREFIX);
        hex.and_then(Self::parse_hex).ok_or_else(|| DigestError { text: text.chars().take(100).collect() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
