//! Why a registry did not give or take an artifact, said for the operator: what happened, and what to do next.
//!
//! Invariants: no secret and no address with a query stands in a message; what a registry said is shortened and has no
//! control characters. Must not know: how it is asked.

use crate::oci::artifact::Unfit;
use crate::oci::{Digest, StoreError};
use hostler_model::Kind;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("`{reference}` does not exist: registry `{registry}` says {answer}")]
    NotFound { reference: String, registry: String, answer: String },
    #[error(
        "registry `{registry}` wants credentials for this, and none were found in {looked_in}; `docker login {registry}` puts some there"
    )]
    NeedsCredentials { registry: String, looked_in: String },
    #[error("registry `{registry}` refuses the credentials from {source_name}: {answer}")]
    Refused { registry: String, source_name: String, answer: String },
    #[error("the credentials for registry `{registry}` cannot be used: {reason}")]
    BadCredentials { registry: String, reason: String },
    #[error("`{reference}` is not a component: {why}")]
    Unfit { reference: String, why: Unfit },
    #[error("`{reference}` has {what} of {bytes} bytes, {limit} are allowed{hint}")]
    TooLarge { reference: String, what: &'static str, bytes: u64, limit: u64, hint: &'static str },
    /// Not worth another try: what came was whole and is not what was told.
    #[error("registry `{registry}` did not send what it says it has: {what}")]
    Lies { registry: String, what: String },
    #[error("the line to registry `{registry}` was lost: {what}")]
    Dropped { registry: String, what: String },
    #[error("registry `{registry}` cannot be reached: {reason}")]
    Unreachable { registry: String, reason: String },
    #[error("registry `{registry}` was too slow: {what} (limit {})", seconds(*.limit))]
    Slow { registry: String, what: &'static str, limit: Duration },
    #[error("registry `{registry}` does not speak TLS; where plain HTTP is meant, name it in `registries.plain_http`")]
    NoTls { registry: String },
    #[error(
        "the certificate of registry `{registry}` does not count ({reason}); the authorities of this machine are asked, and those of `registries.ca_file`"
    )]
    Untrusted { registry: String, reason: String },
    #[error("registry `{registry}` sends us on, and we do not go there: {reason}")]
    Redirected { registry: String, reason: String },
    #[error("registry `{registry}` answers {status} to {what}: {answer}")]
    Answer { registry: String, what: &'static str, status: u16, answer: String },
    #[error("`{reference}` is {found} now, and is pinned to {pinned}")]
    Moved { reference: String, pinned: Digest, found: Digest },
    #[error("no client for registries can be made: {reason}")]
    NoClient { reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::NeedsCredentials { .. } | Self::Refused { .. } | Self::BadCredentials { .. } => Kind::Denied,
            Self::Unfit { .. } | Self::Moved { .. } => Kind::Invalid,
            Self::TooLarge { .. } => Kind::TooLarge,
            Self::Lies { .. }
            | Self::Dropped { .. }
            | Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::NoTls { .. }
            | Self::Untrusted { .. }
            | Self::Redirected { .. }
            | Self::Answer { .. } => Kind::Unavailable,
            Self::NoClient { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }

    /// Another try may go better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Dropped { .. } | Self::Unreachable { .. } | Self::Slow { .. } => true,
            Self::Answer { status, .. } => *status >= 500 || *status == 429,
            Self::NotFound { .. }
            | Self::NeedsCredentials { .. }
            | Self::Refused { .. }
            | Self::BadCredentials { .. }
            | Self::Unfit { .. }
            | Self::TooLarge { .. }
            | Self::Lies { .. }
            | Self::NoTls { .. }
            | Self::Untrusted { .. }
            | Self::Redirected { .. }
            | Self::Moved { .. }
            | Self::NoClient { .. }
            | Self::Store(_) => false,
        }
    }
}

/// Where credentials came from, for messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Configured,
    Docker(PathBuf),
    Nobody { looked_in: String },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configured => f.write_str("the configuration"),
            Self::Docker(path) => write!(f, "`{}`", path.display()),
            Self::Nobody { looked_in } => write!(f, "{looked_in}"),
        }
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
