//! What the figures were measured on: without it they say nothing.

use crate::bare;
use crate::figures::Spread;
use serde_json::{Value, json};

pub(crate) struct Machine {
    cores: usize,
    model: String,
    kernel: String,
    load: String,
    profile: &'static str,
    commit: Spread,
}

pub(crate) fn describe() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        model: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        commit: Spread::millis(&bare::Commits::new().each(200)),
    }
}

impl Machine {
    pub(crate) fn text(&self) -> String {
        let Self { cores, model, kernel, load, profile, commit } = self;
        let (middle, late) = (commit.median(), commit.quantile(0.99));
        format!(
            "{cores} cores of {model}, Linux {kernel}, load {load} at the start, profile {profile}; one durable SQLite commit \
             takes {middle:.2} ms, p99 {late:.2} ms"
        )
    }

    pub(crate) fn json(&self) -> Value {
        let Self { cores, model, kernel, load, profile, commit } = self;
        json!({
            "cores": cores, "model": model, "kernel": kernel, "load": load, "profile": profile,
            "commit_ms": {"p50": commit.median(), "p99": commit.quantile(0.99)},
        })
    }
}
