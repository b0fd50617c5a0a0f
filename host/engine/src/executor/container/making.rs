//! How an attempt gets its container: image, create, attach, start; or, after a restart, its labels.
//!
//! Invariant: asked for twice, one container is made. Must not know: output, ends.

use super::daemon::Trouble;
use super::life::{Life, time};
use super::{ContainerStart, create, image};
use crate::executor::{Report, Start};
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerStateStatusEnum as Status;
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use futures_util::{Stream, StreamExt};
use hostler_model::Exit;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;

/// The streams of a container, as they are written.
pub(super) type Attached = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

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

impl Life {
    /// Makes the container and starts it; its id, and its output from the first byte on.
    pub(super) async fn make(&self, start: &Start, what: &ContainerStart) -> Result<(String, Attached), Exit> {
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
    pub(super) async fn find_again(&mut self) -> Result<(String, Option<Attached>), Exit> {
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
