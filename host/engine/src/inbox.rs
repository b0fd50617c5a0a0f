//! What waits for the dispatcher: requests in one lane, reports of attempts and of plugin calls in another, chores that
//! nobody waits for in a third.
//!
//! Invariants: requests are bounded, those that the dispatcher has taken and not applied yet among them, and refused
//! when there are too many; reports are not refused, since each belongs to
//! an attempt or call that the dispatcher itself began, so that their number is bounded by the slots. Order is kept
//! within a lane.

use crate::command::Command;
use crate::error::Error;
use hostler_model::{AttemptId, Report, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the edge tells about something that the dispatcher began.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Started { id: AttemptId, at: Timestamp },
    Exited { id: AttemptId, report: Box<Report> },
    Trigger(Box<crate::triggers::Answer>),
}

#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) commands: VecDeque<Command>,
    pub(crate) told: VecDeque<Told>,
    /// What nobody waits for: done when there is nothing else to do.
    pub(crate) chores: VecDeque<Command>,
    /// No command will follow: every handle is gone or the engine stops.
    pub(crate) closed: bool,
}

#[derive(Default)]
struct State {
    taken: Taken,
    poked: bool,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    places: Arc<Semaphore>,
    commands_max: usize,
}

impl Inbox {
    pub(crate) fn new(commands_max: usize) -> Self {
        let commands_max = commands_max.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(commands_max));
        Self { state: Mutex::default(), wake: Condvar::new(), places, commands_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn command(&self, command: Command) -> Result<(), Error> {
        let mut state = self.lock();
        if state.taken.closed {
            return Err(Error::Stopping);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy { waiting: self.commands_max })?;
        state.taken.commands.push_back(command.hold(place));
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Whoever has chores gives one after the other, so their number needs no limit.
    pub(crate) fn chore(&self, command: Command) -> Result<(), Error> {
        let mut state = self.lock();
        if state.taken.closed {
            return Err(Error::Stopping);
        }
        state.taken.chores.push_back(command);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn tell(&self, told: Told) {
        self.lock().taken.told.push_back(told);
        self.wake.notify_one();
    }

    /// Wakes the dispatcher without telling it anything: time was moved, or a setting changed.
    pub(crate) fn poke(&self) {
        self.lock().poked = true;
        self.wake.notify_one();
    }

    /// Refuses requests from now on; reports still come in.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        (state.taken.closed, state.poked) = (true, true);
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn commands_waiting(&self) -> usize {
        self.commands_max - self.places.available_permits()
    }

    /// Some came since the last look.
    pub(crate) fn has_commands(&self) -> bool {
        !self.lock().taken.commands.is_empty()
    }

    /// Takes all that waits. Waits itself, for `wait` at most (None: for ever), when there is nothing.
    pub(crate) fn take(&self, wait: Option<Duration>) -> Taken {
        let nothing = |state: &mut State| {
            let State { taken, poked } = state;
            taken.commands.is_empty() && taken.told.is_empty() && taken.chores.is_empty() && !*poked
        };
        let state = self.lock();
        let mut state = match wait {
            Some(Duration::ZERO) => state,
            Some(wait) => self.wake.wait_timeout_while(state, wait, nothing).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner),
        };
        state.poked = false;
        let closed = state.taken.closed;
        let taken = std::mem::take(&mut state.taken);
        state.taken.closed = closed;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(inbox: &Inbox) -> Result<(), Error> {
        inbox.command(Command::new(|_, _| Ok(())).0)
    }

    #[test]
    fn one_request_too_many_is_refused_until_one_that_waits_is_gone() {
        let inbox = Inbox::new(2);
        assert!(ask(&inbox).is_ok() && ask(&inbox).is_ok());
        assert!(matches!(ask(&inbox), Err(Error::Busy { waiting: 2 })));
        // Taken and not applied yet: they wait as before.
        let mut taken = inbox.take(Some(Duration::ZERO));
        assert!(matches!(ask(&inbox), Err(Error::Busy { waiting: 2 })));
        assert_eq!(inbox.commands_waiting(), 2);
        drop(taken.commands.pop_front());
        assert!(ask(&inbox).is_ok());
    }
}
