//! Builds every component of the workspace: plugins of our own, the hostile ones of the tests, tasks of the examples.
//!
//! A component in Rust is a member under `plugins/` or `pipelines/`; those in other languages are found by `examples`.
//! Nothing has to be listed here. Must not know what a component is for.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use crate::machine::{Machine, WASM_TARGET};
use crate::tidy::metadata::{Metadata, Package};
use crate::{examples, process};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    crate::expect_only(&[], arguments)?;
    for path in build(&Machine::here()?)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Build all components, those in Rust in release mode (an unoptimised guest is slow to compile and slow to run); says
/// where they are.
pub(crate) fn build(machine: &Machine) -> anyhow::Result<Vec<PathBuf>> {
    machine.prepare_wasm_target()?;
    let metadata = Metadata::read(machine)?;
    let components: Vec<_> = metadata.members().filter(|package| package.is_guest(&metadata)).collect();
    if components.is_empty() {
        eprintln!("no components: the workspace has no member under plugins/ or pipelines/");
        return Ok(Vec::new());
    }
    let started = Instant::now();
    // The folder and profile that the host's build script uses, so that the embedded ones are not compiled again.
    let target_folder = machine.target_folder().join("components");
    let mut command = machine.cargo(&["build", "--profile", "component", "--locked", "--target", WASM_TARGET]);
    command.arg("--target-dir").arg(&target_folder);
    for component in &components {
        command.args(["--package", &component.name]);
    }
    process::run(&mut command)?;
    eprintln!("{} packages of components built in {:.1} s", components.len(), started.elapsed().as_secs_f64());
    let folder = target_folder.join(WASM_TARGET).join("component");
    for package in &components {
        put_beside_its_pipeline(machine, &metadata, package, &folder)?;
    }
    let mut all: Vec<_> = components.iter().flat_map(|package| package.components(&folder)).collect();
    all.extend(examples::build(machine)?);
    Ok(all)
}

/// The task of an example lies where its document says: beside `pipeline.yaml`, in the folder above its crate.
fn put_beside_its_pipeline(
    machine: &Machine,
    metadata: &Metadata,
    package: &Package,
    folder: &Path,
) -> anyhow::Result<()> {
    let above = Path::new(package.manifest(metadata)).ancestors().nth(2);
    let Some(pipeline) = above.filter(|path| path.starts_with("pipelines")) else {
        return Ok(());
    };
    for component in package.components(folder) {
        let name = component.file_name().context("a component has no file name")?;
        let place = machine.root.join(pipeline).join(name);
        std::fs::copy(&component, &place).with_context(|| format!("failed to write {}", place.display()))?;
    }
    Ok(())
}
