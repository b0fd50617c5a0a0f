//! Backups of the running host: one at a time, on a thread of their own, the oldest removed when there are too many.
//!
//! Invariants: the writer waits for none of it; while one is made no log is removed (`upkeep`). What a kill leaves of
//! one is removed before the next. Must not know: what is in a backup.

use crate::engine::Storage;
use crate::error::Error;
use crate::handle::{Backup, BackupStatus, Handle};
use hostler_model::{Actor, Problem, Timestamp};
use hostler_store::{NamespaceId, NewBackup, NewEvent, PARTIAL, Store};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{error, info, warn};

/// Backups of this boot that are remembered, however they ended.
const REMEMBERED_MAX: usize = 32;

const PREFIX: &str = "hostler-";
const ENDING: &str = ".tar";

pub(crate) struct Backups {
    store: Store,
    dir: PathBuf,
    /// 0: all.
    kept: usize,
    free_min: u64,
    upkeep: Arc<Mutex<()>>,
    begun: Mutex<VecDeque<Backup>>,
}

impl Backups {
    pub(crate) fn new(store: Store, storage: &Storage, upkeep: Arc<Mutex<()>>) -> Self {
        let Storage { backup_dir, backups_kept, free_min, .. } = storage;
        let begun = Mutex::default();
        Self { store, dir: backup_dir.clone(), kept: *backups_kept, free_min: *free_min, upkeep, begun }
    }

    fn begun(&self) -> MutexGuard<'_, VecDeque<Backup>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Newest first: those of this boot, and those in the folder. Blocks.
    pub(crate) fn list(&self) -> Vec<Backup> {
        let is_there = |backup: &Backup| match backup.status {
            BackupStatus::Done => backup.path.exists(),
            BackupStatus::Running | BackupStatus::Failed { .. } => true,
        };
        let mut all: Vec<Backup> = self.begun().iter().filter(|backup| is_there(backup)).cloned().collect();
        let lying = self.lying().unwrap_or_else(|error| {
            warn!("the backups in `{}` cannot be listed: {error}", self.dir.display());
            Vec::new()
        });
        all.extend(
            lying.into_iter().filter(|found| all.iter().all(|known| known.path != found.path)).collect::<Vec<_>>(),
        );
        all.sort_by(|a, b| b.name.cmp(&a.name));
        all
    }

    /// Whole ones in the folder of backups; their names are in the order of time.
    fn lying(&self) -> io::Result<Vec<Backup>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let found = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let stamp = name.strip_prefix(PREFIX)?.strip_suffix(ENDING)?;
            let made_at = instant(stamp)?;
            let bytes = Some(entry.metadata().ok()?.len());
            Some(Backup { path: entry.path(), name, status: BackupStatus::Done, made_at, bytes })
        });
        Ok(found.collect())
    }

    fn begin(&self, to: Option<PathBuf>, now: Timestamp) -> Result<Backup, Error> {
        let name = format!("{PREFIX}{}{ENDING}", stamp(now));
        let path = match to {
            None => self.dir.join(&name),
            Some(to) if !to.is_absolute() => {
                let problems = Problem::new("/to", "is not an absolute path on the machine of the host").into();
                return Err(Error::Invalid { what: "place of the backup", problems });
            }
            Some(to) if to.is_dir() => to.join(&name),
            Some(to) => to,
        };
        if path.symlink_metadata().is_ok() {
            let message = format!("`{}` is there already; nothing is written over", path.display());
            return Err(Error::Conflict { message });
        }
        let mut begun = self.begun();
        if let Some(running) = begun.iter().find(|backup| backup.status == BackupStatus::Running) {
            let message = format!("backup `{}` is being made; wait until it is done", running.name);
            return Err(Error::Conflict { message });
        }
        let backup = Backup { name, path, status: BackupStatus::Running, made_at: now, bytes: None };
        begun.truncate(REMEMBERED_MAX - 1);
        begun.push_front(backup.clone());
        Ok(backup)
    }

    /// Blocks until it is made.
    fn make(&self, path: &Path, now: Timestamp) -> Result<u64, hostler_store::Error> {
        if path.parent() == Some(&*self.dir) {
            Store::make_folder(&self.dir)?;
            self.sweep();
        }
        let _upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.store.back_up(&NewBackup { to: path.to_path_buf(), now, free_min: self.free_min })?;
        Ok(made.bytes)
    }

    /// What a kill left. No other backup is under way, and no other host has this folder.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(PARTIAL) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn thin_out(&self) {
        let mut lying = self.lying().unwrap_or_default();
        lying.sort_by(|a, b| b.name.cmp(&a.name));
        let over = if self.kept == 0 { lying.len() } else { self.kept };
        for backup in lying.into_iter().skip(over) {
            match std::fs::remove_file(&backup.path) {
                Ok(()) => info!("backup `{}` is removed: {} newer ones are kept", backup.name, self.kept),
                Err(error) => warn!("backup `{}` could not be removed: {error}", backup.name),
            }
        }
    }

    fn end(&self, name: &str, status: BackupStatus, bytes: Option<u64>) {
        if let Some(backup) = self.begun().iter_mut().find(|backup| backup.name == name) {
            (backup.status, backup.bytes) = (status, bytes);
        }
    }
}

