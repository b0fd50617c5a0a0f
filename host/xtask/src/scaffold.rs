//! Makes new plugins as an author does: each is built with its one command, passes its own test, and is installed into
//! a host, which asks it what it is; a trigger is subscribed to and previewed too.
//!
//! Each pair of role and language is a cell. CI takes a smaller choice than `cargo xtask scaffold` without arguments
//! does: every role in Rust, one in each other language. Must not know what stands in a template.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::authoring::{Language, Tools};
use crate::house::House;
use crate::machine::Machine;
use crate::process::{self, Stop};

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
    let place = machine.target_folder().join("scaffold");
    let stop = Stop::listen()?;
    let mut house = House::start(machine)?;
    if !house.wait_until_healthy(&stop)? {
        return Ok(());
    }
    register(&house, &place)?;
    let stage = Stage { machine, tools: Tools::of(machine)?, house, place };
    let mut rows = Vec::new();
    let mut failures = 0;
    for (role, language) in cells {
        let begun = Instant::now();
        let result = match stage.tools.lack(*language) {
            Some(lack) if machine.ci => Err(anyhow::anyhow!(lack)),
            Some(lack) => {
                rows.push(format!("{:<9} {:<7} not made: {lack}", role, language.name()));
                continue;
            }
            None => stage.make(role, *language),
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

struct Stage<'a> {
    machine: &'a Machine,
    tools: Tools,
    house: House,
    place: PathBuf,
}

/// What the triggers are subscribed to.
fn register(house: &House, place: &Path) -> anyhow::Result<()> {
    let document = place.join("pipeline.json");
    let text = r#"{"id": "new-plugins", "tasks": {"nothing": {}}}"#;
    std::fs::create_dir_all(place)
        .and_then(|()| std::fs::write(&document, text))
        .with_context(|| format!("failed to write `{}`", document.display()))?;
    process::read(house.command().arg("up").arg(&document)).map(drop)
}

impl Stage<'_> {
    /// The size of the component that came of it.
    fn make(&self, role: &str, language: Language) -> anyhow::Result<u64> {
        let name = format!("{}-{role}", language.name());
        let folder = self.place.join(language.name()).join(role);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove `{}`", folder.display()))?;
        }
        let mut new = Command::new(self.machine.hostler());
        new.args(["plugin", "new", &name, "--role", role, "--lang", language.name(), "--folder"]).arg(&folder);
        process::read(&mut new)?;
        // What the projects have in common is compiled once.
        let mut build = Command::new("sh");
        build.arg("build.sh").current_dir(&folder).env("CARGO_TARGET_DIR", self.place.join("target"));
        process::run(self.tools.lend(&mut build))?;
        let component = folder.join(format!("{name}.wasm"));
        process::run(Command::new(self.machine.hostler()).args(["plugin", "test"]).arg(&component))?;
        process::read(self.house.command().args(["plugin", "install", "--yes"]).arg(&component))?;
        if role == "trigger" {
            self.preview(&name)?;
        }
        let facts = std::fs::metadata(&component);
        Ok(facts.with_context(|| format!("failed to read `{}`", component.display()))?.len())
    }

    fn preview(&self, name: &str) -> anyhow::Result<()> {
        process::read(self.house.command().args(["subscribe", "new-plugins", name, name]))?;
        let subscription = format!("new-plugins/{name}");
        let told = process::read(self.house.command().args(["subscription", "preview", &subscription]))?;
        if told.trim().is_empty() {
            bail!("the host shows no instant of `{subscription}`");
        }
        Ok(())
    }
}
