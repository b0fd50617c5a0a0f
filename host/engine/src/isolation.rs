//! What keeps process tasks from the host's own files: another user where the host is root, Landlock else; and that
//! nobody but root may look into host and warden.
//!
//! Decided once, at the start; `facts` says in data what holds, for whoever prints it. Must not know: attempts, how
//! processes are started.

use hostler_model::RunKey;
use landlock::{ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus};
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Users that tasks run as where nothing else is said; the first that exists.
const TASK_USERS: [&str; 2] = ["hostler-task", "nobody"];

/// Each run has a group of its own, so that its folders are closed to the tasks of other runs, which have the same
/// user. No group of these numbers is known to any machine: the first range is far above what is given out, the second
/// is that of systemd's dynamic users, for namespaces that have no larger numbers.
const GROUPS: (u32, u32) = (0x6000_0000, 0x1000_0000);
const GROUPS_SMALL: (u32, u32) = (61_184, 4_336);

/// Which calls of Landlock we know; a kernel that has fewer enforces those.
pub(crate) const LANDLOCK_ABI: ABI = ABI::V5;

/// The user that process tasks are to run as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// Another one where the host is root and that one can reach the data folder.
    Auto,
    /// As the host.
    Same,
    Named(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Landlock {
    /// Where tasks run as the host's user and the kernel has it.
    Auto,
    On,
    Off,
}

#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    #[error("tasks cannot run as user `{name}`: {reason}")]
    User { name: String, reason: String },
    #[error("the kernel of this machine has no Landlock, or it is turned off")]
    NoLandlock,
    #[error("`{path}` cannot be opened to the user of tasks")]
    Folder { path: PathBuf, source: io::Error },
}

/// Another user than the host's, for process tasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskUser {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
    groups: (u32, u32),
}

impl TaskUser {
    /// The group of a run.
    pub(crate) fn group_of(&self, run: RunKey) -> u32 {
        let (first, count) = self.groups;
        first + u32::try_from(run.0.rem_euclid(i64::from(count))).unwrap_or(0)
    }
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Isolation {
    pub user: Option<TaskUser>,
    /// The data folder, where Landlock keeps tasks out of it.
    pub landlock: Option<PathBuf>,
}

/// What is and what is not kept apart here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub host_is_root: bool,
    /// Tasks run as this user; `None`: as the host's.
    pub user: Option<String>,
    pub kernel_has_landlock: bool,
    /// Tasks are kept out of the data folder by it.
    pub landlock: bool,
    /// Processes of the same user can look into this one.
    pub is_dumpable: bool,
}

impl Isolation {
    /// What will be decided, without the folder being changed for it. `data` must be there.
    pub fn foresee(user: &User, landlock: Landlock, data: &Path) -> Result<Self, IsolationError> {
        let data =
            &fs::canonicalize(data).map_err(|source| IsolationError::Folder { path: data.to_owned(), source })?;
        let user = choose_user(user, data)?;
        let is_fenced = match landlock {
            Landlock::Off => false,
            Landlock::Auto => user.is_none() && kernel_has_landlock(),
            Landlock::On if kernel_has_landlock() => true,
            Landlock::On => return Err(IsolationError::NoLandlock),
        };
        Ok(Self { user, landlock: is_fenced.then(|| data.clone()) })
    }

    /// `data` must be there; another user may pass through it from now on.
    pub fn decide(user: &User, landlock: Landlock, data: &Path) -> Result<Self, IsolationError> {
        let isolation = Self::foresee(user, landlock, data)?;
        if isolation.user.is_some() {
            open_way(data).map_err(|source| IsolationError::Folder { path: data.to_owned(), source })?;
        }
        Ok(isolation)
    }

    pub fn facts(&self) -> Facts {
        Facts {
            host_is_root: rustix::process::geteuid().is_root(),
            user: self.user.as_ref().map(|user| user.name.clone()),
            kernel_has_landlock: kernel_has_landlock(),
            landlock: self.landlock.is_some(),
            is_dumpable: rustix::process::dumpable_behavior()
                .is_ok_and(|behavior| behavior == DumpableBehavior::Dumpable),
        }
    }
}

