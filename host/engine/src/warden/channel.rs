//! The warden's end of the socket to a host: whole orders in, with the descriptors that came along, and notices out.
//!
//! Invariants: it never blocks; a `Start` is given back only together with its descriptors; what cannot be written
//! yet is kept, and is bounded by a few notices per attempt. Must not know: what orders mean.

use super::protocol::{Decoder, FrameError, HELD_DESCRIPTORS, Knock, Notice, Order, encode, knock};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const READ_BYTES: usize = 64 * 1024;
const DESCRIPTORS_PER_READ: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("the host sent something unreadable")]
    Frame(#[from] FrameError),
    #[error("the host sent an order to start without its pipes")]
    PipesMissing,
}

/// What an order to start came with.
pub(super) struct Pipes {
    /// The write ends.
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) held: Option<HeldOutput>,
}

/// What the next host needs to go on with an attempt's output: pipe and spool of stdout, then of stderr.
pub(super) struct HeldOutput([OwnedFd; HELD_DESCRIPTORS]);

impl HeldOutput {
    /// For a host; ours stay here.
    pub(super) fn share(&self) -> std::io::Result<Vec<OwnedFd>> {
        self.0.iter().map(OwnedFd::try_clone).collect()
    }
}

pub(super) struct Channel {
    socket: OwnedFd,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
    outgoing: VecDeque<Outgoing>,
    host_gone: bool,
}

/// Notices that are written by one call, and the descriptors that go with the first byte.
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            decoder: Decoder::default(),
            descriptors: VecDeque::new(),
            outgoing: VecDeque::new(),
            host_gone: false,
        })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The host closed its end or died. Orders that came before are still given back by `next`.
    pub(super) fn is_host_gone(&self) -> bool {
        self.host_gone
    }

    /// Reads once what is there.
    pub(super) fn receive(&mut self) {
        let mut bytes = [0; READ_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_READ))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let received = rustix::net::recvmsg(&self.socket, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        match received {
            Ok(message) if message.bytes > 0 => self.decoder.extend(&bytes[..message.bytes]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.host_gone = true,
        }
    }

    /// The next whole order, with its descriptors if it is a `Start`.
    pub(super) fn next(&mut self) -> Result<Option<(Order, Option<Pipes>)>, ChannelError> {
        let Some(order) = self.decoder.next::<Order>()? else { return Ok(None) };
        let pipes = match &order {
            Order::Start(start) => Some(self.take_pipes(start.is_held)?),
            Order::Hello(_)
            | Order::Adopt { .. }
            | Order::Forget { .. }
            | Order::Stop { .. }
            | Order::Kill { .. }
            | Order::End => None,
        };
        Ok(Some((order, pipes)))
    }

    /// The first words of somebody whose version is not known yet; they are still given back by `next`. An error: it is
    /// no host.
    pub(super) fn knock(&self) -> Result<Option<Knock>, ChannelError> {
        let Some(text) = self.decoder.peek::<Box<RawValue>>()? else { return Ok(None) };
        knock(&text).map(Some).ok_or(ChannelError::Frame(FrameError::NoHello))
    }

    fn take_pipes(&mut self, is_held: bool) -> Result<Pipes, ChannelError> {
        let mut take = || self.descriptors.pop_front().ok_or(ChannelError::PipesMissing);
        let (stdout, stderr) = (take()?, take()?);
        let held = if is_held { Some(HeldOutput([take()?, take()?, take()?, take()?])) } else { None };
        Ok(Pipes { stdout, stderr, held })
    }

    pub(super) fn send(&mut self, notice: &Notice) {
        self.send_with(notice, Vec::new());
    }

    pub(super) fn send_with(&mut self, notice: &Notice, descriptors: Vec<OwnedFd>) {
        let Ok(frame) = encode(notice) else {
            // Notices hold no text that could grow; if one did, the host learns the end of the attempt from our death.
            self.host_gone = true;
            return;
        };
        match self.outgoing.back_mut() {
            Some(last) if descriptors.is_empty() => last.bytes.extend(frame),
            Some(_) | None => self.outgoing.push_back(Outgoing { bytes: frame, sent: 0, descriptors }),
        }
    }

    pub(super) fn flush(&mut self) {
        while let Some(front) = self.outgoing.front_mut() {
            match send(&self.socket, &front.bytes[front.sent..], &front.descriptors) {
                Ok(sent) => {
                    front.sent += sent;
                    front.descriptors.clear();
                    if front.sent == front.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.outgoing.clear();
                    self.host_gone = true;
                }
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // The first host's socket is our stdin, too: without this it would wait for our end in vain.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<usize, Errno> {
    if descriptors.is_empty() {
        return rustix::net::send(socket, bytes, SendFlags::NOSIGNAL);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let has_room = ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
    debug_assert!(has_room, "the space is made for these descriptors");
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}
