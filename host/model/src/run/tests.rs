//! Scripts for the run machine: a graph as text, lines of "seconds event" in, what changed and what to do out.
//!
//! A graph has one task a line: `sorry needs=build:failure,lint join=any retry=3/5s allow_failure codes=0,3 timeout=10s
//! grace=2s lost=retry none`. A line of `@continue` or `@timeout=60s` speaks of the pipeline. Each wanted task is
//! admitted at once, unless the script begins with `hold`.

use super::{Action, Applied, CancelReason, Cause, Change, Event, Run, TaskRow, TaskStatus, Timer};
use crate::spec::{Dependency, Edges, Process, Retry, Workspace};
use crate::{
    Condition, Duration, Exit, Join, OnFailure, OnLost, Pipeline, Report, Slug, Task, TaskIndex, TaskKind, Timestamp,
};
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn task(name: &str) -> Task {
    Task {
        name: Slug::parse(name).expect("names in tests are slugs"),
        description: None,
        kind: TaskKind::Process(Process::Argv(Vec::new())),
        env: Vec::new(),
        depends_on: Vec::new(),
        join: Join::All,
        retry: Retry::default(),
        timeout: None,
        grace: Duration::from_secs(10),
        allow_failure: false,
        success_codes: vec![0],
        on_lost: OnLost::Fail,
    }
}

pub(super) fn pipeline(tasks: Vec<Task>, on_failure: OnFailure, timeout: Option<Duration>) -> Arc<Pipeline> {
    let mut edges = vec![Vec::new(); tasks.len()];
    for (at, task) in tasks.iter().enumerate() {
        for (place, dependency) in task.depends_on.iter().enumerate() {
            edges[dependency.task.at()].push((TaskIndex(at as u32), place as u32));
        }
    }
    let mut dependants = Edges { start: vec![0], list: Vec::new() };
    for out in edges {
        dependants.list.extend(out);
        dependants.start.push(dependants.list.len() as u32);
    }
    Arc::new(Pipeline {
        id: Slug::parse("graph").expect("is a slug"),
        name: None,
        description: None,
        params: Vec::new(),
        params_open: false,
        env: Vec::new(),
        timeout,
        on_failure,
        workspace: Workspace::Attempt,
        retention: crate::spec::Retention::default(),
        tasks,
        dependants,
    })
}

fn span(text: &str) -> Duration {
    Duration::parse(text).expect("spans in tests are durations")
}

fn codes(text: &str) -> Vec<i32> {
    text.split('+').map(|code| code.parse().expect("codes in tests are numbers")).collect()
}

fn graph(text: &str) -> Arc<Pipeline> {
    let (mut tasks, mut on_failure, mut timeout) = (Vec::<Task>::new(), OnFailure::Stop, None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "@continue" {
            on_failure = OnFailure::Continue;
        } else if let Some(limit) = line.strip_prefix("@timeout=") {
            timeout = Some(span(limit));
        } else {
            let read = read_task(line, &tasks);
            tasks.push(read);
        }
    }
    pipeline(tasks, on_failure, timeout)
}

fn read_task(line: &str, above: &[Task]) -> Task {
    let mut words = line.split_whitespace();
    let mut task = task(words.next().expect("a task has a name"));
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("needs", list) => task.depends_on = list.split(',').map(|need| read_need(need, above)).collect(),
            ("join", "any") => task.join = Join::Any,
            ("retry", text) => {
                let (attempts, backoff) = text.split_once('/').expect("retry=ATTEMPTS/BACKOFF");
                task.retry.attempts = attempts.parse().expect("a number of attempts");
                task.retry.backoff = span(backoff);
            }
            ("allow_failure", _) => task.allow_failure = true,
            ("codes", list) => task.success_codes = codes(list),
            ("timeout", text) => task.timeout = Some(span(text)),
            ("grace", text) => task.grace = span(text),
            ("lost", "retry") => task.on_lost = OnLost::Retry,
            ("none", _) => task.kind = TaskKind::None,
            other => panic!("`{other:?}` means nothing in a graph"),
        }
    }
    task
}

fn read_need(need: &str, above: &[Task]) -> Dependency {
    let (name, condition) = need.split_once(':').unwrap_or((need, "success"));
    let at = above.iter().position(|task| task.name.as_str() == name).expect("a dependency stands above");
    let condition = match condition {
        "success" => Condition::Success,
        "failure" => Condition::Failure,
        "always" => Condition::Always,
        exit => Condition::Exit(codes(exit)),
    };
    Dependency { task: TaskIndex(at as u32), condition }
}