/// Begins a backup and answers what can be asked about; it goes on whether or not anybody asks.
pub(crate) fn create(handle: &Handle, to: Option<PathBuf>, actor: Actor) -> Result<Backup, Error> {
    let now = handle.clock().wall();
    let backup = handle.parts.backups.begin(to, now)?;
    let (own, path, name) = (handle.clone(), backup.path.clone(), backup.name.clone());
    // Not one of the runtime's threads: those are waited for when the host ends, however long this takes.
    let work = move || {
        let backups = &own.parts.backups;
        let (kind, status, bytes) = match backups.make(&path, now) {
            Ok(bytes) => {
                info!("backup `{}` is made, {bytes} bytes", path.display());
                backups.thin_out();
                ("backup.made", BackupStatus::Done, Some(bytes))
            }
            Err(error) => {
                let message = chain(&error);
                error!("backup `{}` failed: {message}", path.display());
                ("backup.failed", BackupStatus::Failed { message }, None)
            }
        };
        tell(&own, kind, &path, &status, &actor);
        backups.end(&name, status, bytes);
    };
    if let Err(error) = std::thread::Builder::new().name("backup".into()).spawn(work) {
        let message = format!("no thread could be started: {error}");
        handle.parts.backups.end(&backup.name, BackupStatus::Failed { message: message.clone() }, None);
        return Err(Error::Internal { message });
    }
    Ok(backup)
}

/// One event, so that the history says who has taken a copy of everything. Not waited for: a host that stops takes no
/// more.
fn tell(handle: &Handle, kind: &'static str, path: &Path, status: &BackupStatus, actor: &Actor) {
    let path = path.display().to_string();
    let data = match status {
        BackupStatus::Failed { message } => serde_json::json!({"path": path, "message": message}),
        BackupStatus::Done | BackupStatus::Running => serde_json::json!({"path": path}),
    };
    let data = data.to_string();
    let actor = actor.clone();
    let (command, _) = crate::command::Command::new(move |core, tx| {
        let event = NewEvent::new(core.now, NamespaceId::DEFAULT, kind, &actor);
        core.tell(tx, NewEvent { data: Some(&data), ..event })?;
        Ok(())
    });
    if let Err(error) = handle.parts.inbox.command(command) {
        warn!("the event of a backup is not kept: {error}");
    }
}

/// An error with what lies beneath it.
fn chain(error: &hostler_store::Error) -> String {
    let beneath = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", beneath.unwrap_or_default())
}

const FORM: &str = "%Y%m%dT%H%M%S%3fZ";

/// An instant as it stands in the name of a backup: in the order of time, and without what file systems refuse.
fn stamp(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    instant.strftime(FORM).to_string()
}

fn instant(stamp: &str) -> Option<Timestamp> {
    let digits: String = stamp.strip_suffix('Z')?.replacen('T', "", 1);
    let (seconds, millis) = digits.split_at_checked(14)?;
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", seconds).ok()?;
    let second = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    let millis = Some(millis).filter(|millis| millis.len() == 3)?.parse::<i64>().ok()?;
    Some(Timestamp(second * 1_000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_back_its_instant() {
        let at = Timestamp(1_767_225_600_007);
        assert_eq!(stamp(at), "20260101T000000007Z");
        assert_eq!(instant(&stamp(at)), Some(at));
        for bad in ["", "20260101T000000Z", "20260101T000000007", "2026-01-01T00:00:00.007Z", "20269901T000000007Z"] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }
}
