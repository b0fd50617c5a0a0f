//! A look at a data folder from outside, for a person who wants to know what is wrong: nothing is made, moved or
//! migrated, and a host may be using it meanwhile.

use crate::migrations::{APPLICATION_ID, MIGRATIONS};
use crate::open::DATABASE;
use crate::{Error, folder};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Who has the lock of a data folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    Nobody,
    /// A host, with its process id where it has written it.
    Host(Option<u32>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderFacts {
    /// Permission bits.
    pub mode: u32,
    /// User id.
    pub owner: u32,
    pub holder: Holder,
    pub free_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseFacts {
    pub bytes: u64,
    pub schema: u32,
    /// The newest that this program knows; an older one is migrated at the next start.
    pub schema_known: u32,
    /// What SQLite's own check says is wrong, the first few lines.
    pub damage: Vec<String>,
}

/// Lines of damage that are answered.
const DAMAGE_MAX: u32 = 5;

/// Commits measured; the one in the middle counts.
const COMMITS: usize = 15;

pub fn inspect_folder(dir: &Path) -> Result<FolderFacts, Error> {
    let found = std::fs::metadata(dir).map_err(|source| Error::io("look at", dir, source))?;
    Ok(FolderFacts {
        mode: found.mode() & 0o7777,
        owner: found.uid(),
        holder: holder(dir)?,
        free_bytes: folder::free_bytes(dir)?,
    })
}

/// Shares the lock for a moment where it is free: a host that starts at this very instant is refused once.
fn holder(dir: &Path) -> Result<Holder, Error> {
    let path = dir.join(folder::LOCK);
    let Ok(file) = File::open(&path) else { return Ok(Holder::Nobody) };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Holder::Nobody),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            Ok(Holder::Host(text.trim().parse().ok()))
        }
        Err(errno) => Err(Error::io("look at the lock of", dir, errno.into())),
    }
}

/// None: there is no database yet. Reads the whole file.
pub fn inspect_database(dir: &Path) -> Result<Option<DatabaseFacts>, Error> {
    let path = dir.join(DATABASE);
    let Ok(found) = std::fs::metadata(&path) else { return Ok(None) };
    let fail = |source| Error::sql(&path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(fail);
    let (id, schema) = (number("application_id")?, number("user_version")? as u32);
    let schema_known = MIGRATIONS.len() as u32;
    if id != APPLICATION_ID && found.len() > 0 {
        return Err(Error::Foreign { path });
    }
    if schema > schema_known {
        return Err(Error::Newer { path, found: schema, known: schema_known });
    }
    let sql = format!("PRAGMA quick_check({DAMAGE_MAX})");
    let mut check = connection.prepare(&sql).map_err(fail)?;
    let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(fail)?;
    let lines = lines.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let damage = lines.into_iter().filter(|line| line != "ok").collect();
    Ok(Some(DatabaseFacts { bytes: found.len(), schema, schema_known, damage }))
}

/// How long one durable commit takes on the disk of this folder: measured on a small database of its own, with the
/// settings of ours, which is removed again.
pub fn measure_commit(dir: &Path) -> Result<Duration, Error> {
    let path = dir.join(format!("measure-{}.db", std::process::id()));
    drop(folder::make_file(&path)?);
    let measured = measure(&path).map_err(|source| Error::sql(&path, source));
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        // What is not there need not go; what cannot go is the folder's own trouble, and told by the others.
        let _ = std::fs::remove_file(name);
    }
    measured
}

fn measure(path: &Path) -> rusqlite::Result<Duration> {
    let connection = Connection::open(path)?;
    connection.execute_batch(crate::open::DURABILITY)?;
    connection.execute_batch("CREATE TABLE row (number INTEGER)")?;
    let mut times = Vec::with_capacity(COMMITS);
    for number in 0..COMMITS {
        let begun = Instant::now();
        connection.execute("INSERT INTO row VALUES (?1)", [number as i64])?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[COMMITS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store};
    use hostler_model::Timestamp;

    #[test]
    fn a_folder_says_who_holds_it_and_a_look_disturbs_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Store::open(dir.path(), Options::new(Timestamp(0))).unwrap();
        let held = inspect_folder(dir.path()).unwrap();
        assert_eq!(held.holder, Holder::Host(Some(std::process::id())));
        let database = inspect_database(dir.path()).unwrap().unwrap();
        assert_eq!((database.schema, database.damage), (database.schema_known, Vec::new()));
        drop(opened);
        assert_eq!(inspect_folder(dir.path()).unwrap().holder, Holder::Nobody);
        drop(Store::open(dir.path(), Options::new(Timestamp(0))).expect("it can be held again"));
    }

    #[test]
    fn a_measured_commit_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(measure_commit(dir.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(measure_commit(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn what_is_no_database_of_ours_is_told_and_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect_database(dir.path()).unwrap(), None);
        let path = dir.path().join(DATABASE);
        std::fs::write(&path, "not a database at all, but long enough to be looked at as one").unwrap();
        assert!(matches!(inspect_database(dir.path()), Err(Error::Foreign { .. })));
        drop(std::fs::remove_file(&path));
        drop(Store::open(dir.path(), Options::new(Timestamp(0))).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 900).unwrap();
        assert!(matches!(inspect_database(dir.path()), Err(Error::Newer { found: 900, .. })));
    }
}
