//! What can go wrong with the data folder, each with the path or row it is about and what a person can do.

use hostler_model::Kind;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A guarded change found another state than it comes from, or an older version than it was based on.
    #[error("{what} is not `{expected}` any more; nothing was changed")]
    Conflict { what: String, expected: String },
    #[error("{what} exists already")]
    Exists { what: String },
    #[error("{what} does not exist")]
    NotFound { what: String },
    #[error("plugin `{plugin}` would keep {bytes} bytes, over its limit of {bytes_max}")]
    KvFull { plugin: String, bytes: u64, bytes_max: u64 },
    #[error("this process has as many files open as it may, so `{}` cannot be opened; raise `ulimit -n`", path.display())]
    TooManyFiles { path: PathBuf },
    #[error("all {connections} read connections stayed in use for {waited_ms} ms; try again in a moment")]
    Busy { connections: usize, waited_ms: u64 },
    #[error("the disk of `{}` is full; free some space and try again", path.display())]
    DiskFull { path: PathBuf },
    #[error("`{}` cannot be written to; check the owner and the mode of the folder and whether its disk is mounted read-only", path.display())]
    ReadOnly { path: PathBuf },
    #[error("`{}` is damaged ({what}); restore the folder `backups` beside it or a backup of your own", path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("the key file `{}` is missing, without which what plugins kept cannot be read; put it back from a backup", path.display())]
    KeyMissing { path: PathBuf },
    #[error("the key is not the one that sealed the values in `{}`; give the right one (`key.*` in the config)", path.display())]
    WrongKey { path: PathBuf },
    #[error(
        "the key comes from outside (`key.*` in the config): put the new one there in front of the old one and start the host again"
    )]
    KeyFromOutside,
    /// A program that is not a host holds the write lock, such as a SQLite shell.
    #[error("another program holds the database `{}`; close it", path.display())]
    Held { path: PathBuf },
    #[error("`{}` is not a database of hostler; choose another data folder", path.display())]
    Foreign { path: PathBuf },
    #[error("the backup `{}` is damaged or none of hostler: {what}; use another one", path.display())]
    BadBackup { path: PathBuf, what: String },
    #[error("`{}` is not empty; name a folder that is empty or not there", path.display())]
    NotEmpty { path: PathBuf },
    #[error(
        "the disk of `{}` has {} MiB free, which is too little: a backup needs about {} MiB, and {} MiB must stay free \
         (`storage.free_min`); free some space or name another folder",
        path.display(), free >> 20, (needed >> 20) + 1, free_min >> 20
    )]
    NoSpace { path: PathBuf, free: u64, needed: u64, free_min: u64 },
    #[error("`{}` was made by a newer hostler (schema {found}, this one knows {known}); start that version, or restore the backup it made", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("`{}` is in use by {}; stop it, or choose another data folder", path.display(), holder(*pid))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error(
        "what plugin `{plugin}` kept under `{key}` cannot be decrypted; was the file `key` of the data folder changed?"
    )]
    Undecryptable { plugin: String, key: String },
    /// The database threw the transaction away by itself (a full disk, mostly); the writer can begin another.
    #[error("the transaction on `{}` was rolled back by an earlier failure", path.display())]
    TransactionLost { path: PathBuf },
    #[error("could not {doing} `{}`", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the database `{}` refused a statement", path.display())]
    Sql { path: PathBuf, source: rusqlite::Error },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Conflict { .. } | Self::Exists { .. } | Self::NotEmpty { .. } => Kind::Conflict,
            Self::NotFound { .. } => Kind::NotFound,
            Self::KvFull { .. } => Kind::TooLarge,
            Self::Busy { .. } => Kind::Busy,
            Self::DiskFull { .. }
            | Self::NoSpace { .. }
            | Self::ReadOnly { .. }
            | Self::Locked { .. }
            | Self::Held { .. }
            | Self::TooManyFiles { .. }
            | Self::KeyMissing { .. }
            | Self::WrongKey { .. }
            | Self::TransactionLost { .. } => Kind::Unavailable,
            Self::Foreign { .. } | Self::Newer { .. } | Self::BadBackup { .. } | Self::KeyFromOutside => Kind::Invalid,
            Self::Corrupt { .. } | Self::Undecryptable { .. } | Self::Io { .. } | Self::Sql { .. } => Kind::Internal,
        }
    }

    /// The disk or the file itself failed, so that going on could lose more: the host ends with this message.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::ReadOnly { .. }
            | Self::Corrupt { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Locked { .. }
            | Self::KeyMissing { .. }
            | Self::WrongKey { .. }
            | Self::Io { .. } => true,
            Self::Conflict { .. }
            | Self::Exists { .. }
            | Self::NotFound { .. }
            | Self::KvFull { .. }
            | Self::Busy { .. }
            | Self::Held { .. }
            | Self::TooManyFiles { .. }
            | Self::DiskFull { .. }
            | Self::NoSpace { .. }
            | Self::BadBackup { .. }
            | Self::NotEmpty { .. }
            | Self::Undecryptable { .. }
            | Self::KeyFromOutside
            | Self::TransactionLost { .. }
            | Self::Sql { .. } => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        use rustix::io::Errno;
        use std::io::ErrorKind;
        let path = path.to_path_buf();
        if matches!(Errno::from_io_error(&source), Some(Errno::MFILE | Errno::NFILE)) {
            return Self::TooManyFiles { path };
        }
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly { path },
            _ => Self::Io { doing, path, source },
        }
    }

    pub(crate) fn sql(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, what: source.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Held { path },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::SystemIoFailure) => {
                Self::Io { doing: "read or write", path, source: std::io::Error::other(source) }
            }
            _ => match source {
                // A value that no version of ours writes: the file was changed by something else.
                rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                    Self::Corrupt { path, what: source.to_string() }
                }
                source => Self::Sql { path, source },
            },
        }
    }
}
