//! The host of the demonstration: this binary as a child, on a data folder that is gone afterwards.

use crate::context::{ADDRESS_FILE, TOKEN_FILE};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_web::Client;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Fields go in order: the host ends before its folder does.
pub(super) struct House {
    child: Option<Killed>,
    folder: tempfile::TempDir,
}

/// Ends its process when it goes.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn unusable(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(ExitCode::Unavailable, format!("{what}: {error}"))
}

impl House {
    pub(super) fn make() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("hostler-demo-").tempdir();
        let folder = folder.map_err(unusable("no temporary folder can be made"))?;
        Ok(Self { child: None, folder })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it and waits until it answers. What it says about itself goes into a file beside the data.
    pub(super) async fn start(&mut self) -> Result<Client, Failure> {
        let said = self.folder.path().join("host.log");
        let log = File::options().create(true).append(true).open(&said).map_err(unusable("no log can be written"))?;
        // Else the address of the host that was killed would be taken for the new one's.
        let _ = std::fs::remove_file(self.data().join(ADDRESS_FILE));
        let program = std::env::current_exe().map_err(unusable("this program does not know its own file"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(self.data());
        // Long enough for any machine to start it again.
        command.env("HOSTLER_CONFIG_PROCESS_KEEP", "1m");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(unusable("the host cannot be started"))?;
        let child = self.child.insert(Killed(child));
        let limit = Instant::now() + READY_MAX;
        loop {
            let ended = child.0.try_wait().map_err(unusable("the host cannot be looked at"))?;
            if ended.is_some() || Instant::now() > limit {
                let said = std::fs::read_to_string(&said).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(Failure::new(ExitCode::Unavailable, format!("the host does not serve: {last}")));
            }
            let (address, token) = (self.folder.path().join("data").join(ADDRESS_FILE), TOKEN_FILE);
            let token = self.folder.path().join("data").join(token);
            if let (Ok(url), Ok(token)) = (std::fs::read_to_string(address), std::fs::read_to_string(token)) {
                let client = Client::new(url.trim(), token.trim())?;
                if client.whoami().await.is_ok() {
                    return Ok(client);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGKILL, as the kernel does it when memory is short; says whose.
    pub(super) fn kill(&mut self) -> Result<u32, Failure> {
        let child = self.child.take().ok_or_else(|| Failure::new(ExitCode::Internal, "there is no host to kill"))?;
        Ok(child.0.id())
    }

    /// SIGTERM, and waits until it is gone.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| unusable("the host cannot be told to stop")(error.into()))?;
        let limit = Instant::now() + STOP_MAX;
        while child.0.try_wait().map_err(unusable("the host cannot be looked at"))?.is_none() {
            if Instant::now() > limit {
                return Err(Failure::new(ExitCode::Unavailable, "the host did not stop, and was killed"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
