//! Registries: components and their signatures are fetched from them and put into them.
//!
//! Order of a pull: the manifest, by tag or digest, hashed; is it a component, and not too large; its config and its
//! layer into files that have no names yet, counted and hashed while they come; its signatures; and only then all of it
//! into the store. Invariants: a tag is resolved once; what a registry sends is held against digest and size of whoever
//! named it. Must not know: what a signature is worth, and what becomes of the component.

mod error;
mod referrers;
mod session;

pub use error::RegistryError;

use super::artifact::{self, Facts, Unfit};
use super::docker::docker_credentials;
use super::layout::{self, Descriptor};
use super::store::{Staged, Store, StoreError, Stored, index_entry};
use super::{Digest, Reference};
use bytes::Bytes;
use error::Source;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode, Url};
use session::{Purpose, Session};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// So often an upload tells how far it is.
const UPLOAD_CHUNK_BYTES: usize = 64 << 10;

/// How registries are talked to.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Registries beside those on this machine that are asked in plain HTTP: host, or host and port.
    pub plain_http: Vec<String>,
    /// What the operator gave us for registries; comes before what Docker has.
    pub logins: Vec<RegistryLogin>,
    /// Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// A PEM file of authorities for certificates, beside those of the system.
    pub ca_file: Option<PathBuf>,
    pub connect_timeout: Duration,
    /// How long nothing may come.
    pub read_timeout: Duration,
    /// How long one pull or push may take in all.
    pub time_max: Duration,
    pub attempts_max: u32,
    /// Before the second attempt; twice that before the third.
    pub retry_wait: Duration,
}

/// The operator's own entry for a registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// Host, or host and port.
    pub registry: String,
    pub login: Login,
}

/// Who we are to a registry.
#[derive(Clone)]
pub enum Login {
    Nobody,
    Password {
        username: String,
        password: String,
    },
    /// Gets tokens from the registry's authority.
    Identity(String),
    /// Shown as it is.
    Token(String),
}

/// Where a tag leads just now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    pub digest: Digest,
    pub media_type: String,
    /// The manifest itself.
    bytes: Vec<u8>,
}

/// How far a transfer is, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// A client for all registries. Holds no line and no credentials between calls.
#[derive(Clone, Debug)]
pub struct Registry {
    config: Arc<RegistryConfig>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            logins: Vec::new(),
            docker_config: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            time_max: Duration::from_secs(900),
            attempts_max: 4,
            retry_wait: Duration::from_millis(500),
        }
    }
}

impl Resolved {
    pub(super) fn manifest(&self) -> &[u8] {
        &self.bytes
    }
}

impl RegistryConfig {
    fn is_plain(&self, reference: &Reference) -> bool {
        reference.is_loopback() || self.plain_http.iter().any(|name| name == reference.registry())
    }

    /// To TLS from anywhere; in plain HTTP only from plain HTTP, and to where that was agreed to.
    fn may_go(&self, from: &Url, to: &Url) -> bool {
        let host = to.host_str().unwrap_or_default();
        let name = to.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let is_plain = || format!("{name}/x:x").parse().is_ok_and(|reference| self.is_plain(&reference));
        to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http" && is_plain())
    }

