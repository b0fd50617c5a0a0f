//! A data folder from a backup: read through first, then written beside its place, synced, and renamed into it.
//!
//! The new folder is a host of its own: another id, so that neither of the two touches what the other started (their
//! epochs are counted apart by the id); what was under way is recovered at its first start as after a crash.

use super::archive::{self, COMPONENTS, DATABASE, KEY, Part};
use super::{BackupInfo, parent};
use crate::crypt::random;
use crate::logs::path_in;
use crate::migrations::{self, MIGRATIONS};
use crate::{Error, folder};
use hostler_model::{RunId, Timestamp};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    pub info: BackupInfo,
    /// The id of the host that the new folder is.
    pub host: String,
}

pub(super) fn restore(path: &Path, dir: &Path, now: Timestamp) -> Result<Restored, Error> {
    refuse_full(dir)?;
    let info = archive::read(path, &mut |_, _| Ok(()))?;
    if info.schema as usize > MIGRATIONS.len() {
        return Err(Error::Newer { path: path.to_path_buf(), found: info.schema, known: MIGRATIONS.len() as u32 });
    }
    let draft = draft_of(dir);
    folder::make(parent(dir))?;
    folder::make(&draft)?;
    // From here on what was begun goes again when it fails; a kill leaves it for the next try to name.
    let result = fill(path, &draft, now).and_then(|host| put(&draft, dir).map(|()| Restored { info, host }));
    if result.is_err() {
        let _ = std::fs::remove_dir_all(&draft);
    }
    result
}

/// Nothing that is there is ever written over.
fn refuse_full(dir: &Path) -> Result<(), Error> {
    let is_empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(source) if source.kind() == ErrorKind::NotFound => true,
        Err(source) => return Err(Error::io("look into", dir, source)),
    };
    let draft = draft_of(dir);
    match (is_empty, draft.exists()) {
        (false, _) => Err(Error::NotEmpty { path: dir.to_path_buf() }),
        (true, true) => Err(Error::NotEmpty { path: draft }),
        (true, false) => Ok(()),
    }
}

fn draft_of(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    parent(dir).join(format!("{name}.restoring"))
}

fn fill(path: &Path, draft: &Path, now: Timestamp) -> Result<String, Error> {
    archive::read(path, &mut |part, content| {
        let target = match part {
            Part::Database => draft.join(DATABASE),
            Part::Key => draft.join(KEY),
            Part::Log(run) => path_in(&draft.join("logs"), run),
            Part::Component(file) => draft.join(COMPONENTS).join(file.path()),
        };
        write(&target, content)
    })?;
    let host = become_another_host(&draft.join(DATABASE), now)?;
    // One call for all files, however many logs there are.
    File::open(draft)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(|source| Error::io("sync", draft, source))?;
    Ok(host)
}

fn write(path: &Path, content: &mut dyn Read) -> Result<(), Error> {
    folder::make(parent(path))?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|source| Error::io("make", path, source))?;
    io::copy(content, &mut file).map_err(|source| Error::io("write", path, source))?;
    Ok(())
}

fn become_another_host(path: &Path, now: Timestamp) -> Result<String, Error> {
    let fail = |source| Error::sql(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    migrations::check_ours(&connection, path)?;
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(fail)?;
    if check != "ok" {
        return Err(Error::Corrupt { path: path.to_path_buf(), what: check });
    }
    let host = RunId::new(now, random()).0.to_string();
    let mut change = || {
        let tx = connection.transaction()?;
        let keep = "INSERT INTO meta (key, value) SELECT 'restored_from', value FROM meta WHERE key = 'host_id'
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        tx.execute(keep, [])?;
        tx.execute("UPDATE meta SET value = ?1 WHERE key = 'host_id'", [&host])?;
        let told = "INSERT INTO event (at, namespace_id, kind, actor_kind, actor_name, data)
                    SELECT ?1, 1, 'host.restored', 'host', 'host', json_object('from', value) FROM meta
                    WHERE key = 'restored_from'";
        tx.execute(told, [now.0])?;
        tx.commit()
    };
    change().map_err(fail)?;
    Ok(host)
}

/// An empty folder is replaced in the same step.
fn put(draft: &Path, dir: &Path) -> Result<(), Error> {
    std::fs::rename(draft, dir).map_err(|source| Error::io("make", dir, source))?;
    folder::sync_folder(parent(dir))
}
