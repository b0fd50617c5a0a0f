//! Transactions: `ReadTx` for a look, `WriteTx` for a change, `Writer` as the one place where changes begin.
//!
//! All statements go through the few functions here: prepared once, errors with the path of the file. A transaction
//! that the database rolled back by itself (a full disk) refuses everything that follows, since each statement would
//! otherwise commit alone.

use crate::Error;
use crate::columns::Fields;
use crate::crypt::Cipher;
use rusqlite::{Connection, Params, ffi};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

/// SQLite's own default, which nothing here changes.
const PAGE_BYTES: u64 = 4096;

/// What reads and writes need to know about the folder.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    /// Another one after a rotation of the keys.
    pub(crate) cipher: RwLock<Arc<Cipher>>,
    /// Held as long as anything of the folder is in use, the writer included.
    #[expect(dead_code, reason = "holding it is its use")]
    pub(crate) lock: Arc<std::fs::File>,
}

/// One consistent look at the database.
#[derive(Debug)]
pub struct ReadTx<'c> {
    connection: &'c Connection,
    shared: &'c Shared,
}

/// A transaction that changes things; dropped without `commit` it leaves nothing. All reads work inside.
#[derive(Debug)]
pub struct WriteTx<'w> {
    read: ReadTx<'w>,
    committed: bool,
    /// A part that was to be taken back could not be: nothing of this transaction may stay.
    broken: bool,
}

/// The only write connection.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
}

impl Writer {
    pub(crate) fn new(connection: Connection, shared: Arc<Shared>) -> Self {
        Self { connection, shared }
    }

    /// Lets the database grow to so many bytes and no further, or not at all where it is larger already; None: as the
    /// disk allows.
    pub fn limit_bytes(&mut self, bytes_max: Option<u64>) -> Result<(), Error> {
        const PAGES_MAX: i64 = 4_294_967_294;
        let pages = bytes_max.map_or(PAGES_MAX, |bytes| i64::try_from(bytes / PAGE_BYTES).unwrap_or(PAGES_MAX).max(1));
        let set = self.connection.pragma_update(None, "max_page_count", pages);
        set.map_err(|source| Error::sql(&self.shared.path, source))
    }

    pub fn begin(&mut self) -> Result<WriteTx<'_>, Error> {
        let read = ReadTx { connection: &self.connection, shared: &self.shared };
        read.control("BEGIN IMMEDIATE")?;
        Ok(WriteTx { read, committed: false, broken: false })
    }
}

impl WriteTx<'_> {
    /// What `f` changed stays only if it answers `Ok`; an error or a panic takes back its changes and no others.
    pub fn savepoint<T, E: From<Error>>(&mut self, f: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.alive()?;
        self.read.control("SAVEPOINT part")?;
        let part = Part { tx: self, kept: false };
        let answer = f(&mut *part.tx)?;
        part.keep()?;
        Ok(answer)
    }

    /// Durable when this answers `Ok`.
    pub fn commit(mut self) -> Result<(), Error> {
        self.alive()?;
        self.read.control("COMMIT")?;
        self.committed = true;
        Ok(())
    }

    fn alive(&self) -> Result<(), Error> {
        let lost = self.broken || self.read.connection.is_autocommit();
        if lost { Err(Error::TransactionLost { path: self.shared.path.clone() }) } else { Ok(()) }
    }

    /// Answers how many rows changed.
    pub(crate) fn execute(&mut self, sql: &str, params: impl Params) -> Result<usize, Error> {
        self.alive()?;
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        run().map_err(|source| self.fail(source))
    }

    /// Changes one row, or nothing: `expected` is what the row was meant to be.
    pub(crate) fn change(
        &mut self,
        sql: &str,
        params: impl Params,
        what: impl FnOnce() -> String,
        expected: &str,
    ) -> Result<(), Error> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            _ => Err(Error::Conflict { what: what(), expected: expected.into() }),
        }
    }

    /// Adds a row and answers its rowid; a row with the same key is `Error::Exists`.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        params: impl Params,
        what: impl FnOnce() -> String,
    ) -> Result<i64, Error> {
        self.alive()?;
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        match run() {
            Ok(_) => Ok(self.connection.last_insert_rowid()),
            Err(source) if is_duplicate(&source) => Err(Error::Exists { what: what() }),
            Err(source) => Err(self.fail(source)),
        }
    }
}

fn is_duplicate(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY))
}

impl Drop for WriteTx<'_> {
    fn drop(&mut self) {
        if !self.committed && !self.read.connection.is_autocommit() {
            // A rollback that fails leaves the transaction open, and the next `begin` says so.
            let _ = self.read.control("ROLLBACK");
        }
    }
}

/// Changes between a savepoint and its end; taken back unless kept.
struct Part<'a, 'w> {
    tx: &'a mut WriteTx<'w>,
    kept: bool,
}

impl Part<'_, '_> {
    fn keep(mut self) -> Result<(), Error> {
        self.tx.alive()?;
        self.tx.read.control("RELEASE part")?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Part<'_, '_> {
    fn drop(&mut self) {
        if !self.kept && !self.tx.read.connection.is_autocommit() {
            let undone = self.tx.read.control("ROLLBACK TO part").and_then(|()| self.tx.read.control("RELEASE part"));
            self.tx.broken |= undone.is_err();
        }
    }
}

impl<'w> std::ops::Deref for WriteTx<'w> {
    type Target = ReadTx<'w>;
    fn deref(&self) -> &ReadTx<'w> {
        &self.read
    }
}

impl<'c> ReadTx<'c> {
    /// Begins a look; it ends with the rollback that a lease does when it goes back.
    pub(crate) fn begin(connection: &'c Connection, shared: &'c Shared) -> Result<Self, Error> {
        let read = Self { connection, shared };
        read.control("BEGIN")?;
        Ok(read)
    }

    pub(crate) fn cipher(&self) -> Arc<Cipher> {
        self.shared.cipher()
    }

    fn fail(&self, source: rusqlite::Error) -> Error {
        Error::sql(&self.shared.path, source)
    }

    pub(crate) fn control(&self, sql: &str) -> Result<(), Error> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(|_| ()).map_err(|source| self.fail(source))
    }

    /// The first row, if there is one.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&mut Fields<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            rows.next()?.map(|row| read(&mut Fields::new(row))).transpose()
        };
        run().map_err(|source| self.fail(source))
    }

    /// The row that is always there, such as a count.
    pub(crate) fn only<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&mut Fields<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.one(sql, params, read)?.ok_or_else(|| self.fail(rusqlite::Error::QueryReturnedNoRows))
    }

    pub(crate) fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&mut Fields<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        self.each(sql, params, read, |item| {
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    /// One row at a time, so that a long list is never in memory at once.
    pub(crate) fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> rusqlite::Result<T>,
        mut each: impl FnMut(T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let fail = |source| self.fail(source);
        let mut statement = self.connection.prepare_cached(sql).map_err(fail)?;
        let mut rows = statement.query(params).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            each(read(&mut Fields::new(row)).map_err(fail)?)?;
        }
        Ok(())
    }
}
