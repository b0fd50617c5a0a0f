//! The clients: what they asked for, what was acknowledged, and that the host kept its word.
//!
//! A request without an answer is asked again under its key until there is one, as a good client does; some are asked
//! again though they were answered.

use crate::dice::Dice;
use hostler_engine::RunStarted;
use hostler_engine::testing::{Begin, Pending, Stepper};
use hostler_model::{CancelReason, Kind, RunId, RunKey, RunStatus};
use hostler_store::{Origin, Page, PipelineKey, RunFilter, Store};
use std::collections::BTreeMap;

struct Request {
    begin: Begin,
    pending: Option<Pending<RunStarted>>,
    acknowledged: Option<(RunId, RunKey)>,
}

/// What a look at the answers found.
#[derive(Default)]
pub(crate) struct Heard {
    /// Requests to ask again.
    pub(crate) again: Vec<usize>,
    pub(crate) acknowledged: Vec<usize>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    requests: Vec<Request>,
    cancels: Vec<(RunKey, Pending<RunStatus>)>,
    cancelled: Vec<RunKey>,
}

impl Ledger {
    pub(crate) fn request(&mut self, pipeline: PipelineKey, retry_of: Option<RunKey>) -> usize {
        let idempotency_key = format!("request {}", self.requests.len());
        let begin = Begin { pipeline, idempotency_key, retry_of };
        self.requests.push(Request { begin, pending: None, acknowledged: None });
        self.requests.len() - 1
    }

    /// False: the host stops and takes no requests.
    pub(crate) fn ask(&mut self, index: usize, host: &mut Stepper) -> bool {
        let request = &mut self.requests[index];
        request.pending = host.start_run(request.begin.clone()).ok();
        request.pending.is_some()
    }

    pub(crate) fn run_of(&self, index: usize) -> Option<(RunId, RunKey, PipelineKey)> {
        let request = &self.requests[index];
        request.acknowledged.map(|(id, key)| (id, key, request.begin.pipeline))
    }

    pub(crate) fn cancel(&mut self, index: usize, host: &mut Stepper, dice: &mut Dice) {
        let Some(run) = self.requests[index].acknowledged else { return };
        let reason = dice.pick(&[CancelReason::User, CancelReason::User, CancelReason::Kill]);
        self.cancels.extend(host.cancel_run(run, reason).ok().map(|pending| (run.1, pending)));
    }

    pub(crate) fn listen(&mut self) -> Heard {
        let mut heard = Heard::default();
        for (index, request) in self.requests.iter_mut().enumerate() {
            let Some(answer) = request.pending.as_mut().and_then(Pending::poll) else { continue };
            request.pending = None;
            match answer {
                Ok(started) => {
                    let run = (started.id, started.key);
                    let first = *request.acknowledged.get_or_insert(run);
                    assert_eq!(first, run, "one key, two runs: {}", request.begin.idempotency_key);
                    heard.acknowledged.push(index);
                }
                Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Busy) => heard.again.push(index),
                Err(error) => panic!("{} was refused: {error}", request.begin.idempotency_key),
            }
        }
        self.cancels.retain_mut(|(run, pending)| match pending.poll() {
            None => true,
            Some(answer) => {
                self.cancelled.extend(answer.is_ok().then_some(*run));
                false
            }
        });
        heard
    }

    /// Nobody answers any more: what has no answer is to be asked again.
    pub(crate) fn host_died(&mut self) -> Vec<usize> {
        // What was answered before the end was heard.
        let mut again = self.listen().again;
        self.cancels.clear();
        for (index, request) in self.requests.iter_mut().enumerate() {
            if request.pending.take().is_some() {
                again.push(index);
            }
        }
        again
    }

    /// What was acknowledged is there, once, and what was cancelled knows it.
    pub(crate) fn check(&self, store: &Store) {
        let read = store.read(|tx| tx.runs(RunFilter::default(), Page::first(1_000_000)));
        let rows = read.expect("runs can be read").items;
        let mut by_key: BTreeMap<&str, RunKey> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.origin == Origin::Asked) {
            let key = row.summary.as_deref().expect("its key");
            let other = by_key.insert(key, row.key);
            assert_eq!(other, None, "{key} made run {} too", row.key.0);
        }
        for request in &self.requests {
            let Some((id, key)) = request.acknowledged else { continue };
            let kept = rows.iter().any(|row| (row.id, row.key) == (id, key));
            assert!(kept, "run {} was acknowledged and is gone", key.0);
            assert_eq!(by_key.get(request.begin.idempotency_key.as_str()), Some(&key));
        }
        for run in &self.cancelled {
            let row = rows.iter().find(|row| row.key == *run).expect("a cancelled run is there");
            assert!(row.cancel_reason.is_some(), "the cancel of run {} was acknowledged and is forgotten", run.0);
        }
    }

    pub(crate) fn check_all_answered(&self) {
        for request in &self.requests {
            assert!(request.acknowledged.is_some(), "{} was never answered", request.begin.idempotency_key);
        }
    }
}
