//! The keys that seal values: where they come from, and how they are exchanged while the host runs.
//!
//! A key file holds the current key and, during a rotation, the older ones behind it, 32 bytes each. A rotation first
//! writes the new key in front, then seals every value anew in slices, then drops the older ones; it can be cut off
//! anywhere and goes on at the next start, since each value says by itself which key opens it.

use crate::connection::Shared;
use crate::crypt::{Cipher, KEY_BYTES, Ring, random};
use crate::{Error, NamespaceId, Store, WriteTx, folder};
use hostler_model::Timestamp;
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use zeroize::Zeroizing;

pub(crate) const KEY: &str = "key";
/// Recordings sealed anew in one transaction.
const RECORDINGS_SLICE: u32 = 8;

/// Where the keys come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum KeySource {
    /// A file in the data folder, for its owner only, made at the first start.
    #[default]
    File,
    /// From outside, the current one first; never written anywhere.
    Given(GivenKeys),
}

/// Keys whose bytes are shown to nobody and gone when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenKeys(Ring);

impl std::fmt::Debug for GivenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GivenKeys({})", self.0.len())
    }
}

impl GivenKeys {
    /// Reads keys of 32 bytes in hexadecimal, one on each line, the current one first.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Result<Vec<_>, _> = text.split_whitespace().map(key_of).collect();
        let ring = Ring::new(keys?);
        if ring.is_empty() { Err("there is no key in it".into()) } else { Ok(Self(ring)) }
    }
}

fn key_of(word: &str) -> Result<[u8; KEY_BYTES], String> {
    let wrong = || format!("a key is {} hexadecimal digits", 2 * KEY_BYTES);
    let digits: Option<Vec<u8>> = word.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = Zeroizing::new(digits.filter(|digits| digits.len() == 2 * KEY_BYTES).ok_or_else(wrong)?);
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(key)
}

/// How far a rotation has looked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resealing {
    kv: Option<[String; 4]>,
    kv_done: bool,
    secrets: Option<(i64, String, i64)>,
    secrets_done: bool,
    recordings: i64,
    /// Values sealed anew so far.
    pub sealed: u64,
    /// Nothing is left that an older key sealed.
    pub done: bool,
}

/// The keys of a data folder.
pub(crate) fn ring(dir: &Path, source: &KeySource, connection: &Connection, database: &Path) -> Result<Ring, Error> {
    let path = dir.join(KEY);
    let ring = match source {
        KeySource::Given(GivenKeys(ring)) => ring.clone(),
        KeySource::File => match folder::read_keys(&path)? {
            Some(ring) => ring,
            None if needed(connection, database)? => return Err(Error::KeyMissing { path }),
            None => {
                let ring = Ring::new(vec![random::<KEY_BYTES>()]);
                folder::write_keys(dir, &path, &ring)?;
                ring
            }
        },
    };
    check(&Cipher::new(&ring), connection, database)?;
    Ok(ring)
}

/// Whether something was sealed under a key that ought to be there.
fn needed(connection: &Connection, database: &Path) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM kv) OR EXISTS (SELECT 1 FROM secret_version)
                   OR EXISTS (SELECT 1 FROM plugin_recording)";
    connection.query_row(sql, [], |row| row.get(0)).map_err(|source| Error::sql(database, source))
}

const CHECK: [&str; 1] = ["key-check"];

/// A value sealed with the key lies in the database, so that another key is noticed at the start and not at the first
/// secret.
fn check(cipher: &Cipher, connection: &Connection, database: &Path) -> Result<(), Error> {
    let fail = |source| Error::sql(database, source);
    let read = connection.query_row("SELECT value FROM meta WHERE key = 'key_check'", [], |row| row.get(0));
    let sealed: Vec<u8> = match read {
        Ok(sealed) => sealed,
        Err(rusqlite::Error::QueryReturnedNoRows) => return write_check(cipher, connection).map_err(fail),
        Err(source) => return Err(fail(source)),
    };
    match cipher.reseal(&CHECK, &sealed) {
        Some(None) => Ok(()),
        Some(Some(_)) => write_check(cipher, connection).map_err(fail),
        None => Err(Error::WrongKey { path: database.to_path_buf() }),
    }
}

fn write_check(cipher: &Cipher, connection: &Connection) -> rusqlite::Result<()> {
    let sealed = cipher.seal(&CHECK, b"hostler");
    let sql = "INSERT INTO meta (key, value) VALUES ('key_check', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";
    connection.execute(sql, params![sealed]).map(|_| ())
}

impl Store {
    /// Puts a new key in front. From now on it seals, and the older ones only open.
    pub fn begin_key_rotation(&self) -> Result<(), Error> {
        let KeySource::File = self.key_source() else { return Err(Error::KeyFromOutside) };
        let path = self.dir().join(KEY);
        let old = folder::read_keys(&path)?.ok_or_else(|| Error::KeyMissing { path: path.clone() })?;
        let mut keys = vec![random::<KEY_BYTES>()];
        keys.extend(old.iter());
        let ring = Ring::new(keys);
        folder::write_keys(self.dir(), &path, &ring)?;
        self.shared().set_cipher(Cipher::new(&ring));
        Ok(())
    }

    /// Whether values may still lie there that an older key sealed.
    pub fn is_rotating_keys(&self) -> bool {
        self.shared().cipher().is_rotating()
    }

    /// Drops the older keys. Only after `reseal` said that it is done.
    pub fn end_key_rotation(&self) -> Result<(), Error> {
        let KeySource::File = self.key_source() else { return Ok(()) };
        let path = self.dir().join(KEY);
        let keys = folder::read_keys(&path)?.ok_or_else(|| Error::KeyMissing { path: path.clone() })?;
        let ring = Ring::new(keys.first().copied().into_iter().collect());
        folder::write_keys(self.dir(), &path, &ring)?;
        self.shared().set_cipher(Cipher::new(&ring));
        Ok(())
    }
}

