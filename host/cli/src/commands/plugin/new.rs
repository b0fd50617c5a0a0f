//! `hostler plugin new`: writes a small project that builds, and passes its own test.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::scaffold::{self, File, Language};
use hostler_model::Slug;
use hostler_plugin::Role;
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Write a small project for a plugin, which builds and passes its own test
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin new nightly --role trigger --lang rust
  hostler plugin new forge --role inbound --lang python --folder plugins/forge")]
pub(crate) struct Arguments {
    /// What the plugin calls itself
    name: String,
    /// What it is to the host
    #[arg(long, value_name = "ROLE")]
    role: RoleName,
    /// The language it is written in
    #[arg(long, value_name = "LANG")]
    lang: Language,
    /// The folder to write it into; new or empty [default: the plugin's name]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum RoleName {
    /// Says when a pipeline starts
    Trigger,
    /// Takes in what the outside world sends; also called `extension`
    #[value(alias = "extension")]
    Inbound,
    /// Tells the outside world what happened
    Outbound,
    /// Turns files into pipelines
    Builder,
    /// Answers booting machines
    Renderer,
    /// Passes on what a job reports
    Relay,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Trigger => Self::Trigger,
            RoleName::Inbound => Self::Inbound,
            RoleName::Outbound => Self::Outbound,
            RoleName::Builder => Self::Builder,
            RoleName::Renderer => Self::Renderer,
            RoleName::Relay => Self::Relay,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let name = Slug::parse(&self.name)
            .map_err(|error| Failure::invalid(format!("`{}` is no name of a plugin: {error}", self.name)))?;
        let role = Role::from(self.role);
        let folder = self.folder.unwrap_or_else(|| PathBuf::from(name.as_str()));
        refuse_to_overwrite(&folder)?;
        let files = scaffold::files(&name, role, self.lang);
        for file in &files {
            write(&folder, file)?;
        }
        let shown = folder.display();
        if ctx.printer.json {
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let lang = self.lang.as_str();
            ctx.printer.json(
                &json!({"name": name, "role": role, "lang": lang, "folder": shown.to_string(), "files": paths}),
            )?;
        } else {
            ctx.printer.result(&format!(
                "{shown}: {role} `{name}` in {} files\nnext:\n  cd {shown} && ./build.sh && hostler plugin test {name}.wasm\n",
                files.len()
            ))?;
        }
        Ok(ExitCode::Success)
    }
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), Failure> {
    let conflict = |why: &str| {
        Failure::new(ExitCode::Conflict, format!("`{}` {why}", folder.display()))
            .hint("name another folder with --folder; nothing was written")
    };
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(conflict(&format!("cannot be used: {error}"))),
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(conflict("is not empty"))),
    }
}

fn write(folder: &Path, file: &File) -> Result<(), Failure> {
    let path = folder.join(&file.path);
    let above = path.parent().unwrap_or(folder);
    let written = std::fs::create_dir_all(above).and_then(|()| std::fs::write(&path, &file.bytes)).and_then(|()| {
        if file.executable { std::fs::set_permissions(&path, Permissions::from_mode(0o755)) } else { Ok(()) }
    });
    written.map_err(|error| {
        Failure::new(ExitCode::Unavailable, format!("`{}` cannot be written: {error}", path.display()))
    })
}
