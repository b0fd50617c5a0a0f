//! The form of a backup: a tar of the database, the key and the logs, closed by a manifest of sizes and SHA-256.
//!
//! Invariants: entries have names of ours or the file is refused, and no name is ever used as a path; the manifest
//! comes last, so that a file which was cut off has none. Written and read in one pass, however large.

use super::{BackupInfo, make_anew};
use crate::Error;
use hostler_model::{RunId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

pub(super) const DATABASE: &str = "hostler.db";
pub(super) const KEY: &str = "key";
const MANIFEST: &str = "manifest.json";

/// Raised when an older hostler could not read what is written.
pub(super) const FORMAT: u32 = 2;

/// A manifest has about 130 bytes for each log.
const MANIFEST_BYTES_MAX: u64 = 2 << 30;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) made_by: String,
    pub(super) host: String,
    pub(super) schema: u32,
    #[serde(rename = "made_at_ms")]
    pub(super) made_at: Timestamp,
    pub(super) runs: u64,
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What an entry is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Database,
    Key,
    Log(RunId),
    Component(ComponentFile),
}

/// A file of the folder of components, which is an OCI image layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ComponentFile {
    Layout,
    Index,
    /// By the SHA-256 that is its name.
    Blob([u8; 32]),
}

/// The folder of components, in a data folder and in a backup.
pub(super) const COMPONENTS: &str = "plugins";

impl ComponentFile {
    /// Below the folder of components.
    pub(super) fn path(self) -> String {
        match self {
            Self::Layout => "oci-layout".into(),
            Self::Index => "index.json".into(),
            Self::Blob(digest) => {
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("blobs/sha256/{hex}")
            }
        }
    }

    /// None: a name that no file there has.
    pub(super) fn of(path: &str) -> Option<Self> {
        let file = match path {
            "oci-layout" => Self::Layout,
            "index.json" => Self::Index,
            _ => {
                let hex = path.strip_prefix("blobs/sha256/")?.as_bytes();
                let mut digest = [0; 32];
                for (byte, pair) in digest.iter_mut().zip(hex.chunks(2)) {
                    *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
                }
                Self::Blob(digest)
            }
        };
        (file.path() == path).then_some(file)
    }
}

pub(super) fn log_name(run: RunId) -> String {
    format!("logs/{}.log", run.0.simple())
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        match name {
            DATABASE => Some(Self::Database),
            KEY => Some(Self::Key),
            _ if name.starts_with("plugins/") => ComponentFile::of(&name["plugins/".len()..]).map(Self::Component),
            _ => {
                let id = name.strip_prefix("logs/")?.strip_suffix(".log")?;
                let id: RunId = id.parse().ok()?;
                (log_name(id) == name).then_some(Self::Log(id))
            }
        }
    }
}

/// Counts and hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
    failed: bool,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0, failed: false }
    }

    fn entry(self, name: &str) -> Entry {
        let sha256 = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Entry { name: name.to_owned(), bytes: self.bytes, sha256 }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        self.failed |= read.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        let count = read?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

pub(super) struct Writer {
    path: PathBuf,
    tar: tar::Builder<BufWriter<File>>,
    made_at: Timestamp,
    entries: Vec<Entry>,
}

impl Writer {
    pub(super) fn new(path: &Path, made_at: Timestamp) -> Result<Self, Error> {
        let tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, make_anew(path)?));
        Ok(Self { path: path.to_path_buf(), tar, made_at, entries: Vec::new() })
    }

    /// The first `bytes` of a file, or all that it has now.
    pub(super) fn add_file(&mut self, name: &str, source: &Path, bytes: Option<u64>) -> Result<(), Error> {
        let fail = |error| Error::io("read", source, error);
        let file = File::open(source).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let bytes = bytes.unwrap_or(length);
        let mut content = Hashed::new(file.take(bytes));
        let mut header = self.header(bytes);
        if let Err(error) = self.tar.append_data(&mut header, name, &mut content) {
            let (doing, path) = if content.failed { ("read", source) } else { ("write", self.path.as_path()) };
            return Err(Error::io(doing, path, error));
        }
        if content.bytes != bytes {
            let what = format!("it has {} bytes instead of {bytes}", content.bytes);
            return Err(Error::Corrupt { path: source.to_path_buf(), what });
        }
        self.entries.push(content.entry(name));
        Ok(())
    }

    fn header(&self, bytes: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.made_at.0 / 1_000).unwrap_or_default());
        header.set_size(bytes);
        header
    }

    /// Durable when this answers.
    pub(super) fn finish(mut self, manifest: Manifest) -> Result<BackupInfo, Error> {
        let manifest = Manifest { entries: std::mem::take(&mut self.entries), ..manifest };
        let fail = |path: &Path, error| Error::io("write", path, error);
        let text = serde_json::to_vec(&manifest).map_err(|error| fail(&self.path, error.into()))?;
        let mut header = self.header(text.len() as u64);
        let Self { path, mut tar, .. } = self;
        tar.append_data(&mut header, MANIFEST, text.as_slice()).map_err(|error| fail(&path, error))?;
        let mut file = tar.into_inner().map_err(|error| fail(&path, error))?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| fail(&path, error))?;
        let bytes = file.get_ref().metadata().map_err(|error| fail(&path, error))?.len();
        Ok(info(&manifest, bytes))
    }
}

