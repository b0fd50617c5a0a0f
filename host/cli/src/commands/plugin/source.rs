//! Where a component comes from, as a person types it: a file, a reference, `builtin:NAME`.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_plugin::oci::Reference;
use hostler_web::Client;
use hostler_web::types::PluginSource;
use std::path::Path;

/// What the host is told. A file is sent to it first.
pub(super) async fn resolve(ctx: &Context, client: &Client, typed: &str) -> Result<PluginSource, Failure> {
    if let Some(name) = typed.strip_prefix("builtin:") {
        return Ok(PluginSource { builtin: Some(name.into()), ..PluginSource::default() });
    }
    let path = Path::new(typed);
    if looks_like_file(path) {
        let bytes = read(path, typed)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stored = client.upload_component(&ctx.namespace, bytes.into(), &name).await?;
        let from = Some(format!("file:{name}"));
        return Ok(PluginSource { stored: Some(stored.manifest_digest), from, ..PluginSource::default() });
    }
    let reference: Reference = typed.parse().map_err(|error| {
        Failure::new(ExitCode::Invalid, format!("{error}"))
            .hint("name a file that is there, a reference such as ghcr.io/acme/tide:1.2, or builtin:NAME")
    })?;
    Ok(PluginSource { reference: Some(reference.to_string()), ..PluginSource::default() })
}

/// The host says what it takes of a component; this keeps a file that is surely none out of memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

fn read(path: &Path, typed: &str) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(ExitCode::Invalid, format!("`{typed}` cannot be read: {error}"));
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let message = format!("`{typed}` has {bytes} bytes; no host takes a component of more than {FILE_BYTES_MAX}");
        return Err(Failure::new(ExitCode::Invalid, message));
    }
    std::fs::read(path).map_err(unreadable)
}

/// A file that is there, or one that was surely meant.
pub(super) fn looks_like_file(path: &Path) -> bool {
    path.exists() || path.extension().is_some_and(|end| end == "wasm") || path.is_absolute() || path.starts_with(".")
}