/// Rows as the changes made them, to load a run from.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) status: Option<super::RunStatus>,
    pub(super) cancel: Option<CancelReason>,
    pub(super) deadline: Option<Timestamp>,
    pub(super) tasks: std::collections::BTreeMap<TaskIndex, TaskRow>,
}

impl Rows {
    /// Does what the store does with a change, and holds it to what the row says.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Run { from, to, cause, deadline } => {
                assert_eq!(*from, self.status.unwrap_or(super::RunStatus::Queued));
                (self.status, self.deadline) = (Some(*to), *deadline);
                if let (super::RunStatus::Cancelling, Cause::Cancelled { reason }) = (to, cause) {
                    self.cancel = Some(*reason);
                }
            }
            Change::Task { task, from, to, attempt, due, .. } => {
                let row = self.tasks.entry(*task).or_insert(TaskRow {
                    task: *task,
                    status: TaskStatus::Pending,
                    attempt: 0,
                    due: None,
                    code: None,
                });
                assert_eq!(row.status, *from, "{task:?}");
                assert!(!from.is_terminal(), "{task:?} was {from}");
                (row.status, row.attempt, row.due) = (*to, *attempt, *due);
            }
            Change::AttemptBegun { task, attempt } => {
                let row = self.tasks.get_mut(task).expect("the row of a task is made before its attempt");
                assert_eq!(row.attempt, *attempt);
                row.code = None;
            }
            Change::AttemptRunning { .. } => {}
            Change::AttemptEnded { task, report, .. } => {
                self.tasks.get_mut(task).expect("an attempt that ends has a task").code = report.exit.code();
            }
        }
    }

    pub(super) fn load(&self, pipeline: Arc<Pipeline>) -> super::Loaded {
        let status = self.status.unwrap_or(super::RunStatus::Queued);
        Run::load(pipeline, status, self.cancel, self.deadline, self.tasks.values().copied())
    }
}

struct Script {
    pipeline: Arc<Pipeline>,
    run: Run,
    rows: Rows,
    hold: bool,
    told: String,
}

/// Plays a script against a graph; answers a line for each line.
fn check(graph_text: &str, script: &str) -> String {
    let pipeline = graph(graph_text);
    let (run, rows) = (Run::new(pipeline.clone()), Rows::default());
    let mut play = Script { pipeline, run, rows, hold: false, told: String::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "hold" {
            play.hold = true;
            continue;
        }
        let (seconds, event) = line.split_once(' ').expect("a line is `SECONDS EVENT`");
        let now = Timestamp(seconds.parse::<i64>().expect("whole seconds") * 1000);
        write!(play.told, "{line} =>").expect("a string takes all");
        if event == "reload" {
            play.reload(now);
        } else {
            play.play(play.read(event), now);
        }
        play.told.push('\n');
    }
    play.told
}

impl Script {
    fn find(&self, name: &str) -> TaskIndex {
        self.pipeline.find(name).expect("the task is in the graph")
    }

    fn attempt(&self, text: &str) -> (TaskIndex, u32) {
        let (name, attempt) = text.split_once('#').expect("an attempt is `TASK#N`");
        (self.find(name), attempt.parse().expect("attempts are numbers"))
    }

    fn read(&self, event: &str) -> Event {
        let words: Vec<_> = event.split(' ').collect();
        match words.as_slice() {
            ["begin"] => Event::Begin,
            ["continue"] => Event::Continue,
            ["admit", name] => Event::Admit { task: self.find(name) },
            ["cancel", reason] => Event::Cancel { reason: CancelReason::parse(reason).expect("a reason") },
            ["due", "run"] => Event::Due(Timer::Run),
            ["due", attempt] => {
                let (task, attempt) = self.attempt(attempt);
                Event::Due(Timer::Task { task, attempt })
            }
            [attempt, "started"] => {
                let (task, attempt) = self.attempt(attempt);
                Event::Started { task, attempt, at: Timestamp(0) }
            }
            [attempt, "exits", how] => {
                let (task, attempt) = self.attempt(attempt);
                Event::Exited { task, attempt, report: Box::new(Report::bare(read_exit(how))) }
            }
            other => panic!("`{other:?}` is no event"),
        }
    }

