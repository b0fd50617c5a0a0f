//! The folders of runs and attempts below the data folder, made from our own ids only.
//!
//! `work/RUN/` holds everything of a run; in it `TASK-ITEM-ATTEMPT/workspace` and `…/out` for each attempt, or
//! `shared/` where the tasks of the run share one workspace. All are private to the host's user (mode 0700), or, where
//! tasks have a user of their own, to that user and the group of the run.

use crate::isolation::TaskUser;
use hostler_model::spec::Workspace;
use hostler_model::{AttemptId, RunKey};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(crate) struct Folders {
    work: PathBuf,
    /// Whose the folders that tasks write to are, where it is not the host's user.
    user: Option<TaskUser>,
}

/// Where one attempt lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AttemptFolder {
    /// Its own, removed with all in it when the attempt is over.
    pub(crate) own: PathBuf,
    pub(crate) workspace: PathBuf,
    /// Where its outputs file lies.
    pub(crate) out: PathBuf,
}

impl Folders {
    pub(crate) fn new(data: &Path, user: Option<TaskUser>) -> Self {
        Self { work: data.join("work"), user }
    }

    fn run(&self, run: RunKey) -> PathBuf {
        self.work.join(run.0.to_string())
    }

    /// Where it is, or would be.
    pub(crate) fn of(&self, id: AttemptId, kind: Workspace) -> AttemptFolder {
        let run = self.run(id.run);
        let own = self.own(id);
        let workspace = match kind {
            Workspace::Attempt => own.join("workspace"),
            Workspace::Run => run.join("shared"),
        };
        AttemptFolder { out: own.join("out"), own, workspace }
    }

    /// Made anew, so that an attempt never finds what another left.
    pub(crate) fn make(&self, id: AttemptId, kind: Workspace) -> io::Result<AttemptFolder> {
        let folder = self.of(id, kind);
        remove(&folder.own)?;
        make(&folder.out)?;
        make(&folder.workspace)?;
        if let Some(user) = &self.user {
            let group = user.group_of(id.run);
            set_mode(&self.work, 0o711)?;
            // Whoever is not of this run gets no further.
            std::os::unix::fs::chown(self.run(id.run), None, Some(group))?;
            set_mode(&self.run(id.run), 0o710)?;
            set_mode(&folder.own, 0o711)?;
            for given in [&folder.out, &folder.workspace] {
                std::os::unix::fs::chown(given, Some(user.uid), Some(group))?;
            }
        }
        Ok(folder)
    }

    pub(crate) fn remove_attempt(&self, id: AttemptId) -> io::Result<()> {
        remove(&self.own(id))
    }

    fn own(&self, id: AttemptId) -> PathBuf {
        self.run(id.run).join(format!("{}-{}-{}", id.task.0, id.item, id.attempt))
    }

    pub(crate) fn remove_run(&self, run: RunKey) -> io::Result<()> {
        remove(&self.run(run))
    }

    /// The runs that have a folder: at boot, those that are not open any more lose it.
    pub(crate) fn runs(&self) -> io::Result<Vec<RunKey>> {
        let entries = match std::fs::read_dir(&self.work) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let key = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok().map(RunKey);
        Ok(entries.filter_map(key).collect())
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Tasks may have left folders that not even their owner can enter; those are opened first.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            std::fs::remove_dir_all(path)
        }
        result => result,
    }
}

fn open_up(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostler_model::{Epoch, TaskIndex};

    fn id(attempt: u32) -> AttemptId {
        AttemptId { epoch: Epoch(1), run: RunKey(7), task: TaskIndex(0), item: 0, attempt }
    }

    #[test]
    fn an_attempt_never_finds_what_another_left_unless_the_run_shares_a_workspace() {
        let data = tempfile::tempdir().expect("temp dir");
        let folders = Folders::new(data.path(), None);
        let first = folders.make(id(1), Workspace::Attempt).expect("made");
        std::fs::write(first.workspace.join("left"), "x").expect("written");
        let again = folders.make(id(1), Workspace::Attempt).expect("made again");
        assert!(!again.workspace.join("left").exists());
        let shared = folders.make(id(1), Workspace::Run).expect("shared");
        std::fs::write(shared.workspace.join("kept"), "x").expect("written");
        folders.remove_attempt(id(1)).expect("removed");
        assert!(folders.make(id(2), Workspace::Run).expect("shared").workspace.join("kept").exists());
        assert_eq!(folders.runs().expect("listed"), [RunKey(7)]);
        folders.remove_run(RunKey(7)).expect("removed");
        assert_eq!(folders.runs().expect("listed"), []);
    }

    #[test]
    fn a_folder_that_a_task_locked_is_removed_all_the_same() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().expect("temp dir");
        let folders = Folders::new(data.path(), None);
        let folder = folders.make(id(1), Workspace::Attempt).expect("made");
        let locked = folder.workspace.join("a/b");
        std::fs::create_dir_all(&locked).expect("made");
        std::fs::set_permissions(folder.workspace.join("a"), std::fs::Permissions::from_mode(0o000)).expect("locked");
        folders.remove_attempt(id(1)).expect("removed");
        assert!(!folder.own.exists());
    }
}
