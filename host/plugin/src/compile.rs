//! Components become machine code here, in a child process with limits, one at a time.
//!
//! Invariant: what is compiled is a component by its header, and no larger than the cap.

use std::path::PathBuf;
use thiserror::Error;

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
    #[error("`{path}` has {bytes} bytes and may have {limit} (raise `component_bytes_max`)")]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("`{path}` does not compile: {message}")]
    Refused { path: PathBuf, message: String },
    #[error("the compiler ended early on `{path}`: {reason}")]
    ChildFailed { path: PathBuf, reason: String },
}

/// The whole of the hidden command `hostler compile-component`: reads a component from stdin, writes machine code to
/// stdout or a message to stderr. Answers the exit code.
pub fn compile_child_main() -> i32 {
    todo!()
}
