//! The warden's end of the socket to the host: whole orders in, with the pipe ends that came along, and notices out.
//!
//! Invariants: it never blocks; a `Start` is given back only together with its two pipe ends; what cannot be written
//! yet is kept, and is bounded by two notices per attempt. Must not know: what orders mean.

use super::protocol::{Decoder, FrameError, Notice, Order, encode};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const READ_BYTES: usize = 64 * 1024;
const DESCRIPTORS_PER_READ: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("the host sent something unreadable")]
    Frame(#[from] FrameError),
    #[error("the host sent an order to start without its two pipes")]
    PipesMissing,
}

/// The write ends of an attempt's stdout and stderr.
pub(super) struct Pipes {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

pub(super) struct Channel {
    socket: OwnedFd,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
    outgoing: VecDeque<u8>,
    host_gone: bool,
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

    /// The next whole order, with its pipes if it is a `Start`.
    pub(super) fn next(&mut self) -> Result<Option<(Order, Option<Pipes>)>, ChannelError> {
        let Some(order) = self.decoder.next::<Order>()? else { return Ok(None) };
        let pipes = match order {
            Order::Start(_) => Some(self.take_pipes()?),
            Order::Hello(_) | Order::Stop { .. } | Order::Kill { .. } => None,
        };
        Ok(Some((order, pipes)))
    }

    fn take_pipes(&mut self) -> Result<Pipes, ChannelError> {
        let stdout = self.descriptors.pop_front().ok_or(ChannelError::PipesMissing)?;
        let stderr = self.descriptors.pop_front().ok_or(ChannelError::PipesMissing)?;
        Ok(Pipes { stdout, stderr })
    }

    pub(super) fn send(&mut self, notice: &Notice) {
        match encode(notice) {
            Ok(frame) => self.outgoing.extend(frame),
            // Notices hold no text that could grow; if one did, the host learns the end of the attempt from our death.
            Err(_) => self.host_gone = true,
        }
    }

    pub(super) fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            match rustix::net::send(&self.socket, front, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
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