impl Shared {
    pub(crate) fn cipher(&self) -> Arc<Cipher> {
        self.cipher.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_cipher(&self, cipher: Cipher) {
        *self.cipher.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(cipher);
    }
}

impl WriteTx<'_> {
    /// Seals up to `limit` values anew that an older key sealed, from where `at` stands.
    pub fn reseal(&mut self, at: &mut Resealing, limit: u32) -> Result<(), Error> {
        let left = if at.kv_done { limit } else { self.reseal_kv(at, limit)? };
        if at.kv_done && !at.secrets_done && left > 0 {
            self.reseal_secrets(at, left)?;
        } else if at.secrets_done {
            self.reseal_recordings(at)?;
        }
        Ok(())
    }

    fn reseal_kv(&mut self, at: &mut Resealing, limit: u32) -> Result<u32, Error> {
        let sql = "SELECT plugin, namespace_id, scope, key, value FROM kv
                   WHERE ?1 IS NULL OR (plugin, namespace_id, scope, key) > (?1, ?2, ?3, ?4)
                   ORDER BY plugin, namespace_id, scope, key LIMIT ?5";
        type Row = (String, NamespaceId, String, String, Vec<u8>);
        let after = at.kv.clone();
        let part = |n: usize| after.as_ref().map(|place| place[n].clone());
        let namespace = part(1).and_then(|id| id.parse::<i64>().ok());
        let values = params![part(0), namespace, part(2), part(3), limit];
        let rows: Vec<Row> =
            self.list(sql, values, |row| Ok((row.take()?, row.take()?, row.take()?, row.take()?, row.take()?)))?;
        let found = u32::try_from(rows.len()).unwrap_or(limit);
        for (plugin, namespace, scope, key, sealed) in rows {
            let place = [plugin.clone(), namespace.0.to_string(), scope.clone(), key.clone()];
            if let Some(anew) = self.resealed(&place.each_ref().map(String::as_str), &sealed, &plugin, &key)? {
                let sql =
                    "UPDATE kv SET value = ?5 WHERE plugin = ?1 AND namespace_id = ?2 AND scope = ?3 AND key = ?4";
                self.execute(sql, params![plugin, namespace.0, scope, key, anew])?;
                at.sealed += 1;
            }
            at.kv = Some(place);
        }
        at.kv_done = found < limit;
        Ok(limit - found)
    }

    fn reseal_secrets(&mut self, at: &mut Resealing, limit: u32) -> Result<(), Error> {
        let sql = "SELECT namespace_id, name, version, value FROM secret_version
                   WHERE ?1 IS NULL OR (namespace_id, name, version) > (?1, ?2, ?3)
                   ORDER BY namespace_id, name, version LIMIT ?4";
        type Row = (NamespaceId, String, u64, Vec<u8>);
        let after = at.secrets.clone();
        let values = params![
            after.as_ref().map(|place| place.0),
            after.as_ref().map(|place| place.1.clone()),
            after.as_ref().map(|place| place.2),
            limit
        ];
        let rows: Vec<Row> = self.list(sql, values, |row| Ok((row.take()?, row.take()?, row.take()?, row.take()?)))?;
        at.secrets_done = (rows.len() as u32) < limit;
        for (namespace, name, version, sealed) in rows {
            let place = crate::secrets::place(namespace, &name, version);
            if let Some(anew) = self.resealed(&place.each_ref().map(String::as_str), &sealed, "secret", &name)? {
                let sql = "UPDATE secret_version SET value = ?4
                           WHERE namespace_id = ?1 AND name = ?2 AND version = ?3";
                self.execute(sql, params![namespace.0, name, version.cast_signed(), anew])?;
                at.sealed += 1;
            }
            at.secrets = Some((namespace.0, name, version.cast_signed()));
        }
        Ok(())
    }

    /// A few at a time: each may be large.
    fn reseal_recordings(&mut self, at: &mut Resealing) -> Result<(), Error> {
        let sql = "SELECT id, namespace_id, plugin, digest, function, at, content FROM plugin_recording
                   WHERE id > ?1 ORDER BY id LIMIT ?2";
        type Row = (i64, NamespaceId, String, String, String, Timestamp, Vec<u8>);
        let rows: Vec<Row> = self.list(sql, params![at.recordings, RECORDINGS_SLICE], |row| {
            Ok((row.take()?, row.take()?, row.take()?, row.take()?, row.take()?, row.take()?, row.take()?))
        })?;
        at.done = (rows.len() as u32) < RECORDINGS_SLICE;
        for (id, namespace, plugin, digest, function, when, sealed) in rows {
            let place = crate::recordings::place(namespace, &plugin, &digest, &function, when);
            let key = format!("recording {id}");
            if let Some(anew) = self.resealed(&place.each_ref().map(String::as_str), &sealed, &plugin, &key)? {
                self.execute("UPDATE plugin_recording SET content = ?2 WHERE id = ?1", params![id, anew])?;
                at.sealed += 1;
            }
            at.recordings = id;
        }
        if at.done {
            let sealed = self.cipher().seal(&CHECK, b"hostler");
            self.execute("UPDATE meta SET value = ?1 WHERE key = 'key_check'", params![sealed])?;
        }
        Ok(())
    }

    fn resealed(&self, place: &[&str], sealed: &[u8], owner: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let lost = || Error::Undecryptable { plugin: owner.into(), key: key.into() };
        self.cipher().reseal(place, sealed).ok_or_else(lost)
    }
}
