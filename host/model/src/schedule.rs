//! What becomes of the instants of a subscription, and which of its runs may begin: pure arithmetic over times and
//! counts.
//!
//! An instant is *missed* when it is decided more than `MISSED_AFTER` later than it was due, its jitter counted in (the
//! host was away, the wall clock was set forward); catch-up says what becomes of missed instants, overlap what becomes
//! of those that start. What a catch-up starts is subject to overlap like all else: `all` with `skip` starts the oldest
//! only. Invariants: decisions come in the order of the instants, one for each; unless overlap says `allow`, no two
//! runs of a subscription are under way at once, and those that wait begin in the order they came.
//! Must not know: clocks, plugins, rows; nor the mark behind which all is decided, which the caller holds instants
//! against.

use crate::{Duration, RunKey, SubscriptionId, Timestamp};
use std::collections::VecDeque;
use std::fmt;

/// Up to this long after it was due an instant counts as on time.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);

/// What a fire does while earlier runs of its subscription are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlap {
    /// It starts nothing.
    Skip,
    /// Its run waits until those before it are over; at most `max` wait.
    Queue {
        max: u32,
    },
    Allow,
    /// Those that are open are cancelled (`superseded`), and its run begins when they are over.
    CancelRunning,
}

/// What becomes of missed instants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CatchUp {
    /// They stay missed.
    None,
    /// Only the newest starts.
    Latest,
    /// Those not older than `window` start, oldest first; of more than `cap` the newest.
    All { window: Duration, cap: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    pub jitter: Duration,
}

/// Runs of one subscription that are not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Open {
    pub running: u32,
    pub queued: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Start,
    Skip(Skip),
    Missed(Missed),
}

/// Why an instant on time starts nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skip {
    RunOpen { open: u32 },
    QueueFull { max: u32 },
}

/// Why a missed instant starts nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    NoCatchUp,
    NewerOne,
    OutsideWindow { window: Duration },
    OverCap { cap: u32 },
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunOpen { open: 1 } => f.write_str("an earlier run is still open, and overlap is `skip`"),
            Self::RunOpen { open } => write!(f, "{open} earlier runs are still open, and overlap is `skip`"),
            Self::QueueFull { max } => {
                write!(f, "an earlier run is still open, and the queue behind it takes {max} at most")
            }
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it passed while the host could not decide it, and catch-up ")?;
        match self {
            Self::NoCatchUp => f.write_str("is `none`"),
            Self::NewerOne => f.write_str("is `latest`: a newer one starts"),
            Self::OutsideWindow { window } => write!(f, "looks back {window} only"),
            Self::OverCap { cap } => write!(f, "starts {cap} at most"),
        }
    }
}

/// When an instant really comes due: later by a share of `jitter` that is the same for a subscription for ever (FNV-1a
/// of its id), so that many subscriptions of one instant spread out and each keeps its distance from fire to fire.
pub fn due(instant: Timestamp, subscription: SubscriptionId, jitter: Duration) -> Timestamp {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = subscription.0.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    instant.plus(Duration::from_millis(hash.checked_rem(jitter.as_millis()).unwrap_or(0)))
}

/// Whether an instant that is decided now counts as missed.
pub fn is_missed(policy: &Policy, subscription: SubscriptionId, instant: Timestamp, now: Timestamp) -> bool {
    now.since(due(instant, subscription, policy.jitter)) > MISSED_AFTER
}

/// Decides instants of a subscription, given in rising order. `open` counts its runs of before.
pub fn decide(
    policy: &Policy,
    subscription: SubscriptionId,
    instants: &[Timestamp],
    now: Timestamp,
    mut open: Open,
) -> Vec<(Timestamp, Decision)> {
    let missed = instants.iter().take_while(|at| is_missed(policy, subscription, **at, now)).count();
    let mut one = |(index, at): (usize, &Timestamp)| {
        let newer = missed.saturating_sub(index + 1);
        let caught_up = if index < missed { catch_up(policy.catch_up, *at, newer, now) } else { Ok(()) };
        match caught_up {
            Err(why) => Decision::Missed(why),
            Ok(()) => overlap(policy.overlap, &mut open),
        }
    };
    instants.iter().enumerate().map(|instant| (*instant.1, one(instant))).collect()
}

fn catch_up(policy: CatchUp, at: Timestamp, newer: usize, now: Timestamp) -> Result<(), Missed> {
    match policy {
        CatchUp::None => Err(Missed::NoCatchUp),
        // An instant on time behind it is newer still, but starts by itself.
        CatchUp::Latest if newer > 0 => Err(Missed::NewerOne),
        CatchUp::Latest => Ok(()),
        CatchUp::All { window, .. } if at < now.minus(window) => Err(Missed::OutsideWindow { window }),
        CatchUp::All { cap, .. } if newer >= cap as usize => Err(Missed::OverCap { cap }),
        CatchUp::All { .. } => Ok(()),
    }
}

fn overlap(policy: Overlap, open: &mut Open) -> Decision {
    let total = open.running + open.queued;
    match policy {
        Overlap::Skip if total > 0 => return Decision::Skip(Skip::RunOpen { open: total }),
        Overlap::Queue { max } if total > 0 && open.queued >= max => return Decision::Skip(Skip::QueueFull { max }),
        Overlap::Queue { .. } | Overlap::CancelRunning if total > 0 => open.queued += 1,
        Overlap::Skip | Overlap::Queue { .. } | Overlap::Allow | Overlap::CancelRunning => open.running += 1,
    }
    Decision::Start
}

/// The runs of one subscription that are not over, and which of them may go on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gate {
    running: Vec<RunKey>,
    queue: VecDeque<RunKey>,
}

/// What becomes of a run that has just been made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    Begin,
    Wait,
    /// It waits, and these are cancelled as superseded.
    Supersede(Vec<RunKey>),
}

impl Gate {
    pub fn open(&self) -> Open {
        Open { running: self.running.len() as u32, queued: self.queue.len() as u32 }
    }

    /// A run read back from its rows, oldest first. After the last of them `advance` lets go whoever waits for nobody.
    pub fn restore(&mut self, run: RunKey, queued: bool) {
        if queued {
            self.queue.push_back(run);
        } else {
            self.running.push(run);
        }
    }

    pub fn arrive(&mut self, run: RunKey, overlap: Overlap) -> Arrival {
        let is_free = self.running.is_empty() && self.queue.is_empty();
        match overlap {
            Overlap::CancelRunning if !is_free => {
                let superseded = self.running.iter().chain(&self.queue).copied().collect();
                self.queue.push_back(run);
                Arrival::Supersede(superseded)
            }
            // The decision to skip was made before the plugin was woken; a run that came up since makes it wait.
            Overlap::Skip | Overlap::Queue { .. } if !is_free => {
                self.queue.push_back(run);
                Arrival::Wait
            }
            Overlap::Skip | Overlap::Queue { .. } | Overlap::Allow | Overlap::CancelRunning => {
                self.running.push(run);
                Arrival::Begin
            }
        }
    }

    /// A run is over, whether it ran or waited; answers the one whose turn has come.
    pub fn ended(&mut self, run: RunKey) -> Option<RunKey> {
        self.running.retain(|other| *other != run);
        self.queue.retain(|other| *other != run);
        self.advance()
    }

    /// Lets the next one begin, if none is under way.
    pub fn advance(&mut self) -> Option<RunKey> {
        if !self.running.is_empty() {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.running.push(next);
        Some(next)
    }

    /// Its turn has come, or came before.
    pub fn may_begin(&self, run: RunKey) -> bool {
        self.running.contains(&run)
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests;
