//! Where components lie on disk: an OCI image layout, so that other tools can read it and move it.
//!
//! ```text
//! plugins/  oci-layout  index.json  blobs/sha256/HEX  incoming/  lock
//! ```
//!
//! Order: blobs are written under another name in `incoming/`, hashed and synced; then, under the lock, they get their
//! names, and last the index names them. Invariants: a blob that has its name is whole; the index names only what is
//! there; what is read is hashed again; a process that dies leaves nothing but files that [`Store::gc`] finds. Paths
//! are made of digests only. Must not know: registries, and what an artifact is used for.

use super::artifact::{self, Facts, Unfit};
use super::layout::{self, Descriptor, Index, Manifest, Marker};
use super::{Digest, gc};
use hostler_model::Kind;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;
use thiserror::Error;

/// What is half written longer than this belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(3600);

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("failed to {doing} `{path}`")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("it is {found}, not a WebAssembly component")]
    NotAComponent { found: String },
    #[error("a blob has {bytes} bytes and may have {limit} (raise `limits.component_bytes`)")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("the plugin store `{dir}` does not have {digest}; install the plugin again")]
    Missing { dir: PathBuf, digest: Digest },
    #[error("`{path}` is damaged: {what}; remove it and install the plugin again")]
    Damaged { path: PathBuf, what: String },
    #[error("{digest} does not stand for a component: {why}")]
    Unfit { digest: Digest, why: Unfit },
    #[error("`{path}` is not a bundle of plugins: {what}")]
    BadBundle { path: PathBuf, what: String },
}

impl StoreError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } => Kind::Unavailable,
            Self::NotAComponent { .. } | Self::Unfit { .. } | Self::BadBundle { .. } => Kind::Invalid,
            Self::TooLarge { .. } => Kind::TooLarge,
            Self::Missing { .. } => Kind::NotFound,
            Self::Damaged { .. } => Kind::Internal,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}

/// A component that the store has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Names the artifact: what policies, pins and signatures are about.
    pub manifest_digest: Digest,
    /// Names the bytes of the component.
    pub layer_digest: Digest,
    /// Of the component, in bytes.
    pub size: u64,
}

/// A component that the store has, with what its publisher says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    pub stored: Stored,
    pub facts: Facts,
    /// How the index of the layout names it: the reference it came from, or name and version.
    pub ref_name: Option<String>,
    /// How many signatures lie beside it. Nothing is said about what they are worth.
    pub signatures: usize,
}

/// The store of one data folder. Cheap to clone; other processes may use the same folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    dir: PathBuf,
    component_bytes_max: u64,
}

