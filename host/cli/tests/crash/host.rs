//! The real binary on a data folder of its own: started, reached through its API, stopped or killed.
//!
//! Invariants: nothing of this machine's settings reaches it; it never outlives its owner here. Shared by the crash
//! test, the load test and the bench. Must not know what is asked of the host.

use hostler_web::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A machine that builds at the same time is slow.
const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at something that another process does.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

pub(crate) struct Host {
    child: Child,
    pub(crate) client: Client,
    #[allow(dead_code, reason = "only the load test makes clients of its own")]
    pub(crate) token: String,
    /// From the start of the process to its first answer that needed the database.
    #[allow(dead_code, reason = "only the bench asks how long it took")]
    pub(crate) ready_after: Duration,
}

/// Where a host lives and what is said to it.
pub(crate) struct Place {
    /// For its log and its home.
    pub(crate) home: PathBuf,
    pub(crate) data: PathBuf,
    /// Beside the few variables that every host here has.
    pub(crate) environment: Vec<(String, String)>,
}

impl Place {
    /// With nothing special, in `home`/data.
    pub(crate) fn plain(home: &Path) -> Self {
        Self { home: home.to_path_buf(), data: home.join("data"), environment: Vec::new() }
    }

    /// What hosts have said about themselves here.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.home.join("host.log")).unwrap_or_default()
    }

    pub(crate) fn spawn(&self) -> Child {
        command(self).stdout(Stdio::piped()).spawn().expect("the binary starts")
    }
}

impl Host {
    /// Serves `home`/data; what it says about itself is appended to `home`/host.log.
    #[allow(dead_code, reason = "the crash test says where")]
    pub(crate) async fn start(home: &Path) -> Self {
        Self::start_at(&Place::plain(home)).await
    }

    pub(crate) async fn start_at(place: &Place) -> Self {
        match Self::try_start(place).await {
            Ok(host) => host,
            Err(line) => panic!("the host did not start: {line}{}", place.said()),
        }
    }

    /// Answers what it said instead of where it is.
    pub(crate) async fn try_start(place: &Place) -> Result<Self, String> {
        let begun = Instant::now();
        let mut child = place.spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        if !line.contains("\"url\"") {
            child.wait().expect("it is our child");
            return Err(line);
        }
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let token = std::fs::read_to_string(text("token_file")).expect("the token is there");
        let client = Client::new(text("url"), token.trim()).expect("its own address is good");
        let limit = begun + LIMIT;
        while let Err(error) = client.whoami().await {
            assert!(Instant::now() < limit, "the host does not answer: {error}{}", place.said());
            // tidy: allow(sleep), because another process is looked at, and the loop has a limit.
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self { child, client, token, ready_after: begun.elapsed() })
    }

    #[allow(dead_code, reason = "the crash test does not look at the process")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as the kernel does it when memory is short.
    #[allow(dead_code, reason = "the bench kills nothing")]
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is our child");
    }

    /// SIGTERM, and nothing else.
    #[allow(dead_code, reason = "the load test only kills")]
    pub(crate) fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it can be told to stop");
    }

    /// SIGTERM, and waits until it is gone.
    #[allow(dead_code, reason = "the load test only kills")]
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < limit, "the host did not stop within {LIMIT:?}");
            // tidy: allow(sleep), because another process is looked at, and the loop has a limit.
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(place: &Place) -> Command {
    let Place { home, data, environment } = place;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(home.join("host.log")).expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"]);
    command.arg(data).current_dir(home).env_clear();
    command.env("HOME", home).env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TZ", "UTC");
    command.envs(environment.iter().cloned()).stdin(Stdio::null()).stderr(log);
    command
}
