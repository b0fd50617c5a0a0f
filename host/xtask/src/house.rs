//! A host of our own for a while: started as a person would, in a temporary folder, and ended with us.
//!
//! Invariant: everything it makes lies in one folder that goes when it ends. Must not know the API, nor what the host
//! is wanted for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::process::{Background, Stop};

const READY_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);

/// A running host and how to reach it. Fields are dropped in order: the host ends before its folder goes.
pub(crate) struct House {
    host: Background,
    folder: Folder,
    hostler: PathBuf,
    root: PathBuf,
    address: String,
}

impl House {
    pub(crate) fn start(machine: &Machine) -> anyhow::Result<House> {
        let folder = Folder::make()?;
        let address = free_address()?;
        let hostler = machine.hostler();
        let mut serve = Command::new(&hostler);
        serve.args(["serve", "--listen", &address, "--data"]).arg(&folder.0).current_dir(&machine.root);
        // In a group of its own, Ctrl-C does not reach the host before us: a second signal would force its end.
        let host = Background::start(serve.process_group(0))?;
        Ok(House { host, folder, hostler, root: machine.root.clone(), address })
    }

    /// False when we were told to stop first.
    pub(crate) fn wait_until_healthy(&mut self, stop: &Stop) -> anyhow::Result<bool> {
        let limit = Instant::now() + READY_MAX;
        while !is_healthy(&self.address) {
            self.expect_alive()?;
            if stop.is_asked() {
                return Ok(false);
            }
            if Instant::now() > limit {
                bail!("the host was not ready after {} s", READY_MAX.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }

    pub(crate) fn expect_alive(&mut self) -> anyhow::Result<()> {
        match self.host.ended()? {
            Some(status) => bail!("the host ended with {status}"),
            None => Ok(()),
        }
    }

    /// `hostler` for this host.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.hostler);
        command.current_dir(&self.root).env("HOSTLER_URL", self.url()).env("HOSTLER_TOKEN_FILE", self.token_file());
        command
    }

    pub(crate) fn hostler(&self) -> &Path {
        &self.hostler
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.0.join("token")
    }
}

/// A folder of our own that only we can read, removed with all it holds.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("hostler-house-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("failed to make the folder `{}`", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        if let Err(error) = std::fs::remove_dir_all(path) {
            eprintln!("warning: the folder `{}` stays: {error}", path.display());
        }
    }
}

fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port on loopback")?;
    Ok(listener.local_addr().context("failed to read the free port")?.to_string())
}

/// Whether the host answers and calls itself well. Not answering yet is the usual case, and no error.
fn is_healthy(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
