//! The machine itself: container engine, control groups, limits, users, clock.

use super::{Finding, State};
use crate::config::{Config, Loaded};
use crate::failure::{Failure, chain};
use hostler_engine::Clock;
use hostler_engine::executor::container::inspect_engine;
use hostler_engine::isolation::{Facts, Isolation};
use hostler_engine::warden::{Containment, containment_here};
use hostler_model::Timestamp;
use hostler_plugin::{Compiler, try_compiler};
use rustix::process::{Resource, getrlimit};
use std::time::Duration;

/// Files that the host holds open beside those of attempts: database, logs, sockets of clients.
const FILES_OF_HOST: u64 = 512;

/// Both streams of a process task, with the log of its run.
const FILES_A_SLOT: u64 = 4;

/// 2025-01-01T00:00:00Z: before this program was written.
const TOO_EARLY: Timestamp = Timestamp(1_735_689_600_000);

/// Both clocks are read with other things between, and neither is finer than a millisecond.
const JUMP_MS: i64 = 250;

pub(super) async fn container_engine(loaded: &Loaded) -> Finding {
    const MATTER: &str = "container engine";
    let settings = &loaded.config.container;
    let answer_max = settings.answer_timeout.to_std().min(Duration::from_secs(5));
    match inspect_engine(settings.sockets.clone(), answer_max).await {
        Ok(facts) => {
            let found = format!(
                "{} {} at `{}`, API {}, storage {}, control groups {}",
                facts.name,
                facts.version,
                facts.socket.display(),
                facts.api_version,
                facts.storage_driver,
                facts.cgroup_version
            );
            match facts.warnings.first() {
                None => Finding::good(MATTER, found),
                Some(warning) => Finding::new(MATTER, State::Note, found).advise(format!("it says: {warning}")),
            }
        }
        Err(reason) => {
            let is_chosen = loaded.entries.get("container.socket").is_some_and(|entry| entry.value != "auto");
            let is_there = settings.sockets.iter().any(|socket| socket.exists());
            let state = if is_chosen || is_there { State::Bad } else { State::Note };
            let advice = "container tasks cannot run; start Docker or Podman, or name its socket in `container.socket`; \
                          process and wasm tasks need none";
            Finding::new(MATTER, state, reason).advise(advice)
        }
    }
}

pub(super) fn control_groups() -> Finding {
    const MATTER: &str = "control groups";
    match containment_here() {
        Containment::PidsGroup => Finding::good(MATTER, "each process task gets one of its own (version 1, `pids`)"),
        Containment::UnifiedGroup => Finding::good(MATTER, "each process task gets one of its own (version 2)"),
        Containment::Marks | Containment::Auto => {
            let found = "none can be made here; what a process task leaves behind is found by its parents and by a mark \
                         in its environment, and one that hides both can live on";
            let advice = "start the host as a systemd service with `Delegate=yes`, or as root";
            Finding::new(MATTER, State::Warning, found).advise(advice)
        }
    }
}

/// In a child, as the host does it.
pub(super) fn compiler() -> Result<Finding, Failure> {
    const MATTER: &str = "wasm compiler";
    let program = std::env::current_exe();
    let program =
        program.map_err(|error| Failure::invalid(format!("the path of this program is not known: {error}")))?;
    Ok(match try_compiler(&Compiler::Child { program, args: vec!["compile-component".into()] }) {
        Ok(time) => Finding::good(MATTER, format!("compiles a component in {} ms", time.as_millis())),
        Err(error) => Finding::new(MATTER, State::Bad, chain(&error))
            .advise("no plugin and no wasm task can run; a limit of memory or processes may keep the compiler away"),
    })
}

pub(super) fn open_files(config: &Config) -> Finding {
    const MATTER: &str = "open files";
    let slots = config.limits.process_slots + config.limits.container_slots + config.limits.wasm_slots;
    let wanted = FILES_OF_HOST + slots as u64 * FILES_A_SLOT;
    match getrlimit(Resource::Nofile).current {
        None => Finding::good(MATTER, "as many as the machine lets it"),
        Some(limit) if limit >= wanted => Finding::good(MATTER, format!("{limit}, and all slots need about {wanted}")),
        Some(limit) => Finding::new(MATTER, State::Warning, format!("{limit}, and all slots need about {wanted}"))
            .advise("raise `ulimit -n` (`LimitNOFILE=` of a systemd service), or lower the slots in `limits`"),
    }
}

pub(super) fn processes() -> Finding {
    const MATTER: &str = "processes";
    match getrlimit(Resource::Nproc).current {
        None => Finding::good(MATTER, "as many as the machine lets it"),
        Some(limit) if limit >= 1_024 => Finding::good(MATTER, format!("{limit} of this user")),
        Some(limit) => Finding::new(MATTER, State::Warning, format!("{limit} of this user, tasks and all"))
            .advise("raise `ulimit -u` (`LimitNPROC=` of a systemd service)"),
    }
}

/// What keeps a process task from the host's own things.
pub(super) fn isolation(config: &Config) -> Finding {
    const MATTER: &str = "isolation";
    if !config.data.is_dir() {
        return Finding::new(MATTER, State::Note, "decided when there is a data folder");
    }
    let isolation = Isolation::foresee(&config.process.user, config.process.landlock, &config.data);
    let facts = match isolation {
        Ok(isolation) => isolation.facts(),
        Err(error) => {
            return Finding::new(MATTER, State::Bad, chain(&error)).advise("see `process.user` and `process.landlock`");
        }
    };
    let open = "authors of process tasks can act as the user of the host";
    match facts {
        Facts { user: Some(user), .. } => {
            Finding::good(MATTER, format!("process tasks run as user `{user}`, who cannot read what is the host's"))
        }
        Facts { landlock: true, .. } => {
            let found = format!("Landlock keeps process tasks out of the data folder; apart from that, {open}");
            Finding::good(MATTER, found)
        }
        Facts { host_is_root: true, .. } => {
            Finding::new(MATTER, State::Warning, format!("process tasks run as root: {open}")).advise(
                "a data folder that others can reach, such as /var/lib/hostler, lets them run as `process.user`",
            )
        }
        Facts { kernel_has_landlock, .. } => {
            let advice = match kernel_has_landlock {
                true => "set `process.landlock` to \"auto\", or run the host as root in /var/lib/hostler",
                false => "a kernel with Landlock, or a host that is root, keeps them apart; so do containers and wasm",
            };
            Finding::new(MATTER, State::Warning, open).advise(advice)
        }
    }
}

/// `begun`: wall and steady time when the examination began.
pub(super) fn clock(clock: &Clock, begun: (Timestamp, Timestamp)) -> Finding {
    const MATTER: &str = "clock";
    let (wall, steady) = (clock.wall(), clock.steady());
    if wall < TOO_EARLY {
        return Finding::new(MATTER, State::Bad, format!("it says {}", shown(wall)))
            .advise("set it; schedules follow it, and those of the years between would all count as missed");
    }
    let jump = (wall.0 - begun.0.0) - (steady.0 - begun.1.0);
    if jump.abs() > JUMP_MS {
        return Finding::new(MATTER, State::Warning, format!("it was set by {jump} ms while it was looked at"))
            .advise("schedules follow it; let one service keep it, and slowly");
    }
    // The plugins that need zones bring their data with them, so none is missing here.
    Finding::good(MATTER, format!("{}, runs steadily", shown(wall)))
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| format!("{at:.0}"))
}
