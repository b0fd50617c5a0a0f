//! Control groups: one leaf per attempt below a folder of this warden, in the hierarchy that works here.
//!
//! Making and removing a group costs more than all else around a spawn, so a leaf that was left empty serves again.
//!
//! Invariants: an attempt is in its leaf before its first instruction, because the warden enters the leaf, spawns, and
//! leaves again; so nothing an attempt starts is ever outside. Only leaves made by a warden are touched, and never the
//! warden itself is killed in one. Must not know: attempts' states, the host.

use super::identity::Identity;
use super::protocol::Containment;
use rustix::process::{Pid, Signal};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Empty leaves kept for the next attempts.
const FREE_MAX: usize = 64;

pub(super) struct Groups {
    version: Version,
    /// The group the warden itself lives in.
    home: File,
    /// The folder of this warden, in which the leaves are.
    base: PathBuf,
    free: Vec<Leaf>,
    /// Counts the leaves that were made; their names are numbers.
    made: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Pids,
    Unified,
}

impl Version {
    /// The file that takes a thread or process which enters. For one's own single thread the `tasks` file takes no lock
    /// over the whole machine, `cgroup.procs` does.
    fn entrance(self) -> &'static str {
        match self {
            Self::Pids => "tasks",
            Self::Unified => "cgroup.procs",
        }
    }

    /// The file by which it is known whether anybody is in it, and what it then says.
    fn count(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::Pids => ("pids.current", b"0\n"),
            Self::Unified => ("cgroup.procs", b""),
        }
    }

    fn containment(self) -> Containment {
        match self {
            Self::Pids => Containment::PidsGroup,
            Self::Unified => Containment::UnifiedGroup,
        }
    }
}

/// The control group of one attempt.
pub(super) struct Leaf {
    path: PathBuf,
    /// None in a leaf that a dead warden has left.
    doors: Option<Doors>,
    /// It allows no more processes.
    is_closed: bool,
}

/// The files of a leaf that every attempt needs, held open.
struct Doors {
    /// Takes whoever enters.
    entrance: File,
    /// How many are in it, as text. The list of members would not do: of a file that stays open, version 1 gives a list
    /// that is up to a second old.
    count: File,
    /// What `count` says when nobody is in it.
    nobody: &'static [u8],
}

impl Doors {
    fn open(leaf: &Path, version: Version) -> io::Result<Self> {
        let entrance = File::options().write(true).open(leaf.join(version.entrance()))?;
        let (name, nobody) = version.count();
        Ok(Self { entrance, count: File::open(leaf.join(name))?, nobody })
    }

    /// Whether the kernel counts nobody. Who has ended and was not waited for may be counted still.
    fn is_nobody_counted(&self) -> bool {
        let mut text = [0; 64];
        self.count.read_at(&mut text, 0).is_ok_and(|read| &text[..read] == self.nobody)
    }
}

impl Groups {
    /// Finds a hierarchy in which this process may make groups below its own, or `None`.
    pub(super) fn find(wanted: Containment, identity: Identity) -> Option<Self> {
        let versions: &[Version] = match wanted {
            Containment::Auto => &[Version::Pids, Version::Unified],
            Containment::PidsGroup => &[Version::Pids],
            Containment::UnifiedGroup => &[Version::Unified],
            Containment::Marks => &[],
        };
        versions.iter().find_map(|version| Self::open(*version, identity).ok())
    }

    fn open(version: Version, identity: Identity) -> io::Result<Self> {
        let own = own_group(version).ok_or(io::ErrorKind::NotFound)?;
        let home = File::options().write(true).open(own.join(version.entrance()))?;
        let base = own.join(identity.to_string());
        fs::create_dir(&base)?;
        let mut groups = Self { version, home, base, free: Vec::new(), made: 0 };
        // Some hierarchies let one make groups but not enter them; better to know it now than at the first attempt.
        let probe = groups.take()?;
        groups.within(&probe, || ())?;
        // It cannot be removed while we are still in it, so this says that leaving works, too.
        if probe.remove() { Ok(groups) } else { Err(io::ErrorKind::ResourceBusy.into()) }
    }

    pub(super) fn containment(&self) -> Containment {
        self.version.containment()
    }

    /// An empty leaf.
    pub(super) fn take(&mut self) -> io::Result<Leaf> {
        if let Some(leaf) = self.free.pop() {
            return Ok(leaf);
        }
        let path = self.base.join(self.made.to_string());
        self.made += 1;
        fs::create_dir(&path)?;
        let doors = Doors::open(&path, self.version);
        let leaf = Leaf { path, doors: None, is_closed: false };
        match doors {
            Ok(doors) => Ok(Leaf { doors: Some(doors), ..leaf }),
            Err(error) => {
                leaf.remove();
                Err(error)
            }
        }
    }

