//! A component as an artifact: config and manifest made from its bytes, and which layer of a manifest is the component.
//!
//! Invariant: the same bytes and facts always make the same manifest, so that a file that is installed twice is one
//! artifact. Must not know: where the artifact goes or comes from.

use super::layout::{self, Descriptor, Index, Manifest};
use crate::compile::foreign;
use serde::Serialize;
use thiserror::Error;

/// What is said about a component beside its bytes. It is for people who look into a registry: what counts is what the
/// component itself says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub name: String,
    pub version: String,
    pub summary: String,
}

/// Why a manifest does not stand for a component.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Unfit {
    #[error("what came is not a manifest but {found}")]
    NotAManifest { found: String },
    #[error("it is an index of several platforms ({platforms}), and a component has none: push it as one artifact")]
    SeveralPlatforms { platforms: String },
    #[error("it has {found}, and a component is one layer of the type `application/wasm`")]
    Layers { found: String },
}

/// The documents around the bytes of a component.
pub(super) struct Documents {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
    pub(super) layer: Descriptor,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: Vec<String>,
    component: Imports,
}

#[derive(Serialize)]
struct Imports {
    exports: Vec<String>,
    imports: Vec<String>,
}

/// An error is what the bytes are instead of a component.
pub(super) fn describe(component: &[u8], facts: &Facts) -> Result<Documents, String> {
    if let Some(found) = foreign(component) {
        return Err(found.into());
    }
    let layer = Descriptor::new(layout::COMPONENT_TYPE, component);
    let config = layout::to_json(&Config {
        // The field is asked for, and a real time would make another artifact of the same bytes.
        created: "1970-01-01T00:00:00Z",
        architecture: "wasm",
        os: "wasip2",
        layer_digests: vec![layer.digest.to_string()],
        component: imports(component)?,
    });
    let annotations =
        [(layout::TITLE, &facts.name), (layout::VERSION, &facts.version), (layout::DESCRIPTION, &facts.summary)];
    let told = annotations.into_iter().filter(|(_, value)| !value.is_empty());
    let manifest = layout::to_json(&Manifest {
        schema_version: 2,
        media_type: layout::MANIFEST_TYPE.into(),
        artifact_type: None,
        config: Descriptor::new(layout::CONFIG_TYPE, &config),
        layers: vec![layer.clone()],
        subject: None,
        annotations: Some(told.map(|(key, value)| (key.to_owned(), value.clone())).collect()),
    });
    Ok(Documents { config, manifest, layer })
}

fn imports(component: &[u8]) -> Result<Imports, String> {
    let mut types = wac_types::Types::default();
    let package = wac_types::Package::from_bytes("component", None, component.to_vec(), &mut types)
        .map_err(|error| format!("a component that cannot be read: {error:#}"))?;
    let world = &types[package.ty()];
    Ok(Imports { exports: world.exports.keys().cloned().collect(), imports: world.imports.keys().cloned().collect() })
}

/// Reads a manifest, and finds the one layer in it that is a component.
pub(super) fn component_of(bytes: &[u8]) -> Result<(Manifest, Descriptor), Unfit> {
    let manifest = read_manifest(bytes)?;
    let is_component = |layer: &&Descriptor| {
        layer.media_type == layout::COMPONENT_TYPE || layout::OLD_COMPONENT_TYPES.contains(&layer.media_type.as_str())
    };
    match manifest.layers.as_slice() {
        [layer] if is_component(&layer) => Ok((manifest.clone(), layer.clone())),
        [] => Err(Unfit::Layers { found: "no layer".into() }),
        [layer] => Err(Unfit::Layers { found: format!("a layer of the type `{}`", shown(&layer.media_type)) }),
        layers => {
            let types: Vec<_> = layers.iter().take(8).map(|layer| format!("`{}`", shown(&layer.media_type))).collect();
            Err(Unfit::Layers { found: format!("{} layers ({})", layers.len(), types.join(", ")) })
        }
    }
}

pub(super) fn read_manifest(bytes: &[u8]) -> Result<Manifest, Unfit> {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        return Ok(manifest);
    }
    if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
        let platforms = index.manifests.iter().take(8).map(|entry| match &entry.platform {
            Some(platform) => format!("{}/{}", shown(&platform.os), shown(&platform.architecture)),
            None => "one without a platform".into(),
        });
        return Err(Unfit::SeveralPlatforms { platforms: platforms.collect::<Vec<_>>().join(", ") });
    }
    let found = match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => "JSON of another kind".into(),
        Err(_) if bytes.trim_ascii_start().starts_with(b"<") => {
            "a page of HTML; is this the address of a registry?".into()
        }
        Err(error) => format!("text that is not JSON ({error})"),
    };
    Err(Unfit::NotAManifest { found })
}

/// What somebody else wrote, fit for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}
