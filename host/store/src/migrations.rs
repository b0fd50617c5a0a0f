//! Numbered migrations: only ever added, each in one transaction, with a backup before the first that touches an old
//! file.
//!
//! The number of the last one stands in `user_version`; `application_id` says that the file is ours.

use crate::{Error, folder};
use hostler_model::Timestamp;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];

/// `HSTL`
pub(crate) const APPLICATION_ID: i32 = 0x4853_544C;

/// Brings the file up to the last of `migrations`. Answers the schema that was there before, if it was an older one.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
    now: Timestamp,
) -> Result<Option<u32>, Error> {
    let known = migrations.len() as u32;
    let fail = |source| Error::sql(path, source);
    let found = pragma(connection, "user_version").map_err(fail)? as u32;
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let empty: bool = connection.query_row(empty, [], |row| row.get(0)).map_err(fail)?;
    if !empty {
        check_ours(connection, path)?;
    }
    if found > known {
        return Err(Error::Newer { path: path.to_path_buf(), found, known });
    }
    if found == known {
        return Ok(None);
    }
    if !empty {
        back_up(connection, path, found, now)?;
    }
    for number in found..known {
        apply(connection, migrations[number as usize], number + 1).map_err(fail)?;
    }
    Ok((!empty).then_some(found))
}

/// Refuses a database of another program.
pub(crate) fn check_ours(connection: &Connection, path: &Path) -> Result<(), Error> {
    let id = pragma(connection, "application_id").map_err(|source| Error::sql(path, source))?;
    if id == APPLICATION_ID { Ok(()) } else { Err(Error::Foreign { path: path.to_path_buf() }) }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn apply(connection: &mut Connection, sql: &str, number: u32) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch(sql)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", number)?;
    tx.commit()
}

/// A whole copy beside the file, durable before anything is changed.
fn back_up(connection: &Connection, path: &Path, found: u32, now: Timestamp) -> Result<PathBuf, Error> {
    let dir = path.with_file_name("backups");
    folder::make(&dir)?;
    let copy = dir.join(format!("hostler-schema-{found}-{}.db", now.0));
    let file = folder::make_file(&copy)?;
    // VACUUM INTO takes an empty file only; what an attempt that was cut off left behind goes first.
    file.set_len(0).map_err(|source| Error::io("empty", &copy, source))?;
    let name = copy.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [name.as_ref()]).map_err(|source| Error::sql(&copy, source))?;
    file.sync_all().map_err(|source| Error::io("sync", &copy, source))?;
    folder::sync_folder(&dir)?;
    tracing::info!("schema {found} backed up to `{}` before migrating", copy.display());
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const FIRST: &[&str] = &[MIGRATIONS[0]];
    const SECOND: &str = "ALTER TABLE pipeline ADD COLUMN colour TEXT";
    const BROKEN: &str = "CREATE TABLE half (a TEXT) STRICT; INSERT INTO nowhere VALUES (1)";

    fn migrated(path: &Path, migrations: &[&str]) -> Result<Option<u32>, Error> {
        migrate(&mut Connection::open(path).unwrap(), path, migrations, NOW)
    }

    fn count(path: &Path, sql: &str) -> i64 {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    const ROWS: &str = "SELECT count(*) FROM pipeline";
    const COLOURS: &str = "SELECT count(*) FROM pragma_table_info('pipeline') WHERE name = 'colour'";

    #[test]
    fn a_file_is_backed_up_whole_before_it_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hostler.db");
        assert_eq!(migrated(&path, FIRST).unwrap(), None);
        let row = "INSERT INTO pipeline (namespace_id, id, created_at) VALUES (1, 'p', 0)";
        Connection::open(&path).unwrap().execute(row, []).unwrap();
        assert!(!dir.path().join("backups").exists(), "a new file needs no backup");

        assert_eq!(migrated(&path, &[MIGRATIONS[0], SECOND]).unwrap(), Some(1));
        assert_eq!((count(&path, ROWS), count(&path, COLOURS)), (1, 1));
        let copy = dir.path().join(format!("backups/hostler-schema-1-{}.db", NOW.0));
        assert_eq!((count(&copy, ROWS), count(&copy, COLOURS)), (1, 0));
        assert_eq!(migrated(&copy, FIRST).unwrap(), None, "the backup opens in the older version");
        assert_eq!(migrated(&path, &[MIGRATIONS[0], SECOND]).unwrap(), None);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hostler.db");
        migrated(&path, FIRST).unwrap();
        assert!(migrated(&path, &[MIGRATIONS[0], BROKEN]).is_err());
        assert_eq!(count(&path, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
        assert_eq!(migrated(&path, &[MIGRATIONS[0], SECOND]).unwrap(), Some(1), "and the right one can follow");
    }
}
