//! `hostler cron`: a command that is run when a cron expression says so.

use super::scheduled::{Options, Schedule};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use serde_json::{Map, Value};

/// Run a command by a cron expression
///
/// Makes a pipeline of one task and its subscription to the plugin `cron`. Asked again for the same name, it changes
/// both in place.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler cron '30 2 * * *' --timezone Europe/Berlin -- ./report.sh
  hostler cron '*/10 8-17 * * mon-fri' --catch-up latest -- ./sync --quiet
  hostler cron @daily --name tidy -- find /srv/cache -mtime +30 -delete")]
pub(crate) struct Arguments {
    /// Five fields (minute, hour, day of month, month, day of week), or a word such as `@daily`
    expression: String,
    /// The time zone of the expression, such as `Europe/Berlin` [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let mut params = Map::from_iter([("expression".to_string(), Value::from(self.expression))]);
        if let Some(timezone) = self.timezone {
            params.insert("timezone".into(), timezone.into());
        }
        self.options.apply(ctx, Schedule { plugin: "cron", params })
    }
}
