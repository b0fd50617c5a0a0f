//! Installed plugins: what was installed from where, what it may do, and whether it is called.
//!
//! The component itself lies in the folder of components by its digest; the plugins of the binary and of the config
//! have no row.

use crate::columns::{Fields, actor_kind};
use crate::{Error, NamespaceId, PluginStatus, ReadTx, WriteTx};
use hostler_model::{Actor, Slug, SubscriptionId, Timestamp};
use rusqlite::params;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginRow {
    pub namespace: NamespaceId,
    pub name: Slug,
    /// As the operator named it: a reference, `file:NAME`, `builtin:NAME`.
    pub source: String,
    /// Of the artifact; None for one of the binary's own.
    pub manifest_digest: Option<String>,
    /// Of the component.
    pub digest: String,
    pub version: String,
    /// JSON text, as the plugin said it.
    pub manifest: Box<str>,
    /// JSON objects.
    pub grants: Box<str>,
    pub settings: Box<str>,
    pub limits: Box<str>,
    /// Who signed it, as the policy of its registry found out.
    pub signer: Option<String>,
    pub status: PluginStatus,
    /// Why it is not called.
    pub reason: Option<String>,
    pub installed_at: Timestamp,
    pub installed_by: Actor,
    pub updated_at: Timestamp,
}

impl ReadTx<'_> {
    /// In order of name.
    pub fn plugins(&self) -> Result<Vec<PluginRow>, Error> {
        self.list(concat!(plugin_columns!(), " ORDER BY namespace_id, name"), [], read_plugin)
    }

    pub fn plugin(&self, namespace: NamespaceId, name: &Slug) -> Result<Option<PluginRow>, Error> {
        let sql = concat!(plugin_columns!(), " WHERE namespace_id = ?1 AND name = ?2");
        self.one(sql, params![namespace.0, name.as_str()], read_plugin)
    }

    /// Subscriptions of a plugin that are not deleted, oldest first, up to `limit`: id and params.
    pub fn subscriptions_of(&self, plugin: &str, limit: u32) -> Result<Vec<(SubscriptionId, String)>, Error> {
        let sql = "SELECT id, params FROM subscription WHERE plugin = ?1 AND deleted_at IS NULL ORDER BY id LIMIT ?2";
        self.list(sql, params![plugin, limit], |row| Ok((row.take()?, row.take()?)))
    }
}

impl WriteTx<'_> {
    /// Puts a row in the place of the one of that name.
    pub fn put_plugin(&mut self, row: &PluginRow) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO plugin
                       (namespace_id, name, source, manifest_digest, digest, version, manifest, grants, settings,
                        limits, signer, status, reason, installed_at, actor_kind, actor_name, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        let values = params![
            row.namespace.0,
            row.name.as_str(),
            row.source,
            row.manifest_digest,
            row.digest,
            row.version,
            row.manifest,
            row.grants,
            row.settings,
            row.limits,
            row.signer,
            row.status.as_str(),
            row.reason,
            row.installed_at.0,
            actor_kind(row.installed_by.kind),
            row.installed_by.name,
            row.updated_at.0
        ];
        self.execute(sql, values).map(|_| ())
    }

    pub fn set_plugin_status(
        &mut self,
        namespace: NamespaceId,
        name: &Slug,
        status: PluginStatus,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let sql = "UPDATE plugin SET status = ?3, reason = ?4, updated_at = ?5 WHERE namespace_id = ?1 AND name = ?2";
        Ok(self.execute(sql, params![namespace.0, name.as_str(), status.as_str(), reason, now.0])? == 1)
    }

    /// Also forgets what it kept.
    pub fn delete_plugin(&mut self, namespace: NamespaceId, name: &Slug) -> Result<bool, Error> {
        let place = params![namespace.0, name.as_str()];
        self.execute("DELETE FROM kv WHERE namespace_id = ?1 AND plugin = ?2", place)?;
        self.execute("DELETE FROM plugin_recording WHERE namespace_id = ?1 AND plugin = ?2", place)?;
        self.execute("DELETE FROM kv_usage WHERE namespace_id = ?1 AND plugin = ?2", place)?;
        Ok(self.execute("DELETE FROM plugin WHERE namespace_id = ?1 AND name = ?2", place)? == 1)
    }
}

fn read_plugin(row: &mut Fields<'_, '_>) -> rusqlite::Result<PluginRow> {
    Ok(PluginRow {
        namespace: row.take()?,
        name: row.take()?,
        source: row.take()?,
        manifest_digest: row.take()?,
        digest: row.take()?,
        version: row.take()?,
        manifest: row.take()?,
        grants: row.take()?,
        settings: row.take()?,
        limits: row.take()?,
        signer: row.take()?,
        status: row.take()?,
        reason: row.take()?,
        installed_at: row.take()?,
        installed_by: row.actor()?,
        updated_at: row.take()?,
    })
}

/// Columns in the order of `read_plugin`.
macro_rules! plugin_columns {
    () => {
        "SELECT namespace_id, name, source, manifest_digest, digest, version, manifest, grants, settings, limits,
             signer, status, reason, installed_at, actor_kind, actor_name, updated_at FROM plugin"
    };
}
use plugin_columns;
