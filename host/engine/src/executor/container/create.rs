//! What the engine is asked to make for one attempt: the whole of it, in one place.
//!
//! Invariants: no privileges, devices, or namespaces of the host but a network that the config allows; the only folders
//! of the host that are mounted are the attempt's own. Must not know: requests, output.

use super::{ContainerConfig, ContainerStart};
use crate::executor::Start;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions};
use hostler_model::AttemptId;
use hostler_model::spec::Network;
use std::collections::HashMap;
use std::path::Path;

/// Where an attempt finds its folders.
pub(crate) const WORKSPACE: &str = "/workspace";
pub(crate) const OUTPUTS: &str = "/outputs";

pub(super) const LABEL_HOST: &str = "hostler.host";
pub(super) const LABEL_ATTEMPT: &str = "hostler.attempt";

/// The engine's own log is turned over in so many pieces: from the last but one on it may have lost its beginning.
pub(super) const LOG_FILES: u64 = 5;
const LOG_FILE_BYTES_MIN: u64 = 64 * 1024;

/// Unique to the data folder, and the same for the same attempt at whatever time it is asked for.
pub(super) fn name(host_id: &str, id: AttemptId) -> String {
    format!("hostler-{}-{id}", short(host_id))
}

/// An id of version 7 begins with the time; its end is random.
fn short(host_id: &str) -> &str {
    host_id.rsplit('-').next().unwrap_or(host_id)
}

pub(super) fn log_file_bytes(config: &ContainerConfig) -> u64 {
    (config.log_bytes_max / LOG_FILES).max(LOG_FILE_BYTES_MIN)
}

fn labels(config: &ContainerConfig, id: AttemptId) -> HashMap<String, String> {
    let AttemptId { epoch, run, task, item, attempt } = id;
    [
        (LABEL_HOST, config.host_id.clone()),
        (LABEL_ATTEMPT, id.to_string()),
        ("hostler.epoch", epoch.0.to_string()),
        ("hostler.run", run.0.to_string()),
        ("hostler.task", task.0.to_string()),
        ("hostler.item", item.to_string()),
        ("hostler.try", attempt.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

pub(super) fn body(
    config: &ContainerConfig,
    is_podman: bool,
    start: &Start,
    what: &ContainerStart,
) -> ContainerCreateBody {
    let spec = &what.spec;
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    ContainerCreateBody {
        image: Some(spec.image.with_tag()),
        entrypoint: spec.entrypoint.clone(),
        cmd: some(&what.command),
        env: Some(start.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: spec.user.clone(),
        working_dir: Some(spec.workdir.clone().unwrap_or_else(|| WORKSPACE.into())),
        labels: Some(labels(config, start.id)),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host_config(config, is_podman, start, what)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(config: &ContainerConfig, is_podman: bool, start: &Start, what: &ContainerStart) -> HostConfig {
    let spec = &what.spec;
    let bytes = spec.memory_max.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let network = match &spec.network {
        Network::None => "none",
        Network::Bridge => "bridge",
        Network::Named(name) => name,
    };
    let mut mounts = vec![bind(&start.workspace, WORKSPACE), bind(&start.outputs, OUTPUTS)];
    let volume = |cache: &hostler_model::spec::Cache| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(format!("hostler-{}.{}.{}", short(&config.host_id), what.pipeline, cache.name)),
        target: Some(cache.path.clone()),
        volume_options: Some(MountVolumeOptions {
            labels: Some([(LABEL_HOST.to_owned(), config.host_id.clone())].into()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    mounts.extend(spec.caches.iter().map(volume));
    HostConfig {
        mounts: Some(mounts),
        network_mode: Some(network.to_owned()),
        memory: bytes,
        // The same as memory: what does not fit is ended, and never swapped out.
        memory_swap: bytes,
        nano_cpus: spec.cpus_milli.map(|milli| i64::from(milli) * 1_000_000),
        pids_limit: spec.pids_max.or(config.pids_max).map(i64::from),
        readonly_rootfs: Some(spec.read_only),
        tmpfs: spec.read_only.then(|| [("/tmp".to_owned(), String::new())].into()),
        log_config: Some(log_config(config, is_podman)),
        ..HostConfig::default()
    }
}

fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.display().to_string()),
        target: Some(target.into()),
        ..Mount::default()
    }
}

/// The driver `local` keeps bytes as they are, where `json-file` replaces what is not UTF-8. Podman has neither.
fn log_config(config: &ContainerConfig, is_podman: bool) -> HostConfigLogConfig {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let (driver, options) = match is_podman {
        true => ("k8s-file", HashMap::from([pair("max-size", config.log_bytes_max.to_string())])),
        false => {
            let options = [
                pair("max-size", log_file_bytes(config).to_string()),
                pair("max-file", LOG_FILES.to_string()),
                // Costs the engine more than it saves.
                pair("compress", "false".into()),
            ];
            ("local", HashMap::from(options))
        }
    };
    HostConfigLogConfig { typ: Some(driver.into()), config: Some(options) }
}
