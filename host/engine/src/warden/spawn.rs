//! Starts one process the way every attempt is started, and says in plain words why it could not.
//!
//! Invariants: the process has exactly the environment it was given and the mark, its workspace as working directory,
//! an empty stdin, the two pipes and no other descriptor, a process group of its own, default signals, and the umask
//! 022 of the warden (as cron and systemd give; private folders keep its files private). No hook runs between fork and
//! exec, so that the standard library may use `posix_spawn`, which does not copy page tables. Must not know: attempts'
//! states, control groups.

use super::cage::Cage;
use super::identity::MARK;
use super::protocol::{Program, StartOrder};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a command without a `/` is looked for when its environment has no `PATH`.
const PATH_WITHOUT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Raised so that the kernel, out of memory, ends tasks before the host.
const TASK_SCORE: &str = "300";

/// The warden's own score, which what it spawns inherits. Raised for the moment of a spawn: a child is then born with
/// it, for less than half of what writing it into the child's own file would cost.
pub(super) struct OutOfMemoryScore {
    file: Option<File>,
    own: String,
}

impl OutOfMemoryScore {
    const PATH: &str = "/proc/self/oom_score_adj";

    /// Some kernels forbid it inside containers; tasks run as well without.
    pub(super) fn open() -> Self {
        let own = fs::read_to_string(Self::PATH).unwrap_or_default().trim().to_owned();
        let file = File::options().write(true).open(Self::PATH).ok().filter(|_| !own.is_empty());
        Self { file, own }
    }

    fn raised<T>(&self, spawn: impl FnOnce() -> T) -> T {
        self.set(TASK_SCORE);
        let done = spawn();
        self.set(&self.own);
        done
    }

    fn set(&self, score: &str) {
        if let Some(file) = &self.file {
            // What may be raised may be lowered to what it was (proc(5)).
            let _ = file.write_all_at(score.as_bytes(), 0);
        }
    }
}

pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) script: Option<ScriptFile>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotSpawned {
    pub(super) reason: String,
    pub(super) transient: bool,
}

impl NotSpawned {
    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), transient: false }
    }
}

/// The text of a script, in a file that is removed with this value.
pub(super) struct ScriptFile {
    path: PathBuf,
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        // If it stays, the folder it is in is swept when the next warden starts.
        let _ = fs::remove_file(&self.path);
    }
}

/// What an order comes down to: a file to execute, its arguments, and the script that must outlive it.
pub(super) struct Prepared {
    program: PathBuf,
    name: String,
    args: Vec<String>,
    script: Option<ScriptFile>,
}

/// Finds the program and writes the script, before anything is started.
pub(super) fn prepare(order: &StartOrder, scripts: &Path, cage: &Cage) -> Result<Prepared, NotSpawned> {
    if !order.workspace.is_dir() {
        let workspace = order.workspace.display();
        return Err(NotSpawned::lasting(format!("the working directory `{workspace}` does not exist")));
    }
    match &order.program {
        Program::Argv(argv) => {
            let (name, args) = argv.split_first().ok_or_else(|| NotSpawned::lasting("the command is empty"))?;
            let program = look_up(name, order)?;
            Ok(Prepared { program, name: name.clone(), args: args.to_vec(), script: None })
        }
        Program::Script { shell, text } => {
            let name = shell.to_string_lossy().into_owned();
            let program = look_up(&name, order)?;
            let script =
                write_script(&scripts.join(format!("script-{}", order.id)), text, |file| cage.admit(order, file))?;
            let args = vec![script.path.to_string_lossy().into_owned()];
            Ok(Prepared { program, name, args, script: Some(script) })
        }
    }
}

