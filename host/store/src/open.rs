//! Opening a data folder: its lock, its key, its migrations, its epoch; and `Store`, which reads it.
//!
//! The order matters: the lock first, so that nothing below runs twice; the backup before the migration; the epoch
//! durable before anybody can use it.

use crate::connection::Shared;
use crate::crypt::{Cipher, random};
use crate::keys::{self, KeySource};
use crate::pool::{Pool, STATEMENTS_MAX};
use crate::{Error, LogLimits, Logs, ReadTx, Writer, folder, migrations};
use hostler_model::{Epoch, RunId, Timestamp};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

pub(crate) const DATABASE: &str = "hostler.db";
/// What makes a commit survive a power cut.
pub(crate) const DURABILITY: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    pub now: Timestamp,
    /// Reads that can go on at once.
    pub read_connections: usize,
    /// How long a read waits for a connection before it is `Error::Busy`.
    pub read_wait: Duration,
    pub logs: LogLimits,
    /// The database grows no further than this; None: as the disk allows.
    pub database_bytes_max: Option<u64>,
    pub key: KeySource,
}

impl Options {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            read_connections: 4,
            read_wait: Duration::from_secs(5),
            logs: LogLimits::default(),
            database_bytes_max: None,
            key: KeySource::File,
        }
    }
}

#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub writer: Writer,
    /// Of this boot, higher than any before; durable already.
    pub epoch: Epoch,
    /// The schema that was found, where it was an older one; a backup lies in `backups`.
    pub migrated_from: Option<u32>,
}

/// Cheap to clone. The folder is held until the last clone is gone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    epoch: Epoch,
    shared: Arc<Shared>,
    pool: Pool,
    logs: Logs,
    key: KeySource,
}

impl Store {
    /// Makes what is missing. Blocks.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, Error> {
        folder::make(dir)?;
        // Absolute, so that a process that changes its folder does not lose the files.
        let dir = std::fs::canonicalize(dir).map_err(|source| Error::io("find", dir, source))?;
        let lock = Arc::new(folder::lock(&dir)?);
        let path = dir.join(DATABASE);
        let (connection, migrated_from) = open_database(&path, &options)?;
        let cipher = Cipher::new(&keys::ring(&dir, &options.key, &connection, &path)?);
        let logs = Logs::open(dir.join("logs"), options.logs);
        let shared = Arc::new(Shared { path: path.clone(), cipher: RwLock::new(Arc::new(cipher)), lock });
        let mut writer = Writer::new(connection, shared.clone());
        writer.limit_bytes(options.database_bytes_max)?;
        let epoch = boot(&mut writer, options.now)?;
        let pool = Pool::new(path, options.read_connections, options.read_wait);
        let store = Self { inner: Arc::new(Inner { dir, epoch, shared, pool, logs, key: options.key }) };
        Ok(Opened { store, writer, epoch, migrated_from })
    }

    /// One consistent look at the database. Blocks: call it from a thread that may.
    pub fn read<T>(&self, f: impl FnOnce(&ReadTx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let lease = self.inner.pool.lend()?;
        let read = ReadTx::begin(lease.connection(), &self.inner.shared)?;
        f(&read)
    }

    pub fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// Makes a folder for its owner only, and those above it, durable.
    pub fn make_folder(dir: &Path) -> Result<(), Error> {
        folder::make(dir)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn key_source(&self) -> &KeySource {
        &self.inner.key
    }

    /// What the disk of the data folder has left for us.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        folder::free_bytes(&self.inner.dir)
    }
}

fn open_database(path: &Path, options: &Options) -> Result<(Connection, Option<u32>), Error> {
    let fail = |source| Error::sql(path, source);
    // Made here first, since SQLite would make it readable for others.
    drop::<File>(folder::make_file(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
    let migrated_from = migrations::migrate(&mut connection, path, migrations::MIGRATIONS, options.now)?;
    let settings = "PRAGMA foreign_keys = ON;
        PRAGMA trusted_schema = OFF;
        PRAGMA temp_store = MEMORY;
        PRAGMA cache_size = -16384;
        PRAGMA wal_autocheckpoint = 4000;
        PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(DURABILITY).map_err(fail)?;
    connection.execute_batch(settings).map_err(fail)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok((connection, migrated_from))
}

fn boot(writer: &mut Writer, now: Timestamp) -> Result<Epoch, Error> {
    let host_id = RunId::new(now, random()).0.to_string();
    let mut tx = writer.begin()?;
    let epoch = tx.boot(&host_id, now)?;
    tx.commit()?;
    Ok(epoch)
}
