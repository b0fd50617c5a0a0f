//! The documents of OCI: descriptors, manifests, indexes, the marker of an image layout, and the media types we know.
//!
//! Invariant: a manifest is kept as the bytes it came in, since its digest is over those; what is parsed here is read,
//! never written again. Must not know: where the documents lie.

use super::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Config and layer of a component, as the CNCF's layout for WebAssembly has them.
pub(super) const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(super) const COMPONENT_TYPE: &str = "application/wasm";
/// Of tools from before that layout. Read, never written.
pub(super) const OLD_COMPONENT_TYPES: [&str; 2] =
    ["application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"];
pub(super) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub(super) const EMPTY: &[u8] = b"{}";
/// A signature of sigstore, as artifact and as layer.
pub(super) const SIGNATURE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

pub(super) const TITLE: &str = "org.opencontainers.image.title";
pub(super) const VERSION: &str = "org.opencontainers.image.version";
pub(super) const DESCRIPTION: &str = "org.opencontainers.image.description";
/// In an index: the name by which other tools find a manifest in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Manifests, indexes and configs are small; a registry that sends more than this means no good.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

pub(super) type Annotations = BTreeMap<String, String>;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) annotations: Option<Annotations>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) annotations: Option<Annotations>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

/// The file `oci-layout`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marker {
    pub(super) image_layout_version: String,
}

pub(super) const LAYOUT_VERSION: &str = "1.0.0";

impl Descriptor {
    pub(super) fn new(media_type: &str, bytes: &[u8]) -> Self {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        Self { media_type: media_type.into(), digest, size, artifact_type: None, annotations: None, platform: None }
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

impl Manifest {
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// All blobs that belong to it.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    pub(super) fn is_signature(&self) -> bool {
        let kind = self.artifact_type.as_deref().unwrap_or(&self.config.media_type);
        self.subject.is_some()
            && (kind == SIGNATURE_TYPE || self.layers.iter().any(|it| it.media_type == SIGNATURE_TYPE))
    }
}

impl Index {
    pub(super) fn empty() -> Self {
        Self { schema_version: 2, media_type: INDEX_TYPE.into(), manifests: Vec::new() }
    }
}

impl Marker {
    pub(super) fn ours() -> Self {
        Self { image_layout_version: LAYOUT_VERSION.into() }
    }
}

/// Of one of our own documents.
pub(super) fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document with string keys and no floats becomes JSON")
}

fn is_empty(annotations: &Option<Annotations>) -> bool {
    annotations.as_ref().is_none_or(BTreeMap::is_empty)
}
