//! Secrets: written, listed by name, never read.

use super::Time;
use hostler_model::{Duration, Slug};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SecretPath {
    #[param(value_type = String, example = "default")]
    pub namespace: Slug,
    #[param(value_type = String, example = "deploy_token")]
    pub secret: Slug,
}

/// A new value.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretValue {
    /// 1 to 65,536 bytes, in base64 (RFC 4648, with padding).
    #[schema(example = "czNjcjN0")]
    pub value: String,
    /// The value that counts now goes on counting for so long beside the new one; it is gone at once unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1h")]
    pub keep_old: Option<Duration>,
}

/// Values are shown to nobody, in no message and no log.
impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretValue").field("keep_old", &self.keep_old).finish_non_exhaustive()
    }
}

/// What may be known of a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    #[schema(value_type = String, example = "deploy_token")]
    pub name: Slug,
    /// Of the newest value.
    pub version: u64,
    /// Values that count, the newest one among them.
    pub values: u32,
    pub created_at: Time,
    pub updated_at: Time,
    pub updated_by: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyRotated {
    /// Values that were sealed anew.
    pub values: u64,
}
