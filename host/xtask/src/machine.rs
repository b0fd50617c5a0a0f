//! What this machine has, what it lacks, and how to get it: the checkout, the cache folder, the Wasm target, Python.
//!
//! Invariants: nothing is written into the checkout; what was set up once is found again by every later call.
//! Must not know which command asks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";
/// The oracle of the cron test, pinned: a newer one with another meaning should arrive as a commit.
const CRONSIM: &str = "cronsim==2.8";

/// The other side of the test with another tool for registries, pinned for the same reason.
const WKG: &str = "0.16.1";

pub(crate) struct Machine {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// Where things live that are slow to make again: outside the checkout, so that a fresh clone finds them.
    pub(crate) cache: PathBuf,
    /// Under CI a lack is a failure instead of a loud line.
    pub(crate) ci: bool,
    target: Option<PathBuf>,
}

impl Machine {
    pub(crate) fn here() -> anyhow::Result<Machine> {
        // Set by `cargo run`: the checkout we were called in, should another one have left this binary.
        let own = variable("CARGO_MANIFEST_DIR").unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = own.ancestors().nth(2).context("xtask lies outside the host")?;
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let named = variable("HOSTLER_CACHE");
        let shared_target = ci || named.is_some();
        let cache = match named {
            Some(folder) => folder,
            None => match (variable("XDG_CACHE_HOME"), variable("HOME")) {
                (Some(folder), _) => folder.join("hostler"),
                (None, Some(home)) => home.join(".cache").join("hostler"),
                (None, None) => bail!("no place for a cache: set HOSTLER_CACHE, XDG_CACHE_HOME or HOME"),
            },
        };
        let target = match variable("CARGO_TARGET_DIR") {
            Some(folder) => Some(folder),
            None => shared_target.then(|| cache.join("target")),
        };
        Ok(Machine { root: root.to_owned(), cache, ci, target })
    }

    /// A cargo command in the root of the checkout, with the target folder of this machine.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root);
        if let Some(target) = &self.target {
            command.env("CARGO_TARGET_DIR", target);
        }
        command
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_folder(&self) -> PathBuf {
        match &self.target {
            Some(folder) => self.root.join(folder),
            None => self.root.join("target"),
        }
    }

    /// The binary as the last debug build left it.
    pub(crate) fn hostler(&self) -> PathBuf {
        self.target_folder().join("debug").join("hostler")
    }

    /// Install the Wasm target when rustup does not have it yet.
    pub(crate) fn prepare_wasm_target(&self) -> anyhow::Result<()> {
        let mut list = Command::new("rustup");
        list.args(["target", "list", "--installed"]).current_dir(&self.root);
        let Ok(installed) = process::read(&mut list) else {
            // Without rustup the toolchain came from elsewhere, and may have the target all the same.
            let libraries =
                process::read(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
            if Path::new(libraries.trim()).is_dir() {
                return Ok(());
            }
            bail!("the target {WASM_TARGET} is not installed, and there is no rustup to install it");
        };
        if installed.lines().any(|line| line.trim() == WASM_TARGET) {
            return Ok(());
        }
        eprintln!("installing the target {WASM_TARGET}");
        process::run(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(&self.root))
    }

    /// The interpreter of a virtual environment that has cronsim, made when it is not there yet.
    pub(crate) fn prepare_python(&self) -> anyhow::Result<PathBuf> {
        let folder = self.cache.join("python");
        let python = folder.join("bin").join("python");
        let check = format!("import importlib.metadata as m; assert m.version('cronsim') == '{}'", cronsim_version());
        if process::succeeds(Command::new(&python).args(["-c", &check])) {
            return Ok(python);
        }
        eprintln!("making a Python environment with {CRONSIM} in the cache folder");
        std::fs::create_dir_all(&self.cache)
            .with_context(|| format!("failed to make the cache folder `{}`", self.cache.display()))?;
        process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", CRONSIM];
        process::run(Command::new(&python).args(quiet))?;
        Ok(python)
    }

    /// The tool `wkg`. It is built under CI only, since that takes minutes; elsewhere it may have been installed.
    pub(crate) fn prepare_wkg(&self) -> anyhow::Result<PathBuf> {
        let folder = self.cache.join("wkg");
        let is_it = |program: &Path| {
            let version = process::read(Command::new(program).arg("--version"));
            version.is_ok_and(|version| version.trim() == format!("wkg {WKG}"))
        };
        let own = folder.join("bin").join("wkg");
        if let Some(found) = [own.clone(), PathBuf::from("wkg")].into_iter().find(|program| is_it(program)) {
            return Ok(found);
        }
        if !self.ci {
            bail!("it is not built here but under CI; `cargo install wkg --version {WKG} --locked` puts it there");
        }
        eprintln!("building wkg {WKG} into the cache folder");
        let target = self.cache.join("wkg-target");
        let mut install = self.cargo(&["install", "wkg", "--version", WKG, "--locked", "--debug", "--root"]);
        process::run(install.arg(&folder).env("CARGO_TARGET_DIR", &target))?;
        // A gigabyte that nobody needs again.
        std::fs::remove_dir_all(&target).with_context(|| format!("failed to remove `{}`", target.display()))?;
        Ok(own)
    }
}

fn cronsim_version() -> &'static str {
    CRONSIM.trim_start_matches("cronsim==")
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
