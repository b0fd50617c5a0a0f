//! Secrets. Nothing here answers with a value.

use crate::Web;
use crate::error::Error;
use crate::extract::{Caller, InBody, InPath};
use crate::types::{KeyRotated, Listing, NamespacePath, Secret, SecretPath, SecretValue};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use hostler_model::Problem;
use hostler_store::SecretRow;
use http::StatusCode;
use zeroize::Zeroizing;

fn shown(row: SecretRow) -> Secret {
    Secret {
        name: row.name,
        version: row.version,
        values: row.values,
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
        updated_by: row.updated_by.to_string(),
    }
}

/// List the secrets
///
/// In order of name. Values are never shown.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/secrets", tag = "Secrets", params(NamespacePath),
    responses((status = 200, description = "The secrets.", body = Listing<Secret>)))]
pub(super) async fn list_secrets(
    State(web): State<Web>,
    InPath(path): InPath<NamespacePath>,
) -> Result<Json<Listing<Secret>>, Error> {
    let rows = web.handle().secrets(&path.namespace).await?;
    Ok(Json(Listing { items: rows.into_iter().map(shown).collect(), next: None }))
}

/// Set a secret
///
/// The value counts at once. It is sealed before it is written and is never shown again.
#[utoipa::path(put, path = "/api/v1/namespaces/{namespace}/secrets/{secret}", tag = "Secrets", params(SecretPath),
    request_body = SecretValue, responses((status = 200, description = "The secret, without its value.", body = Secret)))]
pub(super) async fn set_secret(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<SecretPath>,
    InBody(body): InBody<SecretValue>,
) -> Result<Json<Secret>, Error> {
    let text = Zeroizing::new(body.value);
    let value = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    // Without the decoder's own words, which quote what it read.
    let value =
        value.map_err(|_| Error::invalid("the body is not valid").problem(Problem::new("/value", "is not base64")))?;
    let name = path.secret.clone();
    web.handle().set_secret(&path.namespace, path.secret, value, body.keep_old, principal.actor()).await?;
    let rows = web.handle().secrets(&path.namespace).await?;
    let row = rows.into_iter().find(|row| row.name == name);
    row.map(|row| Json(shown(row))).ok_or_else(|| Error::not_found("the secret was deleted meanwhile"))
}

/// Delete a secret
///
/// Its values are gone for good. What uses it is refused from now on.
#[utoipa::path(delete, path = "/api/v1/namespaces/{namespace}/secrets/{secret}", tag = "Secrets", params(SecretPath),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_secret(
    State(web): State<Web>,
    Caller(principal): Caller,
    InPath(path): InPath<SecretPath>,
) -> Result<StatusCode, Error> {
    web.handle().delete_secret(&path.namespace, path.secret, principal.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Exchange the key that seals secrets and what plugins keep
///
/// A new key is made and all values are sealed anew with it, while the host works. What is cut off goes on at the next
/// start. Refused where the key comes from outside.
#[utoipa::path(post, path = "/api/v1/key/rotate", tag = "Secrets",
    responses((status = 200, description = "All values are sealed with the new key.", body = KeyRotated)))]
pub(super) async fn rotate_key(State(web): State<Web>, Caller(principal): Caller) -> Result<Json<KeyRotated>, Error> {
    Ok(Json(KeyRotated { values: web.handle().rotate_key(principal.actor()).await? }))
}
