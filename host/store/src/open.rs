//! Opening a data folder: its lock, its key, its migrations, its epoch; and `Store`, which reads it.

use crate::{Error, LogLimits, Logs, ReadTx, Writer};
use hostler_model::{Epoch, Timestamp};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    pub now: Timestamp,
    /// Reads that can go on at once.
    pub read_connections: usize,
    /// How long a read waits for a connection before it is `Error::Busy`.
    pub read_wait: std::time::Duration,
    pub logs: LogLimits,
    /// The database grows no further than this; None: as the disk allows.
    pub database_bytes_max: Option<u64>,
}

impl Options {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            read_connections: 4,
            read_wait: std::time::Duration::from_secs(5),
            logs: LogLimits::default(),
            database_bytes_max: None,
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

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<()>,
}

impl Store {
    /// Makes what is missing. Blocks.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, Error> {
        todo!()
    }

    /// One consistent look at the database. Blocks: call it from a thread that may.
    pub fn read<T>(&self, f: impl FnOnce(&ReadTx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        todo!()
    }

    pub fn logs(&self) -> &Logs {
        todo!()
    }

    pub fn dir(&self) -> &Path {
        todo!()
    }

    pub fn epoch(&self) -> Epoch {
        todo!()
    }

    /// What the disk of the data folder has left for us.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        todo!()
    }
}
