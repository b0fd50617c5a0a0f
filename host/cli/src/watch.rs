//! Watches a run until it is over: a live tree on a terminal, one line for each change elsewhere, JSON lines when
//! asked.
//!
//! The host is asked for the state whenever an event says that it moved, and once a second besides, so that a
//! broken stream delays the picture and never falsifies it. Order of an end: the run is over, its log is drained,
//! the last frame is drawn, the summary follows. Must not know: where the host is.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::live::{FRAME, Screen};
use crate::log_lines::{LogLine, LogLines};
use crate::print::{glyph, terminal, time};
use crate::run_name;
use crate::tree::{self, RunView, TaskView};
use hostler_model::{CancelReason, Cause, Outcome, Pipeline, RunStatus, TaskStatus};
use hostler_web::Client;
use hostler_web::types::{FollowQuery, LogQuery, LogRecord, RunDetail, Task, TaskQuery};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Runs of more tasks are not listed whole: only what is active or failed.
const LISTED_MAX: u64 = 500;
/// Without any event, the state is asked for this often.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a host may be away before the watching ends.
const AWAY: Duration = Duration::from_secs(30);
/// How long the last bytes of a log may take once the run is over.
const DRAIN: Duration = Duration::from_secs(3);

/// Whose run it is that is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    /// A host's: it goes on without us, and its log stays. Ctrl-C only ends the watching.
    Host,
    /// Our own, and gone with us: its output is shown, and Ctrl-C cancels it; pressed again, kills it.
    Local,
}

struct Watch<'a> {
    ctx: &'a Context,
    client: &'a Client,
    detail: RunDetail,
    pipeline: Option<Pipeline>,
    view: RunView,
    /// Places of the listed tasks by name.
    places: HashMap<String, usize>,
    screen: Screen,
    lines: LogLines,
    watched: Watched,
    /// The state and attempt of each task that was last told, where no tree is drawn.
    told: HashMap<String, (TaskStatus, u32)>,
}

/// Watches until the run is over; the exit code is its outcome.
pub(crate) async fn watch(
    ctx: &Context,
    client: &Client,
    detail: RunDetail,
    watched: Watched,
) -> Result<ExitCode, Failure> {
    let mut watch = Watch::new(ctx, client, detail, watched).await?;
    if ctx.printer.json {
        watch.print_events().await?;
    } else if !watch.follow().await? {
        let name = run_name::short(&watch.detail.run);
        ctx.printer.talk(&format!(
            "the run goes on; watch it with `hostler run watch {name}`, end it with `hostler run cancel {name}`"
        ));
        return Ok(ExitCode::Interrupted);
    }
    watch.finish()
}

impl<'a> Watch<'a> {
    async fn new(ctx: &'a Context, client: &'a Client, detail: RunDetail, watched: Watched) -> Result<Self, Failure> {
        let run = &detail.run;
        let version = client.version(&ctx.namespace, &run.pipeline, run.version).await?;
        // A document that this binary cannot read any more still has a run that can be watched, without its edges.
        let pipeline = Pipeline::from_value(&version.document).ok();
        let view = RunView {
            title: run_name::short(run),
            status: run.status.into(),
            since: None,
            until: None,
            tasks: Vec::new(),
            total: run.tasks_total,
            done: 0,
        };
        let (places, told) = (HashMap::new(), HashMap::new());
        let (screen, lines) = (Screen::default(), LogLines::default());
        let mut watch = Self { ctx, client, detail, pipeline, view, places, screen, lines, watched, told };
        if let Some(pipeline) = watch.pipeline.as_ref().filter(|pipeline| pipeline.tasks.len() as u64 <= LISTED_MAX) {
            for task in &pipeline.tasks {
                let needs = task.depends_on.iter().map(|dependency| dependency.task.at()).collect();
                watch.places.insert(task.name.to_string(), watch.view.tasks.len());
                watch.view.tasks.push(TaskView::new(task.name.to_string(), needs));
            }
        }
        Ok(watch)
    }

