//! Components in one file, for machines without a network: a tar of an image layout, as other tools make and read it.
//!
//! Invariants: nothing is unpacked by a name from the archive; a blob goes to a file of our own making, is hashed, and
//! has a place in the store only after the whole bundle was read and fits together. Sizes and counts are bounded.
//! Signatures go with what they sign. Must not know: what becomes of the components.

use super::Digest;
use super::artifact;
use super::layout::{self, Descriptor, Index, Manifest, Marker};
use super::store::{Incoming, Staged, Store, StoreError, Stored, index_entry};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use tar::EntryType;
use tempfile::NamedTempFile;

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";
const ENTRIES_MAX: usize = 10_000;
/// A bundle holds as many bytes as this many of the largest components.
const COMPONENTS_MAX: u64 = 32;

impl Store {
    /// Writes the components with these manifests, and their signatures, into a file that is not there yet. Answers how
    /// many bytes it has.
    pub fn export_bundle(&self, manifests: &[Digest], file: &Path) -> Result<u64, StoreError> {
        let fail = |source| StoreError::io("write", file, source);
        let (index, blobs) = self.closure(manifests)?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let draft = NamedTempFile::new_in(dir).map_err(fail)?;
        let mut tar = tar::Builder::new(BufWriter::new(draft.as_file()));
        append(&mut tar, MARKER, &layout::to_json(&Marker::ours())).map_err(fail)?;
        append(&mut tar, INDEX, &layout::to_json(&index)).map_err(fail)?;
        for digest in blobs {
            let bytes = self.blob(digest, self.component_bytes_max().max(layout::DOCUMENT_BYTES_MAX))?;
            append(&mut tar, &format!("{BLOBS}{}", digest.hex()), &bytes).map_err(fail)?;
        }
        let mut written = tar.into_inner().map_err(fail)?;
        written.flush().and_then(|()| written.get_ref().sync_all()).map_err(fail)?;
        drop(written);
        let bytes = draft.as_file().metadata().map_err(fail)?.len();
        draft.persist_noclobber(file).map_err(|error| fail(error.error))?;
        Ok(bytes)
    }

    /// What the components need to be whole somewhere else.
    fn closure(&self, manifests: &[Digest]) -> Result<(Index, BTreeSet<Digest>), StoreError> {
        let mut wanted = Index::empty();
        let mut blobs = BTreeSet::new();
        for entry in self.index()?.manifests {
            let manifest = match self.manifest(entry.digest) {
                Ok(manifest) => manifest,
                Err(error) if manifests.contains(&entry.digest) => return Err(error),
                Err(_) => continue,
            };
            let subject = manifest.subject.as_ref().map(|subject| subject.digest);
            if manifests.contains(&entry.digest) || subject.is_some_and(|subject| manifests.contains(&subject)) {
                blobs.insert(entry.digest);
                blobs.extend(manifest.blobs().map(|blob| blob.digest));
                wanted.manifests.push(entry);
            }
        }
        let found = |digest: &&Digest| wanted.manifests.iter().any(|entry| entry.digest == **digest);
        match manifests.iter().find(|digest| !found(digest)) {
            Some(missing) => Err(StoreError::Missing { dir: self.dir().into(), digest: *missing }),
            None => Ok((wanted, blobs)),
        }
    }

    /// Takes everything that a bundle holds, or nothing. Answers its components, signatures are beside them.
    pub fn import_bundle(&self, file: &Path) -> Result<Vec<Stored>, StoreError> {
        let bad = |what: String| StoreError::BadBundle { path: file.into(), what };
        let opened = File::open(file).map_err(|source| StoreError::io("open", file, source))?;
        let mut content = Content::read(self, opened).map_err(|error| error.at(file))?;
        let index = content.index.take().ok_or_else(|| bad(format!("it lacks `{INDEX}`")))?;
        if !content.has_marker {
            return Err(bad(format!("it lacks `{MARKER}`")));
        }
        let mut components = Vec::new();
        let mut entries = Vec::new();
        let mut reachable = BTreeSet::new();
        for entry in index.manifests.iter().take(ENTRIES_MAX) {
            let bytes = content.document(entry).map_err(bad)?;
            let manifest = match artifact::component_of(&bytes) {
                Ok((manifest, layer)) => {
                    let (manifest_digest, layer_digest) = (entry.digest, layer.digest);
                    components.push(Stored { manifest_digest, layer_digest, size: layer.size });
                    manifest
                }
                Err(why) => match artifact::read_manifest(&bytes) {
                    Ok(manifest) if manifest.is_signature() => manifest,
                    Ok(_) | Err(_) => return Err(bad(format!("{}: {why}", entry.digest))),
                },
            };
            content.require(&manifest).map_err(bad)?;
            reachable.insert(entry.digest);
            reachable.extend(manifest.blobs().map(|blob| blob.digest));
            entries.push(index_entry(&bytes, entry.annotation(layout::REF_NAME).map(str::to_owned)));
        }
        if components.is_empty() {
            return Err(bad("it holds no component".into()));
        }
        let staged = content.blobs.into_iter().filter(|(digest, _)| reachable.contains(digest));
        self.commit(staged.map(|(_, blob)| blob).collect(), entries)?;
        Ok(components)
    }
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    // The same components make the same bundle.
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}

