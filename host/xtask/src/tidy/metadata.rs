//! The packages of the workspace and of its dependencies, as `cargo metadata` tells them.
//!
//! Only the fields that a rule reads. Must not know the rules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::machine::{Machine, WASM_TARGET};
use crate::process;

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: HashSet<String>,
    pub(crate) workspace_root: String,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    pub(crate) path: Option<String>,
    pub(crate) features: Vec<String>,
    /// None for a plain one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Metadata {
    pub(crate) fn read(machine: &Machine) -> anyhow::Result<Metadata> {
        // Two platforms are all that is built here; without the filter cargo would fetch what other systems need.
        let host = process::read(machine.cargo(&["-vV"]).current_dir(&machine.root))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo does not name its host")?;
        let arguments = ["metadata", "--format-version=1", "--locked", "--filter-platform", host];
        let mut command = machine.cargo(&arguments);
        let text = process::read(command.args(["--filter-platform", WASM_TARGET]))?;
        serde_json::from_str(&text).context("failed to read what `cargo metadata` prints")
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// The path of its manifest from the root of the checkout.
    pub(crate) fn manifest<'a>(&'a self, metadata: &Metadata) -> &'a str {
        let path = self.manifest_path.strip_prefix(&metadata.workspace_root).unwrap_or(&self.manifest_path);
        path.trim_start_matches('/')
    }

    /// Whether it is compiled to a component, and runs inside the sandbox.
    pub(crate) fn is_guest(&self, metadata: &Metadata) -> bool {
        let manifest = self.manifest(metadata);
        manifest.starts_with("plugins/") || manifest.starts_with("pipelines/")
    }

    /// The files that cargo makes of it in the folder of a Wasm build.
    pub(crate) fn components(&self, folder: &Path) -> Vec<PathBuf> {
        let file = |target: &Target| match () {
            () if target.kind.iter().any(|kind| kind == "bin") => Some(target.name.clone()),
            // cargo names a library after its module, with underscores.
            () if target.kind.iter().any(|kind| kind == "cdylib") => Some(target.name.replace('-', "_")),
            () => None,
        };
        self.targets.iter().filter_map(file).map(|name| folder.join(format!("{name}.wasm"))).collect()
    }
}
