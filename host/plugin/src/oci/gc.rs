//! Removes from the store what nobody uses any more.
//!
//! Invariants: what is to be kept, the signatures of it, and all blobs of both stay; what is younger than the grace
//! stays, since somebody may be about to use it; where a kept manifest cannot be read, nothing is removed at all.

use super::Digest;
use super::store::{Store, StoreError};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What a collection removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Artifacts, signatures among them.
    pub artifacts: u64,
    pub blobs: u64,
    pub bytes: u64,
}

impl Store {
    /// Keeps the artifacts with these manifests, and what is younger than the grace.
    pub fn gc(&self, keep: &[Digest], grace: Duration) -> Result<Swept, StoreError> {
        let _lock = self.lock()?;
        self.sweep_incoming(grace);
        let mut index = self.index()?;
        let before = index.manifests.len();
        let mut reachable = HashSet::new();
        let mut entries = Vec::new();
        for entry in index.manifests {
            let is_young = !is_older(&self.blob_path(entry.digest), grace);
            let manifest = match self.manifest(entry.digest) {
                Ok(manifest) => manifest,
                Err(error) if keep.contains(&entry.digest) => return Err(error),
                Err(_) if is_young => {
                    reachable.insert(entry.digest);
                    entries.push(entry);
                    continue;
                }
                Err(_) => continue,
            };
            let subject = manifest.subject.as_ref().map(|subject| subject.digest);
            if is_young || keep.contains(&entry.digest) || subject.is_some_and(|subject| keep.contains(&subject)) {
                reachable.insert(entry.digest);
                reachable.extend(manifest.blobs().map(|blob| blob.digest));
                entries.push(entry);
            }
        }
        let mut swept = Swept { artifacts: (before - entries.len()) as u64, ..Swept::default() };
        index.manifests = entries;
        // First the index: it must not name what is not there.
        self.write_index(&index)?;
        self.sweep_blobs(&reachable, grace, &mut swept)?;
        Ok(swept)
    }

    fn sweep_blobs(&self, reachable: &HashSet<Digest>, grace: Duration, swept: &mut Swept) -> Result<(), StoreError> {
        let dir = self.blobs();
        let fail = |source| StoreError::io("look into", &dir, source);
        for entry in fs::read_dir(&dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some(digest) = entry.file_name().to_str().and_then(Digest::parse_hex) else { continue };
            let path = entry.path();
            if reachable.contains(&digest) || !is_older(&path, grace) {
                continue;
            }
            let bytes = entry.metadata().map_err(fail)?.len();
            fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
            swept.blobs += 1;
            swept.bytes += bytes;
        }
        Ok(())
    }
}

/// One whose age nobody knows is young.
pub(super) fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|is| is >= age)
}
