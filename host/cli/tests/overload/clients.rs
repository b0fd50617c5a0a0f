//! Clients that start and cancel runs without a pause. Steady ones wait as long as they are told when they are refused;
//! those of a storm wait for nothing.
//!
//! Invariants: a key is sent again until it is answered, but for those of a storm; every refusal says when to come
//! again. Must not know what the host's limits are.

use crate::ledger::Book;
use crate::random::Random;
use hostler_model::{Kind, Slug};
use hostler_web::types::{RunStart, RunStarted};
use hostler_web::{Client, ClientError};
use std::time::{Duration, Instant};

/// One start in so many is of a pipeline that waits, and is cancelled.
const CANCELS: u64 = 20;

/// One key in so many is sent again after it was answered.
const REPEATS: u64 = 25;

/// One key in so many is sent first by somebody who does not wait for the answer.
const GIVEN_UP: u64 = 200;

/// How long those wait.
const PATIENCE_US: (u64, u64) = (100, 8_000);

/// After a connection that broke or never came about.
const NO_ANSWER_WAIT: Duration = Duration::from_millis(50);

/// Ends a moment at once and is over soon.
pub(crate) const QUICK: &str = "quick";
/// Waits for a slot that it does not get.
pub(crate) const WAITS: &str = "waits";

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

/// Works until `end`; what it has begun it brings to an answer.
pub(crate) async fn steady(client: Client, mut book: Book, mut random: Random, end: Instant) -> Book {
    while Instant::now() < end {
        let index = book.ask();
        let is_cancelled = random.between(0, CANCELS) == 0;
        let pipeline = if is_cancelled { WAITS } else { QUICK };
        let mut is_first = true;
        if random.between(0, GIVEN_UP) == 0 {
            let (least, most) = PATIENCE_US;
            let patience = Duration::from_micros(random.between(least, most));
            // Dropped in the middle; the host may have done it or not.
            let _ = tokio::time::timeout(patience, start(&client, &book, index, pipeline)).await;
            book.given_up += 1;
            is_first = false;
        }
        let begun = Instant::now();
        loop {
            match start(&client, &book, index, pipeline).await {
                Ok(run) => {
                    book.acknowledge(index, &run.id, run.existing || !is_first);
                    break;
                }
                Err(error) => wait(&mut book, &error).await,
            }
            is_first = false;
        }
        if is_first {
            book.waited(begun.elapsed());
        }
        if random.between(0, REPEATS) == 0 {
            match start(&client, &book, index, pipeline).await {
                Ok(run) => {
                    book.acknowledge(index, &run.id, run.existing);
                    book.repeated += 1;
                }
                Err(error) => wait(&mut book, &error).await,
            }
        }
        if is_cancelled {
            cancel(&client, &mut book, index).await;
        }
    }
    book
}

/// One of many that come at once, each on a connection of its own, until `end`.
pub(crate) async fn storm(client: Client, mut book: Book, end: Instant) -> Book {
    while Instant::now() < end {
        let index = book.ask();
        match start(&client, &book, index, QUICK).await {
            Ok(run) => book.acknowledge(index, &run.id, run.existing),
            Err(error) => refused(&mut book, &error),
        }
    }
    book
}

async fn start(client: &Client, book: &Book, index: usize, pipeline: &str) -> Result<RunStarted, ClientError> {
    let key = book.key(index);
    let what = RunStart { summary: Some(key.clone()), ..RunStart::default() };
    client.start_run(&slug("default"), &slug(pipeline), &what, Some(&key)).await
}

async fn cancel(client: &Client, book: &mut Book, index: usize) {
    let run = book.starts[index].run.expect("it was answered");
    let run = uuid(run);
    loop {
        match client.cancel_run(&slug("default"), &run, false).await {
            Ok(_) => return book.cancelled(index),
            // A run that waits ends by nothing else; an earlier cancel had no answer and was carried out.
            Err(error) if error.kind() == Kind::Conflict => return book.cancelled(index),
            Err(error) => wait(book, &error).await,
        }
    }
}

pub(crate) fn uuid(id: crate::ledger::Id) -> String {
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Counts, and waits as long as the host says.
async fn wait(book: &mut Book, error: &ClientError) {
    refused(book, error);
    // tidy: allow(sleep), because a client that is told to come later comes later.
    tokio::time::sleep(error.retry_after().unwrap_or(NO_ANSWER_WAIT)).await;
}

/// The only answers there may be besides the run: come again, or a connection that broke.
fn refused(book: &mut Book, error: &ClientError) {
    if error.is_unreachable() {
        book.unanswered += 1;
        return;
    }
    assert!(matches!(error.kind(), Kind::Busy | Kind::Unavailable), "a start was refused: {error}");
    assert!(error.retry_after().is_some(), "a refusal does not say when to come again: {error}");
    book.refused += 1;
}
