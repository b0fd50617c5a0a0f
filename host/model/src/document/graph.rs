//! Turns the tasks of a document into a graph: finds cycles and contradictions, puts tasks in order, checks references.
//!
//! Order: by distance from the start, then by name. It follows from the definition alone, so that one digest always
//! means the same indexes, and each task comes after all it depends on.
//! All passes are linear but the check of references, which searches near first and in bulk where that is not enough.

use super::fields::Use;
use super::findings::{Findings, Path};
use super::task::{Draft, references_mut};
use crate::TaskIndex;
use crate::spec::{Condition, Edges, Join, Reference, Task};
use std::collections::{HashMap, HashSet};

/// Edges that one reference is followed upwards before it is left to the search in bulk.
const NEAR: usize = 32;
/// Members of a cycle that are named.
const MEMBERS_SHOWN: usize = 12;
/// Dependencies of a dependency that are compared for contradictions: a mistake worth finding is made by hand.
const COMPARED_MAX: usize = 32;

/// The tasks in order, with their edges. None where there is a cycle; other problems leave a graph of what is sound.
pub(super) fn build(drafts: Vec<Draft<'_>>, uses: &[Use], findings: &mut Findings) -> Option<(Vec<Task>, Edges)> {
    check_impossible(&drafts, findings);
    let depths = depths(&drafts, findings)?;
    let mut order: Vec<u32> = (0..drafts.len() as u32).collect();
    order.sort_by_key(|index| (depths[*index as usize], drafts[*index as usize].name));
    let mut positions = vec![0; drafts.len()];
    (0..).zip(&order).for_each(|(position, index): (u32, _)| positions[*index as usize] = position);
    check_contradictions(&drafts, findings);
    Upstream { drafts: &drafts, order: &order, positions: &positions }.check(uses, findings);
    let tasks = renumber(drafts, &positions);
    let edges = edges(&tasks);
    Some((tasks, edges))
}

