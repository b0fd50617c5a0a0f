//! What this machine can and cannot do for a host: one finding a matter, each with what to do about it.
//!
//! Invariants: nothing is changed but a small file that is written and removed again to see how fast the disk is; a
//! matter that cannot be looked at is a finding too. Must not know: how findings are printed.

mod machine;
mod place;

use crate::config::{self, Loaded, Options, ServeOptions};
use crate::context::Context;
use crate::failure::Failure;
use hostler_engine::Clock;
use serde::Serialize;

/// How a matter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Good,
    /// Nothing is wrong, but something cannot be done here or is not there yet.
    Note,
    /// It works, and not as it should.
    Warning,
    /// It does not work.
    Bad,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) matter: &'static str,
    pub(crate) state: State,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl Finding {
    fn new(matter: &'static str, state: State, found: impl Into<String>) -> Self {
        Self { matter, state, found: found.into(), advice: None }
    }

    fn good(matter: &'static str, found: impl Into<String>) -> Self {
        Self::new(matter, State::Good, found)
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// Looks at everything. Where the settings are not valid, what hangs on them is left out.
pub(crate) fn examine(ctx: &Context, options: &Options) -> Result<Vec<Finding>, Failure> {
    let clock = Clock::system();
    let begun = (clock.wall(), clock.steady());
    // First, while this process has one thread: it goes into a control group and comes out again.
    let groups = machine::control_groups();
    let loaded = config::load(options, &ServeOptions::default(), &ctx.environment);
    let mut findings = vec![settings(&loaded)];
    if let Ok(Loaded { config, .. }) = &loaded {
        findings.extend(place::folder(&config.data));
        findings.push(ctx.block_on(async { Ok(place::host(ctx, &config.data).await) })?);
        findings.push(place::cache(&config.data.join("cache")));
    }
    findings.push(machine::compiler()?);
    if let Ok(loaded) = &loaded {
        findings.push(ctx.block_on(async { Ok(machine::container_engine(loaded).await) })?);
        findings.push(machine::open_files(&loaded.config));
        findings.push(machine::isolation(&loaded.config));
    }
    findings.extend([groups, machine::processes(), machine::clock(&clock, begun)]);
    Ok(findings)
}

fn settings(loaded: &Result<Loaded, Failure>) -> Finding {
    const MATTER: &str = "settings";
    match loaded {
        Ok(Loaded { file: Some(path), .. }) => Finding::good(MATTER, format!("valid, from `{}`", path.display())),
        Ok(Loaded { file: None, .. }) => Finding::good(MATTER, "valid, without a file"),
        Err(failure) => {
            let place = |problem: &hostler_model::Problem| match (problem.line, problem.column) {
                (Some(line), Some(column)) => format!("{line}:{column}: {}", problem.message),
                _ => format!("{}: {}", problem.at, problem.message),
            };
            let problems: Vec<_> = failure.all_problems().map(place).collect();
            let sources = failure.mistakes.iter().filter_map(|mistakes| mistakes.source.as_ref());
            let name = sources.map(|source| format!(" in `{}`", source.name)).collect::<String>();
            let found = match problems.is_empty() {
                true => failure.message.clone(),
                false => format!("{}{name}: {}", failure.message, problems.join("; ")),
            };
            Finding::new(MATTER, State::Bad, found).advise("`hostler config init` prints every key with its meaning")
        }
    }
}
