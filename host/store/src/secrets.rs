//! Secrets: written, used, never shown. Each value is sealed and bound to its namespace, name and version.

use crate::columns::{Fields, actor_kind, first};
use crate::{Error, NamespaceId, ReadTx, WriteTx};
use hostler_model::{Actor, Slug, Timestamp};
use rusqlite::params;
use zeroize::Zeroizing;

/// What may be known of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretRow {
    pub name: Slug,
    /// Of the newest value.
    pub version: u64,
    /// Values that count, the newest one among them.
    pub values: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub updated_by: Actor,
}

#[derive(Clone, Copy, Debug)]
pub struct NewSecret<'a> {
    pub namespace: NamespaceId,
    pub name: &'a Slug,
    pub value: &'a [u8],
    /// The value that was newest counts until then; None: no longer.
    pub keep_until: Option<Timestamp>,
    pub actor: &'a Actor,
    pub now: Timestamp,
}

/// What a value's encryption is bound to.
pub(crate) fn place(namespace: NamespaceId, name: &str, version: u64) -> [String; 4] {
    ["secret".into(), namespace.0.to_string(), name.into(), version.to_string()]
}

impl ReadTx<'_> {
    /// In order of name.
    pub fn secrets(&self, namespace: NamespaceId, now: Timestamp) -> Result<Vec<SecretRow>, Error> {
        let sql = concat!(secret_columns!(), " WHERE namespace_id = ?1 AND deleted_at IS NULL ORDER BY name");
        self.list(sql, params![namespace.0, now.0], read_secret)
    }

    pub fn secret(&self, namespace: NamespaceId, name: &Slug, now: Timestamp) -> Result<Option<SecretRow>, Error> {
        let sql = concat!(secret_columns!(), " WHERE namespace_id = ?1 AND deleted_at IS NULL AND name = ?3");
        self.one(sql, params![namespace.0, now.0, name.as_str()], read_secret)
    }

    /// The values that count, newest first; none where there is no such secret.
    pub fn secret_values(
        &self,
        namespace: NamespaceId,
        name: &Slug,
        now: Timestamp,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        let sql = "SELECT version, value FROM secret_version
                   WHERE namespace_id = ?1 AND name = ?2 AND (until IS NULL OR until > ?3) ORDER BY version DESC";
        let values = params![namespace.0, name.as_str(), now.0];
        let sealed: Vec<(u64, Vec<u8>)> = self.list(sql, values, |row| Ok((row.take()?, row.take()?)))?;
        let cipher = self.cipher();
        let open = |(version, sealed): (u64, Vec<u8>)| {
            let place = place(namespace, name.as_str(), version);
            let lost = || Error::Undecryptable { plugin: "secret".into(), key: name.to_string() };
            cipher.open(&place.each_ref().map(String::as_str), &sealed).ok_or_else(lost)
        };
        sealed.into_iter().map(open).collect()
    }
}

impl WriteTx<'_> {
    /// Answers the version of the new value. Values that no longer count are gone for good.
    pub fn set_secret(&mut self, new: NewSecret<'_>) -> Result<u64, Error> {
        let NewSecret { namespace, name, value, keep_until, actor, now } = new;
        let sql = "INSERT INTO secret
                       (namespace_id, name, last_version, created_at, updated_at, actor_kind, actor_name)
                   VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)
                   ON CONFLICT (namespace_id, name) DO UPDATE SET
                       created_at = iif(deleted_at IS NULL, created_at, ?3), last_version = last_version + 1,
                       updated_at = ?3, actor_kind = ?4, actor_name = ?5, deleted_at = NULL";
        self.execute(sql, params![namespace.0, name.as_str(), now.0, actor_kind(actor.kind), actor.name])?;
        let sql = "SELECT last_version FROM secret WHERE namespace_id = ?1 AND name = ?2";
        let version: u64 = self.only(sql, params![namespace.0, name.as_str()], first)?;
        let sql = "UPDATE secret_version SET until = coalesce(?3, 0)
                   WHERE namespace_id = ?1 AND name = ?2 AND until IS NULL";
        self.execute(sql, params![namespace.0, name.as_str(), keep_until.map(|at| at.0)])?;
        let sql = "DELETE FROM secret_version WHERE namespace_id = ?1 AND name = ?2 AND until <= ?3";
        self.execute(sql, params![namespace.0, name.as_str(), now.0])?;
        let place = place(namespace, name.as_str(), version);
        let sealed = self.cipher().seal(&place.each_ref().map(String::as_str), value);
        let sql = "INSERT INTO secret_version (namespace_id, name, version, value) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![namespace.0, name.as_str(), version.cast_signed(), sealed])?;
        Ok(version)
    }

    /// Its values are gone for good. Answers whether there was one.
    pub fn delete_secret(&mut self, namespace: NamespaceId, name: &Slug, now: Timestamp) -> Result<bool, Error> {
        let sql = "DELETE FROM secret_version WHERE namespace_id = ?1 AND name = ?2";
        self.execute(sql, params![namespace.0, name.as_str()])?;
        let sql = "UPDATE secret SET deleted_at = ?3 WHERE namespace_id = ?1 AND name = ?2 AND deleted_at IS NULL";
        Ok(self.execute(sql, params![namespace.0, name.as_str(), now.0])? == 1)
    }
}

fn read_secret(row: &mut Fields<'_, '_>) -> rusqlite::Result<SecretRow> {
    Ok(SecretRow {
        name: row.take()?,
        version: row.take()?,
        values: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
        updated_by: row.actor()?,
    })
}

/// Columns in the order of `read_secret`; ?1 is the namespace, ?2 the time.
macro_rules! secret_columns {
    () => {
        "SELECT name, last_version,
             (SELECT count(*) FROM secret_version AS kept WHERE kept.namespace_id = secret.namespace_id
                  AND kept.name = secret.name AND (kept.until IS NULL OR kept.until > ?2)),
             created_at, updated_at, actor_kind, actor_name FROM secret"
    };
}
use secret_columns;
