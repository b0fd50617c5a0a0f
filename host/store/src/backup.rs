//! One file that holds a data folder: made while the host runs, verified and restored without one.
//!
//! Order of a backup: a snapshot of the database, then the key, then each run's log as far as the snapshot knows it,
//! then the manifest. Logs only grow while a run is open and stay as they are afterwards, so that what is copied later
//! than the snapshot still fits it; the caller keeps logs from being removed meanwhile.
//! Invariants: written under another name, synced, then renamed, so that a file with the name of a backup is whole;
//! readable by its owner only, since it holds the key. Must not know: when backups are made, how many are kept.

mod archive;
mod restore;

pub use restore::Restored;

use crate::columns::{Fields, first};
use crate::keys::{KEY, KeySource};
use crate::logs::LogSource;
use crate::migrations::MIGRATIONS;
use crate::{Error, Store, folder};
use archive::{COMPONENTS, ComponentFile, DATABASE, Manifest, Writer, log_name};
use hostler_model::{RunId, RunKey, RunStatus, TaskIndex, Timestamp};
use rusqlite::{Connection, OpenFlags};
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a backup says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupInfo {
    /// Id of the host that it was made of.
    pub host: String,
    pub made_at: Timestamp,
    /// Version of hostler that made it.
    pub made_by: String,
    pub schema: u32,
    pub runs: u64,
    pub logs: u64,
    /// Of the whole file.
    pub bytes: u64,
}

/// Whoever makes a backup says where, when, and what the disk must keep free.
#[derive(Clone, Debug)]
pub struct NewBackup {
    /// A file that is not there yet.
    pub to: PathBuf,
    pub now: Timestamp,
    pub free_min: u64,
}

impl Store {
    /// Blocks for as long as it takes to read the data folder. Reads and writes go on meanwhile; no log may be deleted.
    pub fn back_up(&self, new: &NewBackup) -> Result<BackupInfo, Error> {
        let NewBackup { to, now, free_min } = new;
        refuse_existing(to)?;
        let dir = parent(to);
        self.check_space(dir, *free_min)?;
        let drafts = Drafts::of(to);
        let database = self.snapshot(&drafts.database)?;
        let mut writer = Writer::new(&drafts.archive, *now)?;
        writer.add_file(DATABASE, &drafts.database, None)?;
        // A key from outside stays there.
        if let KeySource::File = self.key_source() {
            writer.add_file(KEY, &self.dir().join(KEY), None)?;
        }
        self.add_components(&mut writer)?;
        let (mut runs, mut logs) = (0, 0);
        each_run(&database, &drafts.database, |key, id, status| {
            runs += 1;
            logs += u64::from(self.add_log(&mut writer, &database, (key, id, status))?);
            Ok(())
        })?;
        let one = |sql: &str| database.query_row(sql, [], |row| row.get(0));
        let host = one("SELECT value FROM meta WHERE key = 'host_id'");
        let host = host.map_err(|source| Error::sql(&drafts.database, source))?;
        let schema = MIGRATIONS.len() as u32;
        let made_by = env!("CARGO_PKG_VERSION").to_owned();
        let manifest =
            Manifest { format: archive::FORMAT, made_by, host, schema, made_at: *now, runs, entries: Vec::new() };
        let info = writer.finish(manifest)?;
        refuse_existing(to)?;
        std::fs::rename(&drafts.archive, to).map_err(|source| Error::io("make", to, source))?;
        folder::sync_folder(dir)?;
        Ok(BackupInfo { logs, ..info })
    }

    /// Components of installed plugins. The index first: a blob that goes meanwhile belonged to nothing installed.
    fn add_components(&self, writer: &mut Writer) -> Result<(), Error> {
        let dir = self.dir().join(COMPONENTS);
        if !dir.join("oci-layout").exists() {
            return Ok(());
        }
        let blobs = dir.join("blobs/sha256");
        let listed = std::fs::read_dir(&blobs).map_err(|source| Error::io("look into", &blobs, source))?;
        let names = listed.filter_map(|entry| Some(format!("blobs/sha256/{}", entry.ok()?.file_name().to_str()?)));
        let mut blobs: Vec<_> = names.filter_map(|name| ComponentFile::of(&name)).collect();
        blobs.sort_by_key(|file| file.path());
        for file in [ComponentFile::Layout, ComponentFile::Index].into_iter().chain(blobs) {
            writer.add_file(&format!("{COMPONENTS}/{}", file.path()), &dir.join(file.path()), None)?;
        }
        Ok(())
    }

