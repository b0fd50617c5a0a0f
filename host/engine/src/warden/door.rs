//! Where the next host finds a warden that lives on: a socket in a folder that only this user can enter.
//!
//! Invariants: only a process of the same user that knows the secret is let in, so that no task can pass for a host;
//! whoever is at the door holds nothing up. Must not know: attempts, what hosts say once they are in.

use super::channel::Channel;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
    secret: String,
    /// Came in and has not said who it is. One at a time: a second one takes its place.
    knocking: Option<Channel>,
}

/// Who said the secret.
pub(super) struct Visitor {
    pub(super) channel: Channel,
    pub(super) version: u32,
}

impl Door {
    pub(super) fn open(path: &Path, secret: &str) -> io::Result<Self> {
        // Left by a warden that was killed; a living one would hold the folder for scripts.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(reach(path)?.as_path())?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), secret: secret.to_owned(), knocking: None })
    }

    /// What to wait for: somebody new, and words of who is at the door.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.knocking.as_ref().map(Channel::socket))
    }

    /// Takes note of who came, and gives back who has said the secret.
    pub(super) fn answer(&mut self) -> Option<Visitor> {
        while let Ok((stream, _)) = self.listener.accept() {
            let own = rustix::process::geteuid();
            let is_own = rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|peer| peer.uid == own);
            self.knocking = Channel::new(OwnedFd::from(stream)).ok().filter(|_| is_own);
        }
        let channel = self.knocking.as_mut()?;
        channel.receive();
        let knock = match channel.knock() {
            Ok(Some(knock)) => knock,
            Ok(None) if !channel.is_host_gone() => return None,
            Ok(None) | Err(_) => {
                self.knocking = None;
                return None;
            }
        };
        let channel = self.knocking.take()?;
        is_same(&knock.secret, &self.secret).then_some(Visitor { channel, version: knock.version })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A path to the same socket that is short enough for the kernel, whatever the folder is called. Good as long as the
/// value lives.
pub(crate) fn reach(path: &Path) -> io::Result<Reach> {
    let (folder, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok(Reach { _folder: folder, short })
}

pub(crate) struct Reach {
    _folder: File,
    short: PathBuf,
}

impl Reach {
    pub(crate) fn as_path(&self) -> &Path {
        &self.short
    }
}

/// Takes as long for a wrong secret as for the right one.
fn is_same(said: &str, secret: &str) -> bool {
    let differences = said.bytes().zip(secret.bytes()).fold(0, |seen, (one, other)| seen | (one ^ other));
    said.len() == secret.len() && !secret.is_empty() && differences == 0
}
