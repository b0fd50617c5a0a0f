//! The shell between the contract and `schedule`: reads params, answers in the contract's words.

use crate::schedule::{Schedule, Wrong};
use serde_json::Value;

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/trigger",
        world: "hostler:trigger/trigger-plugin",
        generate_all,
    });
    use super::Cron;
    export!(Cron);
}

use bindings::exports::hostler::plugin::manifest;
use bindings::exports::hostler::trigger::trigger::{Guest, Instant, Woken};
use bindings::hostler::plugin::types::{Action, Attribute, Failure, Problem, RunRequest, Subscription};

struct Cron;

impl manifest::Guest for Cron {
    fn describe() -> String {
        include_str!("../manifest.json").replace("\"0.0.0\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))
    }
}

impl Guest for Cron {
    fn upcoming(subscription: Subscription, after: u64, count: u32) -> Result<Vec<Instant>, Failure> {
        let schedule = read(&subscription)?;
        let instants = schedule.after(i64::try_from(after).unwrap_or(i64::MAX)).take(count as usize);
        Ok(instants.map(|at| Instant { at: at.unsigned_abs(), local: schedule.show(at) }).collect())
    }

    fn wake(subscription: Subscription, at: u64) -> Result<Woken, Failure> {
        let schedule = read(&subscription)?;
        let local = schedule.show(i64::try_from(at).unwrap_or(i64::MAX));
        let start = RunRequest {
            params: "{}".into(),
            attributes: vec![
                Attribute { name: "INSTANT".into(), value: local.clone() },
                Attribute { name: "EXPRESSION".into(), value: schedule.written().into() },
                Attribute { name: "TIMEZONE".into(), value: schedule.timezone().into() },
            ],
            summary: format!("cron `{}` at {local}", schedule.written()),
            key: None,
            untrusted: false,
            extra: Vec::new(),
        };
        Ok(Woken { actions: vec![Action::Start(start)], again: None, note: None })
    }
}

fn read(subscription: &Subscription) -> Result<Schedule, Failure> {
    let params: Value = serde_json::from_str(&subscription.params).map_err(|e| Failure::Failed(e.to_string()))?;
    let expression = params["expression"].as_str().unwrap_or_default();
    let timezone = params["timezone"].as_str().unwrap_or("UTC");
    Schedule::read(expression, timezone).map_err(|wrongs| Failure::Invalid(wrongs.into_iter().map(problem).collect()))
}

fn problem(wrong: Wrong) -> Problem {
    Problem { at: wrong.at.into(), line: None, column: wrong.column, message: wrong.message, hint: wrong.hint }
}
