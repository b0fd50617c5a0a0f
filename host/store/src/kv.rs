//! What plugins remember. Values are encrypted; each write gives its key a version that is never used again, so that a
//! result based on what another call has changed since is told apart.

use crate::{Error, NamespaceId, ReadTx, WriteTx};

/// Whose values: one plugin in one namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KvOwner<'a> {
    pub plugin: &'a str,
    pub namespace: NamespaceId,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvValue {
    pub value: Vec<u8>,
    pub version: u64,
}

/// What a call has read: the version, or None where nothing was there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvExpect {
    pub scope: String,
    pub key: String,
    pub version: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvWrite {
    pub scope: String,
    pub key: String,
    /// None deletes.
    pub value: Option<Vec<u8>>,
}

impl ReadTx<'_> {
    pub fn kv_get(&self, owner: KvOwner<'_>, scope: &str, key: &str) -> Result<Option<KvValue>, Error> {
        todo!()
    }

    /// Up to `limit` keys that begin with `prefix`, in order, behind `after`.
    pub fn kv_keys(
        &self,
        owner: KvOwner<'_>,
        scope: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// Bytes of all keys and values of one owner.
    pub fn kv_bytes(&self, owner: KvOwner<'_>) -> Result<u64, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    /// Writes all, if all that was read is still so (else `Error::Conflict`) and the owner stays within `bytes_max` (else
    /// `Error::KvFull`). On an error some writes may stand: call it inside a savepoint.
    pub fn kv_apply(
        &mut self,
        owner: KvOwner<'_>,
        expected: &[KvExpect],
        writes: &[KvWrite],
        bytes_max: u64,
    ) -> Result<(), Error> {
        todo!()
    }
}
