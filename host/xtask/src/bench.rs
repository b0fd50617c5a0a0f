//! `cargo xtask bench`: builds the host and its bench, and measures the budget of `docs/ARCHITECTURE.md`.
//!
//! Invariant: figures come from the release profile unless `--dev` says otherwise, and the table says which it was.
//! Must not know what is measured; rows are checked by the bench itself.

use crate::machine::Machine;
use crate::process;
use anyhow::{Context, bail};
use serde_json::Value;
use std::process::Command;

/// Of the counted paths: how often each is walked, in two runs whose difference is the price of one.
const COUNTS: [u64; 2] = [1_000, 3_000];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let machine = Machine::here()?;
    if arguments.iter().any(|argument| argument == "--instructions") {
        crate::expect_only(&["--instructions", "--dev"], arguments)?;
        let is_dev = arguments.iter().any(|argument| argument == "--dev");
        return count_instructions(&machine, if is_dev { "test" } else { "bench" });
    }
    let (dev, rest): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| *argument == "--dev");
    machine.prepare_wasm_target()?;
    let command = if dev.is_empty() {
        eprintln!("Building the release profile; the first time this takes about ten minutes on two cores.");
        "bench"
    } else {
        // The dependencies are optimised in this profile too, so the figures are close.
        "test"
    };
    // With the whole workspace, as the tests are built: another set of packages could have other features, and compile
    // everything again.
    let mut cargo = machine.cargo(&[command, "--workspace", "--locked", "--bench", "budget", "--"]);
    process::run(cargo.args(absolute(&rest)?))
}

/// Instructions in user space, which are the same on a busy machine and on a quiet one.
fn count_instructions(machine: &Machine, command: &str) -> anyhow::Result<()> {
    if !process::succeeds(Command::new("valgrind").arg("--version")) {
        bail!("counting needs Valgrind: apt-get install valgrind");
    }
    machine.prepare_wasm_target()?;
    let build = [command, "--workspace", "--locked", "--bench", "instructions", "--no-run", "--message-format=json"];
    let built = process::read(&mut machine.cargo(&build))?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = |message: &Value| message["target"]["name"] == "instructions" && message["executable"].is_string();
    let program = messages.filter(ours).find_map(|message| message["executable"].as_str().map(str::to_owned));
    let program = program.context("cargo built no bench `instructions`")?;
    let paths = process::read(&mut Command::new(&program))?;
    println!("{:<10} {:>14}", "path", "instructions");
    for path in paths.split_whitespace() {
        let [few, many] = [instructions(&program, path, COUNTS[0])?, instructions(&program, path, COUNTS[1])?];
        println!("{path:<10} {:>14}", many.saturating_sub(few) / (COUNTS[1] - COUNTS[0]));
    }
    Ok(())
}

fn instructions(program: &str, path: &str, count: u64) -> anyhow::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", program, path, &count.to_string()]);
    let output = valgrind.output().context("failed to start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    total.filter(|_| output.status.success()).with_context(|| format!("`{path}` failed under Valgrind:\n{said}"))
}

/// Cargo starts a bench in the folder of its package, and a person means the folder they are in.
fn absolute(arguments: &[&String]) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for (index, word) in arguments.iter().enumerate() {
        let is_file = index > 0 && arguments[index - 1] == "--json";
        words.push(if is_file { std::path::absolute(word)?.display().to_string() } else { (*word).clone() });
    }
    Ok(words)
}
