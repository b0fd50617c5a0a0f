//! Pipelines: registered, released, looked at, deleted, and checked without any of it.

use super::{next, page};
use crate::Web;
use crate::error::Error;
use crate::extract::{Caller, Document, InBody, InPath, InQuery};
use crate::state::pipeline_row;
use crate::types::{
    Listing, NamespacePath, PageQuery, Pipeline, PipelinePath, RegisterQuery, Registered, Release, TaskShape,
    Validated, Version, VersionPath, VersionSummary,
};
use axum::Json;
use axum::extract::State;
use hostler_engine::Register;
use hostler_model::TaskKind;
use hostler_store::{PipelineRow, VersionRow};
use http::StatusCode;

impl From<PipelineRow> for Pipeline {
    fn from(row: PipelineRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            latest_version: row.latest,
            released_version: row.released,
            created_at: row.created_at.into(),
        }
    }
}

fn version_summary(row: &VersionRow, released: Option<u32>) -> VersionSummary {
    VersionSummary {
        version: row.version,
        digest: row.digest.clone(),
        released: released == Some(row.version),
        created_at: row.created_at.into(),
        created_by: row.created_by.clone().into(),
    }
}

/// List the pipelines
///
/// In order of id.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/pipelines", tag = "Pipelines", params(NamespacePath, PageQuery),
    responses((status = 200, description = "A page of pipelines.", body = Listing<Pipeline>)))]
pub(super) async fn list_pipelines(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Listing<Pipeline>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    let paged = web
        .find(move |tx| {
            let namespace = crate::state::namespace(tx, &path.namespace)?;
            Ok(tx.pipelines(namespace, page)?)
        })
        .await?;
    Ok(Json(Listing { items: paged.items.into_iter().map(Into::into).collect(), next: next(paged.next) }))
}

/// Register a document as the next version of its pipeline
///
/// The pipeline is the one that the document's `id` names, and is made where it is not there. The same document as the
/// latest version makes no new one. At most 16 MiB.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/pipelines", tag = "Pipelines", params(NamespacePath, RegisterQuery),
    request_body(content = Object, description = "The document.", content_type = "application/json"),
    responses(
        (status = 201, description = "A new version was made.", body = Registered),
        (status = 200, description = "The document was the latest version already.", body = Registered),
    ))]
pub(super) async fn register_pipeline(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<NamespacePath>,
    InQuery(query): InQuery<RegisterQuery>,
    Document(document): Document,
) -> Result<(StatusCode, Json<Registered>), Error> {
    let register = Register { namespace: path.namespace, document, release: query.release, actor: caller.actor() };
    let hostler_engine::Registered { pipeline, version, digest, released, unchanged } =
        web.handle().register(register).await?;
    let status = if unchanged { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Registered { pipeline, version, digest, released, unchanged })))
}

/// Check a document
///
/// Says all that is wrong with it and changes nothing. A document with mistakes is a good question, so the status is
/// 200.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/validate", tag = "Pipelines", params(NamespacePath),
    request_body(content = Object, description = "The document.", content_type = "application/json"),
    responses((status = 200, description = "What there is to say.", body = Validated)))]
pub(super) async fn validate_document(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
    Document(document): Document,
) -> Result<Json<Validated>, Error> {
    web.find(move |tx| crate::state::namespace(tx, &path.namespace)).await?;
    web.blocking(move || {
        Ok(Json(match hostler_model::Pipeline::parse(&document) {
            Ok(pipeline) => {
                Validated { valid: true, problems: Vec::new(), tasks: shapes(&pipeline), pipeline: Some(pipeline.id) }
            }
            Err(problems) => Validated {
                valid: false,
                problems: problems.0.into_iter().map(Into::into).collect(),
                pipeline: None,
                tasks: Vec::new(),
            },
        }))
    })
    .await
}

fn shapes(pipeline: &hostler_model::Pipeline) -> Vec<TaskShape> {
    let shape = |task: &hostler_model::Task| TaskShape {
        name: task.name.clone(),
        kind: kind_word(&task.kind).into(),
        depends_on: task.depends_on.iter().map(|edge| pipeline.task(edge.task).name.clone()).collect(),
    };
    pipeline.tasks.iter().map(shape).collect()
}

pub(super) const fn kind_word(kind: &TaskKind) -> &'static str {
    match kind {
        TaskKind::Process(_) => "process",
        TaskKind::Container(_) => "container",
        TaskKind::Wasm(_) => "wasm",
        TaskKind::None => "none",
    }
}

/// Show a pipeline
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}", tag = "Pipelines", params(PipelinePath),
    responses((status = 200, description = "The pipeline.", body = Pipeline)))]
pub(super) async fn get_pipeline(
    State(web): State<Web>,
    InPath(path): InPath<PipelinePath>,
) -> Result<Json<Pipeline>, Error> {
    let row = web.find(move |tx| pipeline_row(tx, &path.namespace, &path.pipeline)).await?;
    Ok(Json(row.into()))
}

/// Delete a pipeline
///
/// Refused while a run is open or a subscription stands. The history of its runs stays.
#[utoipa::path(delete, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}", tag = "Pipelines", params(PipelinePath),
    responses((status = 204, description = "It is deleted.")))]
pub(super) async fn delete_pipeline(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<PipelinePath>,
) -> Result<StatusCode, Error> {
    web.handle().delete_pipeline(&path.namespace, &path.pipeline, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a pipeline
///
/// Newest first, without their documents.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}/versions", tag = "Pipelines",
    params(PipelinePath, PageQuery), responses((status = 200, description = "A page of versions.", body = Listing<VersionSummary>)))]
pub(super) async fn list_versions(
    State(web): State<Web>,
    InPath(path): InPath<PipelinePath>,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<Listing<VersionSummary>>, Error> {
    let page = page(query.after.as_deref(), query.limit)?;
    web.find(move |tx| {
        let row = pipeline_row(tx, &path.namespace, &path.pipeline)?;
        let paged = tx.versions(row.key, page)?;
        let items = paged.items.iter().map(|version| version_summary(version, row.released)).collect();
        Ok(Json(Listing { items, next: next(paged.next) }))
    })
    .await
}

/// Show a version with its document
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}/versions/{version}", tag = "Pipelines",
    params(VersionPath), responses((status = 200, description = "The version.", body = Version)))]
pub(super) async fn get_version(
    State(web): State<Web>,
    InPath(path): InPath<VersionPath>,
) -> Result<Json<Version>, Error> {
    web.find(move |tx| {
        let row = pipeline_row(tx, &path.namespace, &path.pipeline)?;
        let version = tx.version(row.key, path.version)?;
        let version = version
            .ok_or_else(|| Error::not_found(format!("pipeline `{}` has no version {}", path.pipeline, path.version)))?;
        let document = serde_json::from_str(&version.document).map_err(Error::internal)?;
        Ok(Json(Version { summary: version_summary(&version, row.released), document }))
    })
    .await
}

/// Release a version
///
/// Triggers and plain starts use it from now on; runs that are open keep theirs.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/pipelines/{pipeline}/release", tag = "Pipelines", params(PipelinePath),
    request_body = Release, responses((status = 200, description = "The pipeline as it is now.", body = Pipeline)))]
pub(super) async fn release_version(
    State(web): State<Web>,
    Caller(caller): Caller,
    InPath(path): InPath<PipelinePath>,
    InBody(body): InBody<Release>,
) -> Result<Json<Pipeline>, Error> {
    web.handle().release(&path.namespace, &path.pipeline, body.version, caller.actor()).await?;
    get_pipeline(State(web), InPath(path)).await
}
