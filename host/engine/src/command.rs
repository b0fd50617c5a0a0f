//! A change that somebody asked for: a function over the core and the open transaction, and the answer to give once it
//! is committed.

use crate::core::Core;
use crate::error::Error;
use hostler_store::WriteTx;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Told after the commit: `true` when it is durable.
pub(crate) type Answer = Box<dyn FnOnce(bool) + Send>;

type Apply = dyn FnOnce(&mut Core, &mut WriteTx<'_>) -> Answer + Send;

pub(crate) struct Command {
    apply: Box<Apply>,
    /// Among those that may wait; given back once it is applied.
    place: Option<OwnedSemaphorePermit>,
}

impl Command {
    /// The command, and where its answer will come.
    pub(crate) fn new<T: Send + 'static>(
        change: impl FnOnce(&mut Core, &mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, receiver) = oneshot::channel();
        let apply = move |core: &mut Core, tx: &mut WriteTx<'_>| -> Answer {
            // A change that panics is rolled back like one that is refused; the batch around it lives.
            let attempt = catch_unwind(AssertUnwindSafe(|| tx.savepoint(|tx| change(core, tx))));
            let result = attempt.unwrap_or_else(|_| {
                Err(Error::Internal { message: "a request could not be carried out because the code failed".into() })
            });
            Box::new(move |committed| {
                // Nobody waits any more: the change is made all the same.
                let _ = sender.send(match (result, committed) {
                    (Ok(_), false) => Err(Error::NotCommitted),
                    (result, _) => result,
                });
            })
        };
        (Self { apply: Box::new(apply), place: None }, receiver)
    }

    pub(crate) fn hold(self, place: OwnedSemaphorePermit) -> Self {
        Self { place: Some(place), ..self }
    }

    pub(crate) fn apply(self, core: &mut Core, tx: &mut WriteTx<'_>) -> Answer {
        let Self { apply, place } = self;
        let answer = apply(core, tx);
        drop(place);
        answer
    }
}
