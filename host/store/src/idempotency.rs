//! Which run an idempotency key of a token has made, so that a request sent twice starts one run.

use crate::{Error, NamespaceId, ReadTx, WriteTx};
use hostler_model::{RunKey, Timestamp};

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
        todo!()
    }
}

impl WriteTx<'_> {
    /// Takes the place of an entry that has this key already.
    pub fn remember_idempotency(&mut self, new: NewIdempotent<'_>) -> Result<(), Error> {
        todo!()
    }

    /// Forgets up to `limit` entries made before `before`; answers how many.
    pub fn forget_idempotency(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        todo!()
    }
}
