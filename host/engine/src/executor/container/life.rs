//! The life of one container, from its image to its end, whatever the engine does meanwhile.
//!
//! States: made (image, create, attach, start), followed (attached, or from the engine's log), ended. An order before
//! the start ends it there. When the engine does not answer, it is asked again until `away_max`; then the attempt is
//! lost, and a sweep removes the container when the engine is back. Must not know: other attempts.

use super::daemon::Trouble;
use super::output::{Frame, Output};
use super::{ContainerStart, Shared, create, image};
use crate::executor::{Report, Reports, Start};
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder, LogsOptionsBuilder,
};
use futures_util::{Stream, StreamExt};
use hostler_model::{AttemptId, Bytes, Duration, Exit, Timestamp};
use hostler_store::LogKept;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
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
/// KILL is sent again after this, should the engine have been away.
const KILL_AGAIN: StdDuration = StdDuration::from_secs(2);
/// A reader of the log that is so far behind may have missed that it was turned over twice.
const BEHIND_MAX_MS: i64 = 1_000;
const TERM: i32 = 15;
const KILL: i32 = 9;

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Stop(Duration),
    Kill,
}

type Attached = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

pub(super) struct Life {
    shared: Arc<Shared>,
    id: AttemptId,
    output: Output,
    reports: Reports,
    /// The strongest signal that was sent.
    sent: Arc<AtomicI32>,
    /// Since when the engine does not answer.
    away: Option<Instant>,
    memory_max: Option<u64>,
}

/// How a reading of output ended.
enum Passed {
    /// Whole, as far as can be told.
    Over,
    /// It came loose, and there may be more.
    Loose,
}

/// Why an attempt of an earlier host was not found at this look.
enum NotFound {
    Away(Trouble),
    Over(Exit),
}

impl From<Trouble> for NotFound {
    fn from(trouble: Trouble) -> Self {
        Self::Away(trouble)
    }
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

    /// Makes the container and starts it; its id, and its output from the first byte on.
    async fn make(&self, start: &Start, what: &ContainerStart) -> Result<(String, Attached), Exit> {
        for folder in [&start.workspace, &start.outputs] {
            open_to_all(folder)?;
        }
        let digest = image::get(&self.shared, &what.spec.image, what.spec.pull, &self.reports).await?;
        let container = self.create(start, what).await?;
        let attached = self.attach(&container).await.map_err(|trouble| not_started(&trouble))?;
        self.ignite(&container, &what.spec.image.to_string()).await?;
        self.output.say(Report::Started { at: self.now(), digest: Some(digest) }).await;
        Ok((container, attached))
    }

    async fn create(&self, start: &Start, what: &ContainerStart) -> Result<String, Exit> {
        let (config, daemon) = (&self.shared.config, &self.shared.daemon);
        let engine = daemon.engine().await.map_err(|trouble| not_started(&trouble))?;
        let name = create::name(&config.host_id, self.id);
        let body = create::body(config, engine.is_podman, start, what);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created =
            daemon.ask("create a container", async |docker| docker.create_container(Some(options), body).await).await;
        match created {
            Ok(created) => Ok(created.id),
            // It was made before, by a request whose answer was lost.
            Err(Trouble::Refused { status: 409, reason }) => {
                let found = self.shared.list(Some(self.id)).await.map_err(|trouble| not_started(&trouble))?;
                let (container, _) = found.into_iter().next().ok_or(Exit::NotStarted { reason, transient: false })?;
                Ok(container)
            }
            Err(trouble) => Err(not_started(&trouble)),
        }
    }

