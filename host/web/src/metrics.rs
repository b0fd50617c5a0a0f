//! Figures for Prometheus (text format 0.0.4): what was answered and how fast, what the engine holds, what lies in the
//! store.
//!
//! Invariant: series are named by route pattern, method and status, so that their number is bounded by the code.

use crate::Web;
use crate::error::Error;
use http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, &'static str), Series>>,
}

/// One route and method.
#[derive(Clone, Default)]
struct Series {
    statuses: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    pub(crate) fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let series = requests.entry((route.to_owned(), method_word(method))).or_default();
        let seconds = took.as_secs_f64();
        *series.statuses.entry(status.as_u16()).or_default() += 1;
        series.count += 1;
        series.seconds += seconds;
        for (bucket, bound) in series.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    fn snapshot(&self) -> BTreeMap<(String, &'static str), Series> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Methods that nobody knows are one series, since a caller can invent any number of them.
fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The page that is scraped.
pub(crate) async fn render(web: &Web) -> Result<String, Error> {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is not general over the lifetime of the transaction"
    )]
    let counts = web.read(|tx| tx.counts()).await?;
    let mut page = Page::default();
    page.store(&counts);
    if let Ok(free) = web.handle().store().free_bytes() {
        page.gauge("hostler_disk_free_bytes", "Free space of the data folder's disk.", free as f64);
    }
    page.engine(&web.handle().load());
    page.plugins(&web.handle().plugins().list());
    page.gauge("hostler_log_followers", "Streams being followed.", web.followers_now() as f64);
    page.process();
    page.requests(&web.metrics().snapshot());
    Ok(page.text)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    // Writing into a String cannot fail, so the results of `write!` are dropped throughout.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, "", value as f64);
    }

    fn store(&mut self, counts: &hostler_store::Counts) {
        self.gauge("hostler_pipelines", "Pipelines registered.", counts.pipelines as f64);
        self.head("hostler_runs", "gauge", "Runs that are not over, by status.");
        for (status, count) in &counts.open_runs {
            self.line("hostler_runs", &format!("{{status=\"{status}\"}}"), *count as f64);
        }
        self.head("hostler_subscriptions", "gauge", "Subscriptions, by status.");
        for (status, count) in &counts.subscriptions {
            self.line("hostler_subscriptions", &format!("{{status=\"{status}\"}}"), *count as f64);
        }
        self.gauge("hostler_open_fires", "Fires whose plugin has not answered yet.", counts.open_fires as f64);
        self.gauge("hostler_database_bytes", "Size of the database.", counts.database_bytes as f64);
    }

    fn engine(&mut self, load: &hostler_engine::Load) {
        self.gauge("hostler_open_runs", "Runs held in memory.", load.open_runs as f64);
        self.head("hostler_runs_finished_total", "counter", "Runs that ended since the start, by outcome.");
        for (outcome, count) in &load.finished {
            self.line("hostler_runs_finished_total", &format!("{{outcome=\"{outcome}\"}}"), *count as f64);
        }
        self.gauge("hostler_active_attempts", "Attempts that an executor holds.", load.active_attempts as f64);
        self.gauge("hostler_waiting_tasks", "Tasks that wait for a slot.", load.waiting_tasks as f64);
        self.gauge("hostler_commands_waiting", "Requests that wait for the dispatcher.", load.commands_waiting as f64);
        self.counter("hostler_commits_total", "Transactions committed since the start.", load.commits);
        self.counter("hostler_changes_total", "Changes committed since the start.", load.changes);
        self.counter("hostler_plugin_calls_total", "Calls of plugins since the start.", load.plugin_calls);
        self.counter("hostler_plugin_failures_total", "Calls of plugins that failed.", load.plugin_failures);
        self.counter("hostler_log_bytes_total", "Bytes of output taken in since the start.", load.log_bytes);
        self.head("hostler_retention_removed_total", "counter", "Removed by retention since the start, by what.");
        for (what, count) in &load.removed {
            self.line("hostler_retention_removed_total", &format!("{{what=\"{what}\"}}"), *count as f64);
        }
        self.gauge("hostler_stopping", "1 while the host stops.", f64::from(u8::from(load.stopping)));
    }

    fn plugins(&mut self, plugins: &[hostler_plugin::Plugin]) {
        let name = "hostler_plugin_call_outcomes_total";
        self.head(name, "counter", "Calls of each plugin since it was loaded, by outcome; a fault broke the plugin.");
        for plugin in plugins {
            let counts = plugin.counts();
            let (answered, errors) = (counts.calls - counts.errors, counts.errors - counts.faults);
            for (outcome, count) in [("answered", answered), ("error", errors), ("fault", counts.faults)] {
                let labels = format!("{{plugin=\"{}\",outcome=\"{outcome}\"}}", plugin.name());
                self.line(name, &labels, count as f64);
            }
        }
        let name = "hostler_plugin_denials_total";
        self.head(name, "counter", "What each plugin was refused since it was loaded.");
        for plugin in plugins {
            self.line(name, &format!("{{plugin=\"{}\"}}", plugin.name()), plugin.counts().denials as f64);
        }
        let name = "hostler_plugin_quarantined";
        self.head(name, "gauge", "1 where a plugin broke too often and is called no more.");
        for plugin in plugins {
            let is = f64::from(u8::from(plugin.quarantined().is_some()));
            self.line(name, &format!("{{plugin=\"{}\"}}", plugin.name()), is);
        }
    }

    fn process(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        };
        if let Some(kib) = field("VmRSS:") {
            self.gauge("process_resident_memory_bytes", "Resident memory.", kib * 1024.0);
        }
        if let Some(threads) = field("Threads:") {
            self.gauge("process_threads", "Threads.", threads);
        }
        if let Ok(folder) = std::fs::read_dir("/proc/self/fd") {
            self.gauge("process_open_fds", "Open file descriptors.", folder.count() as f64);
        }
    }

    fn requests(&mut self, requests: &BTreeMap<(String, &'static str), Series>) {
        self.head("hostler_http_requests_total", "counter", "Requests answered.");
        for ((route, method), series) in requests {
            for (status, count) in &series.statuses {
                let labels = format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
                self.line("hostler_http_requests_total", &labels, *count as f64);
            }
        }
        let name = "hostler_http_request_duration_seconds";
        self.head(name, "histogram", "Time until the answer began.");
        for ((route, method), series) in requests {
            let labels = format!("route=\"{route}\",method=\"{method}\"");
            for (bucket, bound) in series.buckets.iter().zip(BOUNDS) {
                self.line(&format!("{name}_bucket"), &format!("{{{labels},le=\"{bound}\"}}"), *bucket as f64);
            }
            self.line(&format!("{name}_bucket"), &format!("{{{labels},le=\"+Inf\"}}"), series.count as f64);
            self.line(&format!("{name}_sum"), &format!("{{{labels}}}"), series.seconds);
            self.line(&format!("{name}_count"), &format!("{{{labels}}}"), series.count as f64);
        }
    }
}
