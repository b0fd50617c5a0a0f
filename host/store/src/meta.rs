//! What there is once a data folder: its id, the epoch, its namespaces.

use crate::{Error, ReadTx};
use hostler_model::{Epoch, Slug, Timestamp};

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
        todo!()
    }

    pub fn epoch(&self) -> Result<Epoch, Error> {
        todo!()
    }

    /// When the data folder was made.
    pub fn made_at(&self) -> Result<Timestamp, Error> {
        todo!()
    }

    pub fn namespaces(&self) -> Result<Vec<NamespaceRow>, Error> {
        todo!()
    }

    pub fn namespace_by_name(&self, name: &Slug) -> Result<Option<NamespaceId>, Error> {
        todo!()
    }
}
