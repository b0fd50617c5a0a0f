//! What plugins remember. Values are encrypted; each write gives its key a version that is never used again, so that a
//! result based on what another call has changed since is told apart.

use crate::columns::first;
use crate::{Error, NamespaceId, ReadTx, WriteTx};
use rusqlite::params;

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
        let sql = "SELECT value, version FROM kv
                   WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key = ?4";
        let values = params![owner.plugin, owner.namespace.0, scope, key];
        let found: Option<(Vec<u8>, u64)> = self.one(sql, values, |row| Ok((row.take()?, row.take()?)))?;
        let Some((sealed, version)) = found else { return Ok(None) };
        let value = self.cipher().open(&place(owner, scope, key).each_ref().map(AsRef::as_ref), &sealed);
        let lost = || Error::Undecryptable { plugin: owner.plugin.into(), key: key.into() };
        Ok(Some(KvValue { value: value.ok_or_else(lost)?.to_vec(), version }))
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
        // Keys are compared as bytes; a prefix is cut out rather than matched, since `LIKE` knows wildcards and
        // letters.
        let sql = "SELECT key FROM kv
                   WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key >= ?4 AND key > ?5
                       AND substr(key, 1, length(?4)) = ?4
                   ORDER BY key LIMIT ?6";
        let after = after.unwrap_or("");
        self.list(sql, params![owner.plugin, owner.namespace.0, scope, prefix, after, limit], first)
    }

    /// Bytes of all keys and values of one owner.
    pub fn kv_bytes(&self, owner: KvOwner<'_>) -> Result<u64, Error> {
        let sql = "SELECT bytes FROM kv_usage WHERE plugin = ?1 AND namespace_id = ?2";
        Ok(self.one(sql, params![owner.plugin, owner.namespace.0], first)?.unwrap_or(0))
    }
}

impl WriteTx<'_> {
    /// Writes all, if all that was read is still so (else `Error::Conflict`) and the owner stays within `bytes_max`
    /// (else
    /// `Error::KvFull`). On an error some writes may stand: call it inside a savepoint.
    pub fn kv_apply(
        &mut self,
        owner: KvOwner<'_>,
        expected: &[KvExpect],
        writes: &[KvWrite],
        bytes_max: u64,
    ) -> Result<(), Error> {
        for KvExpect { scope, key, version } in expected {
            if self.kv_version(owner, scope, key)? != *version {
                let what = format!("`{key}` of plugin `{}`", owner.plugin);
                let expected = version.map_or("absent".into(), |version| format!("version {version}"));
                return Err(Error::Conflict { what, expected });
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        for KvWrite { scope, key, value } in writes {
            match value {
                Some(value) => self.kv_set(owner, scope, key, value)?,
                None => self.kv_delete(owner, scope, key)?,
            }
        }
        let bytes = self.kv_bytes(owner)?;
        if bytes > bytes_max {
            return Err(Error::KvFull { plugin: owner.plugin.into(), bytes, bytes_max });
        }
        Ok(())
    }
}

impl WriteTx<'_> {
    fn kv_version(&self, owner: KvOwner<'_>, scope: &str, key: &str) -> Result<Option<u64>, Error> {
        let sql = "SELECT version FROM kv WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key = ?4";
        self.one(sql, params![owner.plugin, owner.namespace.0, scope, key], first)
    }

    fn kv_set(&mut self, owner: KvOwner<'_>, scope: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        let bytes = (key.len() + value.len()) as i64;
        self.kv_delete(owner, scope, key)?;
        let sealed = self.cipher().seal(&place(owner, scope, key).each_ref().map(AsRef::as_ref), value);
        let usage = "INSERT INTO kv_usage (plugin, namespace_id, bytes, last_version) VALUES (?1, ?2, ?3, 1)
                     ON CONFLICT (plugin, namespace_id) DO UPDATE SET
                         bytes = bytes + excluded.bytes, last_version = last_version + 1";
        self.execute(usage, params![owner.plugin, owner.namespace.0, bytes])?;
        let sql = "INSERT INTO kv (plugin, namespace_id, scope, key, value, bytes, version)
                   SELECT plugin, namespace_id, ?3, ?4, ?5, ?6, last_version FROM kv_usage
                   WHERE plugin = ?1 AND namespace_id = ?2";
        let values = params![owner.plugin, owner.namespace.0, scope, key, sealed, bytes];
        self.execute(sql, values).map(|_| ())
    }

    fn kv_delete(&mut self, owner: KvOwner<'_>, scope: &str, key: &str) -> Result<(), Error> {
        let usage = "UPDATE kv_usage SET bytes = bytes - coalesce((
                         SELECT bytes FROM kv WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key = ?4), 0)
                     WHERE plugin = ?1 AND namespace_id = ?2";
        self.execute(usage, params![owner.plugin, owner.namespace.0, scope, key])?;
        let sql = "DELETE FROM kv WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key = ?4";
        self.execute(sql, params![owner.plugin, owner.namespace.0, scope, key]).map(|_| ())
    }
}

/// What a value's encryption is bound to.
fn place<'a>(owner: KvOwner<'a>, scope: &'a str, key: &'a str) -> [std::borrow::Cow<'a, str>; 4] {
    [owner.plugin.into(), owner.namespace.0.to_string().into(), scope.into(), key.into()]
}
