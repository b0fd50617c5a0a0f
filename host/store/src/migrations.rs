//! Numbered migrations: only ever added, each in one transaction, with a backup before the first that touches an old file.
//!
//! The number of the last one stands in `user_version`; `application_id` says that the file is ours.

use crate::{Error, folder};
use hostler_model::Timestamp;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

pub(crate) const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// `HSTL`
const APPLICATION_ID: i32 = 0x4853_544C;

/// Brings the file up to the last of `migrations`. Answers the schema that was there before, if it was an older one.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
    now: Timestamp,
) -> Result<Option<u32>, Error> {
    let known = migrations.len() as u32;
    let fail = |source| Error::sql(path, source);
    let pragma = |connection: &Connection, name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
    let id: i32 = pragma(connection, "application_id").map_err(fail)?;
    let found = pragma(connection, "user_version").map_err(fail)? as u32;
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let empty: bool = connection.query_row(empty, [], |row| row.get(0)).map_err(fail)?;
    if !empty && id != APPLICATION_ID {
        return Err(Error::Foreign { path: path.to_path_buf() });
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
