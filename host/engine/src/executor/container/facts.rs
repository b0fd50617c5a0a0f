//! What a container engine says about itself, for a person who wants to know whether container tasks can run here.

use super::daemon::Daemon;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineFacts {
    pub socket: PathBuf,
    /// `Docker` or `Podman`
    pub name: &'static str,
    pub version: String,
    pub api_version: String,
    pub storage_driver: String,
    /// Of the control groups it puts containers into: `1` or `2`.
    pub cgroup_version: String,
    /// What it warns about by itself.
    pub warnings: Vec<String>,
}

/// The first engine that answers, or why none does.
pub async fn inspect_engine(sockets: Vec<PathBuf>, answer_max: Duration) -> Result<EngineFacts, String> {
    let daemon = Daemon::new(sockets, answer_max);
    let (engine, socket) = daemon.find().await.map_err(|trouble| trouble.reason().to_owned())?;
    let asked = |trouble: super::daemon::Trouble| trouble.reason().to_owned();
    let version = daemon.ask("say its version", async |docker| docker.version().await).await.map_err(asked)?;
    let info = daemon.ask("describe itself", async |docker| docker.info().await).await.map_err(asked)?;
    Ok(EngineFacts {
        socket,
        name: if engine.is_podman { "Podman" } else { "Docker" },
        version: version.version.unwrap_or_default(),
        api_version: version.api_version.unwrap_or_default(),
        storage_driver: info.driver.unwrap_or_default(),
        cgroup_version: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
        warnings: info.warnings.unwrap_or_default(),
    })
}
