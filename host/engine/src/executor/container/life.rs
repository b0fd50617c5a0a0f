//! The life of one container, from its start to its end, whatever the engine does meanwhile.
//!
//! States: made (see `making`), followed (attached, or from the engine's log), ended. An order before the start ends
//! it there. When the engine does not answer, it is asked again until `away_max`; then the attempt is
//! lost, and a sweep removes the container when the engine is back. Must not know: other attempts.

use super::daemon::Trouble;
use super::making::Attached;
use super::orders::{KILL, Order, TERM, carry_out};
use super::output::{Frame, Output};
use super::{ContainerStart, Shared, create};
use crate::executor::{Report, Reports, Start};
use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use hostler_model::{AttemptId, Bytes, Exit, Timestamp};
use hostler_store::LogKept;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration as StdDuration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A quiet container is looked at so often: the engine may be gone without having said so.
const LOOK_EVERY: StdDuration = StdDuration::from_secs(10);
/// Between two questions to an engine that does not answer.
const AWAY_PAUSE: StdDuration = StdDuration::from_millis(500);
/// A container whose output is over ends within this, or has not ended.
const END_MAX: StdDuration = StdDuration::from_secs(1);
/// A reader of the log that is so far behind may have missed that it was turned over twice.
const BEHIND_MAX_MS: i64 = 1_000;
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) id: AttemptId,
    pub(super) output: Output,
    pub(super) reports: Reports,
    /// The strongest signal that was sent.
    sent: Arc<AtomicI32>,
    /// Since when the engine does not answer.
    pub(super) away: Option<Instant>,
    pub(super) memory_max: Option<u64>,
}

/// How a reading of output ended.
enum Passed {
    /// Whole, as far as can be told.
    Over,
    /// It came loose, and there may be more.
    Loose,
}

enum Seen {
    Running,
    Ended(Box<ContainerState>),
    Gone,
}

impl Life {
    pub(super) fn new(shared: Arc<Shared>, id: AttemptId, reports: Reports, kept: LogKept) -> Self {
        let output = Output::new(reports.clone(), kept);
        Self { shared, id, output, reports, sent: Arc::default(), away: None, memory_max: None }
    }

    pub(super) async fn start(
        mut self,
        start: Start,
        what: Box<ContainerStart>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        self.memory_max = what.spec.memory_max;
        let made = tokio::select! {
            made = self.make(&start, &what) => made,
            Some(_) = orders.recv() => Err(Exit::Stopped),
        };
        let exit = match made {
            Ok((container, attached)) => self.go_on(container, Some(attached), orders).await,
            Err(exit) => {
                // What was begun and not seen to the end may run by now.
                let name = create::name(&self.shared.config.host_id, self.id);
                if let Err(trouble) = self.shared.remove(&name).await {
                    tracing::debug!(attempt = %self.id, "{name} is left for the next sweep: {}", trouble.reason());
                }
                exit
            }
        };
        self.end(exit).await;
    }

    pub(super) async fn adopt(mut self, orders: mpsc::UnboundedReceiver<Order>) {
        let exit = match self.find_again().await {
            Ok((container, attached)) => self.go_on(container, attached, orders).await,
            Err(exit) => exit,
        };
        self.end(exit).await;
    }

    async fn end(self, exit: Exit) {
        self.shared.end(self.id);
        self.output.say(Report::Exit(exit)).await;
    }

    /// Follows a started container to its end, and carries out orders meanwhile.
    async fn go_on(
        &mut self,
        container: String,
        attached: Option<Attached>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Exit {
        let carried_out = carry_out(self.shared.clone(), container.clone(), self.sent.clone(), orders);
        tokio::select! {
            exit = self.follow(&container, attached) => exit,
            never = carried_out => match never {},
        }
    }

    async fn follow(&mut self, container: &str, mut attached: Option<Attached>) -> Exit {
        loop {
            let passed = match attached.take() {
                Some(attached) => self.pass_attached(container, attached).await,
                None => self.pass_log(container).await,
            };
            let over_at = self.now();
            let passed = match passed {
                Ok(passed) => passed,
                Err(trouble) if trouble.is_not_found() => Passed::Loose,
                Err(trouble) => match self.wait_out(&trouble).await {
                    Ok(()) => Passed::Loose,
                    Err(lost) => return lost,
                },
            };
            match self.look_for_end(container).await {
                Ok(Seen::Running) => {}
                Ok(Seen::Gone) => {
                    let reason = "its container was removed by somebody else".into();
                    return Exit::Lost { reason };
                }
                Ok(Seen::Ended(state)) => {
                    // Streams that were cut end like those of a container that ended: what came later is in the log.
                    let late = state.finished_at.as_deref().and_then(time).is_none_or(|finished| finished > over_at);
                    if (late || matches!(passed, Passed::Loose))
                        && let Err(trouble) = self.pass_log(container).await
                    {
                        let reason = format!("its last output cannot be read: {}", trouble.reason());
                        self.output.say(Report::Gap { reason }).await;
                    }
                    return self.exit(&state);
                }
                Err(lost) => return lost,
            }
        }
    }

    /// Until the streams end.
    async fn pass_attached(&mut self, container: &str, mut attached: Attached) -> Result<Passed, Trouble> {
        loop {
            match tokio::time::timeout(LOOK_EVERY, attached.next()).await {
                Ok(None) => return Ok(Passed::Over),
                Ok(Some(Ok(frame))) => {
                    let now = self.now();
                    if !self.output.take(frame, now).await {
                        return Err(nonsense());
                    }
                }
                Ok(Some(Err(error))) => return Err(self.shared.daemon.trouble("pass output on", &error)),
                Err(_) => match self.look(container).await? {
                    Seen::Running => {}
                    Seen::Ended(_) | Seen::Gone => return Ok(Passed::Loose),
                },
            }
        }
    }

    /// Reads the engine's log from its beginning, and follows it until the container ends.
    async fn pass_log(&mut self, container: &str) -> Result<Passed, Trouble> {
        let engine = self.shared.daemon.engine().await?;
        let file_bytes = create::log_file_bytes(&self.shared.config);
        let is_cut = self.log_bytes(container).await? >= (create::LOG_FILES - 1) * file_bytes;
        if is_cut {
            let reason = "the container engine keeps only the end of a long log; output may be missing here".into();
            self.output.say(Report::Gap { reason }).await;
        }
        let mut replay = self.output.replay_of(is_cut, !engine.is_podman);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).follow(true).build();
        let mut frames = Box::pin(engine.docker.logs(container, Some(options)));
        let begun = self.now();
        let mut live_bytes = 0;
        loop {
            let next = match tokio::time::timeout(LOOK_EVERY, frames.next()).await {
                Ok(next) => next,
                Err(_) => match self.look(container).await? {
                    Seen::Running => continue,
                    Seen::Ended(_) | Seen::Gone => return Ok(Passed::Over),
                },
            };
            let Some(next) = next else { return Ok(Passed::Over) };
            let next = next.map_err(|error| self.shared.daemon.trouble("pass a log on", &error))?;
            let frame = Frame::read(&next).ok_or_else(nonsense)?;
            let now = self.now();
            let at = frame.at.as_millisecond();
            if at >= begun.0 {
                live_bytes += frame.bytes_in_file();
                // Once for each time that a whole file may have been turned over unread.
                if live_bytes > file_bytes && now.0 - at > BEHIND_MAX_MS {
                    live_bytes = 0;
                    let reason = "the container writes faster than its log is read; output may be missing here".into();
                    self.output.say(Report::Gap { reason }).await;
                }
            }
            self.output.replay(&mut replay, &frame, now).await;
        }
    }

