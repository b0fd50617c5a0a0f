//! `cargo xtask crash`: the crash test of the host with as many kills as are asked for, and its tables.
//!
//! The test is the program: the same code runs with few kills among all tests. Must not know what is checked.

use crate::machine::Machine;
use crate::process;
use anyhow::{Context, bail};

/// What `--mode` says, and the test that does it.
const MODES: [(&str, &str); 3] = [
    ("kill", "what_was_acknowledged_survives_every_kill_and_ends"),
    ("power", "what_was_acknowledged_survives_every_power_cut_and_ends"),
    ("full", "what_was_acknowledged_survives_a_full_disk_and_ends"),
];

const KILLS: &str = "200";

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let machine = Machine::here()?;
    let (mut kills, mut seed, mut modes) = (KILLS.to_owned(), None, MODES.to_vec());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--kills" => kills = crate::number(word, value)?,
            "--seed" => seed = Some(crate::number(word, value)?),
            "--mode" => modes.retain(|(name, _)| name == value),
            _ => bail!("unexpected argument `{word}`: known are --kills, --seed and --mode"),
        }
    }
    if modes.is_empty() {
        bail!("--mode is kill, power or full");
    }
    for (_, test) in modes {
        // With the whole workspace, as the tests are built: another set could have other features.
        let mut cargo = machine.cargo(&["test", "--workspace", "--locked", "--test", "crash", "--", test]);
        cargo.args(["--exact", "--nocapture"]).env("HOSTLER_CRASH_KILLS", &kills);
        cargo.envs(seed.iter().map(|seed| ("HOSTLER_CRASH_SEED", seed)));
        process::run(&mut cargo)?;
    }
    Ok(())
}
