//! The warden: a small process of its own that starts every process of every attempt, knows when it ends, and leaves
//! nothing of it behind.
//!
//! It is the same binary as the host, started by it with a socket as its stdin. It lives in a session of its own, is
//! the parent that orphans fall to, and has one thread that waits for the socket, for ended children and for its
//! timers. It holds nothing of a task's output: the host makes the pipes and keeps the read ends.
//!
//! States of an attempt: *running* until its root process ends; then *ending*, while what is left of it is killed; then
//! its exit is reported and it is forgotten. When the host closes the socket or dies, all attempts get TERM, a short
//! grace and KILL, and the warden exits, within one second. When the warden dies, the next one finds what it left by
//! the names of its control groups and by the marks in environments, and ends it before it says that it is ready.
//!
//! Must not know: runs, tasks, rows, async; anything that would make it large.

mod attempts;
mod channel;
mod groups;
mod identity;
mod processes;
pub(crate) mod protocol;
mod spawn;
mod tree;

pub use protocol::Containment;

use attempts::Attempts;
use channel::Channel;
use protocol::{Hello, Notice, Order};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// From the host's end to KILL; TERM is sent at once.
const GRACE_WITHOUT_HOST: Duration = Duration::from_millis(300);

/// From the host's end to ours, whatever still hangs in the kernel.
const LINGER_MAX: Duration = Duration::from_millis(900);

#[derive(Debug, thiserror::Error)]
enum WardenError {
    #[error("stdin is not the socket of a host; the warden is started by `hostler serve`, not by hand")]
    NotASocket { source: rustix::io::Errno },
    #[error("/proc cannot be read")]
    ProcUnreadable,
    #[error("{what} failed")]
    System { what: &'static str, source: io::Error },
    #[error("the host broke the protocol")]
    Protocol(#[from] channel::ChannelError),
}

/// Runs the warden on the socket at stdin until the host is gone. To be called first thing in the process, before any
/// thread exists, since descriptors and signals of the whole process are set up here.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("hostler warden: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), WardenError> {
    close_on_exec_all().map_err(|source| WardenError::System { what: "listing open files", source })?;
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let socket = socket.map_err(|source| WardenError::System { what: "taking over the socket", source })?;
    rustix::net::sockopt::socket_type(&socket).map_err(|source| WardenError::NotASocket { source })?;
    let children = become_warden().map_err(|source| WardenError::System { what: "becoming a warden", source })?;
    let channel = Channel::new(socket).map_err(|source| WardenError::NotASocket { source })?;
    Warden { channel, children, attempts: None }.serve()
}

/// Session, orphans, limits and signals. Gives back what becomes readable when a child ends.
fn become_warden() -> io::Result<UnixStream> {
    // Fails only where we lead a group already, as when started from a shell by hand; then there is no terminal to
    // lose.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    catch_signals()?;
    let (sender, receiver) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, sender)?;
    Ok(receiver)
}

/// Catches what could end us, and does nothing: a signal to the whole service must reach the host, which then decides.
/// It also gives tasks default signals, since exec resets a caught one, but would keep one ignored by who started us.
fn catch_signals() -> io::Result<()> {
    use signal_hook::consts as signals;
    let caught = [
        signals::SIGHUP,
        signals::SIGINT,
        signals::SIGQUIT,
        signals::SIGPIPE,
        signals::SIGALRM,
        signals::SIGTERM,
        signals::SIGUSR1,
        signals::SIGUSR2,
        signals::SIGTSTP,
        signals::SIGTTIN,
        signals::SIGTTOU,
        signals::SIGXCPU,
        signals::SIGXFSZ,
        signals::SIGVTALRM,
        signals::SIGPROF,
        signals::SIGWINCH,
        signals::SIGURG,
        signals::SIGIO,
        signals::SIGCONT,
    ];
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in caught {
        signal_hook::flag::register(signal, seen.clone())?;
    }
    Ok(())
}

/// Whatever the host's parents left open without care must not reach a task.
fn close_on_exec_all() -> io::Result<()> {
    let entries: Vec<_> = std::fs::read_dir("/proc/self/fd")?.flatten().collect();
    let descriptors = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    descriptors.filter(|descriptor| *descriptor > 2).for_each(close_on_exec);
    Ok(())
}

#[expect(unsafe_code, reason = "descriptors known only by number can be borrowed in no other way")]
fn close_on_exec(descriptor: i32) {
    // SAFETY: nothing in this process closes descriptors while it runs, since there is one thread; for the one that
    // listed the folder, which is closed by now, the call fails and nothing else is done with the number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let _ = rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC);
}

