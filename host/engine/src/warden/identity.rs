//! Who a warden is, for those that come after it: a name that tells from outside whether the warden still lives.
//!
//! Invariants: no two wardens of one boot share a name, since a pid comes again only with another start time; a name
//! from another pid namespace is never judged, because its pids mean nothing here. Must not know: attempts.

use rustix::process::Pid;
use std::fmt;

/// The variable that every process of an attempt inherits, beside the environment the attempt was given. Where there
/// are no control groups it says which attempt, and whose, a process without parents belongs to.
pub(super) const MARK: &str = "HOSTLER_HANDLE";

const PREFIX: &str = "hostler-";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// The inode of the pid namespace.
    namespace: u64,
    pid: i32,
    /// In clock ticks since boot.
    started: u64,
}

impl Identity {
    pub(super) fn own() -> Option<Self> {
        let pid = rustix::process::getpid();
        let stat = super::processes::read(pid.as_raw_pid())?;
        Some(Self { namespace: own_namespace()?, pid: pid.as_raw_pid(), started: stat.started })
    }

    /// The identity in a folder's name or in front of a mark, if it is one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
        let namespace = parts.next()?.parse().ok()?;
        let pid = parts.next()?.parse().ok()?;
        let started = parts.next()?.parse().ok()?;
        Some(Self { namespace, pid, started })
    }

    pub(super) fn pid(self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    /// Whether it was a warden of this pid namespace that lives no more.
    pub(super) fn is_dead_here(self) -> bool {
        let alive = || super::processes::read(self.pid).is_some_and(|it| it.started == self.started && !it.is_zombie);
        own_namespace() == Some(self.namespace) && !alive()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}-{}", self.namespace, self.pid, self.started)
    }
}

fn own_namespace() -> Option<u64> {
    rustix::fs::stat("/proc/self/ns/pid").ok().map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_the_living_are_not_called_dead() {
        let own = Identity::own().expect("/proc is mounted");
        assert_eq!(Identity::parse(&own.to_string()), Some(own));
        assert!(!own.is_dead_here());
    }

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let own = Identity::own().expect("/proc is mounted");
        assert!(Identity { started: own.started + 1, ..own }.is_dead_here());
        assert!(!Identity { started: own.started + 1, namespace: own.namespace + 1, ..own }.is_dead_here());
        assert_eq!(Identity::parse("hostler-1-2"), None);
        assert_eq!(Identity::parse("other-1-2-3"), None);
    }
}
