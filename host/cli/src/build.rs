//! Documents by a builder: a plugin that runs here, in this process, over the named file and its folder.
//!
//! Invariants: a builder sees what its manifest asks for below that folder and nothing else, and has no rights; what
//! comes out is checked by the model, and a mistake is shown where the author wrote it. Must not know: what a builder
//! makes of a file.

mod choose;
mod installed;
mod places;

use crate::app;
use crate::config::{self, Config, Options, ServeOptions};
use crate::context::Context;
use crate::document::{self, Document, How};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::params;
use crate::print::terminal;
use hostler_model::{Problems, Timestamp};
use hostler_plugin::{BuildInput, Built, CallError, Folder, Plugin, Role};
use places::Places;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a builder calls standard input.
const STANDARD_INPUT: &str = "standard-input";

/// Builds and checks the documents of a file; or says every mistake in them.
pub(crate) fn load(ctx: &Context, path: &Path, how: How) -> Result<Vec<Document>, Failure> {
    let config = config::load(&Options::default(), &ServeOptions::default(), &ctx.environment)?.config;
    let named = Named::read(path, &config)?;
    let runtime = app::bare_runtime(&config, &ctx.environment.cache_folder())?;
    let params = Value::Object(params::collect(None, how.build_params)?);
    let (places, built) = ctx.block_on(async {
        let builder = choose::builder(ctx, &runtime, &config, how.builder.as_deref(), &named).await?;
        build(&builder, &config, named, &params).await
    })?;
    for note in &built.notes {
        ctx.printer.talk(&format!("{}: {}", ctx.printer.err.strong("note"), terminal::one_line(&places.told(note))));
    }
    places::check(&places, &built.documents)
}

/// What the person named: a file, a folder, or standard input.
struct Named {
    /// As the person wrote it.
    shown: PathBuf,
    folder: String,
    /// The name below the folder, and what is in it; none for a folder.
    entry: Option<(String, Vec<u8>)>,
}

impl Named {
    fn read(path: &Path, config: &Config) -> Result<Self, Failure> {
        let (shown, folder) = (path.to_path_buf(), document::folder_of(path));
        if path.is_dir() {
            return Ok(Self { shown, folder, entry: None });
        }
        let bytes = document::read_bytes(path, config.build.folder.file_bytes_max)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = if path.as_os_str() == "-" { STANDARD_INPUT.into() } else { name };
        Ok(Self { shown, folder, entry: Some((name, bytes)) })
    }

    fn name(&self) -> String {
        document::name_of(&self.shown)
    }
}

async fn build(builder: &Plugin, config: &Config, named: Named, params: &Value) -> Result<(Places, Built), Failure> {
    let params = builder.check_params(Role::Builder, params).map_err(|problems| {
        Failure::invalid(format!("the params of builder `{}` are wrong", builder.name())).problems(problems)
    })?;
    let patterns = builder.builder_manifest().map(|said| said.files.clone()).unwrap_or_default();
    let entry = named.entry.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
    let folder = Folder { root: named.folder.clone().into(), patterns, limits: config.build.folder };
    let files = folder.files(named.entry.clone());
    let places = Places::new(named.shown, named.folder, entry.clone(), files.clone());
    // One instant for all: what is built depends on the files and params alone.
    let input = BuildInput { entry, params, extra: Vec::new(), namespace: None, now: Timestamp(0) };
    match builder.build(input, files).await {
        Ok(built) => Ok((places, built)),
        Err(error) => Err(not_built(&places, &error)),
    }
}

fn not_built(places: &Places, error: &CallError) -> Failure {
    use hostler_plugin::Failure as Why;
    let name = places.name();
    let hint = match &error.failure {
        Why::Invalid(problems) => return places.shown(Problems(problems.0.clone())),
        Why::Timeout { .. } => Some("for all builders: `build.timeout` in the config"),
        Why::Memory { .. } => Some("for all builders: `build.memory` in the config"),
        Why::TooLarge { setting: "output_bytes_max", .. } => {
            Some("for all builders: `build.output_bytes` in the config")
        }
        Why::Trap(_) | Why::WrongAnswer(_) => Some("this is a defect of the builder, not of your file"),
        Why::Denied(_)
        | Why::Temporary { .. }
        | Why::Failed(_)
        | Why::Other { .. }
        | Why::Table { .. }
        | Why::TooLarge { .. }
        | Why::Busy { .. }
        | Why::Quarantined(_)
        | Why::NoRole(_)
        | Why::Host(_) => None,
    };
    let said = error.stderr.trim();
    let said = if said.is_empty() { String::new() } else { format!("\n{said}") };
    let code = match &error.failure {
        Why::Host(_) => ExitCode::Internal,
        Why::Temporary { .. } => ExitCode::Unavailable,
        // A builder that broke breaks again on the same files.
        _ if error.kind() == hostler_model::Kind::Unavailable => ExitCode::Invalid,
        _ => ExitCode::from(error.kind()),
    };
    let failure = Failure::new(code, format!("`{name}` cannot be built: {error}{said}"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
