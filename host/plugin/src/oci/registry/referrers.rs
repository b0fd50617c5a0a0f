//! Signatures of an artifact in a registry: found by their subject, and put beside it.
//!
//! A registry lists what names a manifest as its subject; an older one knows nothing of it, and there the list is an
//! index under a tag made of the digest. Whoever may push can write into both, so what is found is only held against
//! its own digest here, and against keys elsewhere. Invariant: counts and sizes are bounded.

use super::session::{Purpose, Session};
use super::{Registry, RegistryError, get_manifest, put_manifest, upload};
use crate::oci::artifact;
use crate::oci::layout::{self, Descriptor, Index};
use crate::oci::sign::{SIGNATURES_MAX, SignatureFile};
use crate::oci::{Digest, Reference};
use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use std::sync::Arc;

const BUNDLE_BYTES_MAX: u64 = 1 << 20;

impl Registry {
    /// Puts a signature beside the artifact it is of. The reference names that one by its digest.
    pub async fn attach(&self, reference: &Reference, signature: &SignatureFile) -> Result<(), RegistryError> {
        let session = Session::open(&self.config, reference, Purpose::Push).await?;
        self.limited(reference, async {
            let quiet: super::OnProgress = Arc::new(|_| {});
            for blob in [&signature.config, &signature.bundle] {
                let descriptor = Descriptor::new("", blob);
                upload(&session, &descriptor, blob.clone().into(), quiet.clone()).await?;
            }
            let digest = Digest::of(&signature.manifest);
            let bytes = signature.manifest.clone();
            let is_listed = put_manifest(&session, &digest.to_string(), layout::MANIFEST_TYPE, bytes.into()).await?;
            if is_listed { Ok(()) } else { list_by_tag(&session, signature).await }
        })
        .await
    }
}

/// For registries that do not list by subject. Two who do this at once can lose one of the two, as the scheme has it.
async fn list_by_tag(session: &Session, signature: &SignatureFile) -> Result<(), RegistryError> {
    let tag = fallback_tag(signature.subject);
    let found = get_manifest(session, &tag).await?.manifest;
    let mut index = match found.map(|found| serde_json::from_slice::<Index>(&found.bytes)) {
        None => Index::empty(),
        Some(Ok(index)) => index,
        Some(Err(error)) => return Err(session.lies(format!("its tag `{tag}` is not an index: {error}"))),
    };
    let entry = Descriptor {
        artifact_type: Some(layout::SIGNATURE_TYPE.into()),
        ..Descriptor::new(layout::MANIFEST_TYPE, &signature.manifest)
    };
    if index.manifests.iter().any(|old| old.digest == entry.digest) {
        return Ok(());
    }
    index.manifests.push(entry);
    put_manifest(session, &tag, layout::INDEX_TYPE, layout::to_json(&index).into()).await.map(drop)
}

fn fallback_tag(subject: Digest) -> String {
    subject.to_string().replace(':', "-")
}

/// All that say they sign this manifest.
pub(super) async fn signatures(session: &Session, subject: Digest) -> Result<Vec<SignatureFile>, RegistryError> {
    let mut files = Vec::new();
    let index = match list(session, subject).await? {
        Some(index) => Some(index),
        None => match get_manifest(session, &fallback_tag(subject)).await?.manifest {
            // Whatever else lies under that tag is no list of signatures.
            Some(found) => serde_json::from_slice(&found.bytes).ok(),
            None => None,
        },
    };
    let entries = index.map(|index: Index| index.manifests).unwrap_or_default();
    let is_signature =
        |entry: &&Descriptor| entry.artifact_type.as_deref().is_none_or(|kind| kind == layout::SIGNATURE_TYPE);
    for entry in entries.iter().filter(is_signature).take(SIGNATURES_MAX) {
        let Some(found) = get_manifest(session, &entry.digest.to_string()).await?.manifest else { continue };
        if found.digest != entry.digest {
            return Err(session.lies(format!("what it sent as {} is {}", entry.digest, found.digest)));
        }
        let Ok(manifest) = artifact::read_manifest(&found.bytes) else { continue };
        let of = manifest.subject.as_ref().map(|subject| subject.digest);
        let [layer] = manifest.layers.as_slice() else { continue };
        if !manifest.is_signature() || of != Some(subject) {
            continue;
        }
        let (bundle, config) = (small_blob(session, layer).await?, small_blob(session, &manifest.config).await?);
        files.push(SignatureFile { subject, manifest: found.bytes, config, bundle });
    }
    Ok(files)
}

/// None: the registry does not know the question.
async fn list(session: &Session, subject: Digest) -> Result<Option<Index>, RegistryError> {
    let mut tries = session.tries();
    let url = session.url(&format!("referrers/{subject}"));
    loop {
        let response = session.send(Method::GET, &url, |request| request.header(ACCEPT, layout::INDEX_TYPE)).await;
        let result = match response {
            Ok(response) if response.status() == StatusCode::OK => {
                let bytes = session.body(response, layout::DOCUMENT_BYTES_MAX).await;
                bytes.map(|bytes| serde_json::from_slice(&bytes).ok())
            }
            Ok(response) if is_unknown(response.status()) => Ok(None),
            Ok(response) => Err(session.failed("the wish for signatures", response).await),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

/// An older registry answers so to the question itself, whatever there is.
fn is_unknown(status: StatusCode) -> bool {
    status == StatusCode::NOT_IMPLEMENTED || (status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}

async fn small_blob(session: &Session, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    // Every artifact has this one, and not every registry keeps it.
    if wanted.digest == Digest::of(layout::EMPTY) {
        return Ok(layout::EMPTY.to_vec());
    }
    let mut tries = session.tries();
    let url = session.url(&format!("blobs/{}", wanted.digest));
    loop {
        let result = match session.send(Method::GET, &url, |request| request).await {
            Ok(response) if response.status() == StatusCode::OK => session.body(response, BUNDLE_BYTES_MAX).await,
            Ok(response) => Err(session.failed("the wish for a signature", response).await),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if tries.again(&error).await => {}
            Err(error) => return Err(error),
            Ok(bytes) if Digest::of(&bytes) == wanted.digest => return Ok(bytes),
            Ok(bytes) => {
                return Err(session.lies(format!("what it sent as {} is {}", wanted.digest, Digest::of(&bytes))));
            }
        }
    }
}
