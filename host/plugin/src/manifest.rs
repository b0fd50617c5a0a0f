//! What a plugin says about itself: JSON text from `manifest.describe`, checked against the published schema.
//!
//! Invariant: a `Manifest` is only obtainable by `Manifest::parse`; the schemas in it compile.
//! Must not know: components, calls.

use crate::schema::{Schema, object_or_empty};
use crate::{Capability, LimitSettings};
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
    Inbound,
    Outbound,
    Builder,
    Renderer,
    Relay,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Trigger, Self::Inbound, Self::Outbound, Self::Builder, Self::Renderer, Self::Relay];

    /// Whether pipelines subscribe to it.
    pub const fn is_subscribed(self) -> bool {
        matches!(self, Self::Trigger | Self::Inbound | Self::Outbound)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Builder => "builder",
            Self::Renderer => "renderer",
            Self::Relay => "relay",
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
    /// JSON Schema of what a subscription, a build or a relay gives it; absent: it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// Inbound: JSON Schema of an endpoint's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Value>,
    /// Outbound: the kinds of events that it is for, each a kind or a beginning of kinds that ends in `.*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Builder: names of the files for which it is picked, such as `*.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// Builder: the files that it may read, such as `**/*.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
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
    pub capabilities: Vec<Capability>,
    #[serde(default)]
    pub limits: LimitSettings,
}

/// The published schema; what it does not say is not in a manifest.
const SCHEMA: &str = include_str!("../../../docs/reference/plugin-manifest.schema.json");

/// The schemas of a manifest, ready to check values with.
pub(crate) struct Checks {
    params: BTreeMap<Role, Schema>,
    endpoint: Option<Schema>,
    settings: Option<Schema>,
}

impl Manifest {
    /// Of a plugin whose manifest this version cannot read.
    pub fn unknown(name: &Slug, version: &str) -> Self {
        Self {
            name: name.clone(),
            version: version.into(),
            summary: "its manifest cannot be read by this version of the host".into(),
            roles: BTreeMap::new(),
            settings: None,
            capabilities: Vec::new(),
            limits: LimitSettings::default(),
        }
    }

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
        let mut params = BTreeMap::new();
        for (role, said) in &self.roles {
            let schema = said.params.as_ref().and_then(|text| compile(format!("/roles/{role}/params"), text));
            params.extend(schema.map(|schema| (*role, schema)));
        }
        let inbound = self.roles.get(&Role::Inbound).and_then(|said| said.endpoint.as_ref());
        let endpoint = inbound.and_then(|text| compile("/roles/inbound/endpoint".into(), text));
        let settings = self.settings.as_ref().and_then(|said| compile("/settings".into(), said));
        if problems.is_empty() { Ok(Checks { params, endpoint, settings }) } else { Err(Problems(problems)) }
    }
}

impl Checks {
    pub(crate) fn params(&self, role: Role, params: &Value) -> Result<Value, Problems> {
        fits(self.params.get(&role), params, "takes no params")
    }

    pub(crate) fn endpoint(&self, settings: &Value) -> Result<Value, Problems> {
        fits(self.endpoint.as_ref(), settings, "has no settings for an endpoint")
    }

    pub(crate) fn settings(&self, settings: &Value) -> Result<Value, Problems> {
        fits(self.settings.as_ref(), settings, "has no settings")
    }
}

/// Without a schema only nothing fits.
fn fits(schema: Option<&Schema>, value: &Value, none: &str) -> Result<Value, Problems> {
    let value = object_or_empty(value);
    match schema {
        Some(schema) => schema.check(&value),
        None if value.as_object().is_some_and(serde_json::Map::is_empty) => Ok(value),
        None => Err(Problem::new("", format!("the plugin {none}")).into()),
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
