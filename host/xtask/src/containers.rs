//! Gets a container engine for the tests: installed and started where we are root, and the image that the tests use.
//!
//! Invariants: an engine that answers is left as it is; one that is started here goes on when we end, so that the next
//! call finds it. Packages are installed under CI only, never on somebody's own machine. Must not know the tests.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::process;

const LOG: &str = "/var/log/hostler-dockerd.log";
const START_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Program to look for, and the package that has it. The registry serves images to the tests of pulling.
const PACKAGES: &[(&str, &str)] =
    &[("dockerd", "docker.io"), ("busybox", "busybox-static"), ("docker-registry", "docker-registry")];

pub(crate) fn prepare(machine: &Machine) -> anyhow::Result<()> {
    let is_root = process::read(Command::new("id").arg("-u"))?.trim() == "0";
    let missing = PACKAGES.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package);
    let missing: Vec<_> =
        if answers() { missing.filter(|name| *name != "docker.io").collect() } else { missing.collect() };
    if !missing.is_empty() && machine.ci && is_root {
        install(&missing)?;
    }
    if !answers() {
        if !is_root {
            bail!("no container engine answers, and only root can start one");
        }
        start()?;
    }
    process::run(&mut Command::new(machine.root.join("host/engine/tests/support/make-test-image")))
}

fn answers() -> bool {
    process::succeeds(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
}

/// System programs lie where the path of a plain shell does not lead.
fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| Path::new(folder).join(program).is_file())
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    eprintln!("installing {}", packages.join(", "));
    process::run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    process::run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// First as it comes, then with the storage that works inside other containers too.
fn start() -> anyhow::Result<()> {
    for more in [&[][..], &["--storage-driver", "vfs"]] {
        eprintln!("starting dockerd {}", more.join(" "));
        let log = File::create(LOG).with_context(|| format!("failed to make `{LOG}`"))?;
        // A session of its own: it is not ended with us, nor by the Ctrl-C that is meant for us.
        let mut daemon = Command::new("setsid");
        daemon.arg("dockerd").args(more).env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        daemon.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = daemon.spawn().context("failed to start dockerd")?;
        let limit = Instant::now() + START_MAX;
        while Instant::now() < limit && child.try_wait()?.is_none() {
            if answers() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        // Not to be left half alive beside the next one.
        let _ = child.kill();
        let _ = child.wait();
    }
    let log = std::fs::read_to_string(LOG).unwrap_or_default();
    let last: Vec<_> = log.lines().rev().take(3).collect();
    bail!("dockerd does not come up; `{LOG}` ends with: {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "))
}
