//! Tokens: who may do what. Only a hash is kept; the token itself is shown once, by whoever made it.

use crate::{Error, ReadTx, WriteTx};
use hostler_model::{Slug, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenId(pub i64);

/// What a token lets its bearer do; `*` stands for all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Permission {
    pub noun: String,
    pub verb: String,
    pub namespace: String,
}

#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    pub name: &'a Slug,
    /// SHA-256 of the token.
    pub hash: &'a [u8; 32],
    pub permissions: &'a [Permission],
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    pub id: TokenId,
    pub name: Slug,
    pub hash: [u8; 32],
    pub permissions: Vec<Permission>,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

impl ReadTx<'_> {
    /// Revoked ones are not found.
    pub fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Error> {
        todo!()
    }

    /// All, oldest first, revoked ones too.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn add_token(&mut self, new: NewToken<'_>) -> Result<TokenId, Error> {
        todo!()
    }

    pub fn revoke_token(&mut self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        todo!()
    }
}
