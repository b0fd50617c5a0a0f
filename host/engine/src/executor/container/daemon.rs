//! The container engine behind its socket: found late, asked with a deadline, found again when it went away.
//!
//! Invariants: no question waits longer than its deadline; an engine that does not answer is not asked again by each
//! of a thousand attempts at once. Must not know: attempts, what an answer means.

use bollard::Docker;
use bollard::errors::Error;
use std::fmt::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For so long the last failure to connect is the answer to everybody who asks.
const FAILURE_KEPT: Duration = Duration::from_millis(500);

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// Nobody knows what the engine did: it is not there, hangs, or talks nonsense.
    Away { reason: String },
    /// It said no.
    Refused { status: u16, reason: String },
}

impl Trouble {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Away { reason } | Self::Refused { reason, .. } => reason,
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// An engine that answered.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    pub(super) is_podman: bool,
    /// `linux/amd64`
    pub(super) platform: (String, String),
}

pub(super) struct Daemon {
    sockets: Vec<PathBuf>,
    answer_max: Duration,
    found: tokio::sync::Mutex<Found>,
}

#[derive(Default)]
struct Found {
    engine: Option<Engine>,
    /// Stays the same once an engine has answered: another engine has none of our containers.
    socket: Option<PathBuf>,
    failed: Option<(Instant, Trouble)>,
}

impl Daemon {
    pub(super) fn new(sockets: Vec<PathBuf>, answer_max: Duration) -> Self {
        Self { sockets, answer_max, found: tokio::sync::Mutex::default() }
    }

    pub(super) async fn engine(&self) -> Result<Engine, Trouble> {
        let mut found = self.found.lock().await;
        if let Some(engine) = &found.engine {
            return Ok(engine.clone());
        }
        if let Some((at, trouble)) = &found.failed
            && at.elapsed() < FAILURE_KEPT
        {
            return Err(trouble.clone());
        }
        let connected = match found.socket.clone() {
            Some(socket) => self.connect(&socket).await.map(|engine| (engine, socket)),
            None => self.find().await,
        };
        match connected {
            Ok((engine, socket)) => {
                (found.engine, found.socket) = (Some(engine.clone()), Some(socket));
                Ok(engine)
            }
            Err(trouble) => {
                found.failed = Some((Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }

    /// Asks one question. `what` completes "it did not answer when asked to …".
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        question: impl AsyncFnOnce(&Docker) -> Result<T, Error>,
    ) -> Result<T, Trouble> {
        let engine = self.engine().await?;
        let answer = tokio::time::timeout(self.answer_max, question(&engine.docker)).await;
        let answer = answer.unwrap_or(Err(Error::RequestTimeoutError));
        let answer = answer.map_err(|error| self.trouble(what, &error));
        if let Err(Trouble::Away { .. }) = &answer {
            self.forget().await;
        }
        answer
    }

    /// The next question looks for the engine anew: it may be another version now.
    pub(super) async fn forget(&self) {
        self.found.lock().await.engine = None;
    }

    pub(super) fn trouble(&self, what: &str, error: &Error) -> Trouble {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Trouble::Refused { status: *status_code, reason: one_line(message) }
            }
            Error::DockerStreamError { error } => Trouble::Refused { status: 500, reason: one_line(error) },
            Error::RequestTimeoutError => {
                let reason = format!(
                    "the container engine did not answer within {} ms when asked to {what}",
                    self.answer_max.as_millis()
                );
                Trouble::Away { reason }
            }
            other => {
                let reason = format!("the container engine could not be asked to {what}: {}", chain(other));
                Trouble::Away { reason }
            }
        }
    }

    pub(super) async fn find(&self) -> Result<(Engine, PathBuf), Trouble> {
        let mut reasons = Vec::new();
        for socket in &self.sockets {
            match self.connect(socket).await {
                Ok(engine) => return Ok((engine, socket.clone())),
                Err(trouble) => reasons.push(trouble.reason().to_owned()),
            }
        }
        // One that is there and fails says more than several that are not.
        let is_there = |reason: &&String| !reason.ends_with("is not there");
        let reason = match reasons.iter().find(is_there) {
            Some(reason) => reason.clone(),
            None if reasons.is_empty() => "no socket of a container engine is configured".into(),
            None => format!("there is no container engine on this machine: {}", reasons.join(", ")),
        };
        Err(Trouble::Away { reason })
    }

    async fn connect(&self, socket: &Path) -> Result<Engine, Trouble> {
        let shown = socket.display();
        let away = |reason: String| Trouble::Away { reason };
        match std::fs::metadata(socket) {
            Ok(found) if !found.file_type().is_socket() => return Err(away(format!("`{shown}` is no socket"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(away(format!("`{shown}` is not there")));
            }
            Err(error) => return Err(away(format!("`{shown}` cannot be used: {error}"))),
            Ok(_) => {}
        }
        let connected = tokio::time::timeout(self.answer_max, greet(socket, self.answer_max)).await;
        match connected {
            Ok(Ok(engine)) => Ok(engine),
            Ok(Err(Error::DockerResponseServerError { message, .. })) => {
                Err(away(format!("the container engine at `{shown}` refuses this host: {}", one_line(&message))))
            }
            Ok(Err(error)) => {
                Err(away(format!("the container engine at `{shown}` does not answer: {}", chain(&error))))
            }
            Err(_) => {
                let within = self.answer_max.as_millis();
                Err(away(format!("the container engine at `{shown}` does not answer within {within} ms")))
            }
        }
    }
}

async fn greet(socket: &Path, answer_max: Duration) -> Result<Engine, Error> {
    // Its own deadline is in whole seconds; ours, around it, ends sooner.
    let seconds = answer_max.as_secs() + 1;
    let path = socket.to_str().ok_or_else(|| Error::SocketNotFoundError(socket.display().to_string()))?;
    let docker = Docker::connect_with_unix(path, seconds, bollard::API_DEFAULT_VERSION)?;
    let docker = docker.with_request_modifier(|mut request| {
        // The engine reads the URL-safe alphabet, and the library writes the other one.
        if let Some(value) = request.headers_mut().get_mut("X-Registry-Auth")
            && let Ok(text) = value.to_str()
            && let Ok(safe) = text.replace('+', "-").replace('/', "_").parse()
        {
            *value = safe;
            value.set_sensitive(true);
        }
        request
    });
    let docker = docker.negotiate_version().await?;
    let version = docker.version().await?;
    let components = version.components.unwrap_or_default();
    let is_podman = components.iter().any(|component| component.name.contains("Podman"));
    Ok(Engine { docker, is_podman, platform: (version.os.unwrap_or_default(), version.arch.unwrap_or_default()) })
}

/// An error and what is behind it, once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            let _ = write!(text, ": {inner_text}");
        }
        source = inner.source();
    }
    one_line(&text)
}

/// What the engine says goes into one sentence of ours.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 600;
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect()
}
