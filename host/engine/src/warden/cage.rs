//! Starts a process so that it can reach what is its own and not what is the host's: as another user, with Landlock, or
//! both, as was decided for this host.
//!
//! Invariants: nothing of it stays with the warden, neither the user nor the fence; a process that cannot be kept apart
//! is not started. Must not know: what is started, attempts' states.

use super::protocol::StartOrder;
use crate::isolation::{Isolation, LANDLOCK_ABI, TaskUser};
use landlock::{
    Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr,
};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

pub(super) struct Cage {
    user: Option<TaskUser>,
    fence: Option<Fence>,
    /// Of open files, where ours was raised above what tasks get.
    limit: Option<Rlimit>,
}

impl Cage {
    /// `keeps`: the warden holds descriptors of every attempt, and needs as many as it can have.
    pub(super) fn make(isolation: &Isolation, keeps: bool) -> io::Result<Self> {
        let limit = if keeps { raise_limit()? } else { None };
        let fence = isolation.landlock.as_deref().map(Fence::new);
        let cage = Self { user: isolation.user.clone(), fence, limit };
        if let Some(user) = &cage.user {
            // Ours from now on, and what is spawned inherits them: the user's own group, and none of the host's.
            set_thread_groups(&[Gid::from_raw(user.gid)])?;
            // Else a container of the same run could leave a setuid program of root's in their workspace.
            set_no_new_privs(true)?;
            // Better known now than at the first attempt.
            as_user(user, user.gid, || ())?;
        }
        Ok(cage)
    }

    /// Lets the user of a run's tasks read a file of the host's.
    pub(super) fn admit(&self, order: &StartOrder, file: &fs::File) -> io::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        std::os::unix::fs::fchown(file, None, Some(user.group_of(order.id.run)))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(0o640))?;
        Ok(())
    }

    /// Folders that tasks pass through to a file they may read.
    pub(super) fn folder_mode(&self) -> u32 {
        if self.user.is_some() { 0o711 } else { 0o700 }
    }

    pub(super) fn spawn(
        &mut self,
        order: &StartOrder,
        script: Option<&Path>,
        command: &mut Command,
    ) -> io::Result<Child> {
        let child = self.spawn_apart(order, script, command)?;
        if let Some(limit) = &self.limit {
            // Not lowered before the spawn, which itself needs numbers above it.
            let _ = prlimit(Some(Pid::from_child(&child)), Resource::Nofile, *limit);
        }
        Ok(child)
    }

    fn spawn_apart(&mut self, order: &StartOrder, script: Option<&Path>, command: &mut Command) -> io::Result<Child> {
        let user = self.user.as_ref().map(|user| (user, user.group_of(order.id.run)));
        let Some(fence) = &mut self.fence else {
            return match user {
                Some((user, group)) => as_user(user, group, || command.spawn())?,
                None => command.spawn(),
            };
        };
        let ruleset = fence.around(order, script)?;
        // A fence cannot be taken down again, so it is put around a thread that ends with this call. The thread is born
        // in the control group that we are in now.
        let fenced = || {
            if let Some((user, group)) = user {
                become_user(user, group, Uid::from_raw(user.uid))?;
            }
            ruleset.restrict_self().map_err(io::Error::other)?;
            command.spawn()
        };
        std::thread::scope(|scope| scope.spawn(fenced).join()).unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    }
}

/// Gives back what it was.
fn raise_limit() -> io::Result<Option<Rlimit>> {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return Ok(None);
    }
    setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum })?;
    Ok(Some(before))
}

/// Does `work` as the user, and comes back. Of the three identities only the saved one stays ours meanwhile; exec
/// overwrites it. A task of the same user could send us a signal in that moment, as it could to any other task.
fn as_user<T>(user: &TaskUser, group: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    let (own, own_group) = (rustix::process::geteuid(), rustix::process::getegid());
    let done = become_user(user, group, own).map(|()| work());
    let back = set_thread_res_uid(own, own, own).and_then(|()| set_thread_res_gid(own_group, own_group, own_group));
    // As somebody else a warden could neither see nor end its attempts; the next one can.
    back.expect("the warden has not given up its own user");
    done
}

/// For this thread alone: the call to the kernel is made without the library that would tell the others.
fn become_user(user: &TaskUser, group: u32, saved: Uid) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(group));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, saved)?;
    Ok(())
}

/// Everything but the data folder. Landlock knows only what is allowed, and for whole hierarchies, so that is
/// everything beside each folder on the way to the data folder, and nothing directly in those folders.
struct Fence {
    data: PathBuf,
    /// When each folder on the way was last changed, and what stood beside the next one then.
    seen: Vec<(i64, i64)>,
    beside: Vec<(OwnedFd, bool)>,
}

impl Fence {
    fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), seen: Vec::new(), beside: Vec::new() }
    }

    /// The fence for one attempt: what is beside the data folder, and its own folders in it.
    fn around(&mut self, order: &StartOrder, script: Option<&Path>) -> io::Result<RulesetCreated> {
        self.look()?;
        let all = AccessFs::from_all(LANDLOCK_ABI);
        let of_files = AccessFs::from_file(LANDLOCK_ABI);
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
        let ruleset = ruleset.handle_access(all).and_then(Ruleset::create).map_err(io::Error::other)?;
        let own = [&order.workspace, &order.outputs].map(PathFd::new);
        let own = own.into_iter().collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let script = script.map(PathFd::new).transpose().map_err(io::Error::other)?;
        let rules =
            self.beside.iter().map(|(file, is_folder)| rule(file.as_fd(), if *is_folder { all } else { of_files }));
        let rules = rules.chain(own.iter().map(|folder| rule(folder.as_fd(), all)));
        let rules = rules.chain(script.iter().map(|file| rule(file.as_fd(), AccessFs::ReadFile.into())));
        ruleset.add_rules(rules).map_err(io::Error::other)
    }

    /// Looks again at what stands beside the way, if something there has changed.
    fn look(&mut self) -> io::Result<()> {
        let stamp = |folder: &Path| fs::metadata(folder).map(|it| (it.mtime(), it.mtime_nsec()));
        let seen = self.data.ancestors().skip(1).map(stamp).collect::<io::Result<Vec<_>>>()?;
        if seen == self.seen && !self.beside.is_empty() {
            return Ok(());
        }
        self.beside.clear();
        for next in self.data.ancestors().filter(|folder| folder.parent().is_some()) {
            let above = next.parent().unwrap_or(next);
            for entry in fs::read_dir(above)?.flatten().filter(|entry| entry.path() != next) {
                // What a link points to is allowed where it stands itself, or not at all.
                let kind = entry.file_type()?;
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                if !kind.is_symlink()
                    && let Ok(file) = rustix::fs::open(entry.path(), flags, Mode::empty())
                {
                    self.beside.push((file, kind.is_dir()));
                }
            }
        }
        self.seen = seen;
        Ok(())
    }
}

fn rule<'a>(
    file: std::os::fd::BorrowedFd<'a>,
    access: landlock::BitFlags<AccessFs>,
) -> Result<PathBeneath<std::os::fd::BorrowedFd<'a>>, landlock::RulesetError> {
    Ok(PathBeneath::new(file, access))
}
