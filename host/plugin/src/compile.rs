//! Components become machine code here, in a child process with limits, one at a time.
//!
//! A compile cannot be cancelled and takes hundreds of megabytes for a large component; in a child of its own neither
//! that nor a panic of the compiler touches the host. Invariant: what is compiled is a component by its header, and no
//! larger than the cap. Must not know: what the component is for.

use crate::engine::engine;
use rustix::process::{Resource, Rlimit, Signal};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;
use wasmtime::Engine;

/// Address space of the child.
const CHILD_BYTES_MAX: u64 = 4 << 30;
/// Processor time of the child unless told.
pub(crate) const CHILD_SECONDS_MAX: u64 = 300;
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Where components are compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compiler {
    /// In this process: for tests and tools. Nothing bounds the memory of a compile.
    InProcess,
    /// By `program args…`, which must end in `compile_child_main`.
    Child { program: PathBuf, args: Vec<String> },
}

#[derive(Debug, Error)]
pub enum CompileError {
    #[error("`{path}` cannot be read")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is {found}, not a WebAssembly component")]
    NotAComponent { path: PathBuf, found: &'static str },
    #[error("`{path}` has {bytes} bytes and may have {limit} (raise `limits.component_bytes`)")]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("`{path}` does not compile: {message}")]
    Refused { path: PathBuf, message: String },
    #[error("`{path}` takes more than {seconds} s of processor time to compile (raise `limits.compile_time`)")]
    TooSlow { path: PathBuf, seconds: u64 },
    #[error("the compiler ended early on `{path}`: {reason}")]
    ChildFailed { path: PathBuf, reason: String },
}

/// Reads a component from a file, not more of it than the cap, and looks at its header.
pub(crate) fn read_component(path: &Path, limit: u64) -> Result<Vec<u8>, CompileError> {
    let unreadable = |source| CompileError::Unreadable { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(CompileError::TooLarge { path: path.into(), bytes: length.max(limit + 1), limit });
    }
    check_component(&bytes, path, limit).map(|()| bytes)
}

/// What can be known of bytes without looking into them.
pub(crate) fn check_component(bytes: &[u8], path: &Path, limit: u64) -> Result<(), CompileError> {
    if bytes.len() as u64 > limit {
        return Err(CompileError::TooLarge { path: path.into(), bytes: bytes.len() as u64, limit });
    }
    match foreign(bytes) {
        Some(found) => Err(CompileError::NotAComponent { path: path.into(), found }),
        None => Ok(()),
    }
}

/// What the bytes are, when they are no component. Machine code from elsewhere ends here, since it is not WebAssembly.
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => None,
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            Some("a core module (make a component of it: `wasm-tools component new`)")
        }
        [0, b'a', b's', b'm', ..] => Some("WebAssembly of another version"),
        [0x7f, b'E', b'L', b'F', ..] => Some("machine code (give the `.wasm` it was compiled from)"),
        [] => Some("empty"),
        _ => Some("something else"),
    }
}

/// One compile at a time: two large components together could take the memory of a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Machine code of a component. Blocks for as long as it takes, up to tens of seconds.
pub(crate) fn compile(
    compiler: &Compiler,
    engine: &Engine,
    path: &Path,
    bytes: &[u8],
    seconds: u64,
) -> Result<Vec<u8>, CompileError> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    match compiler {
        Compiler::InProcess => engine
            .precompile_component(bytes)
            .map_err(|error| CompileError::Refused { path: path.into(), message: clean(&format!("{error:#}")) }),
        Compiler::Child { program, args } => in_child(program, args, path, bytes, seconds),
    }
}

/// Compiles the smallest component there is, to see that it can be done here; answers how long it took.
pub fn try_compiler(compiler: &Compiler) -> Result<std::time::Duration, CompileError> {
    const EMPTY: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    let path = Path::new("an empty component");
    let engine = engine().map_err(|error| CompileError::Refused { path: path.into(), message: error.to_string() })?;
    let begun = std::time::Instant::now();
    compile(compiler, &engine, path, EMPTY, CHILD_SECONDS_MAX).map(|_| begun.elapsed())
}

/// The child reads how many seconds of processor time it has, then the component.
fn in_child(program: &Path, args: &[String], path: &Path, bytes: &[u8], seconds: u64) -> Result<Vec<u8>, CompileError> {
    let failed = |reason: String| CompileError::ChildFailed { path: path.into(), reason };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("`{}` does not start: {error}", program.display())))?;
    let stdin = child.stdin.take();
    // Written from another thread: with pipes both ways, one thread would wait for itself.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            stdin.map(|mut stdin| stdin.write_all(&seconds.to_le_bytes()).and_then(|()| stdin.write_all(bytes)))
        });
        child.wait_with_output()
    });
    let output = output.map_err(|error| failed(error.to_string()))?;
    let message = clean(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        Some(REFUSED) => Err(CompileError::Refused { path: path.into(), message }),
        None if output.status.signal() == Some(Signal::XCPU.as_raw()) => {
            Err(CompileError::TooSlow { path: path.into(), seconds })
        }
        Some(_) | None => Err(failed(format!("{}; {message}", output.status))),
    }
}

fn clean(message: &str) -> String {
    let end = (0..=message.len().min(MESSAGE_BYTES_MAX)).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    message[..end].trim().chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

/// The child's exit code for a component that is wrong.
const REFUSED: i32 = 65;

/// The whole of the hidden command `hostler compile-component`: reads a component from stdin, writes machine code to
/// stdout or a message to stderr. Answers the exit code. Limits its own process, which is not to do anything else.
pub fn compile_child_main() -> i32 {
    match compile_child() {
        Ok(()) => 0,
        Err((code, message)) => {
            eprintln!("{message}");
            code
        }
    }
}

fn compile_child() -> Result<(), (i32, String)> {
    let broken = |error: &dyn std::fmt::Display| (70, error.to_string());
    let mut seconds = [0; 8];
    std::io::stdin().read_exact(&mut seconds).map_err(|error| broken(&error))?;
    let seconds = u64::from_le_bytes(seconds);
    for (resource, limit) in [(Resource::As, CHILD_BYTES_MAX), (Resource::Cpu, seconds), (Resource::Core, 0)] {
        rustix::process::setrlimit(
            resource,
            Rlimit { current: Some(limit), maximum: Some(limit + u64::from(resource == Resource::Cpu)) },
        )
        .map_err(|error| broken(&error))?;
    }
    // A compile for a host that is gone is of no use to anybody.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| broken(&error))?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    let engine = engine().map_err(|error| broken(&error))?;
    let code = engine.precompile_component(&bytes).map_err(|error| (REFUSED, format!("{error:#}")))?;
    std::io::stdout().write_all(&code).map_err(|error| broken(&error))
}