fn info(manifest: &Manifest, bytes: u64) -> BackupInfo {
    let is_log = |entry: &&Entry| matches!(Part::of(&entry.name), Some(Part::Log(_)));
    BackupInfo {
        host: manifest.host.clone(),
        made_at: manifest.made_at,
        made_by: manifest.made_by.clone(),
        schema: manifest.schema,
        runs: manifest.runs,
        logs: manifest.entries.iter().filter(is_log).count() as u64,
        bytes,
    }
}

/// What is done with an entry while it is read; what it leaves of the bytes is read all the same.
pub(super) type Each<'a> = dyn FnMut(Part, &mut dyn Read) -> Result<(), Error> + 'a;

/// Reads a backup from its first byte to its last. An `Ok` means that all is as the manifest says.
pub(super) fn read(path: &Path, each: &mut Each<'_>) -> Result<BackupInfo, Error> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { what: format!("the backup `{}`", path.display()) },
        _ => Error::io("open", path, source),
    })?;
    let bytes = file.metadata().map_err(|source| Error::io("look at", path, source))?.len();
    let bad = |what: String| Error::BadBackup { path: path.to_path_buf(), what };
    let mut tar = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut found = Vec::new();
    let mut manifest = None;
    for entry in tar.entries().map_err(|error| bad(error.to_string()))? {
        let mut entry = entry.map_err(|error| bad(error.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        if manifest.is_some() || !entry.header().entry_type().is_file() {
            return Err(bad(format!("`{name}` does not belong into it")));
        }
        if name == MANIFEST {
            let read: Manifest = serde_json::from_reader(entry.by_ref().take(MANIFEST_BYTES_MAX))
                .map_err(|error| bad(format!("its manifest cannot be read: {error}")))?;
            manifest = Some(read);
            continue;
        }
        let part = Part::of(&name).ok_or_else(|| bad(format!("`{name}` does not belong into it")))?;
        let mut content = Hashed::new(entry);
        each(part, &mut content)?;
        io::copy(&mut content, &mut io::sink()).map_err(|error| bad(format!("`{name}`: {error}")))?;
        if content.bytes != size {
            return Err(bad(format!("it ends within `{name}`")));
        }
        found.push(content.entry(&name));
    }
    let manifest = manifest.ok_or_else(|| bad("it ends before its manifest".into()))?;
    compare(&manifest, &found).map_err(bad)?;
    Ok(info(&manifest, bytes))
}

fn compare(manifest: &Manifest, found: &[Entry]) -> Result<(), String> {
    if manifest.format > FORMAT {
        return Err(format!("a newer hostler wrote it, in form {}; use that version", manifest.format));
    }
    // A host whose key comes from outside has none to back up.
    if !found.iter().any(|entry| entry.name == DATABASE) {
        return Err(format!("`{DATABASE}` is missing"));
    }
    for (at, told) in manifest.entries.iter().enumerate() {
        match found.get(at) {
            Some(entry) if entry == told => {}
            Some(entry) if entry.name == told.name => return Err(format!("`{}` is not what was written", told.name)),
            Some(_) | None => return Err(format!("`{}` is missing", told.name)),
        }
    }
    match found.get(manifest.entries.len()) {
        Some(entry) => Err(format!("`{}` does not belong into it", entry.name)),
        None => Ok(()),
    }
}
