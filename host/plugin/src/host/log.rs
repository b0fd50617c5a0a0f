//! `hostler:host/log`: lines into the plugin's log, up to a number for each call.

use super::Guest;
use crate::bindings::hostler::host::log::Host;
use crate::bindings::hostler::plugin::types::Attribute;
use crate::log::{LogLine, LogRing};
use hostler_model::Timestamp;
use std::sync::Arc;

/// How much one call may still log, and where to.
pub(crate) struct LogBudget {
    pub(crate) ring: Arc<LogRing>,
    pub(crate) plugin: String,
    pub(crate) subscription: Option<String>,
    pub(crate) at: Timestamp,
    pub(crate) lines_left: u32,
    pub(crate) rate: Arc<crate::rate::Rate>,
    pub(crate) per_minute_max: u32,
    pub(crate) dropped: u64,
}

impl LogBudget {
    fn line(&self, level: String, message: String, fields: Vec<(String, String)>) -> LogLine {
        LogLine { at: self.at, level, message, fields, subscription: self.subscription.clone() }
    }

    /// Said once, when the call has ended: nothing is dropped silently.
    pub(crate) fn finish(&mut self) {
        if self.dropped > 0 {
            let message = format!(
                "{} more lines of this call were dropped (raise `limits.log_lines_max` or `limits.log_lines_per_minute_max`)",
                self.dropped
            );
            self.ring.push(&self.plugin, self.line("warn".into(), message, Vec::new()));
            self.dropped = 0;
        }
    }
}

impl Host for Guest {
    async fn write(&mut self, level: String, message: String, fields: Vec<Attribute>) {
        if self.log.lines_left == 0 || !self.log.rate.take(self.log.per_minute_max) {
            self.log.dropped += 1;
            return;
        }
        self.log.lines_left -= 1;
        let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
        self.log.ring.push(&self.log.plugin, self.log.line(level, message, fields));
    }
}
