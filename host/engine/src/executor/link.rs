//! The host's end of the socket to a warden, and the warden as a child process.
//!
//! Invariants: orders arrive in the order in which they were sent; dropping the `Link` closes our direction, upon which
//! the warden ends everything and itself; dropping the `WardenProcess` closes the socket. Must not know: attempts.

use crate::warden::protocol::{Decoder, Notice};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::PidfdFlags;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const READ_BYTES: usize = 16 * 1024;

/// A warden closes its socket as its last act; one that does not go then is stuck and gets KILL.
const EXIT_MAX_S: i64 = 2;

#[derive(Debug)]
pub(super) enum LinkError {
    Spawn { source: io::Error },
    Socket { source: io::Error },
}

/// Sends orders. What waits here is bounded by the caller: one start and a few more per attempt.
pub(super) struct Link {
    orders: mpsc::UnboundedSender<Outgoing>,
}

struct Outgoing {
    frame: Vec<u8>,
    pipes: Option<[OwnedFd; 2]>,
}

/// Receives notices, and is the parent of the warden.
pub(super) struct WardenProcess {
    child: Child,
    socket: Arc<UnixStream>,
    decoder: Decoder,
    writer: JoinHandle<()>,
}

impl Link {
    pub(super) fn send(&self, frame: Vec<u8>, pipes: Option<[OwnedFd; 2]>) {
        // If the warden is gone, whoever watches it reports all its attempts.
        let _ = self.orders.send(Outgoing { frame, pipes });
    }
}

impl WardenProcess {
    pub(super) fn spawn(program: &Path, args: &[String]) -> Result<(Self, Link), LinkError> {
        let (ours, theirs) = StdStream::pair().map_err(|source| LinkError::Socket { source })?;
        ours.set_nonblocking(true).map_err(|source| LinkError::Socket { source })?;
        let socket = UnixStream::from_std(ours).map_err(|source| LinkError::Socket { source })?;
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().map_err(|source| LinkError::Spawn { source })?;
        // The command holds their end of the socket; kept open here, the death of the warden would go unnoticed.
        drop(command);
        let socket = Arc::new(socket);
        let (orders, queue) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_all(socket.clone(), queue));
        Ok((Self { child, socket, decoder: Decoder::default(), writer }, Link { orders }))
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// The next notice; `None` when the warden is gone or talks nonsense, which is as bad.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.decoder.next() {
                Ok(Some(notice)) => return Some(notice),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("failed to understand the warden: {error}");
                    return None;
                }
            }
            self.socket.readable().await.ok()?;
            let mut bytes = [0; READ_BYTES];
            match self.socket.try_read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.decoder.extend(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits until the process is gone, and makes sure that it goes.
    pub(super) async fn wait(&mut self) {
        self.writer.abort();
        let pid = rustix::process::Pid::from_child(&self.child);
        if !tokio::task::spawn_blocking(move || is_gone_soon(pid)).await.unwrap_or(false) {
            tracing::error!(warden.pid = self.pid(), "warden {} does not end, killing it", self.pid());
            // It can only fail because the warden has ended after all.
            let _ = self.child.kill();
            let _ = tokio::task::spawn_blocking(move || is_gone_soon(pid)).await;
        }
        let _ = self.child.try_wait();
    }
}

/// Blocks until our child has ended, `EXIT_MAX_S` at most.
fn is_gone_soon(pid: rustix::process::Pid) -> bool {
    let Ok(watched) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let limit = Timespec { tv_sec: EXIT_MAX_S, tv_nsec: 0 };
    let ready = rustix::event::poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&limit));
    matches!(ready, Ok(1..))
}

impl Drop for WardenProcess {
    fn drop(&mut self) {
        self.writer.abort();
        // The writer's task may live a little longer and hold the socket open.
        let _ = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
    }
}

/// Writes orders until the link is dropped, then says so by closing our direction.
async fn write_all(socket: Arc<UnixStream>, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(outgoing) = queue.recv().await {
        if let Err(error) = write(&socket, outgoing).await {
            tracing::debug!("failed to write to the warden: {error}");
            return;
        }
    }
    // An error means that the warden is gone already.
    let _ = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Write);
}

/// Writes one order; its pipes go with the first byte, and our copies are closed when it is through.
async fn write(socket: &UnixStream, outgoing: Outgoing) -> io::Result<()> {
    let mut rest = outgoing.frame.as_slice();
    let mut pipes = outgoing.pipes;
    while !rest.is_empty() {
        socket.writable().await?;
        let sent = socket.try_io(Interest::WRITABLE, || Ok(send(socket, rest, pipes.as_ref())?));
        match sent {
            Ok(sent) => {
                rest = &rest[sent..];
                pipes = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(socket: &UnixStream, bytes: &[u8], pipes: Option<&[OwnedFd; 2]>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed = pipes.map(|pipes| pipes.each_ref().map(AsFd::as_fd));
    if let Some(borrowed) = &borrowed {
        let has_room = ancillary.push(SendAncillaryMessage::ScmRights(borrowed));
        debug_assert!(has_room, "the space is made for two descriptors");
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}
