//! `cargo xtask demo`: from a fresh checkout to a host that runs something, with nothing to decide.
//!
//! Invariants: everything it makes lies in one temporary folder that goes when it ends; it uses the binary as a person
//! would, command by command, and shows what it types. Must not know the API.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::plugins;
use crate::process::{self, Background, Stop};

const PIPELINE: &str = "pipelines/hello/pipeline.yaml";
const READY_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);

/// A running host and how to reach it. Fields are dropped in order: the host ends before its folder goes.
struct Demo {
    host: Background,
    folder: Folder,
    hostler: PathBuf,
    root: PathBuf,
    address: String,
}

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let rest = match arguments.split_first() {
        Some((first, rest)) if first == "--" => rest,
        Some(_) | None => arguments,
    };
    let machine = Machine::here()?;
    let stop = Stop::listen()?;
    let begun = Instant::now();
    eprintln!("Building components and host; the first time this takes some minutes.");
    plugins::build(&machine)?;
    process::run(&mut machine.cargo(&["build", "--locked", "--workspace", "--bin", "hostler"]))?;
    eprintln!("Built in {:.0} s.", begun.elapsed().as_secs_f64());
    if stop.is_asked() {
        return Ok(());
    }
    if !rest.is_empty() {
        // What the binary shows by itself, such as `--pull-the-plug`.
        let mut command = Command::new(machine.hostler());
        return process::run(command.arg("demo").args(rest).current_dir(&machine.root));
    }
    let mut demo = Demo::start(&machine)?;
    if demo.wait_until_healthy(&stop)? {
        demo.show(&stop)?;
    }
    eprintln!("\nStopping the host.");
    Ok(())
}

impl Demo {
    fn start(machine: &Machine) -> anyhow::Result<Demo> {
        let folder = Folder::make()?;
        let address = free_address()?;
        let hostler = machine.hostler();
        let mut serve = Command::new(&hostler);
        serve.args(["serve", "--listen", &address, "--data"]).arg(&folder.0).current_dir(&machine.root);
        // In a group of its own, Ctrl-C does not reach the host before us: a second signal would force its end.
        let host = Background::start(serve.process_group(0))?;
        Ok(Demo { host, folder, hostler, root: machine.root.clone(), address })
    }

    /// False when we were told to stop first.
    fn wait_until_healthy(&mut self, stop: &Stop) -> anyhow::Result<bool> {
        let limit = Instant::now() + READY_MAX;
        while !is_healthy(&self.address) {
            if let Some(status) = self.host.ended()? {
                bail!("the host ended before it was ready, with {status}");
            }
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

    fn show(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let commands: [&[&str]; 3] = [
            &["up", PIPELINE],
            &["run", "start", "hello", "--param", "who=world"],
            &["subscribe", "hello", "interval", "every-ten-seconds", "-p", "every=10s"],
        ];
        for command in commands {
            if !self.hostler(command, stop)? {
                return Ok(());
            }
        }
        self.print_what_next();
        // The data folder is fresh, so its runs are numbered from 1 and each number comes once.
        for number in 1.. {
            let run = format!("hello/{number}");
            if !self.wait_for_run(&run, stop)? {
                return Ok(());
            }
            if !self.hostler(&["run", "watch", &run], stop)? || !self.hostler(&["run", "logs", &run], stop)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Type a command for all to see; false when we were told to stop.
    fn hostler(&self, arguments: &[&str], stop: &Stop) -> anyhow::Result<bool> {
        eprintln!("\n$ hostler {}", arguments.join(" "));
        match Background::start(self.command().args(arguments))?.wait(stop)? {
            Some(status) if status.success() => Ok(true),
            // Ctrl-C reaches the command too, and it may end before we have seen our own.
            Some(_) | None if stop.is_asked() => Ok(false),
            Some(status) => bail!("`hostler {}` ended with {status}", arguments.join(" ")),
            None => Ok(false),
        }
    }

    fn wait_for_run(&mut self, run: &str, stop: &Stop) -> anyhow::Result<bool> {
        while !process::succeeds(self.command().args(["run", "get", run])) {
            if let Some(status) = self.host.ended()? {
                bail!("the host ended with {status}");
            }
            if stop.is_asked() {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(!stop.is_asked())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.hostler);
        command.current_dir(&self.root).env("HOSTLER_URL", self.url()).env("HOSTLER_TOKEN_FILE", self.token_file());
        command
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn token_file(&self) -> PathBuf {
        self.folder.0.join("token")
    }

    fn print_what_next(&self) {
        let (url, token, hostler) = (self.url(), self.token_file(), &self.hostler);
        eprintln!("\nThe host listens on {url}, where the API reference is.");
        eprintln!("Its token is in {}", token.display());
        eprintln!("\nIn another terminal, type:");
        eprintln!("  export HOSTLER_URL={url} HOSTLER_TOKEN_FILE={}", token.display());
        eprintln!("  {} run list", hostler.display());
        eprintln!("  {} run explain hello", hostler.display());
        eprintln!("  {} subscription preview hello/every-ten-seconds", hostler.display());
        eprintln!(
            "\nBelow, each run is shown as it comes, one every ten seconds. Ctrl-C ends the host and leaves nothing."
        );
    }
}

/// A folder of our own that only we can read, removed with all it holds.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("hostler-demo-{}", std::process::id()));
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
