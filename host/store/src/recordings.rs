//! Recorded calls of plugins: the newest ones of each, sealed, since they hold what senders and plugins said.
//!
//! A recording is bound to its plugin, component, function and time; it is text whose form is no concern of ours.

use crate::columns::Fields;
use crate::{Error, NamespaceId, ReadTx, WriteTx};
use hostler_model::{Slug, Timestamp};
use rusqlite::params;

/// What may be known of a recording without opening it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingRow {
    pub id: i64,
    pub plugin: Slug,
    /// Of the component that was called.
    pub digest: String,
    pub function: String,
    pub at: Timestamp,
    /// None: the call answered.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct NewRecording<'a> {
    pub namespace: NamespaceId,
    pub plugin: &'a Slug,
    pub digest: &'a str,
    pub function: &'a str,
    pub at: Timestamp,
    pub error: Option<&'a str>,
    pub content: &'a str,
}

/// What a recording's encryption is bound to.
pub(crate) fn place(namespace: NamespaceId, plugin: &str, digest: &str, function: &str, at: Timestamp) -> [String; 6] {
    let at = at.0.to_string();
    ["recording".into(), namespace.0.to_string(), plugin.into(), digest.into(), function.into(), at]
}

impl ReadTx<'_> {
    /// Newest first.
    pub fn recordings(&self, namespace: NamespaceId, plugin: &Slug) -> Result<Vec<RecordingRow>, Error> {
        let sql = "SELECT id, plugin, digest, function, at, error FROM plugin_recording
                   WHERE namespace_id = ?1 AND plugin = ?2 ORDER BY id DESC";
        self.list(sql, params![namespace.0, plugin.as_str()], read_recording)
    }

    /// One with what is in it.
    pub fn recording(
        &self,
        namespace: NamespaceId,
        plugin: &Slug,
        id: i64,
    ) -> Result<Option<(RecordingRow, String)>, Error> {
        let sql = "SELECT id, plugin, digest, function, at, error, content FROM plugin_recording
                   WHERE namespace_id = ?1 AND plugin = ?2 AND id = ?3";
        let read = |row: &mut Fields<'_, '_>| Ok((read_recording(row)?, row.take::<Vec<u8>>()?));
        let Some((row, sealed)) = self.one(sql, params![namespace.0, plugin.as_str(), id], read)? else {
            return Ok(None);
        };
        let place = place(namespace, plugin.as_str(), &row.digest, &row.function, row.at);
        let lost = || Error::Undecryptable { plugin: plugin.to_string(), key: format!("recording {id}") };
        let content = self.cipher().open(&place.each_ref().map(String::as_str), &sealed).ok_or_else(lost)?;
        let content = String::from_utf8(content.to_vec()).map_err(|_| lost())?;
        Ok(Some((row, content)))
    }
}

impl WriteTx<'_> {
    pub fn add_recording(&mut self, new: NewRecording<'_>) -> Result<(), Error> {
        let NewRecording { namespace, plugin, digest, function, at, error, content } = new;
        let place = place(namespace, plugin.as_str(), digest, function, at);
        let sealed = self.cipher().seal(&place.each_ref().map(String::as_str), content.as_bytes());
        let sql = "INSERT INTO plugin_recording (namespace_id, plugin, digest, function, at, error, content)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![namespace.0, plugin.as_str(), digest, function, at.0, error, sealed];
        self.execute(sql, values).map(|_| ())
    }

    /// Leaves the newest ones.
    pub fn trim_recordings(&mut self, namespace: NamespaceId, plugin: &Slug, kept: u32) -> Result<(), Error> {
        let sql = "DELETE FROM plugin_recording WHERE namespace_id = ?1 AND plugin = ?2 AND id NOT IN
                       (SELECT id FROM plugin_recording WHERE namespace_id = ?1 AND plugin = ?2
                        ORDER BY id DESC LIMIT ?3)";
        self.execute(sql, params![namespace.0, plugin.as_str(), kept]).map(|_| ())
    }
}

fn read_recording(row: &mut Fields<'_, '_>) -> rusqlite::Result<RecordingRow> {
    Ok(RecordingRow {
        id: row.take()?,
        plugin: row.take()?,
        digest: row.take()?,
        function: row.take()?,
        at: row.take()?,
        error: row.take()?,
    })
}
