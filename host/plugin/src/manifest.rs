//! What a plugin says about itself: JSON text from `manifest.describe`, checked against the published schema.
//!
//! Invariant: a `Manifest` is only obtainable by `Manifest::parse`; the schemas in it compile.
//! Must not know: components, calls.

use crate::LimitSettings;
use crate::schema::{Schema, object_or_empty};
use hostler_model::{Problem, Problems, Slug};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
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
    pub roles: BTreeMap<Role, RoleManifest>,
    /// JSON Schema of the operator's settings; absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<CapabilityManifest>,
    #[serde(default)]
    pub limits: LimitSettings,
}

/// The published schema; what it does not say is not in a manifest.
const SCHEMA: &str = include_str!("../../../docs/reference/plugin-manifest.schema.json");

/// The schemas of a manifest, ready to check values with.
pub(crate) struct Checks {
    params: BTreeMap<Role, Schema>,
    settings: Option<Schema>,
}

impl Manifest {
    /// Reads what `describe` answered. Problems have JSON pointers into the manifest.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        Self::read(text).map(|(manifest, _)| manifest)
    }

    pub(crate) fn read(text: &str) -> Result<(Self, Checks), Problems> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| Problem::new("", format!("is not JSON: {error}")))?;
        let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| Problem::new("", error.to_string()))?;
        let schema = Schema::new(&schema).map_err(|error| Problem::new("", error))?;
        schema.check(&value)?;
        let manifest: Self = serde_json::from_value(value).map_err(|error| Problem::new("", error.to_string()))?;
        let checks = manifest.checks()?;
        Ok((manifest, checks))
    }

    fn checks(&self) -> Result<Checks, Problems> {
        let mut problems = Vec::new();
        let mut compile = |at: String, text: &Value| match Schema::new(text) {
            Ok(schema) => Some(schema),
            Err(message) => {
                problems.push(Problem::new(at, message));
                None
            }
        };
        let roles = self.roles.iter();
        let params =
            roles.filter_map(|(role, said)| Some((*role, compile(format!("/roles/{role}/params"), &said.params)?)));
        let params = params.collect();
        let settings = self.settings.as_ref().and_then(|said| compile("/settings".into(), said));
        if problems.is_empty() { Ok(Checks { params, settings }) } else { Err(Problems(problems)) }
    }
}

impl Checks {
    /// `None`: the manifest has no such role.
    pub(crate) fn params(&self, role: Role, params: &Value) -> Option<Result<Value, Problems>> {
        Some(self.params.get(&role)?.check(&object_or_empty(params)))
    }

    pub(crate) fn settings(&self, settings: &Value) -> Result<Value, Problems> {
        let settings = object_or_empty(settings);
        match &self.settings {
            Some(schema) => schema.check(&settings),
            None if settings.as_object().is_some_and(serde_json::Map::is_empty) => Ok(settings),
            None => Err(Problem::new("", "the plugin has no settings").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(manifest: &Value) -> Vec<String> {
        let problems = Manifest::parse(&manifest.to_string()).expect_err("wrong manifest");
        problems.0.into_iter().map(|problem| problem.at).collect()
    }

    #[test]
    fn a_manifest_is_checked_against_the_published_schema() {
        let good = json!({
            "name": "x", "version": "1.0.0", "summary": "Does x.",
            "roles": {"trigger": {"params": {"type": "object"}}},
            "limits": {"time_max": "1s"}
        });
        let manifest = Manifest::parse(&good.to_string()).expect("good manifest");
        assert_eq!(manifest.limits.time_max.map(|time| time.to_string()).as_deref(), Some("1s"));
        let mut wrong = good.clone();
        wrong["name"] = json!("Not A Slug");
        wrong["roles"]["trigger"]["params"]["type"] = json!("string");
        wrong["version"] = json!("one");
        let mut found = places(&wrong);
        found.sort();
        assert_eq!(found, ["/name", "/roles/trigger/params/type", "/version"]);
        let mut schema = good;
        schema["roles"]["trigger"]["params"]["properties"] = json!({"a": {"type": "nothing"}});
        assert_eq!(places(&schema), ["/roles/trigger/params"]);
        assert!(Manifest::parse("not JSON").is_err());
    }
}
