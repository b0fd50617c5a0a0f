//! `cargo xtask test`: sets up what is missing and runs every test there is, at home and under CI alike.
//!
//! Invariants: a stage that fails does not keep the others from running; what the machine lacks is said loudly, and
//! fails under CI; the table at the end has a row for each stage. Must not know what a stage checks.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::bail;

use crate::machine::Machine;
use crate::{authoring, containers, docs, plugins, process, scaffold, tidy};

struct Stage {
    name: &'static str,
    run: fn(&Machine, &mut Vec<String>) -> anyhow::Result<Verdict>,
}

enum Verdict {
    Passed,
    /// Not run, and why; nothing that CI must have.
    Left(&'static str),
}

/// Cheap ones first, so that a slip is seen at once; the tests last, so that their figures stand above the table.
const STAGES: &[Stage] = &[
    Stage { name: "prepare", run: prepare },
    Stage { name: "format", run: |machine, _| cargo(machine, &["fmt", "--all", "--check"]) },
    Stage { name: "tidy", run: |machine, _| tidy::check(machine).map(|()| Verdict::Passed) },
    Stage { name: "deny", run: deny },
    Stage { name: "components", run: |machine, _| plugins::build(machine).map(|_| Verdict::Passed) },
    Stage { name: "clippy", run: clippy },
    Stage { name: "build tests", run: |machine, _| cargo(machine, &["test", "--workspace", "--locked", "--no-run"]) },
    Stage { name: "reference", run: reference },
    Stage { name: "new plugins", run: |machine, _| scaffold::choice(machine).map(|()| Verdict::Passed) },
    Stage { name: "tests", run: tests },
];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    crate::expect_only(&[], arguments)?;
    let machine = Machine::here()?;
    let started = Instant::now();
    let mut lacks = Vec::new();
    let mut rows = Vec::new();
    let mut failures = 0;
    for (index, stage) in STAGES.iter().enumerate() {
        eprintln!("\n=== {} ({} of {})", stage.name, index + 1, STAGES.len());
        let begun = Instant::now();
        let result = match (stage.run)(&machine, &mut lacks) {
            Ok(Verdict::Passed) => "ok".to_owned(),
            Ok(Verdict::Left(reason)) => format!("not run: {reason}"),
            Err(error) => {
                eprintln!("error: {error:#}");
                failures += 1;
                "FAILED".to_owned()
            }
        };
        rows.push(format!("{:<12} {:>7.1} s  {result}", stage.name, begun.elapsed().as_secs_f64()));
    }
    println!("\n{}\n{:<12} {:>7.1} s", rows.join("\n"), "in all", started.elapsed().as_secs_f64());
    for lack in &lacks {
        println!("\n!!! THIS MACHINE LACKS: {lack}");
    }
    match (failures, lacks.is_empty() || !machine.ci) {
        (0, true) => Ok(()),
        (0, false) => bail!("under CI nothing may lack, and {} things do", lacks.len()),
        (count, _) => bail!("{count} of {} stages failed", STAGES.len()),
    }
}

/// Get what the later stages need; what can not be had is a lack, and the stages say for themselves what follows.
fn prepare(machine: &Machine, lacks: &mut Vec<String>) -> anyhow::Result<Verdict> {
    if let Err(error) = machine.prepare_wasm_target() {
        lacks.push(format!("the Wasm target, without which no component is built: {error:#}"));
    }
    if let Err(error) = machine.prepare_python() {
        lacks.push(format!("Python with cronsim, without which cron is not compared with its oracle: {error:#}"));
    }
    if let Err(error) = containers::prepare(machine) {
        lacks.push(format!("a container engine, without which no container is tested: {error:#}"));
    }
    if let Err(error) = machine.prepare_wkg() {
        lacks.push(format!("wkg, without which no other tool reads and writes our artifacts: {error:#}"));
    }
    // Minutes, and most of a gigabyte: on somebody's own machine only when asked for.
    if machine.ci
        && let Err(error) = authoring::install(machine)
    {
        lacks.push(format!("tools of other languages, without which their plugins are not built: {error:#}"));
    }
    Ok(Verdict::Passed)
}

/// Its licences, sources and duplicates are also in tidy, which needs no install: building cargo-deny takes longer
/// here than all our own crates together. Advisories are left out: they come from the network.
fn deny(machine: &Machine, _: &mut Vec<String>) -> anyhow::Result<Verdict> {
    if !process::succeeds(Command::new("cargo-deny").arg("--version")) {
        return Ok(Verdict::Left("no cargo-deny here; tidy has checked licences, sources and versions"));
    }
    cargo(machine, &["deny", "--offline", "check", "bans", "licenses", "sources"])
}

fn clippy(machine: &Machine, _: &mut Vec<String>) -> anyhow::Result<Verdict> {
    cargo(machine, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

/// With the binary that the tests have built: another build could have other features, and compile everything again.
fn reference(machine: &Machine, _: &mut Vec<String>) -> anyhow::Result<Verdict> {
    let hostler = machine.hostler();
    if !Path::new(&hostler).exists() {
        process::run(&mut machine.cargo(&["build", "--locked", "--workspace", "--bin", "hostler"]))?;
    }
    docs::check(&machine.root, &hostler).map(|()| Verdict::Passed)
}

fn tests(machine: &Machine, _: &mut Vec<String>) -> anyhow::Result<Verdict> {
    let mut command = machine.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Ok(python) = machine.prepare_python() {
        command.env("HOSTLER_TEST_PYTHON", python);
    }
    if let Ok(wkg) = machine.prepare_wkg() {
        command.env("HOSTLER_TEST_WKG", wkg);
    }
    process::run(&mut command)?;
    Ok(Verdict::Passed)
}

fn cargo(machine: &Machine, arguments: &[&str]) -> anyhow::Result<Verdict> {
    process::run(&mut machine.cargo(arguments))?;
    Ok(Verdict::Passed)
}