/// Memory, environment and open files of this process are closed to other processes of the same user. It leaves no core
/// dumps either.
pub fn become_undumpable() {
    // No kernel we run on refuses it.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

fn choose_user(wanted: &User, data: &Path) -> Result<Option<TaskUser>, IsolationError> {
    match wanted {
        User::Same => Ok(None),
        User::Auto if !can_switch() => Ok(None),
        User::Auto => {
            let Some(user) = TASK_USERS.iter().find_map(|name| look_up(name)) else { return Ok(None) };
            if let Some(closed) = closed_to(&user, data) {
                tracing::warn!(
                    "tasks run as root: user `{}` cannot enter `{}`, above the data folder; a data folder such as \
                     /var/lib/hostler lets them run as that user",
                    user.name,
                    closed.display()
                );
                return Ok(None);
            }
            Ok(Some(user))
        }
        User::Named(name) => {
            let error = |reason: String| IsolationError::User { name: name.clone(), reason };
            let user = look_up(name).ok_or_else(|| error("/etc/passwd does not know it".into()))?;
            if user.uid == rustix::process::geteuid().as_raw() {
                return Ok(None);
            }
            if !can_switch() {
                return Err(error("only root can start processes as somebody else".into()));
            }
            match closed_to(&user, data) {
                Some(closed) => Err(error(format!("it cannot enter `{}`, above the data folder", closed.display()))),
                None => Ok(Some(user)),
            }
        }
    }
}

/// Root with the capabilities for it; containers often take some away.
fn can_switch() -> bool {
    const CHOWN_DAC_SETGID_SETUID: u64 = 1 << 0 | 1 << 1 | 1 << 6 | 1 << 7;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    rustix::process::geteuid().is_root() && effective & CHOWN_DAC_SETGID_SETUID == CHOWN_DAC_SETGID_SETUID
}

/// From `/etc/passwd` alone: a static binary has no other directory of users.
fn look_up(name: &str) -> Option<TaskUser> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = PathBuf::from(fields.nth(1)?);
        is_it.then(|| TaskUser { name: name.to_owned(), uid, gid, home, groups: groups() })
    })
}

fn groups() -> (u32, u32) {
    let map = fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let is_mapped = map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
        let end = u64::from(GROUPS.0) + u64::from(GROUPS.1);
        matches!(numbers[..], [inside, _, count] if inside <= u64::from(GROUPS.0) && inside + count >= end)
    });
    if is_mapped { GROUPS } else { GROUPS_SMALL }
}

/// The first folder above this one that the user may not enter.
fn closed_to(user: &TaskUser, data: &Path) -> Option<PathBuf> {
    let is_closed = |folder: &&Path| {
        let Ok(metadata) = fs::metadata(folder) else { return true };
        let bit = match metadata.uid() == user.uid {
            true => 0o100,
            false if metadata.gid() == user.gid => 0o010,
            false => 0o001,
        };
        metadata.mode() & bit == 0
    };
    let above: Vec<&Path> = data.ancestors().skip(1).collect();
    above.into_iter().rev().find(is_closed).map(Path::to_owned)
}

/// Lets others pass through the data folder, and look at nothing in it: the files in it are their owner's alone.
fn open_way(data: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode();
        if !entry.file_type()?.is_symlink() && mode & 0o077 != 0 {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode & 0o700))?;
        }
    }
    fs::set_permissions(data, fs::Permissions::from_mode(0o711))
}

/// Tried on a thread that ends with it, since it cannot be taken back.
fn kernel_has_landlock() -> bool {
    let probe = || -> Option<bool> {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(LANDLOCK_ABI)).ok()?.create().ok()?;
        let root = PathBeneath::new(PathFd::new("/").ok()?, AccessFs::from_all(LANDLOCK_ABI));
        let status = ruleset.add_rule(root).ok()?.restrict_self().ok()?;
        Some(status.ruleset != RulesetStatus::NotEnforced)
    };
    std::thread::spawn(probe).join().ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_a_group_of_its_own() {
        let user = TaskUser { name: "x".into(), uid: 1, gid: 1, home: "/".into(), groups: GROUPS_SMALL };
        assert_ne!(user.group_of(RunKey(1)), user.group_of(RunKey(2)));
        assert!((61_184..65_520).contains(&user.group_of(RunKey(i64::MAX))));
    }

    #[test]
    fn a_user_is_found_with_its_numbers_and_home() {
        let root = look_up("root").expect("every machine has one");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(look_up("no such user"), None);
    }
}
