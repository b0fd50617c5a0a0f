//! Tokens: who may do what. Only a hash is kept; the token itself is shown once, by whoever made it.

use crate::columns::{Fields, json};
use crate::{Error, ReadTx, WriteTx};
use hostler_model::{Slug, Timestamp};
use rusqlite::params;
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
        let sql = concat!(token_columns!(), " WHERE hash = ?1 AND revoked_at IS NULL");
        self.one(sql, [hash], read_token)
    }

    /// All, oldest first, revoked ones too.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.list(concat!(token_columns!(), " ORDER BY id"), [], read_token)
    }
}

impl WriteTx<'_> {
    pub fn add_token(&mut self, new: NewToken<'_>) -> Result<TokenId, Error> {
        let sql = "INSERT INTO token (name, hash, permissions, created_at) VALUES (?1, ?2, ?3, ?4)";
        let values = params![new.name.as_str(), new.hash, json(&new.permissions), new.now.0];
        self.insert(sql, values, || format!("a token `{}`", new.name)).map(TokenId)
    }

    pub fn revoke_token(&mut self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
        self.change(sql, params![id.0, now.0], || format!("token {}", id.0), "in force")
    }
}

/// Columns in the order of `read_token`.
macro_rules! token_columns {
    () => {
        "SELECT id, name, hash, permissions, created_at, revoked_at FROM token"
    };
}
use token_columns;

fn read_token(row: &mut Fields<'_, '_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: TokenId(row.take()?),
        name: row.take()?,
        hash: row.take()?,
        permissions: row.take()?,
        created_at: row.take()?,
        revoked_at: row.take()?,
    })
}
