//! The warden: a small process of its own that starts every process of every attempt, knows when it ends, and leaves
//! nothing of it behind.
//!
//! It is the same binary as the host, started by it with a socket as its stdin. It lives in a session of its own, is
//! the parent that orphans fall to, and has one thread that waits for the socket, for ended children and for its
//! timers. It never touches a task's output: the host makes the pipes and reads them.
//!
//! States of an attempt: *running* until its root process ends; then *ending*, while what is left of it is killed; then
//! its exit is reported and it is forgotten. When the host closes the socket or dies, all attempts get TERM, a short
//! grace and KILL, and the warden exits, within one second. When the warden dies, the next one finds what it left by
//! the names of its control groups and by the marks in environments, and ends it before it says that it is ready.
//!
//! Where the host has asked it to keep attempts, it lives on without a host for that long, holds the descriptors of
//! their output and their exits, and hands both to the next host, which it knows by a secret. An exit is held until the
//! host says that it is durable.
//!
//! Must not know: runs, tasks, rows, async; anything that would make it large.

mod attempts;
mod cage;
mod channel;
mod door;
mod groups;
mod identity;
mod processes;
pub(crate) mod protocol;
mod spawn;
mod tree;

pub(crate) use door::reach;
pub use protocol::Containment;

use attempts::Attempts;
use channel::Channel;
use door::{Door, Visitor};
use protocol::{Hello, Notice, Order};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// From the host's end to KILL; TERM is sent at once.
const GRACE_WITHOUT_HOST: Duration = Duration::from_millis(300);

/// From the host's end to ours, whatever still hangs in the kernel.
const LINGER_MAX: Duration = Duration::from_millis(900);

/// How a warden that this process started would keep the processes of an attempt together. Moves the calling process
/// into a control group and out again, so nothing else should be going on in it.
pub fn containment_here() -> Containment {
    let groups = identity::Identity::own().and_then(|own| groups::Groups::find(Containment::Auto, own));
    groups.map_or(Containment::Marks, |groups| groups.containment())
}

#[derive(Debug, thiserror::Error)]
enum WardenError {
    #[error("stdin is not the socket of a host; the warden is started by `hostler serve`, not by hand")]
    NotASocket { source: rustix::io::Errno },
    #[error("/proc cannot be read")]
    ProcUnreadable,
    #[error("`{scratch}` is held by another warden that does not end; end that process")]
    Held { scratch: std::path::PathBuf },
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
            // The host's stderr may be gone with the host.
            let _ = writeln!(io::stderr(), "{text}");
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
    let channel = Some(channel);
    Warden { channel, children, attempts: None, stay: None, away_since: None, is_ending: false }.serve()
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
    /// There while a host is.
    channel: Option<Channel>,
    children: UnixStream,
    /// There once a host has said hello.
    attempts: Option<Attempts>,
    stay: Option<Stay>,
    away_since: Option<Instant>,
    /// The host has ordered the end.
    is_ending: bool,
}

/// Lives on without a host.
struct Stay {
    door: Door,
    keep: Duration,
}

impl Warden {
    fn serve(mut self) -> Result<(), WardenError> {
        while !self.is_over() {
            self.wait();
            self.listen()?;
            self.meet()?;
            self.step();
            self.flush();
        }
        self.end();
        Ok(())
    }

    fn is_over(&self) -> bool {
        if self.is_ending || self.channel.is_some() {
            return self.is_ending;
        }
        // There is nothing to keep without attempts; the next host starts a warden of its own.
        self.time_left().is_none_or(|left| left.is_zero()) || self.attempts.as_ref().is_none_or(Attempts::holds_nothing)
    }

    /// How long the host may still be away; `None` where it may not.
    fn time_left(&self) -> Option<Duration> {
        let (stay, since) = (self.stay.as_ref()?, self.away_since?);
        Some(stay.keep.saturating_sub(since.elapsed()))
    }

    /// Ends everything, and itself in any case.
    fn end(mut self) {
        // Nobody may come to one that is on its way out.
        self.stay = None;
        let since = Instant::now();
        if let Some(attempts) = &mut self.attempts {
            attempts.stop_all(GRACE_WITHOUT_HOST);
        }
        while self.attempts.as_ref().is_some_and(|it| !it.is_empty()) && since.elapsed() < LINGER_MAX {
            self.step();
            self.flush();
            let next = self.attempts.as_ref().and_then(Attempts::next_wake);
            let rest = LINGER_MAX.saturating_sub(since.elapsed());
            self.wait_for_children(next.unwrap_or(rest).min(rest));
        }
        if let Some(attempts) = &mut self.attempts {
            attempts.kill_all();
            attempts.reap();
        }
        self.flush();
    }

    /// Obeys what the host has said, and notices when it is gone.
    fn listen(&mut self) -> Result<(), WardenError> {
        if let Some(channel) = &mut self.channel {
            channel.receive();
        }
        while let Some((order, pipes)) = self.channel.as_mut().map(Channel::next).transpose()?.flatten() {
            self.obey(order, pipes)?;
        }
        if self.channel.as_ref().is_some_and(Channel::is_host_gone) {
            self.channel = None;
            self.away_since = Some(Instant::now());
        }
        Ok(())
    }