    /// What is configured, else what Docker has, else nothing. One that cannot be used ends it: who has credentials is
    /// never asked as nobody.
    async fn login(&self, reference: &Reference) -> Result<(Login, Source), RegistryError> {
        let registry = reference.registry();
        if let Some(entry) = self.logins.iter().find(|entry| entry.registry == registry) {
            return Ok((entry.login.clone(), Source::Configured));
        }
        let bad = |reason: String| RegistryError::BadCredentials { registry: registry.to_owned(), reason };
        let Some(path) = &self.docker_config else {
            return Ok((Login::Nobody, Source::Nobody { looked_in: "the configuration".into() }));
        };
        let Some(found) = docker_credentials(path, registry).await.map_err(bad)? else {
            let looked_in = format!("the configuration and `{}`", path.display());
            return Ok((Login::Nobody, Source::Nobody { looked_in }));
        };
        let login = if let Some(token) = found.registry_token.filter(|token| !token.is_empty()) {
            Login::Token(token)
        } else if let Some(token) = found.identity_token.filter(|token| !token.is_empty()) {
            Login::Identity(token)
        } else {
            match (found.username, found.password) {
                (Some(username), Some(password)) => Login::Password { username, password },
                (Some(_) | None, None) | (None, Some(_)) => {
                    return Err(bad(format!("those in `{}` lack a name or a password", path.display())));
                }
            }
        };
        Ok((login, Source::Docker(path.clone())))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Password { .. } => "Password(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

impl Registry {
    pub fn new(config: RegistryConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Where the reference leads now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let session = Session::open(&self.config, reference, Purpose::Pull).await?;
        self.limited(reference, manifest(&session, reference)).await
    }

    /// Fetches a component with its signatures into the store.
    pub async fn pull(
        &self,
        reference: &Reference,
        store: &Store,
        progress: OnProgress,
    ) -> Result<Stored, RegistryError> {
        let session = Session::open(&self.config, reference, Purpose::Pull).await?;
        self.limited(reference, async {
            let resolved = manifest(&session, reference).await?;
            pull_resolved(&session, reference, &resolved, store, &progress).await
        })
        .await
    }

    /// Fetches what [`Registry::resolve`] has found, whatever its tag names by now.
    pub async fn pull_resolved(
        &self,
        reference: &Reference,
        resolved: &Resolved,
        store: &Store,
        progress: OnProgress,
    ) -> Result<Stored, RegistryError> {
        let session = Session::open(&self.config, reference, Purpose::Pull).await?;
        self.limited(reference, pull_resolved(&session, reference, resolved, store, &progress)).await
    }

    /// Puts a component into a registry.
    pub async fn push_component(
        &self,
        component: Vec<u8>,
        facts: &Facts,
        reference: &Reference,
        progress: OnProgress,
    ) -> Result<Stored, RegistryError> {
        let made = artifact::describe(&component, facts).map_err(|found| StoreError::NotAComponent { found })?;
        let stored = Stored {
            manifest_digest: Digest::of(&made.manifest),
            layer_digest: made.layer.digest,
            size: made.layer.size,
        };
        let parts = Parts {
            config: (Descriptor::new(layout::CONFIG_TYPE, &made.config), made.config.into()),
            layer: (made.layer, component.into()),
            media_type: layout::MANIFEST_TYPE.into(),
            manifest: made.manifest.into(),
        };
        self.push_parts(parts, reference, progress).await?;
        Ok(stored)
    }

    /// Puts a component of the store into a registry, byte for byte: its digest stays what it is.
    pub async fn push_stored(
        &self,
        store: &Store,
        manifest: Digest,
        reference: &Reference,
        progress: OnProgress,
    ) -> Result<Stored, RegistryError> {
        let (read, layer) = store.component_manifest(manifest)?;
        let bytes = store.document(manifest)?;
        let config = store.blob(read.config.digest, layout::DOCUMENT_BYTES_MAX)?;
        let component = store.component(layer.digest)?;
        let stored = Stored { manifest_digest: manifest, layer_digest: layer.digest, size: layer.size };
        let media_type = if read.media_type.is_empty() { layout::MANIFEST_TYPE.into() } else { read.media_type };
        let parts = Parts {
            config: (read.config, config.into()),
            layer: (layer, component.into()),
            media_type,
            manifest: bytes.into(),
        };
        self.push_parts(parts, reference, progress).await?;
        Ok(stored)
    }

    async fn push_parts(&self, parts: Parts, reference: &Reference, progress: OnProgress) -> Result<(), RegistryError> {
        let session = Session::open(&self.config, reference, Purpose::Push).await?;
        let quiet: OnProgress = Arc::new(|_| {});
        self.limited(reference, async {
            upload(&session, &parts.config.0, parts.config.1, quiet).await?;
            upload(&session, &parts.layer.0, parts.layer.1, progress).await?;
            put_manifest(&session, &reference.version(), &parts.media_type, parts.manifest).await.map(drop)
        })
        .await
    }

    /// However slowly it drips, it ends.
    async fn limited<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let limit = self.config.time_max;
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                let what = "the whole of it takes too long";
                Err(RegistryError::Slow { registry: reference.registry().into(), what, limit })
            }
        }
    }
}

struct Parts {
    config: (Descriptor, Bytes),
    layer: (Descriptor, Bytes),
    media_type: String,
    manifest: Bytes,
}

