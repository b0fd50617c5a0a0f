//! For tests that need a container engine: whether there is one, and the image they use. Shared by the tests of several
//! rooms by its path.
//!
//! Invariant: a machine without an engine is told so loudly, and under CI that is a failure. Must not know: executors.
#![allow(dead_code, reason = "each room uses its own part of this")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const IMAGE: &str = "hostler-test/busybox:1";
const SOCKET: &str = "/var/run/docker.sock";
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The socket of an engine that has the image. None: the test cannot run here, and has said so.
#[expect(clippy::disallowed_methods, reason = "CI=true is how a machine says that it must have an engine")]
pub(crate) fn engine() -> Option<PathBuf> {
    match find() {
        Ok(socket) => Some(socket),
        Err(why) => {
            let must = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
            assert!(!must, "under CI a container engine must be there: {why}");
            eprintln!("\n!!! NOT RUN: no container engine for this test: {why}\n");
            None
        }
    }
}

fn find() -> Result<PathBuf, String> {
    let socket = Path::new(SOCKET);
    let answer = ask(socket, "GET /_ping").map_err(|error| format!("`{SOCKET}` does not answer: {error}"))?;
    if !answer.contains(" 200 ") {
        return Err(format!("`{SOCKET}` answers: {answer}"));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/support/make-test-image");
    let made = Command::new(script).output().map_err(|error| error.to_string())?;
    match made.status.success() {
        true => Ok(socket.into()),
        false => Err(format!("the image of the tests cannot be made: {}", String::from_utf8_lossy(&made.stderr))),
    }
}

/// The head and body of an answer, by the oldest form of HTTP.
pub(crate) fn ask(socket: &Path, request: &str) -> std::io::Result<String> {
    ask_with(socket, request, "")
}

/// The same with a body of JSON.
pub(crate) fn ask_with(socket: &Path, request: &str, body: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = body.len();
    let head = "Content-Type: application/json\r\nContent-Length:";
    stream.write_all(format!("{request} HTTP/1.0\r\n{head} {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What the command line of the engine prints.
pub(crate) fn docker<const N: usize>(arguments: [&str; N]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("the engine has its command line");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    text.trim_end().to_owned()
}
