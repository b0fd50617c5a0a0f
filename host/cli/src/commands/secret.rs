//! `hostler secret`: values that plugins use and nobody reads.
//!
//! Invariant: a value comes from stdin or a file, never from an argument, and is printed nowhere.

use super::confirm;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{table::Table, time};
use base64::Engine;
use hostler_model::{Duration, Slug};
use hostler_web::Client;
use hostler_web::types::{Secret, SecretValue};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Set, list and delete secrets
///
/// A value is sealed before it is written and is never shown again. Plugins use secrets as far as they are granted
/// (`hostler plugin grant`).
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  printf %s \"$TOKEN\" | hostler secret set deploy_token
  hostler secret set webhook --file ./webhook.key --keep-old 1h
  hostler secret list")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Set(Set),
    /// List the secrets by name; values are never shown
    List,
    /// Delete a secret; its values are gone for good
    Delete {
        secret: Slug,
    },
    /// Exchange the key that seals secrets and what plugins keep, while the host works
    RotateKey,
}

/// Set a secret, from stdin or from a file
///
/// One line break at the end of the value is left out; more are kept.
#[derive(clap::Args, Debug)]
struct Set {
    secret: Slug,
    /// Read the value from this file, byte for byte
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value that counts now goes on counting for so long beside the new one
    #[arg(long, value_name = "DURATION")]
    keep_old: Option<Duration>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let client = ctx.client()?;
        ctx.block_on(async {
            match self.command {
                Command::Set(command) => command.run(ctx, &client).await,
                Command::List => list(ctx, &client.secrets(&ctx.namespace).await?),
                Command::Delete { secret } => {
                    client.delete_secret(&ctx.namespace, &secret).await?;
                    confirm(ctx, &format!("deleted {secret}"))
                }
                Command::RotateKey => {
                    let rotated = client.rotate_key().await?;
                    match ctx.printer.json {
                        true => ctx.printer.json(&rotated),
                        false => ctx.printer.result(&format!("sealed {} values with a new key\n", rotated.values)),
                    }
                }
            }
        })?;
        Ok(ExitCode::Success)
    }
}

impl Set {
    async fn run(self, ctx: &Context, client: &Client) -> Result<(), Failure> {
        let value = self.value(ctx)?;
        let value = base64::engine::general_purpose::STANDARD.encode(value.as_slice());
        let value = SecretValue { value, keep_old: self.keep_old };
        let secret = client.set_secret(&ctx.namespace, &self.secret, &value).await?;
        match ctx.printer.json {
            true => ctx.printer.json(&secret),
            false => ctx.printer.result(&format!("set {} (version {})\n", secret.name, secret.version)),
        }
    }

    fn value(&self, ctx: &Context) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if let Some(path) = &self.file {
            let read = std::fs::read(path).map(Zeroizing::new);
            return read.map_err(|error| {
                Failure::new(ExitCode::Invalid, format!("`{}` cannot be read: {error}", path.display()))
            });
        }
        if std::io::stdin().is_terminal() {
            ctx.printer
                .talk("type the value and end with Ctrl-D (it is shown as you type; a pipe or --file is safer):");
        }
        let mut value = Zeroizing::new(Vec::new());
        let read = std::io::stdin().lock().read_to_end(&mut value);
        read.map_err(|error| Failure::new(ExitCode::Invalid, format!("the value cannot be read: {error}")))?;
        if value.last() == Some(&b'\n') {
            value.pop();
            if value.last() == Some(&b'\r') {
                value.pop();
            }
        }
        Ok(value)
    }
}

fn list(ctx: &Context, secrets: &[Secret]) -> Result<(), Failure> {
    if ctx.printer.json {
        return ctx.printer.json(&secrets);
    }
    let mut table = Table::new(&["SECRET", "VERSION", "VALUES", "SET", "BY"]);
    for Secret { name, version, values, updated_at, updated_by, .. } in secrets {
        let set = time::utc(updated_at.0);
        table.row(&[name.to_string(), version.to_string(), values.to_string(), set, updated_by.clone()]);
    }
    if table.is_empty() {
        ctx.printer.advise("no secrets yet; set one with `hostler secret set NAME < FILE`");
    }
    ctx.printer.result(&table.to_text(&ctx.printer))
}
