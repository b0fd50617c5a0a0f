//! Backups of the running host: begin one, see how it goes.

use crate::Web;
use crate::error::Error;
use crate::extract::{Caller, InBody, InPath};
use crate::types::{Backup, BackupCreate, BackupPath, BackupStatus, Listing};
use axum::Json;
use axum::extract::State;
use http::StatusCode;

fn shown(backup: hostler_engine::Backup) -> Backup {
    let (status, error) = match backup.status {
        hostler_engine::BackupStatus::Running => (BackupStatus::Running, None),
        hostler_engine::BackupStatus::Done => (BackupStatus::Done, None),
        hostler_engine::BackupStatus::Failed { message } => (BackupStatus::Failed, Some(message)),
    };
    let path = backup.path.display().to_string();
    Backup { name: backup.name, path, status, made_at: backup.made_at.into(), bytes: backup.bytes, error }
}

/// List the backups
///
/// Newest first: those in the host's folder of backups, and those begun since its start, also where they failed.
#[utoipa::path(get, path = "/api/v1/backups", tag = "Backups",
    responses((status = 200, description = "The backups.", body = Listing<Backup>)))]
pub(super) async fn list_backups(State(web): State<Web>) -> Result<Json<Listing<Backup>>, Error> {
    let reading = web.clone();
    let items = web.blocking(move || Ok(reading.handle().backups().into_iter().map(shown).collect())).await?;
    Ok(Json(Listing { items, next: None }))
}

/// Begin a backup
///
/// Answered at once; ask for the backup to see when it is done. One at a time. Nothing that is there is written over.
#[utoipa::path(post, path = "/api/v1/backups", tag = "Backups", request_body = BackupCreate,
    responses((status = 202, description = "It is begun.", body = Backup)))]
pub(super) async fn create_backup(
    State(web): State<Web>,
    Caller(principal): Caller,
    InBody(wanted): InBody<BackupCreate>,
) -> Result<(StatusCode, Json<Backup>), Error> {
    let making = web.clone();
    let to = wanted.to.map(Into::into);
    let begun = web.blocking(move || Ok(making.handle().create_backup(to, principal.actor())?)).await?;
    Ok((StatusCode::ACCEPTED, Json(shown(begun))))
}

/// Show a backup
#[utoipa::path(get, path = "/api/v1/backups/{backup}", tag = "Backups", params(BackupPath),
    responses((status = 200, description = "The backup.", body = Backup)))]
pub(super) async fn get_backup(
    State(web): State<Web>,
    InPath(path): InPath<BackupPath>,
) -> Result<Json<Backup>, Error> {
    let reading = web.clone();
    let all = web.blocking(move || Ok(reading.handle().backups())).await?;
    let found = all.into_iter().find(|backup| backup.name == path.backup);
    let unknown = || Error::not_found("this backup is not there").hint("`hostler backup list` shows those that are");
    found.map(|backup| Json(shown(backup))).ok_or_else(unknown)
}
