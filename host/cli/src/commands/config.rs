//! `hostler config`: what the settings are, where each came from, and a file to start from.

use crate::config::{self, DEFAULTS, Entry, Options, Origin, ServeOptions, variable_of};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::table::Table;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

/// Show the settings of a host, or write a file with all of them
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Show(Show),
    Init(Init),
}

/// Print the value of every key and where it comes from
#[derive(clap::Args, Debug)]
struct Show {
    #[command(flatten)]
    options: Options,
}

/// Write a file with every key, its meaning and its default
#[derive(clap::Args, Debug)]
struct Init {
    /// The file to write; `-` prints it [default: ~/.config/hostler/config.toml]
    file: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Show(show) => show.run(ctx),
            Command::Init(init) => init.run(ctx),
        }
    }
}

impl Show {
    fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let loaded = config::load(&self.options, &ServeOptions::default(), &ctx.environment)?;
        let file = loaded.file.as_ref().map(|path| path.display().to_string());
        let value = |key: &str, entry: &Entry| match key {
            // Left empty, it has a value all the same.
            "data.folder" => Value::from(loaded.config.data.display().to_string()),
            _ => entry.value.clone(),
        };
        if ctx.printer.json {
            let keys: serde_json::Map<String, Value> = loaded
                .entries
                .iter()
                .map(|(key, entry)| {
                    let source = source(&entry.origin, file.as_deref());
                    (key.clone(), json!({"value": value(key, entry), "source": source, "variable": variable_of(key)}))
                })
                .collect();
            ctx.printer.json(&keys)?;
        } else {
            let mut table = Table::new(&["KEY", "VALUE", "SOURCE"]);
            for (key, entry) in &loaded.entries {
                table.row(&[key.clone(), value(key, entry).to_string(), source(&entry.origin, file.as_deref())]);
            }
            ctx.printer.result(&table.to_text(&ctx.printer))?;
        }
        Ok(ExitCode::Success)
    }
}

fn source(origin: &Origin, file: Option<&str>) -> String {
    match origin {
        Origin::Default => "default".into(),
        Origin::File { .. } => format!("file {}", file.unwrap_or_default()),
        Origin::Environment { variable } => format!("environment {variable}"),
        Origin::Flag { name } => format!("option {name}"),
    }
}

impl Init {
    fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let path = self.file.unwrap_or_else(|| ctx.environment.config_file());
        if path.as_os_str() == "-" {
            ctx.printer.result(DEFAULTS)?;
            return Ok(ExitCode::Success);
        }
        let failed = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                Failure::new(ExitCode::Conflict, format!("`{}` is there already; nothing was changed", path.display()))
                    .hint("print the defaults with `hostler config init -`")
            } else {
                Failure::new(ExitCode::Unavailable, format!("`{}` cannot be written: {error}", path.display()))
            }
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        file.write_all(DEFAULTS.as_bytes()).map_err(failed)?;
        let path = path.display().to_string();
        if ctx.printer.json {
            ctx.printer.json(&json!({"file": path}))?;
        } else {
            ctx.printer.result(&format!("wrote {path}\n"))?;
        }
        Ok(ExitCode::Success)
    }
}
