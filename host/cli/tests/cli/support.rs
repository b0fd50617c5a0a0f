//! Runs the binary in a home of its own, starts hosts on free ports, and takes out of outputs what differs from run
//! to run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything here may take; a machine that builds at the same time is slow.
const LIMIT: Duration = Duration::from_secs(120);

/// A home folder with nothing in it but what a test puts there.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What came of one command.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("temp dir"), variables: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    /// Writes a file below the home and answers its path as an argument.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the home")).expect("made");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TZ", "UTC");
        // All tests compile the same few components; one cache for them saves most of their time.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command.envs(self.variables.iter().cloned());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&self.command(arguments).output().expect("the binary starts"))
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
        self.ran(&child.wait_with_output().expect("it ends"))
    }

    fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.path().display().to_string(), "[home]");
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// A host that serves this home's data folder.
    pub(crate) fn serve(&self) -> Host {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, more: &[&str]) -> Host {
        let arguments = [&["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "warn"], more].concat();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert!(line.contains("\"url\""), "the host did not start: {line:?}");
        Host { child }
    }
}

/// Ended with the test that started it.
pub(crate) struct Host {
    child: Child,
}

impl Host {
    /// SIGTERM, then its exit code.
    pub(crate) fn stop(self) -> i32 {
        self.terminate();
        self.ended()
    }

    /// SIGTERM, and nothing more.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill starts").success());
    }

    /// SIGKILL: it has no time for anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end and answers its exit code.
    pub(crate) fn ended(mut self) -> i32 {
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// Exit code, stdout and stderr in one text, for a snapshot.
    pub(crate) fn shown(&self) -> String {
        let part = |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("--- {name}\n{text}") };
        redact(&format!("exit {}\n{}{}", self.code, part("out", &self.out), part("err", &self.err)))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The result of a command that must have succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        redact(&self.out)
    }
}

/// Waits on a condition, with a limit.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::yield_now();
    }
}

/// Ids, instants and spans differ each time: `[uuid]`, `[time]`, `[span]`, `[digest]`.
pub(crate) fn redact(text: &str) -> String {
    text.split_inclusive(|c: char| c.is_whitespace() || "\"(),".contains(c)).map(word).collect()
}

fn word(word: &str) -> String {
    let end = word.len()
        - word.chars().last().filter(|c| c.is_whitespace() || "\"(),".contains(*c)).map_or(0, char::len_utf8);
    let (body, tail) = word.split_at(end);
    let shown = match body {
        _ if is_uuid(body) => "[uuid]",
        _ if body.starts_with("sha256:") => "[digest]",
        _ if is_time(body) => "[time]",
        _ if is_span(body) => "[span]",
        _ => body,
    };
    format!("{shown}{tail}")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn is_time(text: &str) -> bool {
    let is_digits =
        |text: &str, length: usize| text.len() >= length && text.bytes().take(length).all(|byte| byte.is_ascii_digit());
    let date = text.len() >= 10 && is_digits(text, 4) && text.as_bytes()[4] == b'-' && is_digits(&text[5..], 2);
    let clock = text.len() == 8 && is_digits(text, 2) && text.as_bytes()[2] == b':' && is_digits(&text[3..], 2);
    date || clock
}

/// As `print::time::span` writes them.
fn is_span(text: &str) -> bool {
    let units = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let starts = text.starts_with(|c: char| c.is_ascii_digit());
    starts && (matches!(units, "ms" | "s") || units.starts_with(['m', 'h', 'd']) && units.ends_with(['s', 'm', 'h']))
}

/// An example of `pipelines/`, copied so that nothing is written into the checkout.
pub(crate) fn example(home: &Home, name: &str) -> String {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pipelines").join(name);
    let target = home.path().join("examples").join(name);
    std::fs::create_dir_all(&target).expect("made");
    for entry in std::fs::read_dir(&source).expect("the example is there") {
        let path = entry.expect("read").path();
        if path.is_file() {
            std::fs::copy(&path, target.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let document = std::fs::read_to_string(target.join("pipeline.yaml")).expect("a document");
    let is_built = !document.contains(" greet.wasm") || target.join("greet.wasm").exists();
    assert!(is_built, "pipelines/{name}/greet.wasm is not built: type `cargo xtask plugins`");
    target.join("pipeline.yaml").display().to_string()
}