    /// True when the run is over, false when a person left.
    async fn follow(&mut self) -> Result<bool, Failure> {
        let (ctx, id) = (self.ctx, self.detail.run.id.clone());
        let query = FollowQuery { run: Some(id.clone()), ..FollowQuery::default() };
        let mut events = self.client.follow_events(&ctx.namespace, &query);
        let mut log = self.client.follow_log(&ctx.namespace, &id, &LogQuery::default());
        let (mut events_open, mut log_open, mut is_stale, mut interrupts) = (true, true, true, 0);
        let (mut refreshed, mut seen) = (Instant::now(), Instant::now());
        let mut tick = tokio::time::interval(FRAME);
        loop {
            if is_stale || refreshed.elapsed() >= REFRESH {
                match self.refresh().await {
                    Ok(()) => seen = Instant::now(),
                    // A host that is started again goes on with the run, and so do we.
                    Err(failure) if failure.code == ExitCode::Unreachable && seen.elapsed() < AWAY => {}
                    Err(failure) => return Err(failure),
                }
                (is_stale, refreshed) = (false, Instant::now());
                if self.detail.run.status.is_terminal() {
                    break;
                }
            }
            self.draw();
            tokio::select! {
                event = events.next(), if events_open => match event {
                    Some(Ok(_)) => is_stale = true,
                    // The state is asked for all the same; whether the host is gone is seen there.
                    Some(Err(_)) | None => events_open = false,
                },
                record = log.next(), if log_open => match record {
                    Some(Ok(record)) => self.wrote(&record)?,
                    Some(Err(_)) | None => log_open = false,
                },
                _ = tick.tick() => {}
                _ = tokio::signal::ctrl_c() => {
                    if self.watched == Watched::Host {
                        return Ok(false);
                    }
                    interrupts += 1;
                    self.cancel(interrupts > 1).await?;
                }
            }
        }
        let deadline = tokio::time::Instant::now() + DRAIN;
        while log_open {
            match tokio::time::timeout_at(deadline, log.next()).await {
                Ok(Some(Ok(record))) => self.wrote(&record)?,
                Ok(Some(Err(_)) | None) | Err(_) => log_open = false,
            }
        }
        Ok(true)
    }

    async fn cancel(&self, kill: bool) -> Result<(), Failure> {
        let word = if kill { "killing" } else { "cancelling (again to kill)" };
        self.ctx.printer.talk(&format!("{word} {}", self.view.title));
        self.client.cancel_run(&self.ctx.namespace, &self.detail.run.id, kill).await?;
        Ok(())
    }

    /// Asks for the state and takes over what changed.
    async fn refresh(&mut self) -> Result<(), Failure> {
        self.detail = self.client.run(&self.ctx.namespace, &self.detail.run.id).await?;
        let (run, counts) = (&self.detail.run, &self.detail.tasks);
        self.view.status = run.status.into();
        self.view.since = run.started_at.or(Some(run.created_at)).map(|at| at.0);
        self.view.until = run.ended_at.map(|at| at.0);
        (self.view.total, self.view.done) =
            (counts.total, counts.success + counts.failed + counts.skipped + counts.cancelled);
        let statuses: &[Option<TaskStatus>] = if counts.total <= LISTED_MAX {
            &[None]
        } else {
            &[Some(TaskStatus::Running), Some(TaskStatus::Backoff), Some(TaskStatus::Failed)]
        };
        if counts.total > LISTED_MAX {
            self.view.tasks.clear();
            self.places.clear();
        }
        for status in statuses {
            let query = TaskQuery { status: status.map(Into::into), limit: Some(500), after: None };
            for task in self.client.tasks(&self.ctx.namespace, &self.detail.run.id, &query).await?.items {
                self.update(&task);
            }
        }
        Ok(())
    }

    fn update(&mut self, task: &Task) {
        let note = self.note(task).map(|note| terminal::one_line(&note));
        let place = *self.places.entry(task.name.to_string()).or_insert(self.view.tasks.len());
        if place == self.view.tasks.len() {
            self.view.tasks.push(TaskView::new(task.name.to_string(), Vec::new()));
        }
        let view = &mut self.view.tasks[place];
        view.status = task.status.into();
        view.attempt = task.attempt;
        view.since = task.started_at.map(|at| at.0);
        view.until = task.ended_at.map(|at| at.0);
        view.note = note;
        self.tell(place);
    }

    /// One line for a task that moved; of a large run, only of one that failed.
    fn tell(&mut self, place: usize) {
        let task = &self.view.tasks[place];
        let told = self.told.insert(task.name.clone(), (task.status, task.attempt));
        let is_new = told.unwrap_or((TaskStatus::Pending, 0)) != (task.status, task.attempt);
        let matters = self.view.total <= LISTED_MAX || task.status == TaskStatus::Failed;
        if is_new && matters && !self.is_live() && !self.ctx.printer.json {
            self.ctx.printer.talk(&transition(task, self.ctx));
        }
    }

    /// Why a task is in its state, where the state alone does not say it.
    fn note(&self, task: &Task) -> Option<String> {
        let cause: Cause = serde_json::from_value(task.cause.clone()?).ok()?;
        let name = |index: hostler_model::TaskIndex| {
            let task = self.pipeline.as_ref().and_then(|pipeline| pipeline.tasks.get(index.at()));
            task.map_or_else(|| format!("task {}", index.0), |task| task.name.to_string())
        };
        match cause {
            Cause::Ready | Cause::AllDone { .. } => None,
            Cause::Exited { exit } if exit.code() == Some(0) => None,
            Cause::Exited { exit } => Some(exit.to_string()),
            Cause::Retrying { exit } => Some(format!("{exit}, will be tried again")),
            Cause::AttemptTimeout => Some("over its time".into()),
            Cause::Unsatisfied { dependency, was } => Some(format!("{} ended as {was}", name(dependency))),
            Cause::Broken => Some("applying an event to the run failed, which is a defect of hostler".into()),
            Cause::NoneSatisfied => Some("no dependency can satisfy it".into()),
            Cause::FailFast { failed } => Some(format!("{} failed", name(failed))),
            Cause::Cancelled { reason } => Some(cancelled(reason).into()),
        }
    }