    /// About how large the engine's log is now.
    async fn log_bytes(&self, container: &str) -> Result<u64, Trouble> {
        let engine = self.shared.daemon.engine().await?;
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).build();
        let mut frames = Box::pin(engine.docker.logs(container, Some(options)));
        let mut bytes = 0;
        loop {
            let next = tokio::time::timeout(self.shared.config.answer_max, frames.next()).await;
            let next = next.unwrap_or(Some(Err(Error::RequestTimeoutError)));
            let Some(next) = next else { return Ok(bytes) };
            let next = next.map_err(|error| self.shared.daemon.trouble("read a log", &error))?;
            bytes += Frame::read(&next).ok_or_else(nonsense)?.bytes_in_file();
        }
    }

    /// What has become of it, once its output is over. `Err` is the end of an attempt that nobody can look after.
    async fn look_for_end(&mut self, container: &str) -> Result<Seen, Exit> {
        let limit = Instant::now() + END_MAX;
        let mut pause = StdDuration::from_millis(1);
        loop {
            match self.look(container).await {
                // Its streams end a little sooner than the engine has noted its end.
                Ok(Seen::Running) if Instant::now() < limit => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(StdDuration::from_millis(100));
                }
                Ok(seen) => {
                    self.away = None;
                    return Ok(seen);
                }
                Err(trouble) => self.wait_out(&trouble).await?,
            }
        }
    }

    async fn look(&self, container: &str) -> Result<Seen, Trouble> {
        let asked = self
            .shared
            .daemon
            .ask("look at a container", async |docker| docker.inspect_container(container, None).await);
        let state = match asked.await {
            Ok(found) => found.state.unwrap_or_default(),
            Err(trouble) if trouble.is_not_found() => return Ok(Seen::Gone),
            Err(trouble) => return Err(trouble),
        };
        Ok(match state.status {
            Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING) => Seen::Running,
            Some(Status::EXITED | Status::DEAD | Status::REMOVING | Status::CREATED) => Seen::Ended(Box::new(state)),
            Some(Status::EMPTY | Status::STOPPING) | None => Seen::Running,
        })
    }

    /// Waits a little before the engine is asked again, unless it has been away for too long.
    pub(super) async fn wait_out(&mut self, trouble: &Trouble) -> Result<(), Exit> {
        let since = *self.away.get_or_insert_with(Instant::now);
        let away_max = self.shared.config.away_max;
        if since.elapsed() >= away_max {
            let (why, seconds) = (trouble.reason(), away_max.as_secs_f64());
            let reason = format!("its container engine could not be asked for {seconds} s: {why}");
            return Err(Exit::Lost { reason });
        }
        tokio::time::sleep(AWAY_PAUSE.min(away_max)).await;
        self.shared.daemon.forget().await;
        Ok(())
    }

    fn exit(&self, state: &ContainerState) -> Exit {
        let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        if state.oom_killed == Some(true) && code != 0 {
            let limit = match self.memory_max {
                Some(bytes) if bytes > 0 => format!("memory of {}", Bytes(bytes)),
                Some(_) | None => "memory of the machine".into(),
            };
            return Exit::Exceeded { limit };
        }
        let sent = self.sent.load(Ordering::Relaxed);
        match code - 128 {
            KILL if sent == KILL => Exit::Signal { signal: KILL },
            TERM if sent != 0 => Exit::Signal { signal: TERM },
            _ => Exit::Code { code },
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.wall()
    }
}

fn nonsense() -> Trouble {
    Trouble::Away { reason: "the container engine sent what is no output".into() }
}

/// A time as the engine writes it; what never happened is in the year 1.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond())).filter(|at| at.0 > 0)
}
