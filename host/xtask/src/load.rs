//! `cargo xtask load`: asks the host for more than it can do, for as long as told, and prints what came of it.
//!
//! The test is the program: the same code runs for seconds among all tests. Invariant: figures come from the release
//! profile unless `--dev` says otherwise. Must not know what is asked and checked.

use crate::machine::Machine;
use crate::process;
use anyhow::{Context, bail};

const TEST: &str = "overload_is_refused_and_nothing_acknowledged_is_lost";

const MINUTES: &str = "10";

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let machine = Machine::here()?;
    let mut settings = vec![("HOSTLER_LOAD_MINUTES", MINUTES.to_owned())];
    let mut profile: &[&str] = &["--release"];
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--dev" {
            profile = &[];
            continue;
        }
        let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--minutes" => settings.push(("HOSTLER_LOAD_MINUTES", crate::number(word, value)?)),
            "--clients" => settings.push(("HOSTLER_LOAD_CLIENTS", crate::number(word, value)?)),
            "--readers" => settings.push(("HOSTLER_LOAD_READERS", crate::number(word, value)?)),
            "--seed" => settings.push(("HOSTLER_LOAD_SEED", crate::number(word, value)?)),
            // Cargo starts a test in the folder of its package, and a person means the folder they are in.
            "--json" => settings.push(("HOSTLER_LOAD_JSON", std::path::absolute(value)?.display().to_string())),
            _ => bail!(
                "unexpected argument `{word}`: known are --minutes, --clients, --readers, --seed, --json and --dev"
            ),
        }
    }
    if !profile.is_empty() {
        eprintln!("Building the release profile; the first time this takes about ten minutes on two cores.");
    }
    machine.prepare_wasm_target()?;
    // With the whole workspace, as the tests are built: another set could have other features.
    let mut cargo = machine.cargo(&["test", "--workspace", "--locked"]);
    cargo.args(profile).args(["--test", "overload", "--", TEST, "--exact", "--nocapture"]);
    process::run(cargo.envs(settings))
}
