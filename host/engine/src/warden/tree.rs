//! All processes of an attempt, in whichever way they are kept together, and how to find and end what is left of them.
//!
//! Invariants: a tree is called clear only when none of its processes runs any more; `/proc` is read at most once per
//! `SCAN_INTERVAL_MIN` and never more than a fifth of the time, whatever number of attempts ends. Must not know: the
//! host, exits.

use super::groups::{Groups, Leaf};
use super::identity::{Identity, MARK};
use super::processes::{Process, Snapshot};
use super::protocol::Containment;
use hostler_model::AttemptId;
use rustix::process::{Pid, Signal};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const SCAN_INTERVAL_MIN: Duration = Duration::from_millis(5);
const SCAN_COST_FACTOR: u32 = 4;

/// The processes of one attempt.
pub(super) struct Tree {
    pub(super) root: Pid,
    leaf: Option<Leaf>,
}

/// The way this warden keeps attempts together.
pub(super) struct Forest {
    identity: Identity,
    groups: Option<Groups>,
    /// Groups of attempts that are over, which the kernel did not let us remove yet.
    leftover: Vec<Leaf>,
    next_scan: Instant,
}

/// What `/proc` says is left, by attempt.
pub(super) struct Remains {
    of_attempts: HashMap<AttemptId, Vec<Process>>,
}

impl Forest {
    pub(super) fn open(identity: Identity, wanted: Containment) -> Self {
        let groups = Groups::find(wanted, identity);
        if let Some(groups) = &groups {
            groups.sweep();
        }
        sweep_marked();
        Self { identity, groups, leftover: Vec::new(), next_scan: Instant::now() }
    }

    pub(super) fn containment(&self) -> Containment {
        self.groups.as_ref().map_or(Containment::Marks, Groups::containment)
    }

    /// The value of the variable by which processes of this attempt are found.
    pub(super) fn mark(&self, id: AttemptId) -> String {
        format!("{}:{id}", self.identity)
    }

    /// Does `spawn` where the attempt belongs. `Err` of the outer kind: the place could not be made.
    pub(super) fn plant<E>(
        &mut self,
        spawn: impl FnOnce() -> Result<Pid, E>,
    ) -> Result<Result<Tree, E>, std::io::Error> {
        let Some(groups) = &mut self.groups else {
            return Ok(spawn().map(|root| Tree { root, leaf: None }));
        };
        let leaf = groups.take()?;
        match groups.within(&leaf, spawn) {
            Ok(Ok(root)) => Ok(Ok(Tree { root, leaf: Some(leaf) })),
            Ok(Err(error)) => {
                self.discard(leaf);
                Ok(Err(error))
            }
            Err(error) => {
                self.discard(leaf);
                Err(error)
            }
        }
    }

    /// The attempt is over; its place is removed, now or later.
    pub(super) fn clear(&mut self, tree: Tree) {
        if let Some(leaf) = tree.leaf {
            self.discard(leaf);
        }
        self.leftover.retain_mut(|leaf| {
            if !leaf.is_empty() {
                leaf.kill();
            }
            !leaf.remove()
        });
    }

    fn discard(&mut self, leaf: Leaf) {
        let busy = match &mut self.groups {
            Some(groups) => groups.put_back(leaf),
            None => Some(leaf),
        };
        self.leftover.extend(busy);
    }

    /// Reads `/proc`, unless that was done just now.
    pub(super) fn scan(&mut self, roots: &HashMap<i32, AttemptId>, now: Instant) -> Option<Remains> {
        if now < self.next_scan {
            return None;
        }
        let remains = Remains::find(self.identity, roots);
        let cost = now.elapsed();
        self.next_scan = Instant::now() + SCAN_INTERVAL_MIN.max(cost * SCAN_COST_FACTOR);
        Some(remains)
    }

    pub(super) fn next_scan(&self) -> Instant {
        self.next_scan
    }
}

impl Tree {
    pub(super) fn is_grouped(&self) -> bool {
        self.leaf.is_some()
    }

