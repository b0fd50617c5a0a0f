//! Builds the plugins that are not written in Rust: each folder below `plugins/` that has a `build.sh`.
//!
//! A project is copied to the target folder and built there, so that nothing is written into the checkout; its links
//! into the contract become files on the way. Invariant: what has not changed is not built again. Must not know what a
//! plugin is for.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::authoring::{Language, Tools};
use crate::machine::Machine;
use crate::process;

/// Below the folder of components.
const FOLDER: &str = "languages";
const ADAPTER: &str = "adapter.wasm";

/// A file's path in its project, and what is in it.
type Project = BTreeMap<PathBuf, Vec<u8>>;

/// Build all of them; a language without its tools is left out, loudly, and fails under CI.
pub(crate) fn build(machine: &Machine) -> anyhow::Result<Vec<PathBuf>> {
    let place = machine.target_folder().join("components").join(FOLDER);
    let tools = Tools::of(machine)?;
    let mut built = Vec::new();
    for folder in folders(&machine.root.join("plugins"))? {
        let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let Some(language) = Language::of_project(&folder) else {
            bail!("plugins/{name} has a build.sh and is in no language that is known here");
        };
        if let Some(lack) = tools.lack(language) {
            let told = format!("plugins/{name} is not built: {} {lack}", language.name());
            if machine.ci {
                bail!(told);
            }
            eprintln!("{told}");
            continue;
        }
        built.push(build_one(&tools, language, &folder, &name, &place)?);
    }
    Ok(built)
}

fn folders(plugins: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(plugins).with_context(|| format!("failed to list `{}`", plugins.display()))?;
    let mut folders: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    folders.retain(|folder| folder.join("build.sh").is_file());
    folders.sort();
    Ok(folders)
}

fn build_one(tools: &Tools, language: Language, from: &Path, name: &str, place: &Path) -> anyhow::Result<PathBuf> {
    let mut project = Project::new();
    read(from, Path::new(""), &mut project)?;
    if language == Language::Go {
        let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        project.insert(ADAPTER.into(), adapter.to_vec());
    }
    let (folder, component) = (place.join(name), place.join(format!("{name}.wasm")));
    let (mark, hash) = (place.join(format!("{name}.hash")), hash_of(&project));
    if component.is_file() && std::fs::read_to_string(&mark).is_ok_and(|there| there == hash) {
        return Ok(component);
    }
    eprintln!("building plugins/{name} ({})", language.name());
    let begun = Instant::now();
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove `{}`", folder.display()))?;
    }
    write(&folder, &project)?;
    process::run(tools.lend(Command::new("sh").arg("build.sh").current_dir(&folder)))?;
    let made = folder.join(format!("{name}.wasm"));
    std::fs::copy(&made, &component).with_context(|| format!("plugins/{name}/build.sh made no {name}.wasm"))?;
    std::fs::write(&mark, hash).with_context(|| format!("failed to write `{}`", mark.display()))?;
    eprintln!("  done in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(component)
}

fn read(folder: &Path, below: &Path, project: &mut Project) -> anyhow::Result<()> {
    let told = || format!("failed to read `{}`", folder.display());
    for entry in std::fs::read_dir(folder).with_context(told)? {
        let entry = entry.with_context(told)?;
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        // Through links: a tool in another folder does not find what a relative one points at.
        if std::fs::metadata(&path).with_context(told)?.is_dir() {
            read(&path, &name, project)?;
        } else {
            project.insert(name, std::fs::read(&path).with_context(told)?);
        }
    }
    Ok(())
}

fn write(folder: &Path, project: &Project) -> anyhow::Result<()> {
    for (name, bytes) in project {
        let path = folder.join(name);
        let above = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(above).and_then(|()| std::fs::write(&path, bytes));
        written.with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    let script = folder.join("build.sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("failed to write `{}`", script.display()))
}

fn hash_of(project: &Project) -> String {
    let mut hash = DefaultHasher::new();
    project.hash(&mut hash);
    format!("{:016x}", hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_copied_with_what_its_links_lead_to() {
        let here = tempfile::tempdir().unwrap();
        let (contract, from, to) = (here.path().join("wit"), here.path().join("from"), here.path().join("to"));
        std::fs::create_dir_all(contract.join("deps")).unwrap();
        std::fs::write(contract.join("deps/a.wit"), "a").unwrap();
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("build.sh"), "true\n").unwrap();
        std::os::unix::fs::symlink(&contract, from.join("wit")).unwrap();
        let mut project = Project::new();
        read(&from, Path::new(""), &mut project).unwrap();
        write(&to, &project).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("wit/deps/a.wit")).unwrap(), "a");
        assert!(!to.join("wit").is_symlink());
        let before = hash_of(&project);
        project.insert("more".into(), Vec::new());
        assert_ne!(before, hash_of(&project));
    }
}
