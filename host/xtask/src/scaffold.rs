//! Makes new plugins as an author does, builds each with its one command, and runs its own test.
//!
//! Each pair of role and language is a cell. CI takes a smaller choice than `cargo xtask scaffold` without arguments
//! does: every role in Rust, one in each other language. Must not know what stands in a template.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::authoring::{Language, Tools};
use crate::machine::Machine;
use crate::process;

const ROLES: &[&str] = &["trigger", "inbound", "outbound", "builder", "renderer", "relay"];
/// What CI makes beside all of Rust: each role once more, so that nothing of the contract is left to one language.
const CHOICE: &[(&str, Language)] = &[
    ("builder", Language::Python),
    ("outbound", Language::Js),
    ("renderer", Language::Js),
    ("inbound", Language::Go),
    ("trigger", Language::C),
    ("relay", Language::C),
];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let machine = Machine::here()?;
    let (mut roles, mut languages) = (Vec::new(), Vec::new());
    let mut given = arguments.iter();
    while let Some(option) = given.next() {
        let value = given.next().with_context(|| format!("`{option}` needs a value"))?;
        match option.as_str() {
            "--role" => {
                roles.push(*ROLES.iter().find(|role| *role == value).with_context(|| format!("no role `{value}`"))?);
            }
            "--lang" => languages.push(
                Language::ALL
                    .into_iter()
                    .find(|language| language.name() == value)
                    .with_context(|| format!("no language `{value}`"))?,
            ),
            other => bail!("unexpected argument `{other}`: known are --role ROLE and --lang LANGUAGE"),
        }
    }
    if roles.is_empty() {
        roles = ROLES.to_vec();
    }
    if languages.is_empty() {
        languages = Language::ALL.to_vec();
    }
    let cells: Vec<_> =
        languages.iter().flat_map(|language| roles.iter().map(move |role| (*role, *language))).collect();
    process::run(&mut machine.cargo(&["build", "--locked", "--workspace", "--bin", "hostler"]))?;
    make(&machine, &cells)
}

/// What CI makes.
pub(crate) fn choice(machine: &Machine) -> anyhow::Result<()> {
    let mut cells: Vec<_> = ROLES.iter().map(|role| (*role, Language::Rust)).collect();
    cells.extend_from_slice(CHOICE);
    make(machine, &cells)
}

/// A language without its tools is left out, loudly, and fails under CI.
fn make(machine: &Machine, cells: &[(&str, Language)]) -> anyhow::Result<()> {
    let tools = Tools::of(machine)?;
    let place = machine.target_folder().join("scaffold");
    let mut rows = Vec::new();
    let mut failures = 0;
    for (role, language) in cells {
        let begun = Instant::now();
        let result = match tools.lack(*language) {
            Some(lack) if machine.ci => Err(anyhow::anyhow!(lack)),
            Some(lack) => {
                rows.push(format!("{:<9} {:<7} not made: {lack}", role, language.name()));
                continue;
            }
            None => cell(machine, &tools, &place, role, *language),
        };
        let told = match result {
            Ok(bytes) => format!("ok, {} KB", bytes / 1000),
            Err(error) => {
                eprintln!("error: {error:#}");
                failures += 1;
                "FAILED".into()
            }
        };
        rows.push(format!("{:<9} {:<7} {:>6.1} s  {told}", role, language.name(), begun.elapsed().as_secs_f64()));
    }
    println!("\n{}", rows.join("\n"));
    if failures > 0 {
        bail!("{failures} of {} new plugins do not build or do not pass their own test", cells.len());
    }
    Ok(())
}

/// The size of the component that came of it.
fn cell(machine: &Machine, tools: &Tools, place: &Path, role: &str, language: Language) -> anyhow::Result<u64> {
    let name = format!("new-{role}");
    let folder = place.join(language.name()).join(role);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove `{}`", folder.display()))?;
    }
    let mut new = Command::new(machine.hostler());
    new.args(["plugin", "new", &name, "--role", role, "--lang", language.name(), "--folder"]).arg(&folder);
    process::read(&mut new)?;
    // What the projects have in common is compiled once.
    let mut build = Command::new("sh");
    build.arg("build.sh").current_dir(&folder).env("CARGO_TARGET_DIR", place.join("target"));
    process::run(tools.lend(&mut build))?;
    let component = folder.join(format!("{name}.wasm"));
    process::run(Command::new(machine.hostler()).args(["plugin", "test"]).arg(&component))?;
    let facts = std::fs::metadata(&component).with_context(|| format!("failed to read `{}`", component.display()))?;
    Ok(facts.len())
}
