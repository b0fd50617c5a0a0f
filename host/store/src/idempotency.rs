//! Which run an idempotency key of a token has made, so that a request sent twice starts one run.

use crate::{Error, NamespaceId, ReadTx, WriteTx};
use hostler_model::{RunKey, Timestamp};
use rusqlite::params;

#[derive(Clone, Copy, Debug)]
pub struct NewIdempotent<'a> {
    pub namespace: NamespaceId,
    /// Name of the actor that sent it.
    pub actor: &'a str,
    pub key: &'a str,
    /// Of the request's content: another content under the same key is a mistake of the caller.
    pub fingerprint: &'a [u8; 32],
    pub run: RunKey,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotent {
    pub fingerprint: [u8; 32],
    pub run: RunKey,
    pub created_at: Timestamp,
}

impl ReadTx<'_> {
    pub fn idempotent_run(&self, namespace: NamespaceId, actor: &str, key: &str) -> Result<Option<Idempotent>, Error> {
        let sql = "SELECT fingerprint, run_key, created_at FROM idempotency
                   WHERE namespace_id = ?1 AND actor = ?2 AND key = ?3";
        self.one(sql, params![namespace.0, actor, key], |row| {
            Ok(Idempotent { fingerprint: row.take()?, run: row.take()?, created_at: row.take()? })
        })
    }
}

impl WriteTx<'_> {
    /// Takes the place of an entry that has this key already.
    pub fn remember_idempotency(&mut self, new: NewIdempotent<'_>) -> Result<(), Error> {
        let sql = "INSERT INTO idempotency (namespace_id, actor, key, fingerprint, run_key, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (namespace_id, actor, key) DO UPDATE SET
                       fingerprint = excluded.fingerprint, run_key = excluded.run_key, created_at = excluded.created_at";
        let NewIdempotent { namespace, actor, key, fingerprint, run, now } = new;
        self.execute(sql, params![namespace.0, actor, key, fingerprint, run.0, now.0]).map(|_| ())
    }

    /// Forgets up to `limit` entries made before `before`; answers how many.
    pub fn forget_idempotency(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let sql = "DELETE FROM idempotency WHERE (namespace_id, actor, key) IN (
                       SELECT namespace_id, actor, key FROM idempotency WHERE created_at < ?1
                       ORDER BY created_at LIMIT ?2)";
        self.execute(sql, params![before.0, limit]).map(|rows| rows as u64)
    }
}
