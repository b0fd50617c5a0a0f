//! What the host acknowledged, and what became of it.
//!
//! Invariant: an answer is noted before the next request, so that nothing counts as acknowledged that was not.

use super::{Long, namespace, pipelines, slug};
use crate::failure::Failure;
use hostler_web::Client;
use hostler_web::types::{Fire, LogQuery, LogStream, PageQuery, Run, RunQuery, RunStatus};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: u32 = 500;

#[derive(Default)]
pub(super) struct Ledger {
    /// By idempotency key: the run that it was answered with.
    runs: BTreeMap<String, String>,
    /// A key that was asked with and not answered: asked again first.
    open: Option<String>,
    asked: u64,
    pub(super) unanswered: u64,
    pub(super) subscription: Option<String>,
    /// How many were acknowledged when the plug was pulled.
    before: Option<usize>,
}

/// One line of the comparison.
#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) acknowledged: String,
    pub(super) happened: String,
    pub(super) holds: bool,
}

impl Ledger {
    pub(super) fn next_key(&mut self) -> String {
        if self.open.is_none() {
            self.asked += 1;
        }
        self.open.get_or_insert_with(|| format!("short-{}", self.asked)).clone()
    }

    pub(super) fn acknowledge(&mut self, key: &str, run: &str) {
        self.open = None;
        self.runs.insert(key.to_owned(), run.to_owned());
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn plug_pulled(&mut self) {
        self.before = Some(self.runs.len());
    }

    pub(super) async fn hold_against(
        &self,
        client: &Client,
        long: &Long,
        has_container: bool,
    ) -> Result<Vec<Finding>, Failure> {
        let runs = all_runs(client).await?;
        let mut findings = vec![self.short_runs(&runs)];
        findings.push(long_run(client, long, &runs).await?);
        for task in pipelines::COUNTING.iter().take(if has_container { 2 } else { 1 }) {
            findings.push(lines(client, long, task).await?);
        }
        let subscription = self.subscription.clone().unwrap_or_default();
        findings.push(instants(&all_fires(client, &subscription).await?, &runs));
        Ok(findings)
    }

    /// Each key has one run, it is there, and it ended well.
    fn short_runs(&self, runs: &[Run]) -> Finding {
        let by_request: Vec<_> =
            runs.iter().filter(|run| run.pipeline.as_str() == pipelines::SHORT && run.subscription.is_none()).collect();
        let there: BTreeSet<_> = by_request.iter().map(|run| run.id.as_str()).collect();
        let missing = self.runs.values().filter(|id| !there.contains(id.as_str())).count();
        let good = by_request.iter().filter(|run| run.status == RunStatus::Success).count();
        // A request that was never answered may have made its run all the same, once.
        let extra = by_request.len() - (self.runs.len() - missing);
        let allowed = usize::from(self.open.is_some());
        let before = self.before.map(|before| format!(", {before} of them before the plug")).unwrap_or_default();
        Finding {
            what: "runs started by requests",
            acknowledged: format!("{}{before}; {} requests had no answer", self.runs.len(), self.unanswered),
            happened: format!("{missing} lost, {extra} twice, {good} of {} in success", by_request.len()),
            holds: missing == 0 && extra <= allowed && good == by_request.len(),
        }
    }
}

async fn long_run(client: &Client, long: &Long, runs: &[Run]) -> Result<Finding, Failure> {
    let status = runs.iter().find(|run| run.id == long.run).map(|run| run.status);
    let mut attempts = Vec::new();
    for task in client.tasks(&namespace(), &long.run, &Default::default()).await?.items {
        let all = client.attempts(&namespace(), &long.run, &task.name).await?;
        if all.len() > 1 {
            let lost = all.len() - 1;
            attempts.push(format!("`{}` ran again, {lost} attempt was lost with the host", task.name));
        }
    }
    let how = if attempts.is_empty() { "each task once".to_owned() } else { attempts.join(", ") };
    let word = status.map_or("lost", |status| hostler_model::RunStatus::from(status).as_str());
    Ok(Finding {
        what: "the long run",
        acknowledged: "1".into(),
        happened: format!("{word}; {how}"),
        holds: status == Some(RunStatus::Success),
    })
}

/// The numbered lines of the last attempt, each once and in order.
async fn lines(client: &Client, long: &Long, task: &'static str) -> Result<Finding, Failure> {
    let last = client.attempts(&namespace(), &long.run, &slug(task)).await?.last().map(|attempt| attempt.attempt);
    let mut query =
        LogQuery { task: Some(slug(task)), stream: Some(LogStream::Stdout), attempt: last, ..LogQuery::default() };
    let mut bytes = Vec::new();
    loop {
        let batch = client.logs(&namespace(), &long.run, &query).await?;
        batch.records.iter().for_each(|record| bytes.extend(record.bytes()));
        if batch.records.is_empty() {
            break;
        }
        query.from = Some(batch.next);
    }
    let text = String::from_utf8_lossy(&bytes);
    let seen: Vec<&str> = text.lines().collect();
    let wanted: Vec<String> = (1..=long.lines).map(|number| format!("line {number}")).collect();
    let different: BTreeSet<&str> = seen.iter().copied().collect();
    Ok(Finding {
        what: if task == "process" { "lines of the process" } else { "lines of the container" },
        acknowledged: format!("{} printed by attempt {}", wanted.len(), last.unwrap_or(0)),
        happened: format!("{} kept, {} twice", different.len(), seen.len() - different.len()),
        holds: seen == wanted,
    })
}

/// No instant is decided twice, none is left out, and each that started has its one run.
fn instants(fires: &[Fire], runs: &[Run]) -> Finding {
    let mut at: Vec<i64> = fires.iter().map(|fire| fire.at.0.0).collect();
    at.sort_unstable();
    let twice = at.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let gaps = at.windows(2).filter(|pair| pair[1] - pair[0] > 1_000).count();
    let started = fires.iter().filter(|fire| fire.decision == "start").count();
    let by_schedule: Vec<_> = runs.iter().filter(|run| run.subscription.is_some()).collect();
    let different: BTreeSet<_> = by_schedule.iter().filter_map(|run| run.fire_at.map(|at| at.0.0)).collect();
    Finding {
        what: "seconds of the schedule",
        acknowledged: format!("{} decided", at.len()),
        happened: format!("{twice} twice, {gaps} left out; {started} started {} runs", by_schedule.len()),
        holds: twice == 0 && gaps == 0 && by_schedule.len() == started && different.len() == started,
    }
}

pub(super) async fn all_runs(client: &Client) -> Result<Vec<Run>, Failure> {
    let mut query = RunQuery { limit: Some(PAGE), ..RunQuery::default() };
    let mut all = Vec::new();
    loop {
        let page = client.runs(&namespace(), &query).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn all_fires(client: &Client, subscription: &str) -> Result<Vec<Fire>, Failure> {
    let mut query = PageQuery { limit: Some(PAGE), after: None };
    let mut all = Vec::new();
    loop {
        let page = client.fires(&namespace(), subscription, &query).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}