    /// A whole copy of the database, consistent in itself, as a file of its own.
    fn snapshot(&self, path: &Path) -> Result<Connection, Error> {
        let fail = |source| Error::sql(path, source);
        // Made here first, since SQLite would make it readable for others; and emptied, since it takes no other.
        folder::make_file(path)?.set_len(0).map_err(|source| Error::io("empty", path, source))?;
        let live = self.dir().join(DATABASE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&live, flags).map_err(|source| Error::sql(&live, source))?;
        let name = path.to_string_lossy();
        connection.execute("VACUUM INTO ?1", [name.as_ref()]).map_err(fail)?;
        Connection::open_with_flags(path, flags).map_err(fail)
    }

    /// Twice the database (the snapshot lies beside the archive while that is written), and the logs.
    fn check_space(&self, dir: &Path, free_min: u64) -> Result<(), Error> {
        let (database, logs): (u64, u64) = self.read(|tx| {
            let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            Ok((tx.only(pages, [], first)?, tx.only("SELECT coalesce(sum(log_bytes), 0) FROM run", [], first)?))
        })?;
        let needed = database.saturating_mul(2).saturating_add(logs);
        let free = folder::free_bytes(dir)?;
        if free < needed.saturating_add(free_min) {
            return Err(Error::NoSpace { path: dir.to_path_buf(), free, needed, free_min });
        }
        Ok(())
    }

    /// False: the run has written nothing, or its log was removed before.
    fn add_log(
        &self,
        writer: &mut Writer,
        database: &Connection,
        (key, id, status): (RunKey, RunId, RunStatus),
    ) -> Result<bool, Error> {
        let path = self.logs().path(id);
        if !path.exists() {
            return Ok(false);
        }
        // Of an open run only what attempts of the snapshot wrote: to whoever restores it no other has begun.
        let bytes = match status.is_terminal() {
            true => None,
            false => Some(self.logs().bytes_of(id, &attempts(database, &path, key)?)?),
        };
        writer.add_file(&log_name(id), &path, bytes)?;
        Ok(true)
    }

    /// Reads a backup through and compares it with its manifest. Needs no data folder.
    pub fn verify_backup(path: &Path) -> Result<BackupInfo, Error> {
        archive::read(path, &mut |_, _| Ok(()))
    }

    /// Makes a data folder of a backup, whole or not at all; `dir` is empty or not there. Blocks.
    pub fn restore_backup(path: &Path, dir: &Path, now: Timestamp) -> Result<Restored, Error> {
        restore::restore(path, dir, now)
    }
}

/// The folder that a file lies in; a bare name lies in the current one.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refuse_existing(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::Exists { what: format!("`{}`", path.display()) }),
        Err(_) => Ok(()),
    }
}

fn each_run(
    database: &Connection,
    path: &Path,
    mut each: impl FnMut(RunKey, RunId, RunStatus) -> Result<(), Error>,
) -> Result<(), Error> {
    let fail = |source| Error::sql(path, source);
    let mut statement = database.prepare("SELECT key, id, status FROM run ORDER BY key").map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let mut fields = Fields::new(row);
        let mut read = || Ok((fields.take()?, fields.take()?, fields.take()?));
        let (key, id, status) = read().map_err(fail)?;
        each(key, id, status)?;
    }
    Ok(())
}

fn attempts(database: &Connection, path: &Path, run: RunKey) -> Result<HashSet<LogSource>, Error> {
    let read = || {
        let mut statement = database.prepare_cached("SELECT task, item, attempt FROM attempt WHERE run_key = ?1")?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(LogSource { task: TaskIndex(row.get(0)?), item: row.get(1)?, attempt: row.get(2)? })
        };
        statement.query_map([run.0], row)?.collect::<rusqlite::Result<_>>()
    };
    read().map_err(|source| Error::sql(path, source))
}

/// The files that a backup is on its way in; gone when it is over, however it went.
struct Drafts {
    archive: PathBuf,
    database: PathBuf,
}

/// The ending of a file that is not a backup yet.
pub const PARTIAL: &str = "partial";

impl Drafts {
    fn of(to: &Path) -> Self {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let draft = |what: &str| to.with_file_name(format!(".{name}.{what}{PARTIAL}"));
        Self { archive: draft(""), database: draft("db-") }
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        for path in [&self.archive, &self.database] {
            // The archive is there only when it failed.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opened for its owner only, and empty.
fn make_anew(path: &Path) -> Result<File, Error> {
    let file = folder::make_file(path)?;
    file.set_len(0).map_err(|source| Error::io("empty", path, source))?;
    Ok(file)
}
