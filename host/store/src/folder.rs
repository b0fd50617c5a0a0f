//! The data folder itself: who may read it, who holds it, and the key file.
//!
//! One process holds the folder, by a lock that the kernel lets go of when the process ends, however it ends.

use crate::Error;
use crate::crypt::{KEY_BYTES, Ring};
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes a folder that only its owner can look into, and those above it, all of them durable. One that is there is left
/// as it is.
pub(crate) fn make(dir: &Path) -> Result<(), Error> {
    let missing: Vec<_> =
        dir.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| Error::io("make", dir, source))?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        sync_folder(above.unwrap_or(Path::new(".")))?;
    }
    let mode = std::fs::metadata(dir).map_err(|source| Error::io("look at", dir, source))?.mode();
    if mode & 0o007 != 0 {
        let dir = dir.display();
        tracing::warn!("folder `{dir}` can be entered by every user of this machine; `chmod 700` it to close it");
    }
    Ok(())
}

/// A file that only its owner can read, made where it is not there.
pub(crate) fn make_file(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| Error::io("open", path, source))
}

/// Locked by the host that uses the folder, with its process id in it.
pub(crate) const LOCK: &str = "lock";

/// Holds the folder until the file is dropped.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let mut file = make_file(&path)?;
    if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK {
            return Err(Error::io("lock", &path, errno.into()));
        }
        let mut text = String::new();
        let read = file.read_to_string(&mut text);
        let pid = read.ok().and_then(|_| text.trim().parse().ok());
        return Err(Error::Locked { path: dir.to_path_buf(), pid });
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| Error::io("write", &path, source))?;
    Ok(file)
}

/// The keys, where there are any.
pub(crate) fn read_keys(path: &Path) -> Result<Option<Ring>, Error> {
    match std::fs::read(path).map(zeroize::Zeroizing::new) {
        Ok(bytes) => {
            let keys = bytes.chunks_exact(KEY_BYTES).filter_map(|key| key.try_into().ok());
            let ring = Ring::new(keys.collect());
            if ring.is_empty() || bytes.len() % KEY_BYTES != 0 {
                let what = format!("it has {} bytes instead of {KEY_BYTES} for each key", bytes.len());
                return Err(Error::Corrupt { path: path.to_path_buf(), what });
            }
            Ok(Some(ring))
        }
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", path, source)),
    }
}

/// Writes the key file whole or not at all.
pub(crate) fn write_keys(dir: &Path, path: &Path, ring: &Ring) -> Result<(), Error> {
    let draft = dir.join("key.new");
    let mut file = make_file(&draft)?;
    let write = |file: &mut File| ring.iter().try_for_each(|key| file.write_all(key));
    let written = file.set_len(0).and_then(|()| write(&mut file)).and_then(|()| file.sync_all());
    written.map_err(|source| Error::io("write", &draft, source))?;
    std::fs::rename(&draft, path).map_err(|source| Error::io("make", path, source))?;
    sync_folder(dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|source| Error::io("sync", dir, source))
}

/// What the disk has left for who is not root.
pub(crate) fn free_bytes(dir: &Path) -> Result<u64, Error> {
    let space = rustix::fs::statvfs(dir).map_err(|errno| Error::io("look at", dir, errno.into()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
