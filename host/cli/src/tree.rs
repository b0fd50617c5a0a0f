//! The picture of a run for a terminal: its tasks as a tree with states, times and the last lines of what is active.
//!
//! Pure: a view, a time and a size go in, lines come out. A task stands once, below the dependency that lies deepest.
//! Invariant: never more lines than the terminal has rows; what does not fit is counted, never silently left out.

use crate::print::{Paint, glyph, terminal, time};
use hostler_model::{RunStatus, TaskStatus, Timestamp};
use std::collections::VecDeque;

/// Lines of output shown for each active task.
const SHOWN: usize = 3;
/// Lines of output kept for each task: when it fails, more of them are wanted.
const KEPT: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct RunView {
    /// `hello/3`
    pub(crate) title: String,
    pub(crate) status: RunStatus,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Those that are listed: all of a small run, what matters of a large one.
    pub(crate) tasks: Vec<TaskView>,
    /// How many tasks the run has in all, and how many of them are over.
    pub(crate) total: u64,
    pub(crate) done: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct TaskView {
    pub(crate) name: String,
    pub(crate) status: TaskStatus,
    /// Attempts begun so far.
    pub(crate) attempt: u32,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Why it is in its state, where the state does not say it.
    pub(crate) note: Option<String>,
    /// Indexes into the same list, always of tasks that come before it in time.
    pub(crate) needs: Vec<usize>,
    pub(crate) tail: VecDeque<String>,
}

impl TaskView {
    pub(crate) fn new(name: String, needs: Vec<usize>) -> Self {
        let (since, until, note, tail) = (None, None, None, VecDeque::new());
        Self { name, status: TaskStatus::Pending, attempt: 0, since, until, note, needs, tail }
    }

    /// The last lines of its output, while they are of interest.
    fn shown(&self) -> impl Iterator<Item = &String> {
        let count = if self.status.is_active() { SHOWN } else { 0 };
        self.tail.iter().skip(self.tail.len().saturating_sub(count)).take(count)
    }

    /// Takes in the next line of its output.
    pub(crate) fn wrote(&mut self, line: String) {
        if self.tail.len() == KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// The frame to draw: at most `rows` lines of at most `columns` characters.
pub(crate) fn render(view: &RunView, now: Timestamp, (columns, rows): (usize, usize), paint: Paint) -> Vec<String> {
    let mut lines = vec![head(view, now, paint)];
    let room = rows.saturating_sub(2).max(1);
    let tails: usize = view.tasks.iter().map(|task| task.shown().count()).sum();
    if view.tasks.len() + tails <= room && view.tasks.len() as u64 == view.total {
        whole(view, now, paint, &mut lines);
    } else {
        collapsed(view, now, paint, room, &mut lines);
    }
    lines.iter().map(|line| terminal::cut(line, columns)).collect()
}

/// The one line that says how the run is.
pub(crate) fn head(view: &RunView, now: Timestamp, paint: Paint) -> String {
    let elapsed = elapsed(view.since, view.until, now).map(|span| format!("  {span}")).unwrap_or_default();
    let counted = format!("{}/{} tasks", view.done, view.total);
    let word = view.status.as_str();
    format!(
        "{} {}  {word}  {}{}",
        glyph::run(view.status, paint),
        paint.strong(&view.title),
        paint.faint(&counted),
        paint.faint(&elapsed)
    )
}

fn elapsed(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<String> {
    since.map(|since| time::span(until.unwrap_or(now).since(since)))
}

fn whole(view: &RunView, now: Timestamp, paint: Paint, lines: &mut Vec<String>) {
    let (children, roots) = layout(&view.tasks);
    // A stack, not recursion: a chain of tasks may be longer than the stack is deep.
    let mut open: Vec<(usize, String, bool)> = roots.iter().rev().map(|root| (*root, String::new(), true)).collect();
    while let Some((at, indent, is_root)) = open.pop() {
        let task = &view.tasks[at];
        lines.push(format!("{}{}", paint.faint(&indent), task_line(task, now, paint)));
        let below = if is_root { String::new() } else { indent.replace("├─ ", "│  ").replace("└─ ", "   ") };
        lines.extend(task.shown().map(|line| tail_line(&below, line, paint)));
        let last = children[at].len().saturating_sub(1);
        for (place, child) in children[at].iter().enumerate().rev() {
            let branch = if place == last { "└─ " } else { "├─ " };
            open.push((*child, format!("{below}{branch}"), false));
        }
    }
}

fn tail_line(indent: &str, line: &str, paint: Paint) -> String {
    format!("{}  {}", paint.faint(indent), paint.faint(&format!("│ {line}")))
}

/// Each task below the dependency that lies deepest, so that it stands behind all it waits for.
fn layout(tasks: &[TaskView]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let depths = depths(tasks);
    let mut children = vec![Vec::new(); tasks.len()];
    let mut roots = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        match task.needs.iter().copied().max_by_key(|need| (depths[*need], std::cmp::Reverse(*need))) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    (children, roots)
}

/// The longest way from a root to each task.
fn depths(tasks: &[TaskView]) -> Vec<usize> {
    let mut waiting: Vec<usize> = tasks.iter().map(|task| task.needs.len()).collect();
    let mut dependants = vec![Vec::new(); tasks.len()];
    for (at, task) in tasks.iter().enumerate() {
        task.needs.iter().for_each(|need| dependants[*need].push(at));
    }
    let mut depths = vec![0; tasks.len()];
    let mut ready: Vec<usize> = (0..tasks.len()).filter(|at| waiting[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        for dependant in &dependants[at] {
            depths[*dependant] = depths[*dependant].max(depths[at] + 1);
            waiting[*dependant] -= 1;
            if waiting[*dependant] == 0 {
                ready.push(*dependant);
            }
        }
    }
    depths
}

/// What matters of a run that does not fit: what is active, then what failed; the rest as counts.
fn collapsed(view: &RunView, now: Timestamp, paint: Paint, room: usize, lines: &mut Vec<String>) {
    let matters = |task: &&TaskView| task.status.is_active() || task.status == TaskStatus::Backoff;
    let active = view.tasks.iter().filter(matters);
    let failed = view.tasks.iter().filter(|task| task.status == TaskStatus::Failed);
    let room = room.saturating_sub(1);
    let shown: Vec<&TaskView> = active.chain(failed).take(room).collect();
    let is_room = shown.len() * 2 <= room;
    for task in &shown {
        lines.push(task_line(task, now, paint));
        lines.extend(task.shown().last().filter(|_| is_room).map(|line| tail_line("", line, paint)));
    }
    let rest = |status| {
        let all = view.tasks.iter().filter(|task| task.status == status).count();
        all - shown.iter().filter(|task| task.status == status).count()
    };
    let counts = TaskStatus::ALL.iter().map(|status| (rest(*status), *status)).filter(|(count, _)| *count > 0);
    let mut words: Vec<String> = counts.map(|(count, status)| format!("{count} {status}")).collect();
    let unlisted = view.total.saturating_sub(view.tasks.len() as u64);
    if unlisted > 0 {
        words.push(format!("{unlisted} not listed"));
    }
    lines.push(paint.faint(&format!("  … {}", words.join(", "))));
}

fn task_line(task: &TaskView, now: Timestamp, paint: Paint) -> String {
    let mut line = format!("{} {}", glyph::task(task.status, paint), task.name);
    if let Some(elapsed) = elapsed(task.since, task.until, now) {
        line.push_str(&paint.faint(&format!("  {elapsed}")));
    }
    if task.attempt > 1 {
        line.push_str(&paint.faint(&format!("  attempt {}", task.attempt)));
    }
    if let Some(note) = &task.note {
        line.push_str(&paint.faint(&format!("  {note}")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, status: TaskStatus, needs: &[usize]) -> TaskView {
        TaskView { status, ..TaskView::new(name.into(), needs.to_vec()) }
    }

    fn view(tasks: Vec<TaskView>) -> RunView {
        let since = Some(Timestamp(0));
        let done = tasks.iter().filter(|task| task.status.is_terminal()).count() as u64;
        let total = tasks.len() as u64;
        RunView { title: "hello/3".into(), status: RunStatus::Running, since, until: None, tasks, total, done }
    }

    fn picture(view: &RunView, size: (usize, usize)) -> String {
        render(view, Timestamp(4_200), size, Paint::PLAIN).join("\n")
    }

    #[test]
    fn a_task_stands_once_below_its_deepest_dependency() {
        let mut left = task("left", TaskStatus::Running, &[0]);
        left.since = Some(Timestamp(3_000));
        left.attempt = 2;
        left.wrote("first line".into());
        left.wrote("second line".into());
        let mut right = task("right", TaskStatus::Skipped, &[0]);
        right.note = Some("start failed".into());
        let tasks =
            vec![task("start", TaskStatus::Success, &[]), left, right, task("join", TaskStatus::Pending, &[1, 2])];
        insta::assert_snapshot!(picture(&view(tasks), (60, 24)), @r"
        ▶ hello/3  running  2/4 tasks  4.2s
        ✓ start
        ├─ ▶ left  1.2s  attempt 2
        │    │ first line
        │    │ second line
        │  └─ ◌ join
        └─ ⊘ right  start failed
        ");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut tasks: Vec<TaskView> = (0..50).map(|at| task(&format!("t{at}"), TaskStatus::Success, &[])).collect();
        tasks[7].status = TaskStatus::Running;
        tasks[9].status = TaskStatus::Failed;
        tasks[30].status = TaskStatus::Pending;
        insta::assert_snapshot!(picture(&view(tasks), (60, 8)), @r"
        ▶ hello/3  running  48/50 tasks  4.2s
        ▶ t7
        ✗ t9
          … 1 pending, 47 success
        ");
    }

    #[test]
    fn a_frame_never_has_more_rows_than_the_terminal() {
        for rows in 3..12 {
            let mut tasks: Vec<TaskView> =
                (0..20).map(|at| task(&format!("t{at}"), TaskStatus::Running, &[])).collect();
            tasks.iter_mut().for_each(|task| task.wrote("line".into()));
            assert!(render(&view(tasks), Timestamp(0), (10, rows), Paint::PLAIN).len() < rows);
        }
    }
}
