//! `cargo xtask demo`: from a fresh checkout to a host that runs something, with nothing to decide.
//!
//! Invariants: everything it makes lies in one temporary folder that goes when it ends; it uses the binary as a person
//! would, command by command, and shows what it types. Must not know the API.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::house::House;
use crate::machine::Machine;
use crate::plugins;
use crate::process::{self, Background, Stop};

const PIPELINE: &str = "pipelines/hello/pipeline.yaml";
const POLL: Duration = Duration::from_millis(250);

struct Demo {
    house: House,
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
    let mut demo = Demo { house: House::start(&machine)? };
    if demo.house.wait_until_healthy(&stop)? {
        demo.show(&stop)?;
    }
    eprintln!("\nStopping the host.");
    Ok(())
}

impl Demo {
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
        match Background::start(self.house.command().args(arguments))?.wait(stop)? {
            Some(status) if status.success() => Ok(true),
            // Ctrl-C reaches the command too, and it may end before we have seen our own.
            Some(_) | None if stop.is_asked() => Ok(false),
            Some(status) => bail!("`hostler {}` ended with {status}", arguments.join(" ")),
            None => Ok(false),
        }
    }

    fn wait_for_run(&mut self, run: &str, stop: &Stop) -> anyhow::Result<bool> {
        while !process::succeeds(self.house.command().args(["run", "get", run])) {
            self.house.expect_alive()?;
            if stop.is_asked() {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(!stop.is_asked())
    }

    fn print_what_next(&self) {
        let (url, token, hostler) = (self.house.url(), self.house.token_file(), self.house.hostler());
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