    fn wrote(&mut self, record: &LogRecord) -> Result<(), Failure> {
        let lines = self.lines.push(record, &record.bytes());
        lines.into_iter().try_for_each(|line| self.line(&line))
    }

    fn line(&mut self, line: &LogLine) -> Result<(), Failure> {
        let text = terminal::harmless(&line.bytes);
        if self.watched == Watched::Local {
            let printer = &self.ctx.printer;
            let name = printer.out.active(&format!("{} │ ", line.task));
            self.screen.clear();
            if printer.out_is_terminal {
                printer.result(&format!("{name}{text}\n"))?;
            } else {
                printer.bytes(&[name.as_bytes(), &line.bytes, b"\n"].concat())?;
            }
        } else if let Some(place) = self.places.get(&line.task) {
            self.view.tasks[*place].wrote(text);
        }
        Ok(())
    }

    fn is_live(&self) -> bool {
        self.ctx.printer.err_is_terminal && !self.ctx.printer.json
    }

    fn draw(&mut self) {
        if self.is_live() {
            let frame = tree::render(&self.view, time::now(), terminal::size(), self.ctx.printer.err);
            self.screen.draw(&frame);
        }
    }

    /// Every event of the run as one line of JSON, from its first to the one that ends it.
    async fn print_events(&mut self) -> Result<(), Failure> {
        let run = Some(self.detail.run.id.clone());
        let query = FollowQuery { run, after: Some(0), ..FollowQuery::default() };
        let mut events = self.client.follow_events(&self.ctx.namespace, &query);
        loop {
            let event = tokio::select! {
                event = tokio::time::timeout(REFRESH, events.next()) => event,
                _ = tokio::signal::ctrl_c(), if self.watched == Watched::Local => {
                    self.cancel(false).await?;
                    continue;
                }
            };
            match event {
                Ok(Some(event)) => self.ctx.printer.json_line(&event?)?,
                Ok(None) | Err(_) => {
                    self.detail = self.client.run(&self.ctx.namespace, &self.detail.run.id).await?;
                    if self.detail.run.status.is_terminal() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The summary, and the exit code of the outcome.
    fn finish(mut self) -> Result<ExitCode, Failure> {
        std::mem::take(&mut self.lines).finish().into_iter().try_for_each(|line| self.line(&line))?;
        let (printer, now) = (&self.ctx.printer, time::now());
        let status: RunStatus = self.detail.run.status.into();
        let outcome = status.outcome().unwrap_or(Outcome::Failed);
        if printer.json {
            printer.json_line(&self.detail)?;
            return Ok(outcome.into());
        }
        if self.is_live() {
            let frame = tree::render(&self.view, now, terminal::size(), printer.err);
            self.screen.draw_now(&frame[1..]);
        }
        if outcome != Outcome::Success {
            self.tell_failures();
        }
        printer.result(&format!("{}\n", tree::head(&self.view, now, printer.out)))?;
        Ok(outcome.into())
    }
}

impl Watch<'_> {
    /// The first tasks that failed, with the last they wrote.
    fn tell_failures(&self) {
        let printer = &self.ctx.printer;
        for task in self.view.tasks.iter().filter(|task| task.status == TaskStatus::Failed).take(3) {
            let note = task.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            printer.talk(&format!("{} {}{note}", glyph::task(task.status, printer.err), task.name));
            task.tail.iter().for_each(|line| printer.talk(&format!("  {}", printer.err.faint(&format!("│ {line}")))));
        }
        if self.watched == Watched::Host {
            printer.advise(&format!("why: hostler run explain {}", self.view.title));
        }
    }
}

fn cancelled(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::FailFast => "another task failed",
        CancelReason::User => "cancelled by a person",
        CancelReason::Superseded => "a newer run took its place",
        CancelReason::Timeout => "the run was over its time",
        CancelReason::Shutdown => "the host stopped",
        CancelReason::Kill => "killed",
    }
}

fn transition(task: &TaskView, ctx: &Context) -> String {
    let paint = ctx.printer.err;
    let attempt = if task.attempt > 1 { format!(" attempt {}", task.attempt) } else { String::new() };
    let took = match (task.since, task.until) {
        (Some(since), Some(until)) => format!(" {}", time::span(until.since(since))),
        (Some(_) | None, _) => String::new(),
    };
    let note = task.note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
    format!("{} {} {}{attempt}{took}{note}", glyph::task(task.status, paint), task.name, task.status)
}
