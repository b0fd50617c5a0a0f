//! `hostler plugin push`: a component file becomes an artifact in a registry. Needs no host.

use crate::config::{self, Options, ServeOptions};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::live::Screen;
use hostler_model::Bytes;
use hostler_plugin::oci::registry::OnProgress;
use hostler_plugin::oci::{Facts, Progress, Reference, Registry, RegistryError};
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Put a component into a registry; needs no host
///
/// The artifact has the layout of the CNCF for WebAssembly, so that `wkg`, `oras` and others read it. Credentials are
/// those of the settings, or what `docker login` has left.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin push tide.wasm ghcr.io/acme/tide:1.0.0
  hostler plugin push tide.wasm localhost:5000/tide:dev     a registry on this machine, in plain HTTP")]
pub(super) struct Arguments {
    /// The component, a `.wasm` file
    file: PathBuf,
    /// Where it goes: registry, repository and tag
    #[arg(value_name = "REF")]
    reference: Reference,
    /// What it is for, in a few words, for people who look into the registry
    #[arg(long, value_name = "TEXT", default_value = "")]
    summary: String,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    pub(super) fn run(self, ctx: &Context) -> Result<(), Failure> {
        let Some(tag) = self.reference.tag().filter(|_| self.reference.digest().is_none()) else {
            let message = format!("`{}` has a digest, and what is pushed gets its own", self.reference);
            return Err(Failure::invalid(message).hint("name a tag"));
        };
        let component = std::fs::read(&self.file).map_err(|error| {
            let code =
                if error.kind() == std::io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::Invalid };
            Failure::new(code, format!("`{}` cannot be read: {error}", self.file.display()))
        })?;
        let settings = config::load(&self.options, &ServeOptions::default(), &ctx.environment)?.config;
        let registry = Registry::new(settings.registries.client()?);
        let name = self.reference.repository().rsplit('/').next().unwrap_or_default().to_owned();
        let facts = Facts { name, version: tag.to_owned(), summary: self.summary };
        let progress = progress(ctx, &self.reference);
        let pushed = ctx.block_on(async {
            let pushed = registry.push_component(component, &facts, &self.reference, progress).await;
            pushed.map_err(|error| match error {
                // Only here it is known which file.
                RegistryError::Store(error) => {
                    Failure::new(ExitCode::from(error.kind()), format!("`{}`: {}", self.file.display(), chain(&error)))
                }
                error => error.into(),
            })
        })?;
        let pinned = self.reference.with_digest(pushed.manifest_digest);
        if ctx.printer.json {
            return ctx.printer.json(&json!({"reference": self.reference, "pinned": pinned,
                "manifest_digest": pushed.manifest_digest, "layer_digest": pushed.layer_digest, "bytes": pushed.size}));
        }
        ctx.printer.advise(&format!("sign it with `hostler plugin sign {} --key FILE`", self.reference));
        ctx.printer.result(&format!("{pinned}\n"))
    }
}

/// One line on a terminal that says how far it is.
fn progress(ctx: &Context, reference: &Reference) -> OnProgress {
    if ctx.printer.json || !ctx.printer.err_is_terminal {
        return Arc::new(|_| {});
    }
    let (screen, reference) = (Mutex::new(Screen::default()), reference.to_string());
    Arc::new(move |Progress { done, total }| {
        let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
        if done == total {
            screen.clear();
        } else {
            screen.draw(&[format!("pushing {reference}: {} of {}", Bytes(done), Bytes(total))]);
        }
    })
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::new(ExitCode::from(error.kind()), chain(&error))
    }
}
