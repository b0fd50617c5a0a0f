//! `hostler every`: a command that is run again and again after the same time.

use super::scheduled::{Options, Schedule};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::Duration;
use serde_json::{Map, Value};

/// Run a command again and again, each time after the same span
///
/// Makes a pipeline of one task and its subscription to the plugin `interval`. Asked again for the same name, it
/// changes both in place.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler every 5m -- ./backup.sh
  hostler every 1h --name poll --overlap queue -- curl -fsS https://example.org/health")]
pub(crate) struct Arguments {
    /// The span, such as `30s`, `5m` or `1h30m`
    every: Duration,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let params = Map::from_iter([("every".to_string(), Value::from(self.every.to_string()))]);
        self.options.apply(ctx, Schedule { plugin: "interval", params })
    }
}
