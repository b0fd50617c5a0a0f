//! What one call may use, and all calls of a plugin together. A plugin's manifest may ask for other figures than ours,
//! and the operator decides.
//!
//! Each limit has one name here, in the config and in the error that says it was reached.

use hostler_model::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Each may have a megabyte.
const RECORDED_CALLS_MAX: u32 = 1_000;

/// The limits in force for the calls of one plugin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    /// Wall-clock time of one call, waiting for the host included.
    pub time_max: Duration,
    /// Linear memory of one call, in bytes, all memories of the component together.
    pub memory_bytes_max: u64,
    /// Elements of all tables together.
    pub table_elements_max: u64,
    /// Bytes that go into a call: params, settings, payload.
    pub input_bytes_max: u64,
    /// Bytes that come out of a call.
    pub output_bytes_max: u64,
    /// Lines that one call may write to the plugin's log; more are counted and dropped.
    pub log_lines_max: u32,
    /// Lines that all calls together may write in a minute; more are counted and dropped.
    pub log_lines_per_minute_max: u32,
    /// Calls of the plugin under way at one time; more wait.
    pub calls_max: u32,
    /// Calls that may wait; more are refused at once.
    pub queue_max: u32,
    /// HTTP requests of one call.
    pub http_requests_max: u32,
    /// HTTP requests of all calls together in a minute.
    pub http_per_minute_max: u32,
    /// Bytes of the body of one HTTP request, and of one answer.
    pub http_bytes_max: u64,
    /// Bytes of keys and values that the plugin may keep in one namespace.
    pub kv_bytes_max: u64,
    /// Calls that break in a row, after which the plugin is called no more until somebody enables it; 0: it always is.
    pub faults_max: u32,
    /// Calls that one instance serves, all of one namespace; 1: each call has an instance of its own.
    pub calls_per_instance_max: u32,
    /// Calls that are recorded and kept, the newest ones, at most 1,000; 0: none is.
    pub recorded_calls_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_max: Duration::from_secs(5),
            memory_bytes_max: 64 << 20,
            table_elements_max: 1 << 20,
            input_bytes_max: 1 << 20,
            output_bytes_max: 1 << 20,
            log_lines_max: 200,
            log_lines_per_minute_max: 600,
            calls_max: 8,
            queue_max: 1_000,
            http_requests_max: 20,
            http_per_minute_max: 300,
            http_bytes_max: 8 << 20,
            kv_bytes_max: 4 << 20,
            faults_max: 5,
            calls_per_instance_max: 1,
            recorded_calls_max: 0,
        }
    }
}

/// What a manifest asks for or an operator sets; what is absent stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_max: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_elements_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_per_minute_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_requests_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_per_minute_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_instance_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_calls_max: Option<u32>,
}

impl LimitSettings {
    /// What is absent here is as in `older`.
    #[must_use]
    pub fn over(self, older: Self) -> Self {
        let told = |settings: Self| match serde_json::to_value(settings) {
            Ok(Value::Object(told)) => told,
            Ok(_) | Err(_) => Map::new(),
        };
        let mut all = told(older);
        all.extend(told(self));
        serde_json::from_value(Value::Object(all)).unwrap_or(self)
    }
}

impl Limits {
    #[must_use]
    pub fn with(self, set: LimitSettings) -> Self {
        Self {
            time_max: set.time_max.unwrap_or(self.time_max),
            memory_bytes_max: set.memory_bytes_max.unwrap_or(self.memory_bytes_max),
            table_elements_max: set.table_elements_max.unwrap_or(self.table_elements_max),
            input_bytes_max: set.input_bytes_max.unwrap_or(self.input_bytes_max),
            output_bytes_max: set.output_bytes_max.unwrap_or(self.output_bytes_max),
            log_lines_max: set.log_lines_max.unwrap_or(self.log_lines_max),
            log_lines_per_minute_max: set.log_lines_per_minute_max.unwrap_or(self.log_lines_per_minute_max),
            calls_max: set.calls_max.unwrap_or(self.calls_max),
            queue_max: set.queue_max.unwrap_or(self.queue_max),
            http_requests_max: set.http_requests_max.unwrap_or(self.http_requests_max),
            http_per_minute_max: set.http_per_minute_max.unwrap_or(self.http_per_minute_max),
            http_bytes_max: set.http_bytes_max.unwrap_or(self.http_bytes_max),
            kv_bytes_max: set.kv_bytes_max.unwrap_or(self.kv_bytes_max),
            faults_max: set.faults_max.unwrap_or(self.faults_max),
            calls_per_instance_max: set.calls_per_instance_max.unwrap_or(self.calls_per_instance_max),
            recorded_calls_max: set.recorded_calls_max.unwrap_or(self.recorded_calls_max).min(RECORDED_CALLS_MAX),
        }
    }

    /// The same with no value above ours: what a manifest asks for can only make a plugin smaller until an operator
    /// has agreed to more.
    #[must_use]
    pub fn narrowed(self, asked: LimitSettings) -> Self {
        let wished = self.with(asked);
        Self {
            time_max: wished.time_max.min(self.time_max),
            memory_bytes_max: wished.memory_bytes_max.min(self.memory_bytes_max),
            table_elements_max: wished.table_elements_max.min(self.table_elements_max),
            input_bytes_max: wished.input_bytes_max.min(self.input_bytes_max),
            output_bytes_max: wished.output_bytes_max.min(self.output_bytes_max),
            log_lines_max: wished.log_lines_max.min(self.log_lines_max),
            log_lines_per_minute_max: wished.log_lines_per_minute_max.min(self.log_lines_per_minute_max),
            calls_max: wished.calls_max.min(self.calls_max),
            queue_max: wished.queue_max.min(self.queue_max),
            http_requests_max: wished.http_requests_max.min(self.http_requests_max),
            http_per_minute_max: wished.http_per_minute_max.min(self.http_per_minute_max),
            http_bytes_max: wished.http_bytes_max.min(self.http_bytes_max),
            kv_bytes_max: wished.kv_bytes_max.min(self.kv_bytes_max),
            // How patient a host is, and what it keeps, is not the plugin's to say.
            faults_max: self.faults_max,
            calls_per_instance_max: self.calls_per_instance_max,
            recorded_calls_max: self.recorded_calls_max,
        }
    }
}
