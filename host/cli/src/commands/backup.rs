//! `hostler backup`: a whole data folder in one file. Made by the running host; verified and restored without one.

use crate::config::{self, Options, ServeOptions};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{table::Table, time};
use hostler_model::Bytes;
use hostler_store::{BackupInfo, Store};
use hostler_web::Client;
use hostler_web::types::{Backup, BackupStatus, Time};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a backup that is being made is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Back up the data folder of a running host, and restore it
///
/// A backup holds the database, the logs, installed components and the key that opens secrets and what plugins keep:
/// whoever reads it can read all of that. Tokens are in it as hashes only.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler backup create                       into the folder that `backup.folder` names
  hostler backup create --to /mnt/backups     into another one, on the machine of the host
  hostler backup verify FILE                  read it through, compare it with its manifest
  hostler backup restore FILE --data ./new    then: hostler serve --data ./new")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Make a backup while the host runs
    Create {
        /// A folder, or a file that is not there yet, on the machine of the host
        #[arg(long, value_name = "FILE|DIR")]
        to: Option<PathBuf>,
    },
    /// List the backups of the host
    List,
    /// Read a backup through and compare it with its manifest; needs no host
    Verify {
        /// The backup
        file: PathBuf,
    },
    Restore(Restore),
}

/// Make a data folder of a backup; needs no host
///
/// The folder is empty or not there yet. It becomes a host of its own, with another id: attempts that were under way
/// are lost to it, and their runs go on as their tasks say. It makes a new first token at its first start; other
/// tokens stay good.
#[derive(clap::Args, Debug)]
struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Create { to } => {
                let client = ctx.client()?;
                ctx.block_on(create(ctx, &client, to))?;
            }
            Command::List => {
                let client = ctx.client()?;
                let backups = ctx.block_on(async { Ok(client.backups().await?) })?;
                list(ctx, &backups)?;
            }
            Command::Verify { file } => {
                let info = Store::verify_backup(&file).map_err(|error| Failure::of(error.kind(), &error))?;
                tell(ctx, &format!("{}: whole", file.display()), &file, &info)?;
            }
            Command::Restore(restore) => restore.run(ctx)?,
        }
        Ok(ExitCode::Success)
    }
}

async fn create(ctx: &Context, client: &Client, to: Option<PathBuf>) -> Result<(), Failure> {
    // Relative paths are meant from here, and the host may run elsewhere on this machine.
    let absolute = |to: PathBuf| std::path::absolute(&to).unwrap_or(to).display().to_string();
    let mut backup = client.create_backup(to.map(absolute)).await?;
    while backup.status == BackupStatus::Running {
        tokio::time::sleep(LOOK).await;
        backup = client.backup(&backup.name).await?;
    }
    if let Some(error) = backup.error {
        return Err(Failure::new(ExitCode::Unavailable, format!("no backup was made: {error}")));
    }
    if ctx.printer.json {
        return ctx.printer.json(&backup);
    }
    ctx.printer.result(&format!("{}\n", backup.path))
}

fn list(ctx: &Context, backups: &[Backup]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&backups);
    }
    let mut table = Table::new(&["BACKUP", "MADE", "STATE", "SIZE", "PATH"]);
    for backup in backups {
        let state = match backup.status {
            BackupStatus::Running => ctx.printer.out.warning("running"),
            BackupStatus::Done => ctx.printer.out.good("done"),
            BackupStatus::Failed => ctx.printer.out.bad("failed"),
        };
        let size = backup.bytes.map_or_else(|| "-".into(), |bytes| Bytes(bytes).to_string());
        table.row(&[backup.name.clone(), time::utc(backup.made_at.0), state, size, backup.path.clone()]);
    }
    if table.is_empty() {
        ctx.printer.advise("no backups yet; make one with `hostler backup create`");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}

impl Restore {
    fn run(self, ctx: &Context) -> Result<(), Failure> {
        let dir = config::load(&self.options, &ServeOptions::default(), &ctx.environment)?.config.data;
        let restored = Store::restore_backup(&self.file, &dir, time::now());
        let restored = restored.map_err(|error| Failure::of(error.kind(), &error))?;
        tell(ctx, &format!("restored into {}", dir.display()), &self.file, &restored.info)?;
        ctx.printer.advise(&format!("start it with `hostler serve --data {}`", dir.display()));
        Ok(())
    }
}

fn tell(ctx: &Context, what: &str, file: &Path, info: &BackupInfo) -> Result<(), Failure> {
    let BackupInfo { host, made_at, made_by, schema, runs, logs, bytes } = info;
    if ctx.printer.json {
        return ctx.printer.json(&json!({"file": file.display().to_string(), "host": host, "made_at": Time(*made_at),
            "made_by": made_by, "schema": schema, "runs": runs, "logs": logs, "bytes": bytes}));
    }
    let made_at = time::utc(*made_at);
    ctx.printer
        .result(&format!("{what}: made {made_at} by hostler {made_by} of host {host}, {runs} runs, {logs} logs\n"))
}
