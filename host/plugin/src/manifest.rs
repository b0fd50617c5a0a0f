//! What a plugin says about itself: JSON text from `manifest.describe`, checked against the published schema.
//!
//! Invariant: a `Manifest` is only obtainable by `Manifest::parse`; the schemas in it compile.
//! Must not know: components, calls.

use crate::LimitSettings;
use hostler_model::Slug;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What a plugin can be to the host; each is one exported interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Trigger,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleManifest {
    /// JSON Schema of a subscription's params.
    pub params: Value,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityManifest {
    pub name: String,
    /// Why the plugin needs it, for the operator who is asked.
    pub reason: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: Slug,
    pub version: String,
    pub summary: String,
    pub roles: std::collections::BTreeMap<Role, RoleManifest>,
    /// JSON Schema of the operator's settings; absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<CapabilityManifest>,
    #[serde(default)]
    pub limits: LimitSettings,
}