    /// Asks all of it to end. What is stopped is woken, or it could not obey.
    pub(super) fn terminate(&self) {
        for signal in [Signal::TERM, Signal::CONT] {
            match &self.leaf {
                Some(leaf) => leaf.signal(signal),
                None => self.signal_group(signal),
            }
        }
    }

    /// Kills all that can be reached without reading `/proc`.
    pub(super) fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        self.kill_leaf();
    }

    pub(super) fn kill_leaf(&mut self) {
        if let Some(leaf) = &mut self.leaf {
            leaf.kill();
        }
    }

    /// Only for grouped trees: whether nothing of it runs.
    pub(super) fn is_group_empty(&self) -> bool {
        self.leaf.as_ref().is_none_or(Leaf::is_empty)
    }

    fn signal_group(&self, signal: Signal) {
        // An error says that the group is empty, which is fine.
        let _ = rustix::process::kill_process_group(self.root, signal);
    }
}

impl Remains {
    fn find(identity: Identity, roots: &HashMap<i32, AttemptId>) -> Self {
        let snapshot = Snapshot::take();
        let Some(warden) = identity.pid().map(Pid::as_raw_pid) else { return Self { of_attempts: HashMap::new() } };
        let mut of_attempts: HashMap<AttemptId, Vec<Process>> = HashMap::new();
        for process in snapshot.all().filter(|it| !it.is_zombie) {
            match owner(&snapshot, process, warden, identity, roots) {
                Owner::Attempt(id) => of_attempts.entry(id).or_default().push(*process),
                // Nobody could say any more that it is over, so nobody may be left to run it.
                Owner::Forgotten => process.signal(Signal::KILL),
                Owner::Stranger => {}
            }
        }
        Self { of_attempts }
    }

    pub(super) fn of(&self, id: AttemptId) -> &[Process] {
        self.of_attempts.get(&id).map_or(&[], Vec::as_slice)
    }
}

enum Owner {
    Attempt(AttemptId),
    /// One of ours, but of no attempt that runs.
    Forgotten,
    /// Not ours, or ours and of an attempt that cannot be told while several run.
    Stranger,
}

/// Every process that an attempt started has us among its ancestors, because orphans fall to us. The ancestor that is
/// our own child is either the root of an attempt, or an orphan that its group or its mark gives away.
fn owner(
    snapshot: &Snapshot,
    process: &Process,
    warden: i32,
    identity: Identity,
    roots: &HashMap<i32, AttemptId>,
) -> Owner {
    let Some(top) = snapshot.ancestry(process).find(|it| it.parent == warden) else { return Owner::Stranger };
    if let Some(id) = roots.get(&top.pid).or_else(|| roots.get(&top.group)) {
        return Owner::Attempt(*id);
    }
    let mark = top.environment(MARK);
    let named = mark.as_deref().and_then(|mark| mark.strip_prefix(&identity.to_string())?.strip_prefix(':'));
    match named {
        Some(name) => {
            let found = roots.values().find(|id| id.to_string() == name);
            found.map_or(Owner::Forgotten, |id| Owner::Attempt(*id))
        }
        None => match roots.len() {
            0 => Owner::Forgotten,
            1 => roots.values().next().map_or(Owner::Forgotten, |id| Owner::Attempt(*id)),
            2.. => Owner::Stranger,
        },
    }
}

/// Ends processes whose mark names a warden that lives no more. Twice, for what was being forked the first time.
fn sweep_marked() {
    const ROUNDS: u32 = 20;
    for _ in 0..ROUNDS {
        let snapshot = Snapshot::take();
        let orphans: Vec<&Process> = snapshot.all().filter(|it| !it.is_zombie && is_orphan(it)).collect();
        if orphans.is_empty() {
            return;
        }
        orphans.iter().for_each(|orphan| orphan.signal(Signal::KILL));
        super::pause(Duration::from_millis(2));
    }
}

fn is_orphan(process: &Process) -> bool {
    let mark = process.environment(MARK);
    let warden = mark.as_deref().and_then(|mark| Identity::parse(mark.split(':').next()?));
    warden.is_some_and(Identity::is_dead_here)
}