    fn play(&mut self, event: Event, now: Timestamp) {
        let mut out = Applied::default();
        if let Err(refusal) = self.run.apply(event, now, &mut out) {
            assert!(out.changes.is_empty() && out.actions.is_empty());
            write!(self.told, " refused: {refusal}").expect("a string takes all");
            return;
        }
        out.changes.iter().for_each(|change| self.rows.apply(change));
        let named: Vec<_> = out.changes.iter().filter_map(|change| self.name_change(change)).collect();
        named.iter().for_each(|text| write!(self.told, " {text};").expect("a string takes all"));
        self.tell_actions(&out.actions);
        if out.more {
            self.told.push_str(" more;");
        }
        self.admit(&out.actions, now);
    }

    fn reload(&mut self, now: Timestamp) {
        let loaded = self.rows.load(self.pipeline.clone());
        self.run = loaded.run;
        for (task, attempt, status) in loaded.active {
            let name = &self.pipeline.task(task).name;
            write!(self.told, " ask {name}#{attempt} {status};").expect("a string takes all");
        }
        self.tell_actions(&loaded.actions);
        self.play(Event::Continue, now);
    }

    fn admit(&mut self, actions: &[Action], now: Timestamp) {
        for action in actions {
            if let (Action::Want { task }, false) = (action, self.hold) {
                self.play(Event::Admit { task: *task }, now);
            }
        }
    }

    fn tell_actions(&mut self, actions: &[Action]) {
        let name = |task: TaskIndex| self.pipeline.task(task).name.as_str().to_owned();
        for action in actions {
            let text = match *action {
                Action::Want { .. } if !self.hold => continue,
                Action::Want { task } => format!("want {}", name(task)),
                Action::Start { task, attempt } => format!("start {}#{attempt}", name(task)),
                Action::Stop { task, attempt, grace } => format!("stop {}#{attempt} grace {grace}", name(task)),
                Action::Kill { task, attempt } => format!("kill {}#{attempt}", name(task)),
                Action::Arm { timer: Timer::Run, at } => format!("timer run at {}", at.0 / 1000),
                Action::Arm { timer: Timer::Task { task, attempt }, at } => {
                    format!("timer {}#{attempt} at {}", name(task), at.0 / 1000)
                }
                Action::Finished { outcome } => format!("finish {outcome}"),
            };
            write!(self.told, " {text};").expect("a string takes all");
        }
    }

    fn name_change(&self, change: &Change) -> Option<String> {
        let name = |task: &TaskIndex| self.pipeline.task(*task).name.as_str();
        let (what, to, cause) = match change {
            Change::Run { to, cause, .. } => ("run", to.as_str(), cause),
            Change::Task { task, to, cause, .. } => (name(task), to.as_str(), cause),
            Change::AttemptBegun { .. } | Change::AttemptRunning { .. } | Change::AttemptEnded { .. } => return None,
        };
        let why = match cause {
            Cause::Ready | Cause::AllDone { failed: None } => String::new(),
            Cause::Exited { exit } => format!(" ({exit})"),
            Cause::Retrying { exit } => format!(" (again after {exit})"),
            Cause::AttemptTimeout => " (attempt timeout)".into(),
            Cause::Unsatisfied { dependency, was } => format!(" ({} {was})", name(dependency)),
            Cause::NoneSatisfied => " (none satisfied)".into(),
            Cause::FailFast { failed } => format!(" ({} failed)", name(failed)),
            Cause::Cancelled { reason } => format!(" ({reason})"),
            Cause::AllDone { failed: Some(failed) } => format!(" (for {})", name(failed)),
            Cause::Broken => " (broken)".into(),
        };
        Some(format!("{what} {to}{why}"))
    }
}

fn read_exit(how: &str) -> Exit {
    match how {
        "lost" => Exit::Lost { reason: "gone".into() },
        "unstartable" => Exit::NotStarted { reason: "no such file".into(), transient: false },
        "unstarted" => Exit::NotStarted { reason: "no slot".into(), transient: true },
        "trapped" => Exit::Trapped { message: "unreachable".into() },
        code => Exit::Code { code: code.parse().expect("an exit is a code or a word") },
    }
}

mod cases;
mod late;
