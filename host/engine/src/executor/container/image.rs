//! Gets the image of an attempt: looks for it, pulls it as the task says, and tells how far the pull is.
//!
//! Invariant: what is said about a failure is one sentence with the engine's reason. Must not know: containers.

use super::Shared;
use super::daemon::{Engine, Trouble};
use crate::executor::{Report, Reports};
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use hostler_model::spec::Pull;
use hostler_model::{Bytes, Exit, ImageName};
use hostler_plugin::oci::{self, docker_credentials};
use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How often the run's log says how far a pull is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Returns the digest, or the image's own id where it came from no registry.
pub(super) async fn get(shared: &Shared, image: &ImageName, pull: Pull, reports: &Reports) -> Result<String, Exit> {
    let found = match pull {
        Pull::Always => None,
        Pull::Missing | Pull::Never => look(shared, image).await?,
    };
    match (found, pull) {
        (Some(digest), _) => return Ok(digest),
        (None, Pull::Never) => {
            let reason = format!("image `{image}` is not on this machine, and the task says `pull: never`");
            return Err(Exit::NotStarted { reason, transient: false });
        }
        (None, Pull::Missing | Pull::Always) => {}
    }
    fetch(shared, image, reports).await?;
    match look(shared, image).await? {
        Some(digest) => Ok(digest),
        None => {
            let reason = format!("image `{image}` was pulled, but the engine does not know it");
            Err(Exit::NotStarted { reason, transient: true })
        }
    }
}

async fn look(shared: &Shared, image: &ImageName) -> Result<Option<String>, Exit> {
    let name = image.with_tag();
    let asked = shared.daemon.ask("look for an image", async |docker| docker.inspect_image(&name).await).await;
    let found = match asked {
        Ok(found) => found,
        Err(trouble) if trouble.is_not_found() => return Ok(None),
        Err(trouble) => return Err(passing(&trouble)),
    };
    let engine = shared.daemon.engine().await.map_err(|trouble| passing(&trouble))?;
    let own = (found.os.unwrap_or_default(), found.architecture.unwrap_or_default());
    if !can_run(&engine, &own) {
        let ((os, arch), (image_os, image_arch)) = (&engine.platform, own);
        let reason = format!(
            "image `{image}` is for {image_os}/{image_arch}, and the engine of this machine runs {os}/{arch}; \
             use an image that has this platform, or install an emulator (binfmt)"
        );
        return Err(Exit::NotStarted { reason, transient: false });
    }
    let digests = found.repo_digests.unwrap_or_default();
    let digest = digests.iter().find_map(|digest| Some(digest.split_once('@')?.1.to_owned()));
    Ok(digest.or(found.id))
}

/// What is left out (old engines, images made by hand) is taken as fitting.
fn can_run(engine: &Engine, (os, arch): &(String, String)) -> bool {
    let (own_os, own_arch) = &engine.platform;
    let same = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    let family = matches!((own_arch.as_str(), arch.as_str()), ("amd64", "386") | ("arm64", "arm"));
    if same(own_os, os) && (same(own_arch, arch) || family) {
        return true;
    }
    let emulator = match arch.as_str() {
        "arm64" => "aarch64",
        "amd64" => "x86_64",
        "386" => "i386",
        other => other,
    };
    same(own_os, os) && Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{emulator}")).exists()
}

