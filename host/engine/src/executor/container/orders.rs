//! Orders to a container that runs, as signals.
//!
//! Invariant: KILL follows TERM when the grace is over, and again until the container has ended. Must not know: ends.

use super::Shared;
use bollard::query_parameters::KillContainerOptionsBuilder;
use hostler_model::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration as StdDuration;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) const TERM: i32 = 15;
pub(super) const KILL: i32 = 9;
/// KILL is sent again after this, should the engine have been away.
const KILL_AGAIN: StdDuration = StdDuration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Stop(Duration),
    Kill,
}

/// Carries out orders as long as it is let.
pub(super) async fn carry_out(
    shared: Arc<Shared>,
    container: String,
    sent: Arc<AtomicI32>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> std::convert::Infallible {
    let mut kill_at: Option<Instant> = None;
    loop {
        let due = async {
            match kill_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            biased;
            Some(order) = orders.recv() => {
                let now = Instant::now();
                let (signal, at) = match order {
                    Order::Stop(grace) => (TERM, now + grace.to_std()),
                    Order::Kill => (KILL, now),
                };
                kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
                if signal == KILL {
                    continue;
                }
                TERM
            }
            () = due => {
                kill_at = Some(Instant::now() + KILL_AGAIN);
                KILL
            }
        };
        if sent.load(Ordering::Relaxed) != KILL {
            sent.store(signal, Ordering::Relaxed);
        }
        let name = if signal == KILL { "SIGKILL" } else { "SIGTERM" };
        let options = KillContainerOptionsBuilder::new().signal(name).build();
        let asked = shared
            .daemon
            .ask("signal a container", async |docker| docker.kill_container(&container, Some(options)).await);
        // One that has ended takes no signal; an engine that is away is asked again when the grace is over.
        if let Err(trouble) = asked.await {
            tracing::debug!("container {container} did not get {name}: {}", trouble.reason());
        }
    }
}