/// Starts what was prepared. `mark` is the value of the variable by which its processes are found again.
pub(super) fn spawn(
    order: &StartOrder,
    prepared: Prepared,
    mark: &str,
    (stdout, stderr): (OwnedFd, OwnedFd),
    (score, cage): (&OutOfMemoryScore, &mut Cage),
) -> Result<Spawned, NotSpawned> {
    let mut command = Command::new(&prepared.program);
    command.arg0(&prepared.name).args(&prepared.args).current_dir(&order.workspace).process_group(0);
    command.env_clear().envs(order.env.iter().map(|(name, value)| (name, value))).env(MARK, mark);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let script = prepared.script.as_ref().map(|script| script.path.as_path());
    let child = score.raised(|| cage.spawn(order, script, &mut command)).map_err(|error| explain(&error, &prepared))?;
    Ok(Spawned { pid: Pid::from_child(&child), script: prepared.script })
}

fn write_script(
    path: &Path,
    text: &str,
    admit: impl FnOnce(&File) -> io::Result<()>,
) -> Result<ScriptFile, NotSpawned> {
    let write = || -> io::Result<ScriptFile> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let script = ScriptFile { path: path.to_owned() };
        file.write_all(text.as_bytes())?;
        admit(&file)?;
        Ok(script)
    };
    write().map_err(|error| NotSpawned {
        reason: format!("the script cannot be written: {error}"),
        transient: error.kind() == io::ErrorKind::StorageFull,
    })
}

/// Finds the command as `execvp` would, but in the `PATH` of the attempt and not in ours.
fn look_up(name: &str, order: &StartOrder) -> Result<PathBuf, NotSpawned> {
    if name.is_empty() {
        return Err(NotSpawned::lasting("the command is empty"));
    }
    if name.contains('/') {
        return Ok(order.workspace.join(name));
    }
    let path = order.env.iter().rev().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.as_str());
    let path = path.unwrap_or(PATH_WITHOUT_PATH);
    let candidates = || std::env::split_paths(OsStr::new(path)).map(|folder| order.workspace.join(folder).join(name));
    if let Some(found) = candidates().find(|file| is_executable(file)) {
        return Ok(found);
    }
    match candidates().find(|file| file.is_file()) {
        Some(file) => Err(NotSpawned::lasting(format!("`{}` is not executable", file.display()))),
        None => Err(NotSpawned::lasting(format!("the command `{name}` was not found in PATH ({path})"))),
    }
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

fn explain(error: &io::Error, prepared: &Prepared) -> NotSpawned {
    let name = &prepared.name;
    let lasting = NotSpawned::lasting;
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => lasting(explain_not_found(prepared)),
        Some(Errno::ACCESS | Errno::PERM) => lasting(format!("`{name}` is not executable (permission denied)")),
        Some(Errno::NOEXEC) => {
            lasting(format!("`{name}` is no program this machine can run: no `#!` line, or built for another one"))
        }
        Some(Errno::TOOBIG) => lasting(format!("the arguments and environment of `{name}` are too long")),
        Some(Errno::AGAIN) => NotSpawned {
            reason: format!("`{name}` could not be started: no process slot is free (EAGAIN)"),
            transient: true,
        },
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY) => {
            NotSpawned { reason: format!("`{name}` could not be started: {error}"), transient: true }
        }
        Some(_) => lasting(format!("`{name}` could not be started: {error}")),
        None => {
            lasting(format!("`{name}` could not be started: {error} (a NUL byte in its arguments or environment?)"))
        }
    }
}

/// `ENOENT` of a file that is there means that its interpreter is not.
fn explain_not_found(prepared: &Prepared) -> String {
    let name = &prepared.name;
    if !prepared.program.is_file() {
        return format!("the command `{name}` was not found");
    }
    match interpreter(&prepared.program) {
        Some(interpreter) => format!("the interpreter `{interpreter}` of `{name}` was not found"),
        None => format!("`{name}` is there, but the loader or a library it needs is not"),
    }
}

fn interpreter(program: &Path) -> Option<String> {
    const LINE_BYTES_MAX: u64 = 256;
    let mut start = Vec::new();
    File::open(program).ok()?.take(LINE_BYTES_MAX).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_ascii_whitespace().next().map(str::to_owned)
}
