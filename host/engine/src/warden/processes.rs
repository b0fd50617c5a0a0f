//! What `/proc` says about processes: parent, group, start time, environment mark.
//!
//! Invariants: a process is signalled only through a descriptor that was checked to be the process that was read, so
//! that a pid which came again is never hit. Must not know: attempts, control groups.

use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::HashMap;

/// Environments larger than this are cut; the mark stands first in what we start.
const ENVIRONMENT_BYTES_MAX: usize = 256 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// In clock ticks since boot.
    pub(super) started: u64,
    pub(super) is_zombie: bool,
}

impl Process {
    /// The value of `name` in the environment it was started with.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        let mut bytes = std::fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        bytes.truncate(ENVIRONMENT_BYTES_MAX);
        let value = bytes.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?;
            value.strip_prefix(b"=")
        })?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let Ok(descriptor) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
        if read(self.pid).is_some_and(|now| now.started == self.started) {
            // The only failure left is that it ended by itself.
            let _ = rustix::process::pidfd_send_signal(descriptor, signal);
        }
    }
}

/// All processes that can be seen now.
pub(super) struct Snapshot {
    processes: HashMap<i32, Process>,
}

impl Snapshot {
    pub(super) fn take() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let processes = pids.filter_map(|pid| Some((pid, read(pid)?))).collect();
        Self { processes }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// From the process up through its parents, itself first.
    pub(super) fn ancestry(&self, process: &Process) -> impl Iterator<Item = &Process> {
        // Parents can change while the snapshot is taken; the bound keeps a cycle made by that from being endless.
        let bound = self.processes.len();
        std::iter::successors(self.processes.get(&process.pid), |it| self.processes.get(&it.parent)).take(bound)
    }
}

pub(super) fn read(pid: i32) -> Option<Process> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &String::from_utf8_lossy(&text))
}

fn parse(pid: i32, stat: &str) -> Option<Process> {
    // The command's name stands in parentheses and may hold anything, also spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Field 22 of proc(5); state, parent and group were fields 3 to 5.
    let started = fields.nth(16)?.parse().ok()?;
    Some(Process { pid, parent, group, started, is_zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "7 (a) b (c) S 3 5 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 991 0 0";
        let process = parse(7, stat).expect("it is well formed");
        assert_eq!((process.parent, process.group, process.started, process.is_zombie), (3, 5, 991, false));
    }

    #[test]
    fn the_own_process_is_found_with_its_parents() {
        let snapshot = Snapshot::take();
        let own = read(rustix::process::getpid().as_raw_pid()).expect("/proc is mounted");
        let ancestry: Vec<i32> = snapshot.ancestry(&own).map(|it| it.pid).collect();
        assert_eq!(ancestry.first(), Some(&own.pid));
        assert!(ancestry.contains(&own.parent));
    }
}
