//! Pipelines and their versions. A version never changes; a deleted pipeline keeps its rows, so that its runs can be
//! read (decision 17), and gives its id free for a new one.

use crate::columns::{Fields, actor_kind, first};
use crate::{Error, NamespaceId, Page, Paged, ReadTx, WriteTx};
use hostler_model::{Actor, Slug, Timestamp};
use rusqlite::params;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PipelineKey(pub i64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PipelineRow {
    pub key: PipelineKey,
    pub namespace: NamespaceId,
    pub id: Slug,
    pub name: Option<String>,
    pub created_at: Timestamp,
    /// The version that triggers and plain starts use.
    pub released: Option<u32>,
    /// 0 before the first version.
    pub latest: u32,
    pub deleted_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionRow {
    pub pipeline: PipelineKey,
    pub version: u32,
    pub digest: String,
    /// The document as canonical JSON.
    pub document: Box<str>,
    pub created_at: Timestamp,
    pub created_by: Actor,
}

#[derive(Clone, Copy, Debug)]
pub struct NewPipeline<'a> {
    pub namespace: NamespaceId,
    pub id: &'a Slug,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    pub pipeline: PipelineKey,
    /// The display name that the document gives; becomes the pipeline's.
    pub name: Option<&'a str>,
    pub digest: &'a str,
    pub document: &'a str,
    pub actor: &'a Actor,
    pub now: Timestamp,
}

impl ReadTx<'_> {
    /// The one of this id that is not deleted.
    pub fn pipeline_by_id(&self, namespace: NamespaceId, id: &Slug) -> Result<Option<PipelineRow>, Error> {
        let sql = concat!(pipeline_columns!(), " WHERE namespace_id = ?1 AND id = ?2 AND deleted_at IS NULL");
        self.one(sql, params![namespace.0, id.as_str()], read_pipeline)
    }

    /// Deleted ones too.
    pub fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        self.one(concat!(pipeline_columns!(), " WHERE key = ?1"), [key.0], read_pipeline)
    }

    /// In order of id, without deleted ones.
    pub fn pipelines(&self, namespace: NamespaceId, page: Page) -> Result<Paged<PipelineRow>, Error> {
        // The cursor is a key, so that it stays good when its pipeline is deleted meanwhile.
        let sql = concat!(
            pipeline_columns!(),
            " WHERE namespace_id = ?1 AND deleted_at IS NULL
                AND (?2 IS NULL OR id > (SELECT id FROM pipeline WHERE key = ?2))
              ORDER BY id LIMIT ?3"
        );
        let after = page.after.map(|cursor| cursor.0);
        let items = self.list(sql, params![namespace.0, after, page.fetch()], read_pipeline)?;
        Ok(page.cut(items, |pipeline| pipeline.key.0))
    }

    /// Newest first.
    pub fn versions(&self, pipeline: PipelineKey, page: Page) -> Result<Paged<VersionRow>, Error> {
        let sql =
            concat!(version_columns!(), " WHERE pipeline_key = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3");
        let below = page.after.map_or(i64::MAX, |cursor| cursor.0);
        let items = self.list(sql, params![pipeline.0, below, page.fetch()], read_version)?;
        Ok(page.cut(items, |version| i64::from(version.version)))
    }

    pub fn version(&self, pipeline: PipelineKey, version: u32) -> Result<Option<VersionRow>, Error> {
        let sql = concat!(version_columns!(), " WHERE pipeline_key = ?1 AND version = ?2");
        self.one(sql, params![pipeline.0, version], read_version)
    }
}

impl WriteTx<'_> {
    pub fn create_pipeline(&mut self, new: NewPipeline<'_>) -> Result<PipelineKey, Error> {
        let sql = "INSERT INTO pipeline (namespace_id, id, created_at) VALUES (?1, ?2, ?3)";
        let values = params![new.namespace.0, new.id.as_str(), new.now.0];
        self.insert(sql, values, || format!("pipeline `{}`", new.id)).map(PipelineKey)
    }

    /// Numbers the version one above the latest, and answers the number.
    pub fn add_version(&mut self, new: NewVersion<'_>) -> Result<u32, Error> {
        let raise = "UPDATE pipeline SET latest_version = latest_version + 1, name = ?2
                     WHERE key = ?1 AND deleted_at IS NULL";
        self.change(raise, params![new.pipeline.0, new.name], || what(new.pipeline), "registered")?;
        let sql = "INSERT INTO version (pipeline_key, version, digest, document, created_at, actor_kind, actor_name)
                   SELECT key, latest_version, ?2, ?3, ?4, ?5, ?6 FROM pipeline WHERE key = ?1";
        let NewVersion { pipeline, digest, document, actor, now, .. } = new;
        let values = params![pipeline.0, digest, document, now.0, actor_kind(actor.kind), actor.name];
        self.insert(sql, values, || format!("the next version of {}", what(pipeline)))?;
        self.only("SELECT latest_version FROM pipeline WHERE key = ?1", [pipeline.0], first)
    }

    pub fn release_version(&mut self, pipeline: PipelineKey, version: u32) -> Result<(), Error> {
        let sql = "UPDATE pipeline SET released_version = ?2
                   WHERE key = ?1 AND deleted_at IS NULL AND ?2 BETWEEN 1 AND latest_version";
        self.change(sql, params![pipeline.0, version], || what(pipeline), "registered with this version")
    }

    pub fn delete_pipeline(&mut self, pipeline: PipelineKey, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE pipeline SET deleted_at = ?2 WHERE key = ?1 AND deleted_at IS NULL";
        self.change(sql, params![pipeline.0, now.0], || what(pipeline), "registered")
    }
}

/// Columns in the order of `read_pipeline`.
macro_rules! pipeline_columns {
    () => {
        "SELECT key, namespace_id, id, name, created_at, released_version, latest_version, deleted_at FROM pipeline"
    };
}
use pipeline_columns;

fn read_pipeline(row: &mut Fields<'_, '_>) -> rusqlite::Result<PipelineRow> {
    Ok(PipelineRow {
        key: row.take()?,
        namespace: row.take()?,
        id: row.take()?,
        name: row.take()?,
        created_at: row.take()?,
        released: row.take()?,
        latest: row.take()?,
        deleted_at: row.take()?,
    })
}

/// Columns in the order of `read_version`.
macro_rules! version_columns {
    () => {
        "SELECT pipeline_key, version, digest, document, created_at, actor_kind, actor_name FROM version"
    };
}
use version_columns;

fn read_version(row: &mut Fields<'_, '_>) -> rusqlite::Result<VersionRow> {
    Ok(VersionRow {
        pipeline: row.take()?,
        version: row.take()?,
        digest: row.take()?,
        document: row.take()?,
        created_at: row.take()?,
        created_by: row.actor()?,
    })
}

fn what(pipeline: PipelineKey) -> String {
    format!("pipeline {}", pipeline.0)
}
