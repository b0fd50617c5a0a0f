//! `cargo xtask bench`: builds the host and its bench, and measures the budget of `docs/ARCHITECTURE.md`.
//!
//! Invariant: figures come from the release profile unless `--dev` says otherwise, and the table says which it was.
//! Must not know what is measured; rows are checked by the bench itself.

use crate::machine::Machine;
use crate::process;

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let machine = Machine::here()?;
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

/// Cargo starts a bench in the folder of its package, and a person means the folder they are in.
fn absolute(arguments: &[&String]) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for (index, word) in arguments.iter().enumerate() {
        let is_file = index > 0 && arguments[index - 1] == "--json";
        words.push(if is_file { std::path::absolute(word)?.display().to_string() } else { (*word).clone() });
    }
    Ok(words)
}