async fn manifest(session: &Session, reference: &Reference) -> Result<Resolved, RegistryError> {
    let found = get_manifest(session, &reference.version()).await?;
    let Some(resolved) = found.manifest else {
        let (registry, answer) = (session.registry.clone(), found.answer);
        return Err(RegistryError::NotFound { reference: reference.to_string(), registry, answer });
    };
    if let Some(pinned) = reference.digest().filter(|pinned| *pinned != resolved.digest) {
        return Err(RegistryError::Moved { reference: reference.to_string(), pinned, found: resolved.digest });
    }
    Ok(resolved)
}

/// A manifest, or what the registry says about there being none.
struct Found {
    manifest: Option<Resolved>,
    answer: String,
}

/// By tag or digest. The digest is that of the bytes; one that the registry tells is held against it.
async fn get_manifest(session: &Session, version: &str) -> Result<Found, RegistryError> {
    let mut tries = session.tries();
    loop {
        match try_manifest(session, version).await {
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn try_manifest(session: &Session, version: &str) -> Result<Found, RegistryError> {
    let url = session.url(&format!("manifests/{version}"));
    let response = session.send(Method::GET, &url, |request| request.header(ACCEPT, ACCEPTED)).await?;
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        let answer = session::said(status, &session.body(response, layout::DOCUMENT_BYTES_MAX).await?);
        return Ok(Found { manifest: None, answer });
    }
    if !status.is_success() {
        return Err(session.failed("the wish for a manifest", response).await);
    }
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = header("docker-content-digest").and_then(|told| told.parse::<Digest>().ok());
    let media_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let bytes = session.body(response, layout::DOCUMENT_BYTES_MAX).await?;
    let digest = Digest::of(&bytes);
    if let Some(told) = told.filter(|told| *told != digest) {
        return Err(session.lies(format!("it calls the manifest {told}, and it is {digest}")));
    }
    Ok(Found { manifest: Some(Resolved { digest, media_type, bytes }), answer: String::new() })
}

async fn pull_resolved(
    session: &Session,
    reference: &Reference,
    resolved: &Resolved,
    store: &Store,
    progress: &OnProgress,
) -> Result<Stored, RegistryError> {
    let unfit = |why: Unfit| RegistryError::Unfit { reference: reference.to_string(), why };
    let (manifest, layer) = artifact::component_of(&resolved.bytes).map_err(unfit)?;
    let check = |what, bytes, limit, hint| match bytes > limit {
        true => Err(RegistryError::TooLarge { reference: reference.to_string(), what, bytes, limit, hint }),
        false => Ok(()),
    };
    check("a component", layer.size, store.component_bytes_max(), " (raise `limits.component_bytes`)")?;
    check("a config", manifest.config.size, layout::DOCUMENT_BYTES_MAX, "")?;
    let quiet: OnProgress = Arc::new(|_| {});
    let mut blobs = vec![download(session, store, &manifest.config, &quiet).await?];
    blobs.push(download(session, store, &layer, progress).await?);
    let tag = reference.tag().map(|tag| format!("{}:{tag}", reference.place()));
    let mut entries = vec![index_entry(&resolved.bytes, tag)];
    let mut documents = vec![resolved.bytes.clone()];
    for signature in referrers::signatures(session, resolved.digest).await? {
        entries.push(index_entry(&signature.manifest, None));
        documents.extend([signature.manifest, signature.config, signature.bundle]);
    }
    let writer = store.clone();
    blocking(move || {
        for document in &documents {
            blobs.push(writer.stage(document)?);
        }
        writer.commit(blobs, entries)
    })
    .await?;
    Ok(Stored { manifest_digest: resolved.digest, layer_digest: layer.digest, size: layer.size })
}

/// A blob into a file that has no name yet, as large and with the digest as it was told.
async fn download(
    session: &Session,
    store: &Store,
    wanted: &Descriptor,
    progress: &OnProgress,
) -> Result<Staged, RegistryError> {
    let mut tries = session.tries();
    loop {
        match try_download(session, store, wanted, progress).await {
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn try_download(
    session: &Session,
    store: &Store,
    wanted: &Descriptor,
    progress: &OnProgress,
) -> Result<Staged, RegistryError> {
    let url = session.url(&format!("blobs/{}", wanted.digest));
    let mut response = session.send(Method::GET, &url, |request| request).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(session.lies(format!("it does not have {}, which its manifest names", wanted.digest)));
    }
    if response.status() != StatusCode::OK {
        return Err(session.failed("the wish for a blob", response).await);
    }
    let total = wanted.size;
    if let Some(length) = response.content_length().filter(|length| *length != total) {
        return Err(session.lies(format!("{} has {length} bytes, and its manifest says {total}", wanted.digest)));
    }
    let mut incoming = store.receive(total)?;
    progress(Progress { done: 0, total });
    while let Some(chunk) = session.told(response.chunk().await)? {
        if incoming.bytes() + chunk.len() as u64 > total {
            return Err(session.lies(format!("{} has more than the {total} bytes its manifest says", wanted.digest)));
        }
        incoming.write(&chunk)?;
        progress(Progress { done: incoming.bytes(), total });
    }
    if incoming.bytes() < total {
        let what = format!("{} of {total} bytes of {} came", incoming.bytes(), wanted.digest);
        return Err(RegistryError::Dropped { registry: session.registry.clone(), what });
    }
    let staged = blocking(move || incoming.finish()).await?;
    if staged.digest != wanted.digest {
        return Err(session.lies(format!("what it sent as {} is {}", wanted.digest, staged.digest)));
    }
    Ok(staged)
}

async fn upload(session: &Session, blob: &Descriptor, bytes: Bytes, progress: OnProgress) -> Result<(), RegistryError> {
    let mut tries = session.tries();
    loop {
        match try_upload(session, blob, &bytes, &progress).await {
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

async fn try_upload(
    session: &Session,
    blob: &Descriptor,
    bytes: &Bytes,
    progress: &OnProgress,
) -> Result<(), RegistryError> {
    let total = bytes.len() as u64;
    let there = session.send(Method::HEAD, &session.url(&format!("blobs/{}", blob.digest)), |request| request).await?;
    if there.status() == StatusCode::OK {
        progress(Progress { done: total, total });
        return Ok(());
    }
    let begun =
        session.send(Method::POST, &session.url("blobs/uploads/"), |request| request.header(CONTENT_LENGTH, 0)).await?;
    if begun.status() != StatusCode::ACCEPTED {
        return Err(session.failed("the wish to send a blob", begun).await);
    }
    let mut url = session.located(&begun)?;
    url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
    let sent = session.send(Method::PUT, &url, |request| {
        let request = request.header(CONTENT_LENGTH, total).header(CONTENT_TYPE, "application/octet-stream");
        request.body(counted(bytes.clone(), progress.clone()))
    });
    let sent = sent.await?;
    if sent.status() != StatusCode::CREATED {
        return Err(session.failed("a blob", sent).await);
    }
    Ok(())
}

/// A body that tells how far it is.
fn counted(bytes: Bytes, progress: OnProgress) -> Body {
    let total = bytes.len() as u64;
    let chunks = (0..bytes.len()).step_by(UPLOAD_CHUNK_BYTES).map(move |at| {
        let chunk = bytes.slice(at..bytes.len().min(at + UPLOAD_CHUNK_BYTES));
        progress(Progress { done: (at + chunk.len()) as u64, total });
        Ok::<_, std::convert::Infallible>(chunk)
    });
    Body::wrap_stream(futures_util::stream::iter(chunks))
}

/// Answers whether the registry lists it by its subject.
async fn put_manifest(session: &Session, version: &str, media_type: &str, bytes: Bytes) -> Result<bool, RegistryError> {
    let mut tries = session.tries();
    let url = session.url(&format!("manifests/{version}"));
    loop {
        let put =
            session.send(Method::PUT, &url, |request| request.header(CONTENT_TYPE, media_type).body(bytes.clone()));
        let result = match put.await {
            Ok(response) if response.status().is_success() => Ok(response.headers().contains_key("oci-subject")),
            Ok(response) => Err(session.failed("a manifest", response).await),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if tries.again(&error).await => {}
            result => return result,
        }
    }
}

/// Waiting for a disk is not for the threads that drive timers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, RegistryError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.expect("writing to the store does not panic, and nobody aborts it")?)
}