    fn obey(&mut self, order: Order, pipes: Option<channel::Pipes>) -> Result<(), WardenError> {
        match (order, &mut self.attempts, pipes) {
            (Order::Hello(hello), _, _) => self.greet(&hello)?,
            (Order::Start(start), Some(attempts), Some(pipes)) => {
                if let Some(notice) = attempts.start(&start, pipes) {
                    self.send(&notice);
                    self.flush();
                }
            }
            (Order::Adopt { id }, Some(attempts), _) => {
                let answer = attempts.adopt(id);
                if let Some(channel) = &mut self.channel {
                    answer.into_iter().for_each(|(notice, descriptors)| channel.send_with(&notice, descriptors));
                }
            }
            (Order::Forget { id }, Some(attempts), _) => attempts.forget(id),
            (Order::Stop { id, grace }, Some(attempts), _) => attempts.stop(id, grace.to_std()),
            (Order::Kill { id }, Some(attempts), _) => attempts.kill(id),
            (Order::End, _, _) => self.is_ending = true,
            // Orders before a hello come from no host of ours.
            (
                Order::Start(_) | Order::Adopt { .. } | Order::Forget { .. } | Order::Stop { .. } | Order::Kill { .. },
                _,
                _,
            ) => {}
        }
        Ok(())
    }

    fn greet(&mut self, hello: &Hello) -> Result<(), WardenError> {
        let notice = match &mut self.attempts {
            _ if hello.version != protocol::VERSION => other_version(hello.version),
            Some(attempts) => attempts.greet_again(hello.epoch),
            empty @ None => {
                let attempts = Attempts::open(hello).map_err(|error| match error {
                    attempts::OpenError::ProcUnreadable => WardenError::ProcUnreadable,
                    attempts::OpenError::Scratch { source } => {
                        WardenError::System { what: "making the folder for scripts", source }
                    }
                    attempts::OpenError::Cage { source } => {
                        WardenError::System { what: "keeping tasks from the host", source }
                    }
                    attempts::OpenError::Held => WardenError::Held { scratch: hello.scratch.clone() },
                })?;
                // Before the first task, and after what a process that is closed to others cannot open of its own.
                crate::isolation::become_undumpable();
                empty.insert(attempts).welcome()
            }
        };
        if let Notice::Welcome { .. } = notice {
            self.settle(hello)?;
        }
        self.send(&notice);
        Ok(())
    }

    /// Opens the door to the next host, or closes it, as this one wishes.
    fn settle(&mut self, hello: &Hello) -> Result<(), WardenError> {
        let keep = hello.keep.to_std();
        self.stay = match self.stay.take() {
            _ if keep.is_zero() => None,
            Some(stay) => Some(Stay { keep, ..stay }),
            None => {
                let door = Door::open(&hello.meeting, &hello.secret);
                let door = door.map_err(|source| WardenError::System { what: "opening the socket", source })?;
                Some(Stay { door, keep })
            }
        };
        Ok(())
    }

    /// The next host takes the place of the one before, unless it is older than that one. A host of another version
    /// cannot go on with anything here, so the end makes room for a warden of its own.
    fn meet(&mut self) -> Result<(), WardenError> {
        let Some(Visitor { mut channel, version }) = self.stay.as_mut().and_then(|stay| stay.door.answer()) else {
            return Ok(());
        };
        if version != protocol::VERSION {
            channel.send(&other_version(version));
            channel.flush();
            self.is_ending = true;
            return Ok(());
        }
        let Ok(Some((Order::Hello(hello), _))) = channel.next() else { return Ok(()) };
        if let Some(refused) = self.attempts.as_ref().and_then(|attempts| attempts.refuse(hello.epoch)) {
            channel.send(&refused);
            channel.flush();
            return Ok(());
        }
        self.channel = Some(channel);
        self.away_since = None;
        self.greet(&hello)
    }

    fn send(&mut self, notice: &Notice) {
        if let Some(channel) = &mut self.channel {
            channel.send(notice);
        }
    }

    fn flush(&mut self) {
        if let Some(channel) = &mut self.channel {
            channel.flush();
        }
    }

    /// Takes note of what ended and what is due.
    fn step(&mut self) {
        let Some(attempts) = &mut self.attempts else { return };
        attempts.reap();
        for notice in attempts.advance(Instant::now()) {
            self.send(&notice);
        }
    }

    /// Sleeps until there is an order, an ended child, room for notices, somebody at the door, or a timer is due.
    fn wait(&mut self) {
        let next = self.attempts.as_ref().and_then(Attempts::next_wake);
        let timeout = [next, self.time_left()].into_iter().flatten().min().map(to_timespec);
        let mut descriptors = vec![PollFd::new(&self.children, PollFlags::IN)];
        if let Some(channel) = &self.channel {
            let writable = if channel.has_outgoing() { PollFlags::OUT } else { PollFlags::empty() };
            descriptors.push(PollFd::from_borrowed_fd(channel.socket(), PollFlags::IN | writable));
        }
        let door = self.stay.iter().flat_map(|stay| stay.door.descriptors());
        descriptors.extend(door.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
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

fn other_version(theirs: u32) -> Notice {
    let ours = protocol::VERSION;
    Notice::Refused { reason: format!("the host speaks version {theirs}, this warden {ours}") }
}

/// Lets killed processes go; used only before the loop runs.
fn pause(span: Duration) {
    let _ = rustix::event::poll(&mut [], Some(&to_timespec(span)));
}

fn to_timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(span.subsec_nanos()) }
}
