//! What there is once a data folder: its id, the epoch, its namespaces.

use crate::columns::{Fields, first};
use crate::{Error, ReadTx, WriteTx};
use hostler_model::{Epoch, Slug, Timestamp};
use rusqlite::params;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespaceId(pub i64);

impl NamespaceId {
    /// The namespace `default`, which every data folder has.
    pub const DEFAULT: Self = Self(1);
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceRow {
    pub id: NamespaceId,
    pub name: Slug,
}

impl ReadTx<'_> {
    /// Made once for this data folder; names the host to executors that outlive it.
    pub fn host_id(&self) -> Result<String, Error> {
        self.only("SELECT value FROM meta WHERE key = 'host_id'", [], first)
    }

    pub fn epoch(&self) -> Result<Epoch, Error> {
        self.only("SELECT value FROM meta WHERE key = 'epoch'", [], first)
    }

    /// When the data folder was made.
    pub fn made_at(&self) -> Result<Timestamp, Error> {
        self.only("SELECT value FROM meta WHERE key = 'created_at'", [], first)
    }

    pub fn namespaces(&self) -> Result<Vec<NamespaceRow>, Error> {
        let read = |row: &mut Fields<'_, '_>| Ok(NamespaceRow { id: row.take()?, name: row.take()? });
        self.list("SELECT id, name FROM namespace ORDER BY name", [], read)
    }

    pub fn namespace_by_name(&self, name: &Slug) -> Result<Option<NamespaceId>, Error> {
        self.one("SELECT id FROM namespace WHERE name = ?1", [name.as_str()], first)
    }
}

impl WriteTx<'_> {
    /// Begins a boot: makes the host's id where there is none, and raises the epoch.
    pub(crate) fn boot(&mut self, new_host_id: &str, now: Timestamp) -> Result<Epoch, Error> {
        let keep = "INSERT INTO meta (key, value) VALUES ('host_id', ?1), ('epoch', 0), ('created_at', ?2)
                    ON CONFLICT (key) DO NOTHING";
        self.execute(keep, params![new_host_id, now.0])?;
        self.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'", [])?;
        self.epoch()
    }
}