struct Warden {
    channel: Channel,
    children: UnixStream,
    /// There once the host has said hello.
    attempts: Option<Attempts>,
}

impl Warden {
    fn serve(mut self) -> Result<(), WardenError> {
        while !self.channel.is_host_gone() {
            self.wait();
            self.channel.receive();
            while let Some((order, pipes)) = self.channel.next()? {
                self.obey(order, pipes)?;
            }
            self.step();
            self.channel.flush();
        }
        self.end();
        Ok(())
    }

    /// The host is gone: ends everything, and itself in any case.
    fn end(mut self) {
        let since = Instant::now();
        if let Some(attempts) = &mut self.attempts {
            attempts.stop_all(GRACE_WITHOUT_HOST);
        }
        while self.attempts.as_ref().is_some_and(|it| !it.is_empty()) && since.elapsed() < LINGER_MAX {
            self.step();
            self.channel.flush();
            let next = self.attempts.as_ref().and_then(Attempts::next_wake);
            let rest = LINGER_MAX.saturating_sub(since.elapsed());
            self.wait_for_children(next.unwrap_or(rest).min(rest));
        }
        if let Some(attempts) = &mut self.attempts {
            attempts.kill_all();
            attempts.reap();
        }
        self.channel.flush();
    }

    fn obey(&mut self, order: Order, pipes: Option<channel::Pipes>) -> Result<(), WardenError> {
        match (order, &mut self.attempts, pipes) {
            (Order::Hello(hello), _, _) => self.greet(&hello)?,
            (Order::Start(start), Some(attempts), Some(pipes)) => {
                if let Some(notice) = attempts.start(&start, pipes) {
                    self.channel.send(&notice);
                    self.channel.flush();
                }
            }
            (Order::Stop { id, grace }, Some(attempts), _) => attempts.stop(id, grace.to_std()),
            (Order::Kill { id }, Some(attempts), _) => attempts.kill(id),
            // Orders before a hello come from no host of ours.
            (Order::Start(_) | Order::Stop { .. } | Order::Kill { .. }, _, _) => {}
        }
        Ok(())
    }

    fn greet(&mut self, hello: &Hello) -> Result<(), WardenError> {
        let notice = match &mut self.attempts {
            _ if hello.version != protocol::VERSION => {
                let (theirs, ours) = (hello.version, protocol::VERSION);
                Notice::Refused { reason: format!("the host speaks version {theirs}, this warden {ours}") }
            }
            Some(attempts) => attempts.greet_again(hello.epoch),
            empty @ None => {
                let attempts = Attempts::open(hello).map_err(|error| match error {
                    attempts::OpenError::ProcUnreadable => WardenError::ProcUnreadable,
                    attempts::OpenError::Scratch { source } => {
                        WardenError::System { what: "making the folder for scripts", source }
                    }
                })?;
                let containment = attempts.containment();
                *empty = Some(attempts);
                Notice::Welcome { containment }
            }
        };
        self.channel.send(&notice);
        Ok(())
    }

    /// Takes note of what ended and what is due.
    fn step(&mut self) {
        let Some(attempts) = &mut self.attempts else { return };
        attempts.reap();
        for notice in attempts.advance(Instant::now()) {
            self.channel.send(&notice);
        }
    }

    /// Sleeps until there is an order, an ended child, room for notices, or a timer is due.
    fn wait(&mut self) {
        let timeout = self.attempts.as_ref().and_then(Attempts::next_wake).map(to_timespec);
        let writable = if self.channel.has_outgoing() { PollFlags::OUT } else { PollFlags::empty() };
        let socket = self.channel.socket();
        let mut descriptors =
            [PollFd::from_borrowed_fd(socket, PollFlags::IN | writable), PollFd::new(&self.children, PollFlags::IN)];
        // An interruption is as good as an event: all that follows looks for itself.
        let _ = rustix::event::poll(&mut descriptors, timeout.as_ref());
        self.forget_wakes();
    }

    fn wait_for_children(&mut self, limit: Duration) {
        let mut descriptors = [PollFd::new(&self.children, PollFlags::IN)];
        let _ = rustix::event::poll(&mut descriptors, Some(&to_timespec(limit)));
        self.forget_wakes();
    }

    fn forget_wakes(&mut self) {
        let mut bytes = [0; 256];
        while matches!(io::Read::read(&mut self.children, &mut bytes), Ok(read) if read == bytes.len()) {}
    }
}

/// Lets killed processes go; used only before the loop runs.
fn pause(span: Duration) {
    let _ = rustix::event::poll(&mut [], Some(&to_timespec(span)));
}

fn to_timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(span.subsec_nanos()) }
}
