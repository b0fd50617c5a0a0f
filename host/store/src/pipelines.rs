//! Pipelines and their versions. A version never changes; a deleted pipeline keeps its rows, so that its runs can be read
//! (decision 17), and gives its id free for a new one.

use crate::{Error, NamespaceId, Page, Paged, ReadTx, WriteTx};
use hostler_model::{Actor, Slug, Timestamp};

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
        todo!()
    }

    /// Deleted ones too.
    pub fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        todo!()
    }

    /// In order of id, without deleted ones.
    pub fn pipelines(&self, namespace: NamespaceId, page: Page) -> Result<Paged<PipelineRow>, Error> {
        todo!()
    }

    /// Newest first.
    pub fn versions(&self, pipeline: PipelineKey, page: Page) -> Result<Paged<VersionRow>, Error> {
        todo!()
    }

    pub fn version(&self, pipeline: PipelineKey, version: u32) -> Result<Option<VersionRow>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    pub fn create_pipeline(&mut self, new: NewPipeline<'_>) -> Result<PipelineKey, Error> {
        todo!()
    }

    /// Numbers the version one above the latest, and answers the number.
    pub fn add_version(&mut self, new: NewVersion<'_>) -> Result<u32, Error> {
        todo!()
    }

    pub fn release_version(&mut self, pipeline: PipelineKey, version: u32) -> Result<(), Error> {
        todo!()
    }

    pub fn delete_pipeline(&mut self, pipeline: PipelineKey, now: Timestamp) -> Result<(), Error> {
        todo!()
    }
}