    async fn attach(&self, container: &str) -> Result<Attached, Trouble> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = self
            .shared
            .daemon
            .ask("attach to a container", async |docker| docker.attach_container(container, Some(options)).await);
        let attached = attached.await?;
        // The other direction stays open: an engine may take its end for the end of both.
        let input = attached.input;
        Ok(Box::pin(attached.output.inspect(move |_| {
            let _ = &input;
        })))
    }

    async fn ignite(&self, container: &str, image: &str) -> Result<(), Exit> {
        let started =
            self.shared.daemon.ask("start a container", async |docker| docker.start_container(container, None).await);
        match started.await {
            Ok(()) => Ok(()),
            Err(Trouble::Refused { reason, .. }) => Err(refused(&reason, image)),
            Err(trouble) => Err(not_started(&trouble)),
        }
    }

    /// The container that an earlier host made for this attempt. One that was not started yet is started now.
    async fn find_again(&mut self) -> Result<(String, Option<Attached>), Exit> {
        loop {
            let found = self.look_again().await;
            match found {
                Ok(Some((container, attached))) => return Ok((container, attached)),
                Ok(None) => {
                    let reason = "no container of it is there: it was never made, or somebody removed it".into();
                    return Err(Exit::Lost { reason });
                }
                Err(NotFound::Away(trouble)) => self.wait_out(&trouble).await?,
                Err(NotFound::Over(exit)) => return Err(exit),
            }
        }
    }

    async fn look_again(&mut self) -> Result<Option<(String, Option<Attached>)>, NotFound> {
        let found = self.shared.list(Some(self.id)).await?;
        let Some((container, _)) = found.into_iter().next() else { return Ok(None) };
        let asked = self
            .shared
            .daemon
            .ask("look at a container", async |docker| docker.inspect_container(&container, None).await);
        let found = asked.await?;
        self.away = None;
        let state = found.state.unwrap_or_default();
        self.memory_max = found.host_config.and_then(|host| host.memory).and_then(|bytes| u64::try_from(bytes).ok());
        let mut attached = None;
        if state.status == Some(Status::CREATED) {
            attached = Some(self.attach(&container).await?);
            let image = found.config.and_then(|config| config.image).unwrap_or_default();
            self.ignite(&container, &image).await.map_err(NotFound::Over)?;
        }
        let at = state.started_at.as_deref().and_then(time).unwrap_or(self.now());
        let digest = match &found.image {
            Some(image) => self.digest(image).await,
            None => None,
        };
        let at = if attached.is_some() { self.now() } else { at };
        self.output.say(Report::Started { at, digest }).await;
        Ok(Some((container, attached)))
    }

    async fn digest(&self, image: &str) -> Option<String> {
        let asked = self.shared.daemon.ask("look for an image", async |docker| docker.inspect_image(image).await);
        let digests = asked.await.ok().and_then(|found| found.repo_digests).unwrap_or_default();
        let digest = digests.iter().find_map(|digest| Some(digest.split_once('@')?.1.to_owned()));
        Some(digest.unwrap_or_else(|| image.to_owned()))
    }

    /// Follows a started container to its end, and carries out orders meanwhile.
    async fn go_on(
        &mut self,
        container: String,
        attached: Option<Attached>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Exit {
        let command = command(self.shared.clone(), container.clone(), self.sent.clone(), orders);
        tokio::select! {
            exit = self.follow(&container, attached) => exit,
            never = command => match never {},
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
    async fn wait_out(&mut self, trouble: &Trouble) -> Result<(), Exit> {
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

    fn now(&self) -> Timestamp {
        self.shared.clock.wall()
    }
}

/// Carries out orders as long as it is let.
async fn command(
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

/// A container may work as any user of its image; nobody else gets through the folders above.
fn open_to_all(folder: &Path) -> Result<(), Exit> {
    let opened = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777));
    opened.map_err(|error| {
        let reason = format!("its folder `{}` cannot be opened to the container: {error}", folder.display());
        Exit::NotStarted { reason, transient: false }
    })
}

fn not_started(trouble: &Trouble) -> Exit {
    let transient = match trouble {
        Trouble::Away { .. } => true,
        Trouble::Refused { status, .. } => *status >= 500,
    };
    Exit::NotStarted { reason: trouble.reason().to_owned(), transient }
}

/// What engines say when a command cannot be run, in a sentence.
fn refused(reason: &str, image: &str) -> Exit {
    let command = reason.split_once("exec: \"").and_then(|(_, rest)| rest.split_once('"'));
    let why = |command: &str, rest: &str| {
        let known = [
            ("executable file not found", "was not found"),
            ("no such file or directory", "was not found, or its interpreter was not"),
            ("permission denied", "is not executable"),
            ("is a directory", "is a folder"),
            ("exec format error", "is not for this machine, or has no `#!` line"),
        ];
        let (_, why) = known.iter().find(|(word, _)| rest.contains(word))?;
        Some(format!("`{command}` {why} in image `{image}`"))
    };
    let reason = command.and_then(|(command, rest)| why(command, rest)).unwrap_or_else(|| reason.to_owned());
    Exit::NotStarted { reason, transient: false }
}

fn nonsense() -> Trouble {
    Trouble::Away { reason: "the container engine sent what is no output".into() }
}

/// A time as the engine writes it; what never happened is in the year 1.
fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond())).filter(|at| at.0 > 0)
}
