//! The shell between the contract and `grid`: reads params, answers in the contract's words.

use crate::grid::{self, Grid, Wrong};
use serde_json::Value;

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/trigger",
        world: "hostler:trigger/trigger-plugin",
        generate_all,
    });
    use super::Interval;
    export!(Interval);
}

use bindings::exports::hostler::plugin::manifest;
use bindings::exports::hostler::trigger::trigger::{Guest, Instant, Woken};
use bindings::hostler::host::config;
use bindings::hostler::plugin::types::{Action, Attribute, Failure, Problem, RunRequest, Subscription};

struct Interval;

impl manifest::Guest for Interval {
    fn describe() -> String {
        include_str!("../manifest.json").replace("\"0.0.0\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))
    }
}

impl Guest for Interval {
    fn upcoming(subscription: Subscription, after: u64, count: u32) -> Result<Vec<Instant>, Failure> {
        let grid = read(&subscription)?;
        let instants = grid.after(millis(after)).take(count as usize);
        Ok(instants.map(|at| Instant { at: at.unsigned_abs(), local: grid::show(at) }).collect())
    }

    fn wake(subscription: Subscription, at: u64) -> Result<Woken, Failure> {
        let grid = read(&subscription)?;
        let instant = grid::show(millis(at));
        let start = RunRequest {
            params: "{}".into(),
            attributes: vec![
                Attribute { name: "INSTANT".into(), value: instant.clone() },
                Attribute { name: "EVERY".into(), value: grid.written().into() },
            ],
            summary: format!("every {} at {instant}", grid.written()),
            key: None,
            untrusted: false,
            extra: Vec::new(),
        };
        Ok(Woken { actions: vec![Action::Start(start)], again: None, note: None })
    }
}

fn millis(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn read(subscription: &Subscription) -> Result<Grid, Failure> {
    let params: Value = serde_json::from_str(&subscription.params).map_err(|e| Failure::Failed(e.to_string()))?;
    let settings: Value = serde_json::from_str(&config::get()).map_err(|e| Failure::Failed(e.to_string()))?;
    Grid::read(&params, &settings, millis(subscription.created)).map_err(|wrong| Failure::Invalid(vec![problem(wrong)]))
}

fn problem(wrong: Wrong) -> Problem {
    Problem { at: wrong.at.into(), line: None, column: None, message: wrong.message, hint: wrong.hint }
}
