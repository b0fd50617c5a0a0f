//! Compiled components on disk, so that each is compiled once for one build of the host.
//!
//! A file here is machine code that will run in our process. Invariants: only what this host wrote is loaded, shown by
//! a keyed MAC over key and content; the folder and the MAC key are the user's alone; a file appears whole or not at
//! all; one that is damaged or foreign is compiled again, never loaded.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

/// A component as machine code.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    /// What was kept with it.
    pub(crate) facts: Vec<u8>,
}

/// What lies in a cache, for a person who wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheFacts {
    pub components: u64,
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
}

/// None: there is no such folder yet. Changes nothing.
pub fn inspect_cache(dir: &Path) -> io::Result<Option<CacheFacts>> {
    let mode = match fs::metadata(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        found => found?.permissions().mode() & 0o7777,
    };
    let mut facts = CacheFacts { components: 0, bytes: 0, mode };
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "cwasm") {
            facts.components += 1;
            facts.bytes += entry.metadata()?.len();
        }
    }
    Ok(Some(facts))
}

pub(crate) struct Cache {
    dir: PathBuf,
    mac_key: [u8; KEY_BYTES],
    /// Engine settings and build of this host.
    build: String,
}

impl Cache {
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let mac_key = read_key(&dir.join("key"))?;
        let mut hash = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hash);
        let build = format!("{:016x}-{}", hash.finish(), env!("HOSTLER_BUILD_ID"));
        let cache = Self { dir: dir.into(), mac_key, build };
        cache.prune()?;
        Ok(cache)
    }

    /// Removes what an earlier build has left, and what a crash left half written.
    fn prune(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let ours = |end: &str| name.ends_with(&format!("{}.{end}", self.build));
            let foreign = (name.ends_with(".cwasm") && !ours("cwasm")) || (name.ends_with(".seal") && !ours("seal"));
            if foreign || (name.starts_with("new-") && is_old(&path)) {
                // Another process may have been faster; a file that stays only costs its space.
                drop(fs::remove_file(&path));
            }
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.cwasm", digest.trim_start_matches("sha256:"), self.build))
    }

    /// `None`: not there, or not ours. The machine code stays in the file and is mapped, so that a page of it is in
    /// memory once and only when it is used.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Compiled> {
        let (path, seal) = (self.path(digest), self.seal(digest));
        let sealed = fs::read(&seal).ok()?;
        let (mac, facts) = sealed.split_at_checked(MAC_BYTES)?;
        if self.mac(digest, facts, &path).ok()?.verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "compiled component {} is not as it was written, compiling again", path.display());
            return None;
        }
        #[expect(unsafe_code, reason = "the MAC shows that this host wrote the file from its own compiler's output")]
        let component = unsafe { Component::deserialize_file(engine, &path) };
        let component = component
            .map_err(|error| tracing::warn!("compiled component {} does not load: {error:#}", path.display()))
            .ok()?;
        Some(Compiled { component, facts: facts.to_vec() })
    }

    /// `facts` is what was found out about the component before it was compiled. The seal comes last: without it the
    /// code counts as not there.
    pub(crate) fn store(&self, digest: &str, facts: &[u8], code: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        write_whole(&self.dir, &path, &[code])?;
        let mac = self.mac(digest, facts, &path)?.finalize().into_bytes();
        write_whole(&self.dir, &self.seal(digest), &[&mac, facts])
    }

    /// Whether there is something, ours or not.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.seal(digest).exists()
    }

    fn seal(&self, digest: &str) -> PathBuf {
        self.path(digest).with_extension("seal")
    }

    fn mac(&self, digest: &str, facts: &[u8], code: &Path) -> io::Result<Hmac<Sha256>> {
        // A key of any length is a good key for HMAC, so this cannot fail.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.mac_key).expect("HMAC takes keys of any length");
        mac.update(digest.as_bytes());
        mac.update(self.build.as_bytes());
        mac.update(&(facts.len() as u64).to_le_bytes());
        mac.update(facts);
        let mut code = File::open(code)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match code.read(&mut buffer)? {
                0 => return Ok(mac),
                count => mac.update(&buffer[..count]),
            }
        }
    }
}

/// `sha256:…` of a component's bytes, its name everywhere.
pub(crate) fn digest(bytes: &[u8]) -> String {
    crate::oci::Digest::of(bytes).to_string()
}

/// A file that another process is just writing is younger than this.
fn is_old(path: &Path) -> bool {
    let age = path.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > std::time::Duration::from_secs(3600))
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match File::open(path).and_then(|mut file| file.read_exact(&mut key)) {
        Ok(()) => return Ok(key),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {}
        Err(error) => return Err(error),
    }
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    write_whole(dir, path, &[&key])?;
    Ok(key)
}

/// Temporary file, sync, rename, sync of the folder: after a power cut the file is the old one, the new one, or not
/// there.
fn write_whole(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let temporary = dir.join(format!("new-{:016x}", u64::from_le_bytes(random)));
    let written = write_synced(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either changes nothing.
        drop(fs::remove_file(&temporary));
    }
    written.and_then(|()| File::open(dir)?.sync_all())
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}