impl Store {
    /// Makes the folder where it is not there, for its owner only.
    pub fn open(dir: &Path, component_bytes_max: u64) -> Result<Self, StoreError> {
        let store = Self { dir: dir.into(), component_bytes_max };
        for folder in [store.blobs(), store.incoming()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| StoreError::io("make", &folder, source))?;
        }
        let closed = fs::set_permissions(dir, Permissions::from_mode(0o700));
        closed.map_err(|source| StoreError::io("close", dir, source))?;
        let _lock = store.lock()?;
        store.sweep_incoming(ABANDONED);
        let marker = dir.join("oci-layout");
        match fs::read(&marker) {
            Ok(text) => check_marker(&marker, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                store.replace(&marker, &layout::to_json(&Marker::ours()))?;
            }
            Err(source) => return Err(StoreError::io("read", &marker, source)),
        }
        if !store.index_path().exists() {
            store.replace(&store.index_path(), &layout::to_json(&Index::empty()))?;
        }
        Ok(store)
    }

    /// Takes a component that is there as bytes; config and manifest are made for it.
    pub fn put_component(&self, bytes: &[u8], facts: &Facts) -> Result<Stored, StoreError> {
        let limit = self.component_bytes_max;
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge { bytes: bytes.len() as u64, limit });
        }
        let made = artifact::describe(bytes, facts).map_err(|found| StoreError::NotAComponent { found })?;
        let staged = [bytes, &made.config, &made.manifest].map(|blob| self.stage(blob));
        let staged = staged.into_iter().collect::<Result<Vec<_>, _>>()?;
        let ref_name = format!("{}:{}", facts.name, facts.version);
        self.commit(staged, vec![index_entry(&made.manifest, Some(ref_name))])?;
        let manifest_digest = Digest::of(&made.manifest);
        Ok(Stored { manifest_digest, layer_digest: made.layer.digest, size: made.layer.size })
    }

    /// The bytes of a component, by its layer. Hashed anew each time.
    pub fn component(&self, layer: Digest) -> Result<Vec<u8>, StoreError> {
        self.blob(layer, self.component_bytes_max)
    }

    /// All components, in the order in which they came. One that cannot be read any more is left out and logged.
    pub fn list(&self) -> Result<Vec<Artifact>, StoreError> {
        let index = self.index()?;
        let mut artifacts = Vec::new();
        let mut subjects = Vec::new();
        for entry in &index.manifests {
            match self.manifest(entry.digest) {
                Ok(manifest) if manifest.subject.is_some() => subjects.extend(signed(&manifest)),
                Ok(_) | Err(StoreError::Unfit { .. }) => artifacts.extend(self.artifact(entry)),
                Err(error) => tracing::warn!(digest = %entry.digest, "artifact {} is left out: {error}", entry.digest),
            }
        }
        for artifact in &mut artifacts {
            artifact.signatures = subjects.iter().filter(|it| **it == artifact.stored.manifest_digest).count();
        }
        Ok(artifacts)
    }

    /// One component, by the digest of its manifest.
    pub fn find(&self, manifest: Digest) -> Result<Option<Artifact>, StoreError> {
        Ok(self.list()?.into_iter().find(|artifact| artifact.stored.manifest_digest == manifest))
    }

    /// None: the index names something else than a component, which is no concern of ours.
    fn artifact(&self, entry: &Descriptor) -> Option<Artifact> {
        let bytes = self.document(entry.digest).ok()?;
        let (manifest, layer) = artifact::component_of(&bytes).ok()?;
        let told = |name: &str| manifest.annotation(name).unwrap_or_default().to_owned();
        let facts =
            Facts { name: told(layout::TITLE), version: told(layout::VERSION), summary: told(layout::DESCRIPTION) };
        let stored = Stored { manifest_digest: entry.digest, layer_digest: layer.digest, size: layer.size };
        Some(Artifact { stored, facts, ref_name: entry.annotation(layout::REF_NAME).map(str::to_owned), signatures: 0 })
    }

    /// The manifest as it came.
    pub(super) fn document(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.blob(digest, layout::DOCUMENT_BYTES_MAX)
    }

    pub(super) fn manifest(&self, digest: Digest) -> Result<Manifest, StoreError> {
        let bytes = self.document(digest)?;
        artifact::read_manifest(&bytes).map_err(|why| StoreError::Unfit { digest, why })
    }

    /// A component of the store, with its layer.
    pub(super) fn component_manifest(&self, digest: Digest) -> Result<(Manifest, Descriptor), StoreError> {
        let bytes = self.document(digest)?;
        artifact::component_of(&bytes).map_err(|why| StoreError::Unfit { digest, why })
    }

    pub(super) fn blob(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { dir: self.dir.clone(), digest },
            _ => StoreError::io("open", &path, source),
        })?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| StoreError::io("read", &path, source))?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge { bytes: bytes.len() as u64, limit });
        }
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged { path, what: "its bytes do not have the digest it is named by".into() });
        }
        Ok(bytes)
    }

    pub fn component_bytes_max(&self) -> u64 {
        self.component_bytes_max
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs").join("sha256")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    pub(super) fn blob_path(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    pub(super) fn index(&self) -> Result<Index, StoreError> {
        let path = self.index_path();
        let file = File::open(&path).map_err(|source| StoreError::io("open", &path, source))?;
        let mut text = Vec::new();
        let read = file.take(layout::DOCUMENT_BYTES_MAX).read_to_end(&mut text);
        read.map_err(|source| StoreError::io("read", &path, source))?;
        serde_json::from_slice(&text).map_err(|error| StoreError::Damaged { path, what: error.to_string() })
    }

    /// Held by whoever gives blobs their names, or takes blobs away. Waits for another process.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.dir.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = opened.map_err(|source| StoreError::io("open", &path, source))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| StoreError::io("lock", &path, errno.into()))?;
        Ok(file)
    }

    /// A blob that is to come.
    pub(super) fn receive(&self, limit: u64) -> Result<Incoming, StoreError> {
        let dir = self.incoming();
        let file =
            NamedTempFile::with_prefix_in("new-", &dir).map_err(|source| StoreError::io("write to", &dir, source))?;
        Ok(Incoming { file, hasher: Sha256::new(), bytes: 0, limit })
    }

    pub(super) fn stage(&self, bytes: &[u8]) -> Result<Staged, StoreError> {
        let mut incoming = self.receive(bytes.len() as u64)?;
        incoming.write(bytes)?;
        incoming.finish()
    }

    /// Gives blobs their names and then puts entries into the index. Whatever dies in between, the index is right.
    pub(super) fn commit(&self, staged: Vec<Staged>, entries: Vec<Descriptor>) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        for blob in staged {
            let path = self.blob_path(blob.digest);
            // One that is there is written again all the same: that mends a damaged one, and makes it young for `gc`.
            blob.file.persist(&path).map_err(|error| StoreError::io("make", &path, error.error))?;
        }
        sync_folder(&self.blobs())?;
        let mut index = self.index()?;
        for entry in entries {
            index.manifests.retain(|old| old.digest != entry.digest);
            if let Some(name) = entry.annotation(layout::REF_NAME) {
                index.manifests.iter_mut().for_each(|old| drop_name(old, name));
            }
            index.manifests.push(entry);
        }
        self.write_index(&index)
    }

    /// Under the lock.
    pub(super) fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        self.replace(&self.index_path(), &layout::to_json(index))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let staged = self.stage(bytes)?;
        staged.file.persist(path).map_err(|error| StoreError::io("make", path, error.error))?;
        sync_folder(&self.dir)
    }

    /// What a process left that died while it wrote. That one of them cannot be removed is no reason to stop.
    pub(super) fn sweep_incoming(&self, age: Duration) {
        for entry in fs::read_dir(self.incoming()).into_iter().flatten().flatten() {
            if gc::is_older(&entry.path(), age) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

/// A blob on its way into the store. Gone with this value when it is not finished and committed.
pub(super) struct Incoming {
    file: NamedTempFile,
    hasher: Sha256,
    bytes: u64,
    limit: u64,
}

impl Incoming {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limit {
            return Err(StoreError::TooLarge { bytes: self.bytes, limit: self.limit });
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|source| StoreError::io("write", self.file.path(), source))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Durable when this answers.
    pub(super) fn finish(self) -> Result<Staged, StoreError> {
        let synced = self.file.as_file().sync_all();
        synced.map_err(|source| StoreError::io("write", self.file.path(), source))?;
        Ok(Staged { digest: Digest::finish(self.hasher), size: self.bytes, file: self.file })
    }
}

/// A whole blob that has no name yet.
pub(super) struct Staged {
    pub(super) digest: Digest,
    pub(super) size: u64,
    file: NamedTempFile,
}

impl Staged {
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// How the index of a layout names a manifest.
pub(super) fn index_entry(manifest: &[u8], ref_name: Option<String>) -> Descriptor {
    let parsed = artifact::read_manifest(manifest).ok();
    let annotations = ref_name.map(|name| [(layout::REF_NAME.to_owned(), name)].into());
    let artifact_type = parsed.and_then(|manifest| manifest.artifact_type);
    Descriptor { artifact_type, annotations, ..Descriptor::new(layout::MANIFEST_TYPE, manifest) }
}

/// A name in the index belongs to the last one that came with it.
fn drop_name(entry: &mut Descriptor, name: &str) {
    if entry.annotation(layout::REF_NAME) == Some(name) {
        entry.annotations = None;
    }
}

/// The subject, where the manifest is a signature.
fn signed(manifest: &Manifest) -> Option<Digest> {
    manifest.subject.as_ref().filter(|_| manifest.is_signature()).map(|subject| subject.digest)
}

fn check_marker(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.into(), what };
    let marker: Marker = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    if marker.image_layout_version != layout::LAYOUT_VERSION {
        return Err(damaged(format!(
            "it is of version `{}`, we know {}",
            marker.image_layout_version,
            layout::LAYOUT_VERSION
        )));
    }
    Ok(())
}

fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|source| StoreError::io("sync", dir, source))
}