async fn fetch(shared: &Shared, image: &ImageName, reports: &Reports) -> Result<(), Exit> {
    let failed = |why: &str, transient: bool| Exit::NotStarted {
        reason: format!("image `{image}` cannot be pulled: {why}"),
        transient,
    };
    let credentials = match &shared.config.credentials {
        Some(path) => docker_credentials(path, image.registry()).await.map_err(|why| failed(&why, false))?,
        None => None,
    };
    let engine = shared.daemon.engine().await.map_err(|trouble| passing(&trouble))?;
    let options = CreateImageOptionsBuilder::new().from_image(&image.with_tag()).build();
    let begun = Instant::now();
    note(reports, format!("pulling image {image}")).await;
    let mut answers = pin!(engine.docker.create_image(Some(options), None, credentials.map(for_engine)));
    let mut progress = Progress::default();
    let limit = tokio::time::Instant::now() + shared.config.pull_max;
    loop {
        match tokio::time::timeout_at(limit, answers.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(info))) => {
                progress.take(info);
                if let Some(line) = progress.due() {
                    note(reports, format!("pulling image {image}: {line}")).await;
                }
            }
            Ok(Some(Err(error))) => {
                let trouble = shared.daemon.trouble("pull an image", &error);
                return Err(failed(trouble.reason(), may_pass(&trouble)));
            }
            Err(_) => {
                let why =
                    format!("it was not over after {} s (`container.pull_timeout`)", shared.config.pull_max.as_secs());
                return Err(failed(&why, true));
            }
        }
    }
    note(reports, format!("pulled image {image} in {:.1} s", begun.elapsed().as_secs_f64())).await;
    Ok(())
}

fn for_engine(found: oci::DockerCredentials) -> DockerCredentials {
    DockerCredentials {
        username: found.username,
        password: found.password,
        identitytoken: found.identity_token,
        registrytoken: found.registry_token,
        serveraddress: Some(found.server),
        ..DockerCredentials::default()
    }
}

/// A registry that cannot be reached now may be reached later; one that has no such image, or not for us, says so.
fn may_pass(trouble: &Trouble) -> bool {
    let lasting =
        ["not found", "manifest unknown", "unknown manifest", "denied", "unauthorized", "no matching manifest"];
    match trouble {
        Trouble::Away { .. } => true,
        Trouble::Refused { status, reason } => {
            !matches!(status, 400..=404) && !lasting.iter().any(|word| reason.to_lowercase().contains(word))
        }
    }
}

fn passing(trouble: &Trouble) -> Exit {
    Exit::NotStarted { reason: trouble.reason().to_owned(), transient: true }
}

async fn note(reports: &Reports, text: String) {
    let _ = reports.send(Report::Note { text }).await;
}

/// How far each layer is.
#[derive(Default)]
struct Progress {
    layers: HashMap<String, Layer>,
    said: Option<Instant>,
}

#[derive(Default)]
struct Layer {
    bytes: u64,
    bytes_total: u64,
    is_done: bool,
}

impl Progress {
    fn take(&mut self, info: bollard::models::CreateImageInfo) {
        let (Some(id), Some(status)) = (info.id, info.status) else { return };
        // A line about the tag has an id too, which is no layer.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.layers.entry(id).or_default();
        let detail = info.progress_detail.unwrap_or_default();
        match status.as_str() {
            "Downloading" => {
                let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
                layer.bytes = count(detail.current).unwrap_or(layer.bytes);
                layer.bytes_total = count(detail.total).unwrap_or(layer.bytes_total);
            }
            "Download complete" | "Extracting" => layer.bytes = layer.bytes_total,
            "Pull complete" | "Already exists" => layer.is_done = true,
            _ => {}
        }
    }

    fn due(&mut self) -> Option<String> {
        if self.said.get_or_insert_with(Instant::now).elapsed() < PROGRESS_EVERY || self.layers.is_empty() {
            return None;
        }
        self.said = Some(Instant::now());
        let done = self.layers.values().filter(|layer| layer.is_done).count();
        let sum = |of: fn(&Layer) -> u64| self.layers.values().map(of).sum::<u64>();
        let (bytes, total) = (sum(|layer| layer.bytes), sum(|layer| layer.bytes_total));
        let size = |bytes: u64| Bytes(bytes >> 10 << 10);
        Some(format!("{done} of {} layers, {} of {} fetched", self.layers.len(), size(bytes), size(total)))
    }
}