/// Says of the edge where it stands.
fn add_at_edge(findings: &mut Findings, drafts: &[Draft<'_>], task: usize, edge: usize, message: String) {
    let draft = &drafts[task];
    let place = &draft.places[edge];
    let tasks = Path::Key(&Path::Root, "tasks");
    let own = Path::Key(&tasks, draft.name);
    let depends_on = Path::Key(&own, "depends_on");
    let name = drafts[draft.task.depends_on[edge].task.at()].name;
    let path = place.index.map_or(Path::Key(&depends_on, name), |index| Path::Index(&depends_on, index));
    findings.add(place.at, &path, message);
}

/// Conditions that their dependency can never bring about.
fn check_impossible(drafts: &[Draft<'_>], findings: &mut Findings) {
    for (index, draft) in drafts.iter().enumerate() {
        for (edge, dependency) in draft.task.depends_on.iter().enumerate() {
            let upstream = &drafts[dependency.task.at()];
            let impossible = match dependency.condition {
                Condition::Failure => "never fails",
                Condition::Exit(_) => "has no exit code",
                Condition::Success | Condition::Always => continue,
            };
            if upstream.is_merge {
                let message = format!("`{}` runs nothing, so it {impossible}", upstream.name);
                add_at_edge(findings, drafts, index, edge, message);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// The length of the longest way from the start to each task. Each edge that closes a cycle is a problem.
fn depths(drafts: &[Draft<'_>], findings: &mut Findings) -> Option<Vec<u32>> {
    let mut marks = vec![Mark::New; drafts.len()];
    let mut depths = vec![0; drafts.len()];
    // A way of any length fits here, where recursion would use up the stack.
    let mut way: Vec<(usize, usize)> = Vec::new();
    let mut acyclic = true;
    for root in 0..drafts.len() {
        if marks[root] == Mark::New {
            marks[root] = Mark::Open;
            way.push((root, 0));
        }
        while let Some((task, edge)) = way.last_mut() {
            let (task, at) = (*task, *edge);
            let Some(dependency) = drafts[task].task.depends_on.get(at) else {
                marks[task] = Mark::Done;
                let above = drafts[task].task.depends_on.iter().map(|up| depths[up.task.at()] + 1);
                depths[task] = above.max().unwrap_or(0);
                way.pop();
                continue;
            };
            *edge += 1;
            let next = dependency.task.at();
            match marks[next] {
                Mark::New => {
                    marks[next] = Mark::Open;
                    way.push((next, 0));
                }
                Mark::Open => {
                    acyclic = false;
                    let start = way.iter().position(|(on_way, _)| *on_way == next).unwrap_or(0);
                    let members: Vec<_> = way[start..].iter().map(|(member, _)| drafts[*member].name).collect();
                    add_at_edge(findings, drafts, task, at, cycle(&members));
                }
                Mark::Done => {}
            }
        }
    }
    acyclic.then_some(depths)
}

fn cycle(members: &[&str]) -> String {
    let mut text = String::from("closes a cycle: ");
    let shown = &members[..members.len().min(MEMBERS_SHOWN)];
    text.extend(shown.iter().map(|member| format!("`{member}` needs ")));
    if members.len() > shown.len() {
        text.push_str(&format!("… ({} more) needs ", members.len() - shown.len()));
    }
    text.push_str(&format!("`{}`", members.first().unwrap_or(&"")));
    text
}

/// A task that needs one end of a dependency itself and another one through a task in between can never start.
fn check_contradictions(drafts: &[Draft<'_>], findings: &mut Findings) {
    let is_narrow = |condition: &Condition| matches!(condition, Condition::Failure | Condition::Exit(_));
    if !drafts.iter().any(|draft| draft.task.depends_on.iter().any(|up| is_narrow(&up.condition))) {
        return;
    }
    for (index, draft) in drafts.iter().enumerate() {
        let needed = &draft.task.depends_on;
        if draft.task.join == Join::Any || needed.len() < 2 {
            continue;
        }
        let own: HashMap<_, _> = needed.iter().map(|up| (up.task, &up.condition)).collect();
        for (edge, between) in needed.iter().enumerate() {
            let middle = &drafts[between.task.at()];
            let through = &middle.task.depends_on;
            let needs_all = middle.task.join == Join::All || through.len() == 1;
            if between.condition == Condition::Always || !needs_all || through.len() > COMPARED_MAX {
                continue;
            }
            let clashes = |up: &&crate::spec::Dependency| {
                own.get(&up.task).is_some_and(|own| excludes(&drafts[up.task.at()].task, own, &up.condition))
            };
            if let Some(clash) = through.iter().find(clashes) {
                let (first, middle) = (drafts[clash.task.at()].name, middle.name);
                let message = format!(
                    "can never hold: `{middle}` starts only when `{first}` ends in a way that this task's own condition on `{first}` rules out"
                );
                add_at_edge(findings, drafts, index, edge, message);
            }
        }
    }
}

/// Whether no end of the task satisfies both.
fn excludes(task: &Task, a: &Condition, b: &Condition) -> bool {
    let is_success = |code: &i32| task.success_codes.contains(code);
    match (a, b) {
        (Condition::Success, Condition::Failure) | (Condition::Failure, Condition::Success) => !task.allow_failure,
        (Condition::Success, Condition::Exit(codes)) | (Condition::Exit(codes), Condition::Success) => {
            !task.allow_failure && !codes.iter().any(is_success)
        }
        (Condition::Failure, Condition::Exit(codes)) | (Condition::Exit(codes), Condition::Failure) => {
            codes.iter().all(is_success)
        }
        (Condition::Exit(a), Condition::Exit(b)) => !a.iter().any(|code| b.contains(code)),
        (Condition::Always, _) | (_, Condition::Always) => false,
        (Condition::Success, Condition::Success) | (Condition::Failure, Condition::Failure) => false,
    }
}

/// Answers whether one task comes before another on some way.
struct Upstream<'g, 'a> {
    drafts: &'g [Draft<'a>],
    order: &'g [u32],
    positions: &'g [u32],
}

impl Upstream<'_, '_> {
    fn check(&self, uses: &[Use], findings: &mut Findings) {
        let mut far = Vec::new();
        // The uses of one task stand together; one that gathers the outputs of thousands needs them in a set.
        let mut direct = (u32::MAX, HashSet::new());
        for one in uses {
            if direct.0 != one.task {
                let ups = self.drafts[one.task as usize].task.depends_on.iter();
                direct = (one.task, ups.map(|up| up.task.0).collect());
            }
            if direct.1.contains(&one.upstream) {
                continue;
            }
            match self.near(one) {
                Some(true) => {}
                Some(false) => self.refuse(one, findings),
                None => far.push(one),
            }
        }
        far.sort_by_key(|one| one.upstream);
        let mut rest = far.as_slice();
        while let Some(first) = rest.first() {
            let mut bits = HashMap::from([(first.upstream, 0)]);
            let same_batch = |one: &&&Use| {
                let next = bits.len();
                bits.contains_key(&one.upstream) || (next < 64 && bits.insert(one.upstream, next).is_none())
            };
            let count = rest.iter().take_while(same_batch).count();
            self.check_far(&rest[..count], &bits, findings);
            rest = &rest[count..];
        }
    }

    /// Walks upwards for a bounded number of edges; None when that was not enough.
    fn near(&self, one: &Use) -> Option<bool> {
        let lowest = self.positions[one.upstream as usize];
        let mut left = NEAR;
        let mut open = vec![one.task];
        let mut seen = Vec::new();
        while let Some(task) = open.pop() {
            for up in &self.drafts[task as usize].task.depends_on {
                left = left.checked_sub(1)?;
                if up.task.0 == one.upstream {
                    return Some(true);
                }
                if self.positions[up.task.at()] > lowest && !seen.contains(&up.task.0) {
                    seen.push(up.task.0);
                    open.push(up.task.0);
                }
            }
        }
        Some(false)
    }

    /// One pass over the graph for up to 64 upstream tasks, a bit each.
    fn check_far(&self, batch: &[&Use], bits: &HashMap<u32, usize>, findings: &mut Findings) {
        let mut above = vec![0_u64; self.drafts.len()];
        for index in self.order {
            let ups = &self.drafts[*index as usize].task.depends_on;
            let own = |up: TaskIndex| bits.get(&up.0).map_or(0, |bit| 1 << bit);
            above[*index as usize] = ups.iter().fold(0, |mask, up| mask | above[up.task.at()] | own(up.task));
        }
        for one in batch {
            if above[one.task as usize] & (1 << bits[&one.upstream]) == 0 {
                self.refuse(one, findings);
            }
        }
    }

    fn refuse(&self, one: &Use, findings: &mut Findings) {
        let (task, upstream) = (self.drafts[one.task as usize].name, self.drafts[one.upstream as usize].name);
        if one.task == one.upstream {
            findings.add(one.at, &Path::Written(&one.pointer), "a task cannot refer to its own outputs");
            return;
        }
        let message = format!("refers to an output of `{upstream}`, which need not have ended when `{task}` starts");
        let hint = format!("add `{upstream}` to `depends_on`");
        findings.add_with_hint(one.at, &Path::Written(&one.pointer), message, Some(hint));
    }
}

fn renumber(drafts: Vec<Draft<'_>>, positions: &[u32]) -> Vec<Task> {
    let renumbered = |task: TaskIndex| TaskIndex(positions[task.at()]);
    let mut tasks: Vec<(u32, Task)> =
        positions.iter().copied().zip(drafts.into_iter().map(|draft| draft.task)).collect();
    tasks.sort_by_key(|(position, _)| *position);
    for (_, task) in &mut tasks {
        for dependency in &mut task.depends_on {
            dependency.task = renumbered(dependency.task);
        }
        task.depends_on.sort_by_key(|dependency| dependency.task);
        for reference in references_mut(task) {
            if let Reference::Output { task, .. } = reference {
                *task = renumbered(*task);
            }
        }
    }
    tasks.into_iter().map(|(_, task)| task).collect()
}

fn edges(tasks: &[Task]) -> Edges {
    let mut start = vec![0_u32; tasks.len() + 1];
    for dependency in tasks.iter().flat_map(|task| &task.depends_on) {
        start[dependency.task.at() + 1] += 1;
    }
    for at in 1..start.len() {
        start[at] += start[at - 1];
    }
    let mut next = start.clone();
    let mut list = vec![(TaskIndex(0), 0); start[tasks.len()] as usize];
    for (index, task) in (0..).zip(tasks) {
        for (edge, dependency) in (0..).zip(&task.depends_on) {
            let slot = &mut next[dependency.task.at()];
            list[*slot as usize] = (TaskIndex(index), edge);
            *slot += 1;
        }
    }
    Edges { start, list }
}
