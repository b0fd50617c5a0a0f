//! The host's end of the socket to a warden, and the warden as a process: started by us, or left by a host before us.
//!
//! Invariants: orders arrive in the order in which they were sent; dropping the `Link` closes our direction, which a
//! warden takes for the end of its host; dropping the `WardenProcess` closes the socket. Must not know: attempts.

use crate::warden::protocol::{Decoder, HELD_DESCRIPTORS, Notice, START_DESCRIPTORS};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    descriptors: Vec<OwnedFd>,
}

/// Receives notices, and watches over the process.
pub(super) struct WardenProcess {
    /// Ours, or of a host before us.
    child: Option<Child>,
    pid: Pid,
    watched: Option<OwnedFd>,
    socket: Arc<UnixStream>,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
    writer: JoinHandle<()>,
}

/// What a warden says, and what it hands over with that.
pub(super) struct Heard {
    pub(super) notice: Notice,
    pub(super) held: Option<[OwnedFd; HELD_DESCRIPTORS]>,
}

impl Link {
    pub(super) fn send(&self, frame: Vec<u8>, descriptors: Vec<OwnedFd>) {
        // If the warden is gone, whoever watches it reports all its attempts.
        let _ = self.orders.send(Outgoing { frame, descriptors });
    }
}

impl WardenProcess {
    pub(super) fn spawn(program: &Path, args: &[String]) -> Result<(Self, Link), LinkError> {
        let (ours, theirs) = StdStream::pair().map_err(|source| LinkError::Socket { source })?;
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().map_err(|source| LinkError::Spawn { source })?;
        // The command holds their end of the socket; kept open here, the death of the warden would go unnoticed.
        drop(command);
        let pid = Pid::from_child(&child);
        Self::new(ours, pid, Some(child)).map_err(|source| LinkError::Socket { source })
    }

    /// Finds the warden that an earlier host has left at this socket; `None` if there is none.
    pub(super) fn find(meeting: &Path) -> Option<(Self, Link)> {
        let socket = StdStream::connect(crate::warden::reach(meeting).ok()?.as_path()).ok()?;
        let peer = rustix::net::sockopt::socket_peercred(&socket).ok()?;
        Self::new(socket, peer.pid, None).ok()
    }

    fn new(socket: StdStream, pid: Pid, child: Option<Child>) -> io::Result<(Self, Link)> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UnixStream::from_std(socket)?);
        // It cannot be another process by now: a warden that has ended leaves a socket that nobody answers.
        let watched = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        let (orders, queue) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_all(socket.clone(), queue));
        let (decoder, descriptors) = (Decoder::default(), VecDeque::new());
        Ok((Self { child, pid, watched, socket, decoder, descriptors, writer }, Link { orders }))
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// The next notice; `None` when the warden is gone or talks nonsense, which is as bad.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.decoder.next() {
                Ok(Some(notice)) => return self.with_descriptors(notice),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("failed to understand the warden: {error}");
                    return None;
                }
            }
            self.socket.readable().await.ok()?;
            let mut bytes = [0; READ_BYTES];
            let (socket, descriptors) = (&self.socket, &mut self.descriptors);
            match socket.try_io(Interest::READABLE, || Ok(receive(socket, &mut bytes, descriptors)?)) {
                Ok(0) => return None,
                Ok(read) => self.decoder.extend(&bytes[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }

    fn with_descriptors(&mut self, notice: Notice) -> Option<Heard> {
        let held = match &notice {
            Notice::Held { .. } => {
                let mut take = || self.descriptors.pop_front();
                Some([take()?, take()?, take()?, take()?])
            }
            Notice::Welcome { .. } | Notice::Refused { .. } | Notice::Started { .. } | Notice::Exit { .. } => None,
        };
        Some(Heard { notice, held })
    }

    /// Waits until the process is gone, and makes sure that it goes.
    pub(super) async fn wait(&mut self) {
        self.writer.abort();
        if let Some(watched) = self.watched.take() {
            let pid = self.pid();
            let waited = tokio::task::spawn_blocking(move || {
                if is_gone_soon(&watched) {
                    return;
                }
                tracing::error!(warden.pid = pid, "warden {pid} does not end, killing it");
                // It can only fail because the warden has ended after all.
                let _ = rustix::process::pidfd_send_signal(&watched, Signal::KILL);
                is_gone_soon(&watched);
            });
            let _ = waited.await;
        }
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
    }
}

fn receive(socket: &UnixStream, bytes: &mut [u8], descriptors: &mut VecDeque<OwnedFd>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(bytes)];
    let received = rustix::net::recvmsg(socket, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

/// Blocks until the process has ended, `EXIT_MAX_S` at most.
fn is_gone_soon(watched: &OwnedFd) -> bool {
    let limit = Timespec { tv_sec: EXIT_MAX_S, tv_nsec: 0 };
    loop {
        match rustix::event::poll(&mut [PollFd::new(watched, PollFlags::IN)], Some(&limit)) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
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

/// Writes one order; its descriptors go with the first byte, and our copies are closed when it is through.
async fn write(socket: &UnixStream, outgoing: Outgoing) -> io::Result<()> {
    let mut rest = outgoing.frame.as_slice();
    let mut descriptors = outgoing.descriptors.as_slice();
    while !rest.is_empty() {
        socket.writable().await?;
        let sent = socket.try_io(Interest::WRITABLE, || Ok(send(socket, rest, descriptors)?));
        match sent {
            Ok(sent) => {
                rest = &rest[sent..];
                descriptors = &[];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(START_DESCRIPTORS + HELD_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() {
        let has_room = ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
        debug_assert!(has_room, "the space is made for these descriptors");
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}
