//! `hostler plugin keygen`: a pair of keys for signatures.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_plugin::oci::sign::KeyPair;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Make a pair of keys to sign artifacts with
///
/// ECDSA on P-256 in PEM files without a password, as `openssl` reads and writes them. Keep NAME.key to yourself;
/// operators who trust you put NAME.pub into their settings.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Write NAME.key and NAME.pub; neither may be there yet
    #[arg(value_name = "NAME", default_value = "hostler")]
    name: PathBuf,
}

impl Arguments {
    pub(super) fn run(self, ctx: &Context) -> Result<(), Failure> {
        let made = KeyPair::generate().map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
        let (key, private) = made;
        let file = |end: &str| {
            let mut name = self.name.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let (private_file, public_file) = (file(".key"), file(".pub"));
        write(&private_file, 0o600, &private)?;
        write(&public_file, 0o644, &key.public().to_pem())?;
        let digest = key.public().digest();
        let (private_file, public_file) = (private_file.display(), public_file.display());
        if ctx.printer.json {
            let (private_file, public_file) = (private_file.to_string(), public_file.to_string());
            return ctx.printer.json(&json!({"private": private_file, "public": public_file, "key": digest}));
        }
        ctx.printer.advise(&format!("sign with `hostler plugin sign REF --key {private_file}`"));
        ctx.printer.result(&format!("{private_file}\n{public_file}\nkey {digest}\n"))
    }
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all())).map_err(|error| {
        let code =
            if error.kind() == std::io::ErrorKind::AlreadyExists { ExitCode::Conflict } else { ExitCode::Unavailable };
        Failure::new(code, format!("`{}` cannot be made: {error}", path.display())).hint("name other files")
    })
}