/// What was read of a bundle, in files that have no names yet.
struct Content {
    has_marker: bool,
    index: Option<Index>,
    blobs: HashMap<Digest, Staged>,
}

enum Wrong {
    Bundle(String),
    Store(StoreError),
}

impl Wrong {
    fn at(self, file: &Path) -> StoreError {
        match self {
            Self::Bundle(what) => StoreError::BadBundle { path: file.into(), what },
            Self::Store(error) => error,
        }
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Bundle(format!("it is not a whole tar file ({error})"))
    }
}

impl Content {
    fn read(store: &Store, file: File) -> Result<Self, Wrong> {
        let mut content = Self { has_marker: false, index: None, blobs: HashMap::new() };
        let mut left = store.component_bytes_max().saturating_mul(COMPONENTS_MAX);
        let mut tar = tar::Archive::new(BufReader::new(file));
        // Raw: long names, which the library would read into memory whole, are no names of ours.
        for (count, entry) in tar.entries()?.raw(true).enumerate() {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name);
            if count == ENTRIES_MAX {
                return Err(Wrong::Bundle(format!("it has more than {ENTRIES_MAX} entries")));
            }
            match entry.header().entry_type() {
                EntryType::Regular => {}
                EntryType::Directory | EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName => {
                    continue;
                }
                kind => return Err(Wrong::Bundle(format!("`{name}` is not a file but {kind:?}"))),
            }
            let size = entry.size();
            left = left.checked_sub(size).ok_or_else(|| Wrong::Bundle("it is larger than a bundle may be".into()))?;
            match name.strip_prefix(BLOBS) {
                Some(hex) => content.take_blob(store, hex, entry)?,
                None if name == MARKER => content.has_marker = true,
                None if name == INDEX => content.index = Some(read_index(&mut entry, size)?),
                // Other tools put files of their own beside these.
                None => {}
            }
        }
        Ok(content)
    }

    fn take_blob(&mut self, store: &Store, hex: &str, mut entry: impl Read) -> Result<(), Wrong> {
        let bad = |what: &str| Wrong::Bundle(format!("`{BLOBS}{hex}` {what}"));
        let digest = Digest::parse_hex(hex).ok_or_else(|| bad("is not named by a digest"))?;
        let mut incoming = store.receive(store.component_bytes_max().max(layout::DOCUMENT_BYTES_MAX))?;
        copy(&mut entry, &mut incoming)?;
        let blob = incoming.finish()?;
        if blob.digest != digest {
            return Err(bad("does not have the digest it is named by"));
        }
        self.blobs.insert(digest, blob);
        Ok(())
    }

    fn document(&self, entry: &Descriptor) -> Result<Vec<u8>, String> {
        let blob = self.blobs.get(&entry.digest).ok_or_else(|| format!("it lacks {}", entry.digest))?;
        if blob.size > layout::DOCUMENT_BYTES_MAX {
            return Err(format!("{} is too large for a manifest", entry.digest));
        }
        std::fs::read(blob.path()).map_err(|error| format!("{} cannot be read again: {error}", entry.digest))
    }

    fn require(&self, manifest: &Manifest) -> Result<(), String> {
        for wanted in manifest.blobs() {
            match self.blobs.get(&wanted.digest) {
                Some(blob) if blob.size == wanted.size => {}
                Some(blob) => {
                    return Err(format!("{} has {} bytes instead of {}", wanted.digest, blob.size, wanted.size));
                }
                None => return Err(format!("it lacks {}", wanted.digest)),
            }
        }
        Ok(())
    }
}

fn copy(from: &mut impl Read, to: &mut Incoming) -> Result<(), Wrong> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write(&buffer[..count])?,
        }
    }
}

fn read_index(entry: &mut impl Read, size: u64) -> Result<Index, Wrong> {
    if size > layout::DOCUMENT_BYTES_MAX {
        return Err(Wrong::Bundle(format!("its `{INDEX}` is too large")));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| Wrong::Bundle(format!("its `{INDEX}` cannot be read: {error}")))
}
