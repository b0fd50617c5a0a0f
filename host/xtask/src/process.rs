//! Running other programs: in the foreground with their own output, or asked for what they print.
//!
//! Invariants: no program outlives this one when it is told to stop; every failure names the command line.
//! Must not know what the programs are for.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const POLL: Duration = Duration::from_millis(50);
/// A host that is told to stop lets its attempts finish their grace first.
const GRACE: Duration = Duration::from_secs(20);

/// Set by Ctrl-C, TERM and HUP, so that the programs we started are ended by us and not left behind.
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn listen() -> anyhow::Result<Stop> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("failed to listen for signals")?;
        }
        Ok(Stop(flag))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A program that is ended with us: asked by TERM, and killed when its grace is over.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Background> {
        let child = command.spawn().with_context(|| format!("failed to start {}", line(command)))?;
        Ok(Background { child })
    }

    /// How it ended, if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("failed to ask after a program")
    }

    /// Wait for the end, or for the wish to stop; `None` says it was stopped.
    pub(crate) fn wait(&mut self, stop: &Stop) -> anyhow::Result<Option<ExitStatus>> {
        while !stop.is_asked() {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // The standard library can only kill. A host that is killed leaves the ending of its tasks to the warden,
        // and its last lines unsaid, so it is asked first.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let limit = Instant::now() + GRACE;
        while matches!(&asked, Ok(status) if status.success()) && Instant::now() < limit {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL);
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("warning: process {} could not be ended: {error}", self.child.id());
        }
    }
}

/// Run in the foreground with our own terminal, so that cargo's progress is live; a failure is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("failed to start {}", line(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// What a program prints to stdout; its stderr is part of the error when it fails.
pub(crate) fn read(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to start {}", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", line(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed what is not UTF-8", line(command)))
}

/// Whether a program is there and succeeds, with nothing shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    matches!(quiet.status(), Ok(status) if status.success())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