    /// The attempt is over. Gives the leaf back when the kernel does not let it go yet.
    pub(super) fn put_back(&mut self, leaf: Leaf) -> Option<Leaf> {
        if !leaf.is_closed && self.free.len() < FREE_MAX && leaf.is_empty() {
            self.free.push(leaf);
            return None;
        }
        (!leaf.remove()).then_some(leaf)
    }

    /// Does `work` inside the leaf; what it spawns is born there.
    pub(super) fn within<T>(&self, leaf: &Leaf, work: impl FnOnce() -> T) -> io::Result<T> {
        (&leaf.doors.as_ref().ok_or(io::ErrorKind::NotFound)?.entrance).write_all(b"0")?;
        let done = work();
        // It worked for the probe. If it fails all the same we stay in the leaf: it is then removed later, and the next
        // attempt enters its own from here.
        let _ = (&self.home).write_all(b"0");
        Ok(done)
    }

    /// Ends what is left in the groups of wardens that live no more, and removes them.
    pub(super) fn sweep(&self) {
        let Some(own) = self.base.parent() else { return };
        for entry in fs::read_dir(own).into_iter().flatten().flatten() {
            let identity = entry.file_name().to_str().and_then(Identity::parse);
            if identity.is_some_and(Identity::is_dead_here) {
                end_base(&entry.path());
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for leaf in leaves(&self.base) {
            leaf.remove();
        }
        // A folder that stays because something in it would not die is removed by the next warden's sweep.
        let _ = fs::remove_dir(&self.base);
    }
}

impl Leaf {
    pub(super) fn is_empty(&self) -> bool {
        // The usual case for the price of one call; whoever is counted may be us, or have ended.
        self.doors.as_ref().is_some_and(Doors::is_nobody_counted) || self.members().is_empty()
    }

    pub(super) fn signal(&self, signal: Signal) {
        for pid in self.members() {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Kills all that is in it. What is being forked meanwhile is killed by the next call: call until it is empty.
    pub(super) fn kill(&mut self) {
        self.is_closed = true;
        // With no more processes allowed, a fork bomb cannot outrun the loop. Where there is no such file, the kernel
        // either has `cgroup.kill`, which needs no help, or the loop has to do.
        let _ = fs::write(self.path.join("pids.max"), "0");
        let members = self.members();
        let holds_warden = members.len() != self.count();
        if holds_warden || fs::write(self.path.join("cgroup.kill"), "1").is_err() {
            for pid in members {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Removes it if it is empty; says whether it is gone.
    pub(super) fn remove(&self) -> bool {
        match fs::remove_dir(&self.path) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn members(&self) -> Vec<Pid> {
        let own = rustix::process::getpid();
        self.pids().filter_map(Pid::from_raw).filter(|pid| *pid != own).collect()
    }

    fn count(&self) -> usize {
        self.pids().filter(|pid| *pid > 0).count()
    }

    fn pids(&self) -> impl Iterator<Item = i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        pids.into_iter()
    }
}

fn leaves(base: &Path) -> impl Iterator<Item = Leaf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let leaf = |entry: fs::DirEntry| Leaf { path: entry.path(), doors: None, is_closed: false };
    entries.filter(|entry| entry.path().is_dir()).map(leaf)
}

/// Kills what is left in a dead warden's groups; bounded, because a process that hangs in the kernel cannot be killed.
fn end_base(base: &Path) {
    const ROUNDS: u32 = 100;
    for _ in 0..ROUNDS {
        let mut is_clear = true;
        for mut leaf in leaves(base) {
            if !leaf.is_empty() {
                leaf.kill();
            }
            is_clear &= leaf.remove();
        }
        if is_clear && fs::remove_dir(base).is_ok() {
            return;
        }
        super::pause(std::time::Duration::from_millis(5));
    }
}

/// Where this process is in the hierarchy, as a folder.
fn own_group(version: Version) -> Option<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match version {
            Version::Pids => controllers.split(',').any(|controller| controller == "pids"),
            Version::Unified => controllers.is_empty(),
        };
        is_it.then(|| path.trim_start_matches('/').to_owned())
    })?;
    Some(mount_point(version)?.join(path))
}

fn mount_point(version: Version) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match version {
            Version::Pids => kind == "cgroup" && options.split(',').any(|option| option == "pids"),
            Version::Unified => kind == "cgroup2",
        };
        is_it.then(|| PathBuf::from(point))
    })
}
